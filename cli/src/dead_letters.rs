//! `handover dead-letters`: what destinations gave up, grouped by destination and error.

use std::collections::BTreeMap;
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::aws::connect;
use crate::letters::{Letter, Letters};

/// How many ids of a group the table shows.
const IDS_SHOWN: usize = 3;

#[derive(clap::Args)]
pub struct Arguments {
    /// Only those of this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Prints JSON, with all ids.
    #[arg(long)]
    json: bool,
}

/// Letters of one destination that died of the same.
#[derive(Debug, PartialEq, Serialize)]
struct Group {
    destination: String,
    error: String,
    letters: usize,
    ids: Vec<String>,
}

pub async fn dead_letters(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let aws = connect().await?;
    let letters = Letters::new(&aws, stack);
    let received = letters.receive(arguments.destination.as_deref()).await?;
    letters.release(&received).await;
    let groups = groups(&received);
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&groups)?),
        false if groups.is_empty() => println!("no dead letters"),
        false => print(&groups),
    }
    Ok(ExitCode::SUCCESS)
}

/// The groups, the largest first.
fn groups(letters: &[Letter]) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Letter>> = BTreeMap::new();
    for letter in letters {
        groups.entry((&letter.destination, &letter.error)).or_default().push(letter);
    }
    let group = |((destination, error), letters): ((&str, &str), Vec<&Letter>)| Group {
        destination: destination.into(),
        error: error.into(),
        letters: letters.len(),
        ids: letters.iter().filter_map(|letter| letter.id.clone()).collect(),
    };
    let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.letters));
    groups
}

fn print(groups: &[Group]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["destination", "letters", "error", "ids"]);
    for group in groups {
        let mut ids = group.ids.iter().take(IDS_SHOWN).cloned().collect::<Vec<_>>().join(" ");
        if group.ids.len() > IDS_SHOWN {
            ids += " …";
        }
        table.add_row([&group.destination, &group.letters.to_string(), &group.error, &ids]);
    }
    println!("{table}");
}
