//! Generates `docs/aws-differences.md` from the promises and the skips.

use std::fmt::Write;

use crate::skips::{self, LOCALS, Skip};
use crate::world::root;
use crate::{PROMISES, Promise};

const BEGIN: &str = "\
# Where the local AWSs differ from AWS

This page lists the behaviours of AWS that Handover relies on, and whether the two local AWSs that it
is tested against behave the same. Each row is a probe: a test in `tests/probes` that asserts what AWS
documents. `tests/skips.toml` lists the differences. A listed probe has to fail, and with the error
that the list names. A difference that is not listed fails the run, and so does a listed difference
that no longer exists. `make test` checks the column of MiniStack, also in CI, and
`make test LOCAL=localstack` checks that of LocalStack. AWS itself has not been probed yet.

`UPDATE_DOCS=1 cargo test --workspace --test probes docs_aws_differences` generates this page from
the probes and the list. Do not edit it.
";

const END: &str = "\
## Fixed

The local AWSs are probed as `localstack/` sets them up. That setup fixes some of the differences:

- LocalStack parses the bodies of messages and writes them anew on their way to a function.
  `localstack/plugins` passes them on as they were sent; then filters on them do not work.
- LocalStack's DynamoDB is dynoxide here. It takes a name on the right of `SET` only without quotes,
  as in SET open=open-1, and has ARNs and shard iterators of another form. `localstack/plugins`
  translates. Functions run as processes.
- The probes test MiniStack's own mappings from streams. For the deployed stack `event-sources/`
  replaces them, by AWS's rules.
- MiniStack's CloudFormation keeps numbers of a mapping as text; `localstack/fix-mappings` corrects
  them.
- Neither tells a function behind a URL who called. MiniStack takes root's key with any signature, and
  LocalStack any request; both change paths, queries and repeated headers on their way, and a URL of
  theirs leads to AWS or needs a name server. `localstack/function_urls.py` has AWS's rules for both. It
  refuses a signature in the query, as presigned URLs have it.

## Not probed

- Behaviours that need hours or an outage: retention, the delay of TTL deletes, throttling, the end of
  a token's ten minutes.
- Throughput and latency: figures of a local AWS say nothing about AWS.
- What only AWS has: KMS, TLS, and the permissions that a mapping itself needs.
";

fn render(skips: &[Skip]) -> String {
    let mut page = BEGIN.to_owned();
    for (service, promises) in PROMISES {
        let locals = LOCALS.map(|(_, title)| title).join(" | ");
        write!(page, "\n## {service}\n\n| behaviour | {locals} |\n|---|---|---|\n").unwrap();
        for Promise { name, what, page: url } in *promises {
            let cells = LOCALS.map(|(local, _)| {
                let skip = skips.iter().find(|skip| skip.is(name, local));
                skip.map_or("as AWS", |skip| skip.behaviour.as_str())
            });
            let cells = cells.join(" | ");
            writeln!(page, "| {what} ([AWS](https://docs.aws.amazon.com/{url})) | {cells} |").unwrap();
        }
    }
    page += "\n## What covers the differences\n\n";
    page += "| probe | fails on | covered by | not run there |\n|---|---|---|---|\n";
    let promises = PROMISES.iter().flat_map(|(_, promises)| *promises);
    for Promise { name, .. } in promises {
        for (local, title) in LOCALS {
            for skip in skips.iter().filter(|skip| skip.is(name, local)) {
                let not_run: Vec<_> = skip.not_run.iter().map(|test| link(test)).collect();
                let (covered_by, not_run) = (link(&skip.covered_by), not_run.join("; "));
                writeln!(page, "| `{name}` | {title} | {covered_by} | {not_run} |").unwrap();
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
    let path = root().join("docs/aws-differences.md");
    let page = render(&skips::all());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/aws-differences.md is out of date; run UPDATE_DOCS=1 cargo test --workspace --test probes docs_aws_differences"
    );
}
