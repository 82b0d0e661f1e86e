//! `docs/aws-differences.md`, made of the promises and the skips.

use std::fmt::Write;
use std::path::Path;

use crate::skips::{self, LOCALS, Skip};
use crate::{PROMISES, Promise};

const BEGIN: &str = "\
# Where the local AWSs differ from AWS

What Handover relies on AWS for, and whether the two local AWSs that it is tested against do the
same. Each row is a probe, a test in `tests/probes` that asserts what AWS documents. A difference is
listed in `tests/skips.toml`, and then the probe has to fail, and in the way it says: a difference
that is not listed fails the run, and so does one that is listed and gone. `make test` holds the
column of MiniStack so, in CI as well, and `make test LOCAL=localstack` that of LocalStack. AWS itself
has not been probed yet.

This page is made of the probes and the list, by
`UPDATE_DOCS=1 cargo test --test probes docs_aws_differences`; do not edit it.
";

const END: &str = "\
## Mended

The local AWSs are probed as `localstack/` sets them up. That setup fixes some of the differences:

- LocalStack reads and writes the bodies of messages anew on their way to a function;
  `localstack/plugins` keeps them as they were sent, at the price of filters on them.
- LocalStack's DynamoDB is dynoxide here, which takes a name on the right of `SET` only without
  quotes, as in SET open=open-1, and has ARNs and shard iterators of its own; `localstack/plugins`
  translates. Functions run as processes.
- MiniStack's own mappings from streams are the ones that are probed. For the deployed stack
  `event-sources/` takes their place, by AWS's rules.
- MiniStack's CloudFormation keeps numbers of a mapping as text; `localstack/fix-mappings` puts them
  right.

## Not probed

- What takes hours or an outage: retention, the delay of TTL deletes, throttling, the end of a
  token's ten minutes.
- Throughput and latency. Figures of a local AWS say nothing about AWS.
- What only AWS has: KMS, TLS, and the permissions that a mapping itself needs.
";

fn render(skips: &[Skip]) -> String {
    let mut page = BEGIN.to_owned();
    for (service, promises) in PROMISES {
        let locals = LOCALS.map(|(_, called)| called).join(" | ");
        write!(page, "\n## {service}\n\n| what we rely on | {locals} |\n|---|---|---|\n").unwrap();
        for Promise { name, what, page: at } in *promises {
            let cells = LOCALS.map(|(local, _)| {
                let skip = skips.iter().find(|skip| skip.is(name, local));
                skip.map_or("as AWS", |skip| skip.behaviour.as_str())
            });
            let cells = cells.join(" | ");
            writeln!(page, "| {what} ([AWS](https://docs.aws.amazon.com/{at})) | {cells} |").unwrap();
        }
    }
    page += "\n## What covers the differences\n\n";
    page += "| probe | fails on | covered by | not run there |\n|---|---|---|---|\n";
    let promises = PROMISES.iter().flat_map(|(_, promises)| *promises);
    for Promise { name, .. } in promises {
        for (local, called) in LOCALS {
            for skip in skips.iter().filter(|skip| skip.is(name, local)) {
                let not_run: Vec<_> = skip.not_run.iter().map(|test| link(test)).collect();
                let (covered_by, not_run) = (link(&skip.covered_by), not_run.join("; "));
                writeln!(page, "| `{name}` | {called} | {covered_by} | {not_run} |").unwrap();
            }
        }
    }
    format!("{page}\n{END}")
}

fn link(test: &str) -> String {
    let (path, test) = test.split_once(": ").expect("`path: test`");
    format!("[`{path}`](../{path}): `{test}`")
}

#[test]
fn docs_aws_differences_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aws-differences.md");
    let page = render(&skips::all());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/aws-differences.md is out of date: UPDATE_DOCS=1 cargo test --test probes docs_aws_differences"
    );
}
