//! The outcome: a notification that tells a sender how its own ended. A notification that says `outcometo` has one at
//! each end, in the write that leads there: whoever marks, gives up or closes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::millisecond;
use serde::{Deserialize, Serialize};

use super::delivery::{ERROR_BYTES_MAX, State, shortened};
use super::record::{Record, Status};
use super::transition::{Expected, Transition};
use crate::notification::{Draft, OUTCOME_SOURCE};

/// The data of an outcome: how the notification with this id and source ended.
///
/// What is dead may be redriven or closed, and then ends once more. Of several outcomes of a notification the one with
/// the latest `accepted_at` holds, and of those with the same one that with the highest `version`: an id may be used
/// again after its record has expired.
///
/// ```
/// use handover::record::{Outcome, Status};
/// use handover::{Destination, Effect, Failure, Notification};
///
/// struct Orders;
///
/// impl Destination for Orders {
///     type Data = Outcome;
///
///     async fn apply(&self, outcome: &Notification<Outcome>) -> Result<Effect, Failure> {
///         match outcome.data.status {
///             Status::Done => Ok(Effect::new().result(&"paid")),
///             _ => Ok(Effect::new().result(&outcome.data.reason)),
///         }
///     }
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The id of the notification that ended.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    pub r#type: String,
    /// How it ended over all its destinations.
    pub status: Status,
    /// Why, where it is rejected, dead or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How it ended at each destination.
    pub destinations: BTreeMap<String, OutcomeAt>,
    /// When it was accepted.
    #[serde(with = "millisecond::required")]
    pub accepted_at: Timestamp,
    /// The version of its record.
    pub version: u64,
}

/// How a notification ended at one destination.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeAt {
    /// Its state there.
    pub state: State,
    /// Why, where it is rejected, dead or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether a transition with this expectation leads to an end. From dead to dead, by another destination, is none.
pub(super) fn is_end(record: &Record, expected: Expected) -> bool {
    expected.after != Status::Init && expected.after != record.status
}

/// The id of the outcome of an end of this record that comes next.
pub(super) fn outcome_id(record: &Record) -> String {
    record.key().emitted_id(NOWHERE, &name(record))
}

/// The INIT record of the outcome of the end that this transition of `record` leads to.
pub(super) fn outcome(
    record: &Record,
    destination: &str,
    transition: &Transition,
    expected: Expected,
    now: Timestamp,
) -> Record {
    let outcome = Outcome::of(record, destination, transition, expected);
    let (r#type, parent) = (record.outcometo.clone().unwrap_or_default(), record.notification());
    let build = |outcome: &Outcome| {
        let draft = Draft::event(r#type.clone(), OUTCOME_SOURCE, outcome);
        draft.build_caused(&parent, outcome_id(record))
    };
    // Somebody else may have written a record with more destinations than any of ours.
    let short = || build(&Outcome { destinations: BTreeMap::new(), ..outcome.clone() });
    let event = build(&outcome).or_else(|_| short()).expect("its attributes are those of a record");
    let destinations = record.outcome_destinations.iter().map(|name| (name.clone(), false)).collect();
    Record::init(event.into(), destinations, now)
}

/// In place of the destination of an emit: none has this name, so that no emit has the id of an outcome.
const NOWHERE: &str = "";

/// The name of the next outcome. An id may be used again after its record has expired; its outcomes have other names.
fn name(record: &Record) -> String {
    named(record.accepted_at, record.version + 1)
}

fn named(accepted_at: Timestamp, version: u64) -> String {
    format!("{} {version}", accepted_at.as_millisecond())
}

impl Record {
    /// Whether a notification is one that this one emitted, as far as the names are kept, or an outcome of it.
    pub fn has_led_to(&self, child: &Record) -> bool {
        let is_outcome = |outcome: Outcome| {
            let name = named(outcome.accepted_at, outcome.version);
            self.key().emitted_id(NOWHERE, &name) == child.id
        };
        self.emits().any(|emitted| emitted.id == child.id)
            || (child.source == OUTCOME_SOURCE && child.data.deserialize().is_ok_and(is_outcome))
    }
}

impl Outcome {
    fn of(record: &Record, destination: &str, transition: &Transition, expected: Expected) -> Outcome {
        let destinations = record.destinations.iter().map(|(name, delivery)| {
            let (state, reason) = match name == destination {
                true => (transition.to(expected.from), transition.reason()),
                false => (delivery.state, delivery.reason.as_deref()),
            };
            let reason = reason.map(|reason| shortened(reason, ERROR_BYTES_MAX));
            (name.clone(), OutcomeAt { state, reason })
        });
        let destinations: BTreeMap<_, _> = destinations.collect();
        let says_status = |at: &&OutcomeAt| match expected.after {
            Status::Rejected => at.state == State::Rejected,
            Status::Dead => at.state == State::Dead,
            Status::Closed => at.state == State::Closed,
            Status::Init | Status::Done | Status::Unknown => false,
        };
        Outcome {
            id: record.id.clone(),
            source: record.source.clone(),
            r#type: record.r#type.clone(),
            status: expected.after,
            reason: destinations.values().find(says_status).and_then(|at| at.reason.clone()),
            destinations,
            accepted_at: record.accepted_at,
            version: record.version + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::routes::OUTCOME_BYTES_MAX;
    use crate::notification::{
        DESTINATION_BYTES_MAX, DESTINATIONS_MAX, ID_BYTES_MAX, Routes, SOURCE_BYTES_MAX, TYPE_BYTES_MAX,
        encode,
    };
    use crate::record::tests::at;
    use jiff::SignedDuration;

    use crate::record::pending::{PendingTransition, Reconsidered};
    use crate::record::tests::applied;
    use crate::record::transition::TransitionTimes;

    fn asking() -> Record {
        let routes: Routes = r#"{
            "t": { "kind": "event", "destinations": ["a", "b"] },
            "t.ended": { "kind": "event", "destinations": ["c"], "sources": ["handover"] }
        }"#
        .parse()
        .unwrap();
        let notification = Draft::event("t", "s", &"x").outcome_to("t.ended").build("1").unwrap();
        Record::accept(notification, &routes, at(1_000)).unwrap()
    }

    fn done() -> Transition {
        Transition::Done { result: None, fence: None }
    }

    fn dead(reason: &str, record: &Record) -> Transition {
        let (dispatches, reason) = (record.dispatches, reason.to_owned());
        Transition::Dead { attempts: 0, dispatches, fails: false, reason, call: None }
    }

    /// Makes a transition as the ledger does: the record after it, and the outcome that goes with it.
    fn made(record: &Record, destination: &str, transition: Transition) -> (Record, Option<Record>) {
        let retention = SignedDuration::from_hours(1);
        let times = TransitionTimes { now: at(2_000), relayed_at: None, received_at: None, retention };
        let expected = Expected::guess(&transition, 1);
        let mut pending = PendingTransition::new(record.key(), destination, transition, expected, times);
        let item = record.encode();
        let after = loop {
            match applied(&pending.update(), &item) {
                Some(item) => break Record::decode(item).unwrap(),
                None => assert_eq!(pending.reconsider(record), Reconsidered::SendAgain),
            }
        };
        (after, pending.outcome())
    }

    fn told(outcome: &Record) -> Outcome {
        outcome.data.deserialize().unwrap()
    }

    #[test]
    fn g11_the_last_end_is_told_with_its_reason() {
        let (one_done, outcome) = made(&asking(), "a", done());
        assert_eq!((one_done.status, outcome), (Status::Init, None));
        let (ended, outcome) = made(&one_done, "b", dead("gave\nup", &one_done));
        let outcome = outcome.unwrap();
        assert_eq!((ended.status, ended.outcome_id.as_ref()), (Status::Dead, Some(&outcome.id)));
        let says = told(&outcome);
        assert_eq!((says.id.as_str(), says.source.as_str(), says.r#type.as_str()), ("1", "s", "t"));
        assert_eq!((says.status, says.reason.as_deref()), (Status::Dead, Some("gave up")));
        assert_eq!(says.destinations["a"], OutcomeAt { state: State::Done, reason: None });
        assert_eq!(says.version, ended.version);
        let of = |outcome: &Record| (outcome.r#type.clone(), outcome.source.clone(), outcome.status);
        assert_eq!(of(&outcome), ("t.ended".into(), "handover".into(), Status::Init));
        assert_eq!(outcome.destinations.keys().collect::<Vec<_>>(), ["c"]);
        assert_eq!((outcome.causationid, outcome.correlationid), (Some("1".into()), Some("1".into())));
        assert_eq!(outcome.outcometo, None, "an outcome has no outcome");
    }

    #[test]
    fn g11_each_end_has_an_outcome_of_its_own_and_nothing_else_has_one() {
        let record = asking();
        let (record, _) = made(&record, "a", dead("one", &record));
        let (record, first) = made(&record, "b", dead("two", &record));
        let closed = |reason: &str| Transition::Closed { reason: reason.into() };
        let (record, none) = made(&record, "a", closed("by hand"));
        assert_eq!((record.status, none), (Status::Dead, None), "it is dead still");
        // A late copy.
        let (record, last) = made(&record, "b", done());
        let (first, last) = (first.unwrap(), last.unwrap());
        assert_eq!((record.status, record.outcome_id.as_ref()), (Status::Closed, Some(&last.id)));
        assert!(first.id != last.id && told(&first).version < told(&last).version);
        assert_eq!((told(&last).status, told(&last).reason.as_deref()), (Status::Closed, Some("by hand")));
        let again = Record { accepted_at: at(9_000), ..asking() };
        assert_ne!(outcome_id(&again), outcome_id(&asking()), "its id is used again after it expired");
    }

    #[test]
    fn the_largest_outcome_is_within_its_limit() {
        let name = |n: usize| format!("{n:0>width$}", width = DESTINATION_BYTES_MAX);
        let at = OutcomeAt { state: State::Rejected, reason: Some("\\".repeat(ERROR_BYTES_MAX)) };
        let largest = Outcome {
            id: "x".repeat(ID_BYTES_MAX),
            source: "x".repeat(SOURCE_BYTES_MAX),
            r#type: "x".repeat(TYPE_BYTES_MAX),
            status: Status::Rejected,
            reason: at.reason.clone(),
            destinations: (0..DESTINATIONS_MAX).map(|n| (name(n), at.clone())).collect(),
            accepted_at: super::super::tests::at(1_000),
            version: (1 << 53) - 1,
        };
        let mut parent = asking().notification();
        parent.id = "x".repeat(ID_BYTES_MAX);
        let (state, trace) =
            (format!("a={}", "x".repeat(510)), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let draft = Draft::event("x".repeat(TYPE_BYTES_MAX), OUTCOME_SOURCE, &largest);
        let event =
            draft.traceparent(trace).tracestate(state).build_caused(&parent, parent.id.clone()).unwrap();
        assert!(encode(&event).len() <= OUTCOME_BYTES_MAX, "{}", encode(&event).len());
    }
}
