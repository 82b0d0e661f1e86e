//! What a replay says: what it does, and what it leaves out and why.

use std::fmt::Display;

use handover::record::{LeftOut, ReplayPlan, Time};
use serde::Serialize;

use crate::many::Tally;
use crate::output::{self, say_error};

/// What is said of a replay to a destination.
pub struct Report<'a> {
    pub destination: &'a str,
    pub since: Time,
    pub plan: &'a ReplayPlan,
    pub json: bool,
}

/// What came of it, as JSON.
#[derive(Serialize)]
struct View<'a> {
    destination: &'a str,
    since: Time,
    added: usize,
    left: usize,
    unchanged: usize,
    begins: usize,
    undecided: usize,
    held: usize,
    left_out: LeftOut,
}

impl Report<'_> {
    /// Says what came of it, as JSON where that is asked for, else in words.
    pub fn did(&self, came: &Tally, words: impl Display) -> serde_json::Result<()> {
        let Tally { done: added, unneeded: unchanged, left, .. } = *came;
        let Report { destination, since, plan, json } = *self;
        let (begins, undecided, held) = (plan.begins.len(), plan.undecided, plan.held);
        let left_out = plan.left_out;
        let view = View { destination, since, added, left, unchanged, begins, undecided, held, left_out };
        output::did(json, &view, words)
    }
}

/// A number of events, in words.
pub fn events(count: usize) -> String {
    if count == 1 { "1 event".into() } else { format!("{count} events") }
}

/// Says what is left out, and why.
pub fn say_notes(plan: &ReplayPlan, destination: &str) {
    let out = plan.left_out;
    let notes = [
        (out.has, "have the destination already".to_owned()),
        (out.command, "are commands, which only their owner applies".to_owned()),
        (out.unnumbered, format!("have no `sequence`, and {destination} applies in sequence")),
        (out.full, "have as many destinations as a notification may have".to_owned()),
        (out.later_release, "are of a later release; replay with its command".to_owned()),
        (out.expires, format!("may expire before {destination} has applied them, which it does in sequence")),
        (
            out.before,
            format!("have a `sequence` before the one where {destination} begins, or that it has passed"),
        ),
        (
            out.number_used,
            "have the `sequence` of another event, which was accepted or applied before them".to_owned(),
        ),
    ];
    for (count, why) in notes.into_iter().filter(|(count, _)| *count > 0) {
        say_error!("left out: {count} {why}");
    }
    if !plan.begins.is_empty() {
        say_error!(
            "note: {destination} begins {} keys; of those, what comes before cannot be replayed later",
            plan.begins.len()
        );
    }
    let notes = [
        (
            plan.undecided,
            "cannot begin yet: a number may be on its way that comes before all others, or a record is of a later release; what is added waits there, so replay again in a day",
        ),
        (plan.held, "wait for an event that is not among these; replay with an earlier --since"),
    ];
    for (count, why) in notes.into_iter().filter(|(count, _)| *count > 0) {
        say_error!("note: {count} keys of {destination} {why}");
    }
}
