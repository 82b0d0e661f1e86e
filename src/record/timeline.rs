//! The timeline of a notification, reconstructed from its record.
//!
//! Its times ride on writes that happen anyway. A record that nobody has changed shows "accepted" only.

use jiff::Timestamp;

use super::delivery::State;
use super::record::Record;

/// A moment in the custody of a notification.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Moment<'a> {
    /// When it happened.
    pub at: Timestamp,
    /// The destination; absent for what concerns the whole notification.
    pub destination: Option<&'a str>,
    /// What happened.
    pub what: What<'a>,
}

/// What happened at a moment.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum What<'a> {
    /// It was sent to the upstream queue.
    Sent,
    /// It was accepted: custody began.
    Accepted,
    /// Relay took the latest dispatch that was handled from the table's stream.
    Relayed,
    /// The destination received that dispatch.
    Received,
    /// The attempt with this number failed, with this error.
    AttemptFailed(u32, &'a str),
    /// A fault with this error kept it from being decided, and counted no attempt.
    Fault(&'a str),
    /// An operator added the destination, by a replay.
    Replayed,
    /// An operator redrove it.
    Redriven,
    /// The delivery came to this state, for this reason if there is one.
    Ended(State, Option<&'a str>),
}

/// The moments of a record, in the order of time.
pub fn timeline(record: &Record) -> Vec<Moment<'_>> {
    let moment = |at, what| Moment { at, destination: None, what };
    let mut moments: Vec<_> = record.sent_at.map(|at| moment(at, What::Sent)).into_iter().collect();
    moments.push(moment(record.accepted_at, What::Accepted));
    for (name, delivery) in &record.destinations {
        let mut add = |at: Option<Timestamp>, what| {
            moments.extend(at.map(|at| Moment { at, destination: Some(name), what }));
        };
        add(delivery.replayed_at, What::Replayed);
        add(delivery.redriven_at.filter(|at| Some(*at) != delivery.replayed_at), What::Redriven);
        add(delivery.relayed_at, What::Relayed);
        add(delivery.received_at, What::Received);
        if let Some(fault) = &delivery.fault {
            add(Some(fault.since), What::Fault(&fault.error));
            add(Some(fault.at).filter(|at| *at > fault.since), What::Fault(&fault.error));
        }
        for (number, failure) in &delivery.failures {
            // `transition.rs` writes the numbers.
            let number = number.parse().unwrap_or_default();
            add(Some(failure.at), What::AttemptFailed(number, &failure.error));
        }
        add(delivery.ended_at, What::Ended(delivery.state, delivery.reason.as_deref()));
    }
    // A stable sort: moments of the same millisecond stay in the order of the pipeline.
    moments.sort_by_key(|moment| moment.at);
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{at, event_for};
    use crate::record::{FailedAttempt, RecordedFault};

    #[test]
    fn an_untouched_record_shows_accepted_only() {
        let record = event_for(&["a", "b"]);
        let accepted = Moment { at: at(1_000), destination: None, what: What::Accepted };
        assert_eq!(timeline(&record), [accepted]);
    }

    #[test]
    fn moments_are_in_the_order_of_time() {
        let mut record = event_for(&["a"]);
        let delivery = record.destinations.get_mut("a").unwrap();
        let failed = |millis| FailedAttempt { at: at(millis), error: "no".into(), retry_after: 0 };
        delivery.failures = [("1".into(), failed(1_100)), ("2".into(), failed(1_200))].into();
        (delivery.relayed_at, delivery.received_at) = (Some(at(1_250)), Some(at(1_300)));
        (delivery.state, delivery.ended_at) = (State::Done, Some(at(1_300)));
        let whats: Vec<_> = timeline(&record).into_iter().map(|moment| moment.what).collect();
        let expected = [
            What::Accepted,
            What::AttemptFailed(1, "no"),
            What::AttemptFailed(2, "no"),
            What::Relayed,
            What::Received,
            What::Ended(State::Done, None),
        ];
        assert_eq!(whats, expected);
    }

    #[test]
    fn a_fault_is_shown_when_it_began_and_when_it_was_last_recorded() {
        let faults = |since, last| {
            let mut record = event_for(&["a"]);
            let fault = RecordedFault { since: at(since), at: at(last), error: "denied".into() };
            record.destinations.get_mut("a").unwrap().fault = Some(fault);
            let moments = timeline(&record);
            let of_fault = moments.iter().filter(|moment| moment.what == What::Fault("denied"));
            of_fault.map(|moment| moment.at).collect::<Vec<_>>()
        };
        assert_eq!(faults(1_100, 1_100), [at(1_100)]);
        assert_eq!(faults(1_100, 4_700), [at(1_100), at(4_700)]);
    }
}
