//! `handover dead-letters`: the dead letters, grouped by destination and error.

use std::collections::BTreeMap;
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::aws::connect;
use crate::dead_letter_queues::{DeadLetter, DeadLetterQueues};
use crate::output::{self, say};

/// Most ids of a group that the table shows.
const IDS_SHOWN: usize = 3;

#[derive(clap::Args)]
pub struct Arguments {
    /// Lists those of this destination only.
    #[arg(long)]
    destination: Option<String>,
    /// Prints JSON with all notifications.
    #[arg(long)]
    json: bool,
}

/// Dead letters of one destination with the same error.
#[derive(Debug, PartialEq, Serialize)]
struct Group {
    destination: String,
    error: String,
    dead_letters: usize,
    notifications: Vec<NotificationView>,
}

#[derive(Debug, PartialEq, Serialize)]
struct NotificationView {
    id: String,
    source: String,
}

pub async fn dead_letters(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let aws = connect().await?;
    let queues = DeadLetterQueues::new(&aws, stack);
    let received = queues.receive(arguments.destination.as_deref()).await?;
    queues.release(&received).await;
    let groups = groups(&received);
    match arguments.json {
        true => output::json(&groups)?,
        false if groups.is_empty() => say!("no dead letters"),
        false => print(&groups),
    }
    Ok(ExitCode::SUCCESS)
}

fn notification(dead_letter: &DeadLetter) -> Option<NotificationView> {
    dead_letter.key.clone().map(|key| NotificationView { id: key.id, source: key.source })
}

/// The groups, the largest first.
fn groups(dead_letters: &[DeadLetter]) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, &str), Vec<&DeadLetter>> = BTreeMap::new();
    for dead_letter in dead_letters {
        groups.entry((&dead_letter.destination, &dead_letter.error)).or_default().push(dead_letter);
    }
    let group = |((destination, error), members): ((&str, &str), Vec<&DeadLetter>)| Group {
        destination: destination.into(),
        error: error.into(),
        dead_letters: members.len(),
        notifications: members.iter().filter_map(|dead_letter| notification(dead_letter)).collect(),
    };
    let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.dead_letters));
    groups
}

fn print(groups: &[Group]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["destination", "dead letters", "error", "ids"]);
    for group in groups {
        let shown: Vec<&str> =
            group.notifications.iter().take(IDS_SHOWN).map(|notification| &*notification.id).collect();
        let mut ids = shown.join(" ");
        if group.notifications.len() > IDS_SHOWN {
            ids += " …";
        }
        table.add_row([&group.destination, &group.dead_letters.to_string(), &group.error, &ids]);
    }
    say!("{table}");
}
