//! `handover trace`: the tree of notifications that one belongs to, from emit to emit, and who has custody of what is
//! not at its end.

mod custody;
mod tree;

use std::process::ExitCode;

use handover::record::Status;
use serde::Serialize;

use self::custody::{Custody, custody};
use self::tree::{Node, Tree};
use crate::named::Named;
use crate::output::{self, Time, say};
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub async fn trace(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let record = arguments.named.one(stack).await?;
    let tree = Tree::of(&stack.ledger(), record).await.map_err(|fault| stack.explained(fault))?;
    let view = View::of(&tree);
    match arguments.json {
        true => output::json(&view)?,
        false => print(&view),
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct View<'a> {
    /// The id of the first notification's own cause, which is not on record any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_cause: Option<&'a str>,
    /// In the order of the tree: each after the one that emitted it.
    notifications: Vec<NotificationView<'a>>,
    /// Whether there are more than are shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
    custody: Vec<Custody<'a>>,
}

#[derive(Serialize)]
struct NotificationView<'a> {
    id: &'a str,
    /// How many emits lie between the first notification and this one.
    depth: usize,
    /// The destination that emitted it, and its name there.
    #[serde(skip_serializing_if = "Option::is_none")]
    emitted: Option<EmittedView<'a>>,
    /// Absent where its record has expired, which it does after it was completed.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    record: Option<RecordView<'a>>,
}

#[derive(Serialize)]
struct EmittedView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    r#as: &'a str,
}

#[derive(Serialize)]
struct RecordView<'a> {
    source: &'a str,
    r#type: &'a str,
    status: Status,
    accepted_at: Time,
    /// How many emits' names the record did not keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    emits_left_out: Option<u32>,
}

impl<'a> View<'a> {
    fn of(tree: &'a Tree) -> View<'a> {
        View {
            missing_cause: tree.missing_cause.as_deref(),
            notifications: tree.nodes.iter().map(NotificationView::of).collect(),
            is_cut: tree.is_cut,
            custody: tree.nodes.iter().filter_map(|node| node.record.as_ref()).flat_map(custody).collect(),
        }
    }
}

impl<'a> NotificationView<'a> {
    fn of(node: &'a Node) -> NotificationView<'a> {
        let record = node.record.as_ref().map(|record| {
            let left_out: u32 = record.destinations.values().map(|delivery| delivery.emits_left_out).sum();
            RecordView {
                source: &record.source,
                r#type: &record.r#type,
                status: record.status,
                accepted_at: Time(record.accepted_at),
                emits_left_out: (left_out > 0).then_some(left_out),
            }
        });
        let emitted = node.emitted.as_ref();
        let emitted = emitted.map(|(by, name)| EmittedView { by: by.as_deref(), r#as: name });
        NotificationView { id: &node.id, depth: node.depth, emitted, record }
    }
}

fn print(view: &View) {
    if let Some(id) = view.missing_cause {
        say!("{id}  its record has expired; it emitted the first of these");
    }
    for notification in &view.notifications {
        let indent = "  ".repeat(notification.depth);
        let emitted = notification.emitted.as_ref();
        let emitted = emitted.map_or_else(String::new, |EmittedView { by, r#as: name }| match by {
            Some(by) => format!("{by} emits {name}: "),
            None => format!("its {name}: "),
        });
        match &notification.record {
            None => {
                say!("{indent}{emitted}{}  its record has expired, after it was completed", notification.id)
            }
            Some(RecordView { source, r#type, status, accepted_at, emits_left_out }) => {
                let status = status.as_str();
                say!(
                    "{indent}{emitted}{}  {type}, from {source}  {status}, accepted {accepted_at}",
                    notification.id
                );
                if let Some(count) = emits_left_out {
                    say!("{indent}  and {count} more, whose names the record did not keep");
                }
            }
        }
    }
    if view.is_cut {
        say!("There are more; trace the last one to see what it led to.");
    }
    match view.custody[..] {
        [] => say!("All of them are at their end."),
        _ => view.custody.iter().for_each(|custody| say!("{custody}")),
    }
}
