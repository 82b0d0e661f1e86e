//! `handover add`: adds to a repository that `handover new` wrote.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use handover::{Code, Routes};

use crate::edit;
use crate::error::coded;
use crate::output::{self, say, say_error};
use crate::prepared::{Prepared, commit};
use crate::skeleton::{Added, ToDo, Written};
use crate::value::destination;

const FUNCTIONS: &str = "functions";
const ROUTES: &str = "routes.json";
const TEMPLATE: &str = "template.yaml";
/// By this file a repository is known.
const KNOWN_BY: &str = "handover/destination.yaml";

/// The queues of these are the core's.
const OF_THE_CORE: [&str; 2] = ["relay", "upstream"];

/// As a crate, a binary or in the template, these would be something else.
const TAKEN: [&str; 62] = [
    "alloc",
    "as",
    "async",
    "await",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "handover",
    "handover_external_http",
    "handover_sim",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "n",
    "no",
    "null",
    "off",
    "on",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde_json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tokio",
    "trait",
    "true",
    "try",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
    "y",
    "yes",
    "yield",
];

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Adds a destination: its crate in functions/, its route, and its resources in the template.
    Destination(DestinationArguments),
}

#[derive(clap::Args)]
struct DestinationArguments {
    /// Its name in the routes; the type NAME.requested goes there.
    #[arg(value_parser = checked)]
    name: String,
    /// Its effect is a call to another system.
    #[arg(long)]
    external: bool,
    /// It applies the notifications of a key in sequence.
    #[arg(long)]
    sequenced: bool,
    /// Prints JSON: the files that were written, and what is left to you.
    #[arg(long)]
    json: bool,
}

fn checked(name: &str) -> Result<String, String> {
    let name = destination(name)?;
    if OF_THE_CORE.contains(&&*name) {
        return Err("the queue of this name is the core's".into());
    }
    if TAKEN.contains(&&*name) {
        return Err("it has a meaning in Rust, Cargo or YAML; choose another name".into());
    }
    Ok(name)
}

/// Adds it to the repository in the current folder.
pub fn add(Arguments { what: What::Destination(arguments) }: Arguments) -> anyhow::Result<ExitCode> {
    let DestinationArguments { name, external, sequenced, json } = arguments;
    add_to(Path::new("."), &Added { name, external, sequenced }, json)
}

fn add_to(repository: &Path, added: &Added, json: bool) -> anyhow::Result<ExitCode> {
    if !repository.join(KNOWN_BY).is_file() {
        let text = format!(
            "this folder has no {KNOWN_BY}: go to the root of a repository that `handover new` wrote, or write one"
        );
        return Err(coded(Code::NoRepository, text));
    }
    let read = |name: &str| {
        std::fs::read_to_string(repository.join(name)).with_context(|| format!("{name} cannot be read"))
    };
    let routes = read(ROUTES).map_err(|error| coded(Code::NoRoutes, format!("{error:#}")))?;
    let template = read(TEMPLATE)?;
    let folder = repository.join(FUNCTIONS).join(&added.name);
    check(&folder, &routes, &template, added)?;

    let (with_route, with_resources) = (edit::routes(&routes, added), edit::template(&template, added));
    let edited = [(ROUTES, &routes, with_route), (TEMPLATE, &template, with_resources)];
    let mut written = vec![];
    let mut prepared = vec![];
    for (name, _, after) in edited.iter().filter(|(_, before, after)| **before != after.text) {
        let file = Prepared::file(&repository.join(name), &after.text);
        prepared.push(file.with_context(|| format!("{name} cannot be written"))?);
        written.push(name.to_string());
    }
    let files = added.files();
    // The workspace takes every folder of functions/ as a crate, also one that is not complete.
    prepared.push(Prepared::folder(&folder, repository, &files).context("its folder cannot be written")?);
    commit(&prepared)?;
    written.extend(files.into_iter().map(|(path, _)| format!("{FUNCTIONS}/{}/{path}", added.name)));
    let by_hand = edited.into_iter().flat_map(|(.., edited)| edited.by_hand).collect();
    tell(added, written, by_hand, json)
}

/// Whether nothing of this name is there.
fn check(folder: &Path, routes: &str, template: &str, added: &Added) -> anyhow::Result<()> {
    if let Err(error) = routes.parse::<Routes>() {
        return Err(coded(Code::NoRoutes, format!("{ROUTES} cannot be used: {error}")));
    }
    let there = match edit::resource_there(template, added) {
        _ if folder.symlink_metadata().is_ok() => format!("the folder {FUNCTIONS}/{} is there", added.name),
        _ if edit::is_routed(routes, added) => {
            format!("{ROUTES} has the type {} or the destination {}", added.r#type(), added.name)
        }
        Some(name) => format!("{TEMPLATE} has something of the name {name}"),
        None => return Ok(()),
    };
    Err(coded(Code::Exists, format!("{there}; choose another name")))
}

/// Says what was done, and what is left. What it could not add itself is a failure.
fn tell(added: &Added, written: Vec<String>, by_hand: Vec<ToDo>, json: bool) -> anyhow::Result<ExitCode> {
    let code = if by_hand.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let to_fill_in = added.to_fill_in();
    if json {
        output::json(&Written { written, left: by_hand.into_iter().chain(to_fill_in).collect() })?;
        return Ok(code);
    }
    say!("{FUNCTIONS}/{} is written.", added.name);
    if written.iter().any(|path| path == ROUTES) {
        say!("{ROUTES} sends the type {} there.", added.r#type());
    }
    to_fill_in.iter().for_each(|left| say!("{left}"));
    by_hand.iter().for_each(|left| say_error!("{left}"));
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_a_destination_and_of_a_crate() {
        assert_eq!(checked("orders_2"), Ok("orders_2".into()));
        for name in ["", "Orders", "2", "a-b", "relay", "upstream", "type", "on", "serde", &"a".repeat(33)] {
            assert!(checked(name).is_err(), "{name}");
        }
    }
}
