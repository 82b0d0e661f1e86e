//! The timeline of a notification, as far as its record tells: what the writes that happened
//! anyway took along. An untouched record shows "accepted" only.

use jiff::Timestamp;

use crate::record::{Record, State};

/// A moment of a notification's custody.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment<'a> {
    /// When.
    pub at: Timestamp,
    /// At which destination; all of them before the first is named.
    pub destination: Option<&'a str>,
    /// What happened.
    pub what: What<'a>,
}

/// What happened at a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum What<'a> {
    /// It was put on the upstream queue.
    Sent,
    /// Custody began.
    Accepted,
    /// The offer that was handled last went into the stream.
    Relayed,
    /// The destination received that offer.
    Received,
    /// The attempt of this number failed.
    AttemptFailed(u32, &'a str),
    /// A person had it tried again.
    Redriven,
    /// The destination came to this state, for this reason if there is one.
    Ended(State, Option<&'a str>),
}

/// The moments, in the order of time.
pub fn custody(record: &Record) -> Vec<Moment<'_>> {
    let moment = |at, what| Moment { at, destination: None, what };
    let mut moments: Vec<_> = record.sent_at.map(|at| moment(at, What::Sent)).into_iter().collect();
    moments.push(moment(record.accepted_at, What::Accepted));
    for (name, delivery) in &record.destinations {
        let mut add = |at: Option<Timestamp>, what| {
            moments.extend(at.map(|at| Moment { at, destination: Some(name), what }));
        };
        add(delivery.redriven_at, What::Redriven);
        add(delivery.relayed_at, What::Relayed);
        add(delivery.received_at, What::Received);
        for (number, failure) in &delivery.failures {
            // The numbers are written by `moves.rs`.
            let number = number.parse().unwrap_or_default();
            add(Some(failure.at), What::AttemptFailed(number, &failure.error));
        }
        add(delivery.ended_at, What::Ended(delivery.state, delivery.reason.as_deref()));
    }
    // Stable: what happened in the same millisecond stays in the order of the pipeline.
    moments.sort_by_key(|moment| moment.at);
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FailedAttempt;
    use crate::record::tests::{at, event_for};

    #[test]
    fn an_untouched_record_shows_accepted_only() {
        let record = event_for(&["a", "b"]);
        let accepted = Moment { at: at(1_000), destination: None, what: What::Accepted };
        assert_eq!(custody(&record), [accepted]);
    }

    #[test]
    fn moments_stand_in_the_order_of_time() {
        let mut record = event_for(&["a"]);
        let delivery = record.destinations.get_mut("a").unwrap();
        let failed = |millis| FailedAttempt { at: at(millis), error: "no".into() };
        delivery.failures = [("1".into(), failed(1_100)), ("2".into(), failed(1_200))].into();
        (delivery.relayed_at, delivery.received_at) = (Some(at(1_250)), Some(at(1_300)));
        (delivery.state, delivery.ended_at) = (State::Done, Some(at(1_300)));
        let whats: Vec<_> = custody(&record).into_iter().map(|moment| moment.what).collect();
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
}
