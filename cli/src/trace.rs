//! `handover trace`: the tree of notifications that one belongs to, from emit to emit, and who has custody of what is
//! not at its end.

mod custody;
mod tree;

use std::collections::BTreeMap;
use std::process::ExitCode;

use handover::record::{Control, Status, Time};
use serde::Serialize;

use self::custody::{Custody, custody};
use self::tree::{Node, Tree};
use crate::named::Named;
use crate::output::{self, say};
use crate::pause::controls;
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Begins with this notification, and does not go back to what caused it.
    #[arg(long)]
    from_here: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub async fn trace(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let record = arguments.named.one(stack).await?;
    let ledger = stack.ledger();
    let tree = match arguments.from_here {
        true => Tree::from(&ledger, record).await,
        false => Tree::of(&ledger, record).await,
    };
    let tree = tree.map_err(|fault| stack.explained(fault))?;
    let controls = controls(stack, tree.records()).await?;
    let view = View::of(&tree, &controls);
    match arguments.json {
        true => output::json(&view)?,
        false => print(&view),
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct View<'a> {
    /// The cause of the first one, which is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_cause: Option<UnreadCauseView<'a>>,
    /// In the order of the tree: each after the one that emitted it.
    notifications: Vec<NotificationView<'a>>,
    /// Whether there are more than are shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
    custody: Vec<Custody<'a>>,
}

#[derive(Serialize)]
struct UnreadCauseView<'a> {
    id: &'a str,
    /// Whether there is a record with that id, which does not name it.
    has_record: bool,
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
    fn of(tree: &'a Tree, controls: &'a BTreeMap<&str, Control>) -> View<'a> {
        View {
            unread_cause: tree
                .unread_cause
                .as_ref()
                .map(|cause| UnreadCauseView { id: &cause.id, has_record: cause.has_record }),
            notifications: tree.nodes.iter().map(NotificationView::of).collect(),
            is_cut: tree.is_cut,
            custody: tree.records().flat_map(|record| custody(record, controls)).collect(),
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
    match &view.unread_cause {
        Some(UnreadCauseView { id, has_record: true }) => {
            say!("{id}  is the cause of the first of these, and its record does not name it");
        }
        Some(UnreadCauseView { id, has_record: false }) => {
            say!("{id}  is the cause of the first of these, and not on record any more");
        }
        None => (),
    }
    view.notifications.iter().for_each(print_notification);
    let left_out = view.notifications.iter().filter_map(|one| one.record.as_ref()?.emits_left_out);
    let has_all = !view.is_cut && left_out.sum::<u32>() == 0;
    if view.is_cut {
        say!("There are more: trace one of the last with --from-here.");
    }
    match view.custody[..] {
        [] if has_all => say!("All of them are at their end."),
        [] => say!("All that are shown are at their end."),
        _ => view.custody.iter().for_each(|custody| say!("{custody}")),
    }
}

fn print_notification(NotificationView { id, depth, emitted, record }: &NotificationView) {
    let indent = "  ".repeat(*depth);
    let emitted = emitted.as_ref().map_or_else(String::new, |EmittedView { by, r#as }| {
        // A destination chose the name, perhaps of what a sender says.
        let name = r#as.replace(char::is_control, "\u{fffd}");
        by.map_or_else(|| format!("its {name}: "), |by| format!("{by} emits {name}: "))
    });
    let Some(RecordView { source, r#type, status, accepted_at, emits_left_out }) = record else {
        say!("{indent}{emitted}{id}  its record has expired, after it was completed");
        return;
    };
    let status = status.as_str();
    say!("{indent}{emitted}{id}  {type}, from {source}  {status}, accepted {accepted_at}");
    if let Some(count) = emits_left_out {
        say!("{indent}  and {count} more, whose names the record did not keep");
    }
}
