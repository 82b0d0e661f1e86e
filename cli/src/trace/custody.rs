//! Who has custody of a notification that is not at its end.

use std::collections::BTreeMap;
use std::fmt;

use handover::record::{Control, Delivery, PauseView, Record, State, Time};
use serde::Serialize;

/// Who has custody of a notification for one destination, since when, and what failed last.
#[derive(Debug, PartialEq, Serialize)]
pub struct Custody<'a> {
    pub id: &'a str,
    pub source: &'a str,
    pub destination: &'a str,
    pub holder: Holder,
    pub since: Time,
    /// Where an operator paused the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<&'a str>,
}

/// Who has custody.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// Handover: it is on its way to the destination, or waits for its turn there.
    Stream,
    /// Handover: the destination is paused.
    Pause,
    /// The destination's retry queue: an attempt failed, or a fault keeps it there.
    RetryQueue,
    /// The destination, which calls another system.
    Call,
    /// An operator, with the dead letter.
    Operator,
    /// A function of a later release.
    LaterRelease,
}

impl Holder {
    fn as_str(self) -> &'static str {
        match self {
            Holder::Stream => "on its way",
            Holder::Pause => "waits, since the destination is paused,",
            Holder::RetryQueue => "in the retry queue",
            Holder::Call => "in a call of unknown outcome",
            Holder::Operator => "dead, and waits for an operator",
            Holder::LaterRelease => "with a later release",
        }
    }
}

impl fmt::Display for Custody<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Custody { id, source, destination, holder, since, paused, last_error } = self;
        write!(to, "{id} of {source}, for {destination}: {} since {since}", holder.as_str())?;
        paused.map_or(Ok(()), |paused| write!(to, "; paused: {}", paused.reason))?;
        last_error.map_or(Ok(()), |error| write!(to, "; last error: {error}"))
    }
}

/// Of each destination that is not at its end.
pub fn custody<'a>(
    record: &'a Record,
    controls: &'a BTreeMap<&str, Control>,
) -> impl Iterator<Item = Custody<'a>> {
    let open = record.destinations.iter().filter(|(_, delivery)| !delivery.state.is_final());
    open.map(|(destination, delivery)| {
        let (holder, since) = holder(record, delivery);
        let is_pending = delivery.state == State::Pending;
        let paused = controls.get(&**destination).filter(|_| is_pending).and_then(PauseView::of);
        let (holder, since) = match paused {
            Some(paused) if holder != Holder::Call => (Holder::Pause, since.max(paused.since.0)),
            Some(_) | None => (holder, since),
        };
        let (id, source, last_error) = (&record.id, &record.source, delivery.last_error());
        Custody { id, source, destination, holder, since: Time(since), paused, last_error }
    })
}

fn holder(record: &Record, delivery: &Delivery) -> (Holder, jiff::Timestamp) {
    let begun = delivery.redriven_at.unwrap_or(record.accepted_at);
    let called_at = delivery.called_at.filter(|_| delivery.settled.is_none());
    let failed = delivery.failures.get(&delivery.attempts.to_string()).map(|failed| failed.at);
    match delivery.state {
        State::Dead => (Holder::Operator, delivery.ended_at.unwrap_or(begun)),
        State::Pending => match (called_at, delivery.present_fault(), failed) {
            (Some(at), _, _) => (Holder::Call, at),
            (None, Some(fault), _) => (Holder::RetryQueue, fault.since),
            (None, None, Some(at)) => (Holder::RetryQueue, at),
            (None, None, None) => (Holder::Stream, begun),
        },
        _ => (Holder::LaterRelease, record.updated_at),
    }
}

#[cfg(test)]
mod tests {
    use handover::record::{FailedAttempt, RecordedFault};
    use handover::{Draft, Routes};
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    /// Who has custody after this change of a delivery, since which second, and the last error.
    fn of(change: impl FnOnce(&mut Delivery)) -> Option<(Holder, i64, Option<String>)> {
        with(&BTreeMap::new(), change)
    }

    /// The same with these controls.
    fn with(
        controls: &BTreeMap<&str, Control>,
        change: impl FnOnce(&mut Delivery),
    ) -> Option<(Holder, i64, Option<String>)> {
        let routes: Routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        let mut record =
            Record::accept(Draft::event("t", "s", &1).build("1").unwrap(), &routes, at(1)).unwrap();
        change(record.destinations.get_mut("a").unwrap());
        let custody = custody(&record, controls).next()?;
        Some((custody.holder, custody.since.0.as_second(), custody.last_error.map(str::to_owned)))
    }

    #[test]
    fn the_record_says_who_has_custody() {
        let failed = |second| FailedAttempt { at: at(second), error: "failed".into(), retry_after: 0 };
        let with_failure = |delivery: &mut Delivery| {
            (delivery.attempts, delivery.failures) = (1, [("1".into(), failed(3))].into());
        };
        assert_eq!(of(|_| ()), Some((Holder::Stream, 1, None)));
        assert_eq!(of(|delivery| delivery.redriven_at = Some(at(2))), Some((Holder::Stream, 2, None)));
        assert_eq!(of(with_failure), Some((Holder::RetryQueue, 3, Some("failed".into()))));
        let denied = || RecordedFault { since: at(4), at: at(5), error: "denied".into() };
        let faulted = of(|delivery| {
            with_failure(delivery);
            delivery.fault = Some(denied());
        });
        assert_eq!(faulted, Some((Holder::RetryQueue, 4, Some("denied".into()))));
        assert_eq!(of(|delivery| delivery.called_at = Some(at(6))), Some((Holder::Call, 6, None)));
        let dead = of(|delivery| {
            with_failure(delivery);
            (delivery.state, delivery.ended_at) = (State::Dead, Some(at(7)));
            delivery.reason = Some("gave up".into());
        });
        assert_eq!(dead, Some((Holder::Operator, 7, Some("gave up".into()))));
        assert_eq!(of(|delivery| delivery.state = State::Done), None);
    }

    #[test]
    fn what_waits_at_a_paused_destination_is_not_on_its_way() {
        let paused = |second| {
            BTreeMap::from([("a", Control::Paused { since: at(second), reason: "it is moved".into() })])
        };
        assert_eq!(with(&paused(5), |_| ()), Some((Holder::Pause, 5, None)));
        assert_eq!(with(&paused(0), |_| ()), Some((Holder::Pause, 1, None)));
        let called = with(&paused(5), |delivery| delivery.called_at = Some(at(6)));
        assert_eq!(called, Some((Holder::Call, 6, None)));
    }
}
