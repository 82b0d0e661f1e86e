//! `handover dead-letters`: the dead letters, grouped by destination and cause.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use handover::NotificationKey;
use serde::Serialize;

use crate::cause::{self, by_cause};
use crate::dead_letter_queues::{DeadLetter, DeadLetterQueues};
use crate::held::{HIDDEN_SECONDS, Held};
use crate::interrupt::Interrupt;
use crate::output::{self, say};
use crate::stack::Stack;
use crate::value;

/// Most ids of a group that the table shows.
const IDS_SHOWN: usize = 3;

#[derive(clap::Args)]
pub struct Arguments {
    /// Lists those of this destination only.
    #[arg(long, value_parser = value::destination)]
    destination: Option<String>,
    /// Prints JSON with all notifications.
    #[arg(long)]
    json: bool,
}

/// Dead letters of one destination with the same cause.
#[derive(Debug, PartialEq, Serialize)]
struct Group {
    destination: String,
    /// The error, or its cause where the errors of the group differ.
    error: String,
    dead_letters: usize,
    notifications: Vec<NotificationView>,
}

#[derive(Debug, PartialEq, Serialize)]
struct NotificationView {
    id: String,
    source: String,
    error: String,
}

pub async fn dead_letters(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::holding(HIDDEN_SECONDS);
    interrupt.run(list(&DeadLetterQueues::new(stack, &interrupt), arguments)).await
}

async fn list(queues: &DeadLetterQueues<'_>, arguments: Arguments) -> anyhow::Result<ExitCode> {
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
    let NotificationKey { id, source } = dead_letter.key.clone()?;
    Some(NotificationView { id, source, error: dead_letter.error.clone() })
}

/// The groups, the largest first.
fn groups(dead_letters: &[Held<DeadLetter>]) -> Vec<Group> {
    let groups = by_cause(dead_letters, |letter| (letter.destination.as_str(), letter.error.as_str()));
    let group = |cause::Group { of, error, members }: cause::Group<Held<DeadLetter>, &str>| Group {
        destination: of.into(),
        error,
        dead_letters: members.len(),
        notifications: members.iter().filter_map(|dead_letter| notification(dead_letter)).collect(),
    };
    groups.into_iter().map(group).collect()
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
    say!("{}", table.trim_fmt());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter_queues::tests::dead_letter_of;

    #[test]
    fn a_group_has_the_error_of_each_notification() {
        let errors = ["no account", "no JSON at byte 36", "no JSON at byte 13"];
        let groups = groups(&errors.map(|error| dead_letter_of(error, error)));
        assert_eq!((&*groups[0].destination, groups[0].dead_letters), ("a", 2));
        assert_eq!(groups[0].notifications[1].error, "no JSON at byte 13");
    }
}
