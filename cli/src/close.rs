//! `handover close`: closes a notification for good.

use std::process::ExitCode;

use handover::record::State;
use handover::store::OperatorOutcome;
use handover::{Code, Ledger, NotificationKey};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::dead_letter_queues::DeadLetterQueues;
use crate::error;
use crate::held::HIDDEN_SECONDS;
use crate::interrupt::{Interrupt, exit_code};
use crate::named::{Named, has_destination};
use crate::output::{self, say, say_error};
use crate::stack::{LEDGER_DAYS, Stack};
use crate::value;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
    /// The reason, which the record keeps (512 bytes of it).
    #[arg(long, value_parser = value::text)]
    reason: String,
    /// Closes it at this destination only. Without it, wherever it is not completed, also where it is only pending.
    #[arg(long, value_parser = value::destination)]
    destination: Option<String>,
    /// How many days the completed record is kept, 30 to 3650. Default: the stack's `LedgerDays`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(LEDGER_DAYS))]
    ledger_days: Option<u32>,
    /// Prints JSON: what it is at each destination where it was to be closed.
    #[arg(long)]
    json: bool,
}

/// What came of it, as JSON.
#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    source: &'a str,
    destinations: Vec<DeliveryView<'a>>,
}

#[derive(Serialize)]
struct DeliveryView<'a> {
    name: &'a str,
    /// Its state now, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// What the record showed instead, where no call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The code of the error, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

const LATER_RELEASE: &str = "it is in a state of a later release; close it with the command of that release";
const CHANGED: &str = "the record changed meanwhile; look at its status and try again";

/// What came of a close at one destination.
struct End {
    /// Its state then, if that is known.
    state: Option<State>,
    /// What the record showed instead.
    note: Option<String>,
    /// The first fault.
    problem: Option<anyhow::Error>,
}

/// What a close works on.
struct Close<'a> {
    stack: &'a Stack,
    ledger: Ledger,
    queues: DeadLetterQueues<'a>,
    key: NotificationKey,
    reason: String,
    retention: SignedDuration,
}

pub async fn close(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::holding(HIDDEN_SECONDS);
    interrupt.run(close_one(stack, arguments, &interrupt)).await
}

async fn close_one(stack: &Stack, arguments: Arguments, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let Arguments { named, reason, destination, ledger_days, json } = arguments;
    let record = named.one(stack).await?;
    let ledger_days = match ledger_days {
        Some(days) => days,
        None => stack.ledger_days().await?,
    };
    if let Some(destination) = &destination {
        has_destination(&record, destination)?;
    }
    let (ledger, queues) = (stack.ledger(), DeadLetterQueues::new(stack, interrupt));
    let retention = SignedDuration::from_hours(24 * i64::from(ledger_days));
    let close = Close { stack, ledger, queues, key: record.key(), reason, retention };
    let (mut closed, mut is_complete, mut views) = (0, true, Vec::new());
    let states = record.destinations.iter().map(|(name, delivery)| (name.as_str(), delivery.state));
    for (name, was) in meant(states, destination.as_deref()) {
        if interrupt.has_come() {
            is_complete = false;
            break;
        }
        let End { state, note, problem } = close.at(name, was).await;
        closed += usize::from(state == Some(State::Closed));
        is_complete &= state == Some(State::Closed) && problem.is_none();
        if let Some(note) = note.as_ref().filter(|_| !json) {
            say!("{name}: {note}");
        }
        if let Some(problem) = &problem {
            say_error!("{name}: {problem:#}");
        }
        let code = problem.as_ref().and_then(error::code);
        let error = problem.map(|problem| format!("{problem:#}"));
        views.push(DeliveryView { name, state, note, code, error });
    }
    let words =
        format_args!("{} closed at {closed} of {} destinations", record.id, record.destinations.len());
    output::did(json, &View { id: &record.id, source: &record.source, destinations: views }, words)?;
    Ok(exit_code(is_complete))
}

/// Where to close it, and its state there: where it was asked for, or wherever it is not completed. One that is
/// completed everywhere cannot be closed, which each destination is to say.
fn meant<'a>(
    states: impl Iterator<Item = (&'a str, State)>,
    wanted: Option<&str>,
) -> impl Iterator<Item = (&'a str, State)> {
    let (completed, open): (Vec<_>, Vec<_>) = states
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
        .partition(|(_, state)| matches!(state, State::Done | State::Rejected));
    if open.is_empty() { completed } else { open }.into_iter()
}

impl Close<'_> {
    /// Closes it at a destination where it was in this state.
    async fn at(&self, name: &str, was: State) -> End {
        let (key, now) = (&self.key, Timestamp::now());
        let positions = self.stack.positions();
        let outcome = self.ledger.close(&positions, key, name, &self.reason, now, self.retention).await;
        let (state, note) = match &outcome {
            Ok(OperatorOutcome::Applied) => (Some(State::Closed), None),
            Ok(OperatorOutcome::Was(State::Unknown)) => {
                (Some(State::Unknown), Some(LATER_RELEASE.to_owned()))
            }
            Ok(OperatorOutcome::Was(state)) => (Some(*state), Some(format!("already {}", state.as_str()))),
            Ok(_) => (None, Some(CHANGED.to_owned())),
            // It may be closed all the same, and then its dead letters are obsolete.
            Err(_) => (self.state(name).await, None),
        };
        let deleted = match state.is_some_and(|state| has_obsolete(was, state)) {
            true => self.queues.delete_of(key, name).await,
            false => Ok(()),
        };
        let fault = outcome.err().map(|fault| self.stack.explained(fault));
        End { state, note, problem: fault.or(deleted.err()) }
    }

    async fn state(&self, name: &str) -> Option<State> {
        let record = self.ledger.get(&self.key).await.ok().flatten()?;
        record.destinations.get(name).map(|delivery| delivery.state)
    }
}

/// Whether a delivery that was in one state and is in another may have dead letters that are obsolete.
fn has_obsolete(was: State, is: State) -> bool {
    is == State::Closed || was == State::Dead && is.is_final()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [(&str, State); 3] = [("a", State::Done), ("b", State::Dead), ("c", State::Closed)];

    fn names(states: &[(&'static str, State)], wanted: Option<&str>) -> Vec<&'static str> {
        meant(states.iter().copied(), wanted).map(|(name, _)| name).collect()
    }

    #[test]
    fn it_is_closed_where_it_was_asked_for_or_is_not_completed() {
        assert_eq!(names(&STATES, None), ["b", "c"]);
        assert_eq!(names(&STATES, Some("a")), ["a"]);
        assert_eq!(names(&STATES[..1], None), ["a"]);
    }

    #[test]
    fn dead_letters_are_obsolete_where_nothing_is_left_to_do() {
        assert!(has_obsolete(State::Closed, State::Closed) && has_obsolete(State::Dead, State::Closed));
        assert!(has_obsolete(State::Pending, State::Closed) && has_obsolete(State::Dead, State::Done));
        assert!(!has_obsolete(State::Dead, State::Dead) && !has_obsolete(State::Dead, State::Pending));
        assert!(!has_obsolete(State::Done, State::Done) && !has_obsolete(State::Pending, State::Done));
    }
}
