//! `handover new`: writes a repository with a stack in it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use handover::Code;

use crate::edit;
use crate::error::coded;
use crate::output;
use crate::prepared::{Files, Prepared, commit};
use crate::skeleton::{Added, Written, repository};

/// What the longest name of a destination leaves of that of a function, which is `STACK-DESTINATION`.
const NAME_BYTES_MAX: usize = 31;

#[derive(clap::Args)]
pub struct Arguments {
    /// The folder that is written, and the name of the stack.
    #[arg(value_parser = checked)]
    name: String,
    /// Prints JSON: the files that were written.
    #[arg(long)]
    json: bool,
}

/// The names of tables, queues and functions begin with it.
fn checked(name: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
    match begins && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_part) {
        true => Ok(name.to_owned()),
        false => Err(format!("it has 1 to {NAME_BYTES_MAX} letters, digits and -, a letter first")),
    }
}

/// Writes the repository.
pub fn new(Arguments { name, json }: &Arguments) -> anyhow::Result<ExitCode> {
    let place = Path::new(name);
    // A link that leads nowhere is there, too.
    let is_free = match place.symlink_metadata() {
        Ok(_) => place.read_dir().is_ok_and(|mut entries| entries.next().is_none()),
        Err(_) => true,
    };
    if !is_free {
        return Err(coded(
            Code::Exists,
            format!("`{name}` is there, and is no empty folder; choose another name"),
        ));
    }
    let files = files(name);
    let prepared = Prepared::folder(place, Path::new(""), &files);
    commit(&[prepared.with_context(|| format!("`{name}` cannot be written"))?])?;
    let written = files.into_iter().map(|(path, _)| format!("{name}/{path}")).collect();
    output::did(
        *json,
        &Written { written, left: vec![] },
        format_args!(
            "\
`{name}` is written, with the destination `welcome`. In that folder:
  make test                       tests it under injected faults, without AWS
  handover add destination NAME   adds another destination
  make up                         deploys it to a local AWS
  make deploy                     deploys it with your AWS profile and Region"
        ),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A repository with one destination.
fn files(name: &str) -> Files {
    let welcome = Added { name: "welcome".to_owned(), external: false, sequenced: false };
    let mut files = repository(name);
    for (path, text) in &mut files {
        match path.as_str() {
            "routes.json" => *text = edit::routes(text, &welcome).text,
            "template.yaml" => *text = edit::template(text, &welcome).text,
            _ => (),
        }
    }
    let of_welcome = welcome.files().into_iter();
    files.extend(of_welcome.map(|(path, text)| (format!("functions/welcome/{path}"), text)));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_those_of_tables_and_queues() {
        for name in ["a", "Shop-2", &"a".repeat(NAME_BYTES_MAX)] {
            assert_eq!(checked(name), Ok(name.to_owned()));
        }
        for name in ["", "-a", "2a", "a_b", "a/b", "..", "é", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert!(checked(name).is_err(), "{name}");
        }
    }

    #[test]
    fn everything_is_filled_in() {
        let files = files("shop");
        for (path, text) in &files {
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let text = |path: &str| &files.iter().find(|(known, _)| known == path).unwrap().1;
        assert!(text("template.yaml").contains("Destinations: welcome # handover: names"));
        assert!(text("routes.json").parse::<handover::Routes>().unwrap().destinations().contains("welcome"));
    }
}
