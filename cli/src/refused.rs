//! `handover refused`: what accept refused or could not store, grouped by cause; or sends it to accept once more.

mod letter;
mod queue;
mod resend;

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use handover::record::Time;
use serde::Serialize;

use self::letter::Letter;
use self::queue::{RefusedQueue, Wanted};
use self::resend::Resend;
use crate::cause::{self, by_cause};
use crate::held::{HIDDEN_SECONDS, Held};
use crate::interrupt::Interrupt;
use crate::output::{self, say};
use crate::stack::Stack;
use crate::value;

/// Most messages of a group that the text shows.
const MESSAGES_SHOWN: usize = 10;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Sends them to accept once more, as they were sent; correct the cause first, such as the routes.
    #[arg(long, requires = "Selection", conflicts_with = "body")]
    resend: bool,
    /// Says what it would send, and changes nothing.
    #[arg(long, requires = "resend", conflicts_with = "body")]
    dry_run: bool,
    /// Sends many without asking.
    #[arg(long, requires = "resend", conflicts_with_all = ["body", "message_id"])]
    yes: bool,
    /// Prints JSON with all messages; with --resend: how many were sent, and how many are left.
    #[arg(long)]
    json: bool,
    /// With --json: also shows what was sent, which may be anything.
    #[arg(long, requires = "json")]
    body: bool,
}

/// Which messages: one of these, or all of them to list.
#[derive(clap::Args)]
#[group(multiple = false)]
struct Selection {
    /// Takes this message only, by the id that SQS gave it.
    #[arg(value_parser = value::text)]
    message_id: Option<String>,
    /// Takes only the messages whose reason contains this text.
    #[arg(long, value_name = "TEXT", value_parser = value::text)]
    error: Option<String>,
    /// With --resend: takes every message.
    #[arg(long, requires = "resend", conflicts_with = "body")]
    all: bool,
}

/// Messages that were refused for the same cause.
#[derive(Debug, PartialEq, Serialize)]
struct Group<'a> {
    /// The error code; none where accept gave no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// The reason, or its cause where the reasons of the group differ.
    reason: String,
    dead_letters: usize,
    messages: Vec<MessageView<'a>>,
}

#[derive(Debug, PartialEq, Serialize)]
struct MessageView<'a> {
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
}

pub async fn refused(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::holding(HIDDEN_SECONDS);
    let Arguments { selection: Selection { message_id, error, .. }, resend, dry_run, yes, json, body } =
        arguments;
    let wanted = Wanted { message_id, error, resends: resend };
    let queue = RefusedQueue::new(stack, &interrupt);
    let run = async {
        match resend {
            true => resend::resend(&queue, &wanted, Resend { dry_run, yes, json }).await,
            false => list(&queue, &wanted, json, body).await,
        }
    };
    interrupt.run(run).await
}

async fn list(queue: &RefusedQueue<'_>, wanted: &Wanted, json: bool, body: bool) -> anyhow::Result<ExitCode> {
    let received = queue.receive(wanted, body).await?;
    queue.holder.release(&received).await;
    let groups = groups(&received);
    match json {
        true => output::json(&groups)?,
        false if groups.is_empty() => say!("no refused messages"),
        false => groups.iter().for_each(print),
    }
    Ok(ExitCode::SUCCESS)
}

/// The groups, the largest first.
fn groups(letters: &[Held<Letter>]) -> Vec<Group<'_>> {
    by_cause(letters, |letter| (letter.code(), letter.reason.as_str())).into_iter().map(group).collect()
}

fn group<'a>(of_one_cause: cause::Group<'a, Held<Letter>, Option<&'a str>>) -> Group<'a> {
    let cause::Group { of, error, members } = of_one_cause;
    Group {
        code: of,
        reason: error,
        dead_letters: members.len(),
        messages: members.into_iter().map(message).collect(),
    }
}

fn message(held: &Held<Letter>) -> MessageView<'_> {
    let Letter { reason, id, source, since, body, .. } = &held.letter;
    MessageView {
        message_id: &held.message_id,
        since: since.map(Time),
        id: id.as_deref(),
        source: source.as_deref(),
        reason,
        body: body.as_deref(),
    }
}

fn print(group: &Group) {
    say!("{} refused: {}", group.dead_letters, group.reason);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["since", "message id", "id", "source"]);
    for message in group.messages.iter().take(MESSAGES_SHOWN) {
        let since = message.since.map(|since| since.to_string()).unwrap_or_default();
        let [id, source] = [message.id, message.source].map(Option::unwrap_or_default);
        table.add_row([&since, message.message_id, id, source]);
    }
    say!("{}", table.trim_fmt());
    if let Some(more @ 1..) = group.messages.len().checked_sub(MESSAGES_SHOWN) {
        say!(" … and {more} more; --json shows all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combinations::check;
    use crate::held::tests::held;

    #[test]
    fn an_option_that_has_no_effect_is_not_taken() {
        let options: [&[&str]; 8] = [
            &["1"],
            &["--error", "conflict"],
            &["--all"],
            &["--resend"],
            &["--dry-run"],
            &["--yes"],
            &["--json"],
            &["--body"],
        ];
        check("refused", &options, |has| {
            let is_of_resend = has("--dry-run") || has("--yes");
            let selections = [has("1"), has("--error"), has("--all")].iter().filter(|has| **has).count();
            [
                selections <= 1 && (!has("--resend") || selections == 1),
                !has("1") || !has("--yes"),
                !has("--all") || has("--resend"),
                !has("--resend") || !has("--body"),
                !is_of_resend || has("--resend"),
                !has("--body") || has("--json"),
            ]
        });
    }

    #[test]
    fn messages_that_were_refused_for_one_cause_are_one_group() {
        let letter = |at: &str, reason: &str| held(at, Letter { reason: reason.into(), ..Letter::default() });
        let letters = [
            letter("1", "conflict: its source sent other content"),
            letter("2", "malformed-json: line 1, column 7 is not JSON"),
            letter("3", "malformed-json: line 1, column 9 is not JSON"),
        ];
        let groups = groups(&letters);
        let shown: Vec<_> =
            groups.iter().map(|group| (group.code, &*group.reason, group.dead_letters)).collect();
        assert_eq!(
            shown,
            [
                (Some("malformed-json"), "malformed-json: line …, column … is not JSON", 2),
                (Some("conflict"), "conflict: its source sent other content", 1),
            ]
        );
        assert_eq!(groups[0].messages[1].message_id, "3");
        assert_eq!(groups[0].messages[1].reason, "malformed-json: line 1, column 9 is not JSON");
    }
}
