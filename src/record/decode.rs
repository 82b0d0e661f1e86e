//! Reads an item as a record, and checks what every record promises that this library wrote.
//!
//! Another item in the table was written by somebody else, and is skipped: a sum on it could overflow, or a copy of it
//! could be one that no stream or queue takes.

use jiff::Timestamp;

use super::delivery::{Delivery, State};
use super::record::{Record, Status};
use crate::notification::{EVENT_BYTES_MAX, check_stored, is_destination};

/// Why an item is not a record of a notification.
#[derive(Debug, thiserror::Error)]
#[error("the item is not a record of a notification: {0}")]
pub struct NotARecord(String);

/// Stored times are before this, the year 9000, so that reconcile can add to them. In seconds since 1970.
const TIME_END: Timestamp = Timestamp::constant(221_845_392_000, 0);
/// Counts and fences of a record are below this, so that a sum with one cannot overflow.
const NUMBER_END: u32 = 1 << 31;
/// Versions are below this.
const VERSION_END: u64 = 1 << 53;

impl Record {
    /// Reads an item of the table, or its image in the table's stream.
    ///
    /// # Errors
    /// When it lacks an attribute of a record, has one of another type, or says what no record of ours does.
    pub fn decode(item: impl Into<serde_dynamo::Item>) -> Result<Record, NotARecord> {
        let record: Record =
            serde_dynamo::from_item(item.into()).map_err(|error| NotARecord(without_values(&error)))?;
        check(&record).map_err(NotARecord)?;
        Ok(record)
    }
}

/// What serde says of an item: which attribute is missing. Its other texts quote values, which no log may show.
fn without_values(error: &serde_dynamo::Error) -> String {
    let text = error.to_string();
    match text.starts_with("missing field") {
        true => text,
        false => "an attribute has another type, or a value that is none of its type".to_owned(),
    }
}

/// Says what is not possible in a record.
fn check(record: &Record) -> Result<(), String> {
    check_stored(&record.notification_with(())).map_err(|refusal| refusal.to_string())?;
    holds(record.data.as_str().len() <= EVENT_BYTES_MAX, "its data is too large")?;
    holds(record.version < VERSION_END, "its version is too large")?;
    numbers([record.open, record.dead, record.closed, record.dispatches])?;
    times([Some(record.accepted_at), Some(record.updated_at), record.sent_at])?;
    for (name, delivery) in &record.destinations {
        holds(is_destination(name), "a name of a destination is none")?;
        holds(!delivery.sequenced || record.sequence.is_some(), "a destination needs its sequence")?;
        check_delivery(delivery)?;
    }
    holds(record.outcome_destinations.iter().all(|name| is_destination(name)), "an outcome goes nowhere")?;
    let has_route = record.outcometo.is_some() != record.outcome_destinations.is_empty();
    holds(has_route, "its outcome has a type and no destination, or the reverse")?;
    holds(tallies(record), "its tallies are not those of its deliveries")?;
    holds(has_its_status(record), "its status is not that of its deliveries")
}

fn check_delivery(delivery: &Delivery) -> Result<(), String> {
    numbers([delivery.attempts, delivery.fence, delivery.in_retry_queue])?;
    times([
        Some(delivery.due_at),
        delivery.lease_until,
        delivery.called_at,
        delivery.relayed_at,
        delivery.received_at,
        delivery.redriven_at,
        delivery.replayed_at,
        delivery.ended_at,
        delivery.dead_letter_at,
    ])?;
    times(delivery.failures.values().map(|failed| Some(failed.at)))?;
    times(delivery.fault.iter().flat_map(|fault| [Some(fault.since), Some(fault.at)]))
}

/// Whether the numbers of open, dead and closed deliveries are right. A delivery in a state of a later release may be
/// counted as any of them.
fn tallies(record: &Record) -> bool {
    let count =
        |state: State| record.destinations.values().filter(|delivery| delivery.state == state).count() as u32;
    let unknown = count(State::Unknown);
    let counted = [
        (record.open, count(State::Pending)),
        (record.dead, count(State::Dead)),
        (record.closed, count(State::Closed)),
    ];
    counted.into_iter().all(|(told, known)| (known..=known + unknown).contains(&told))
}

fn has_its_status(record: &Record) -> bool {
    match record.status {
        Status::Init => record.open > 0,
        Status::Dead => record.open == 0 && record.dead > 0,
        Status::Done | Status::Rejected | Status::Closed => record.open == 0 && record.dead == 0,
        Status::Unknown => true,
    }
}

fn holds(condition: bool, problem: &str) -> Result<(), String> {
    condition.then_some(()).ok_or_else(|| problem.to_owned())
}

fn numbers<const N: usize>(numbers: [u32; N]) -> Result<(), String> {
    holds(numbers.into_iter().all(is_number), "a number is too large")
}

/// Whether a record may hold this number.
pub(super) fn is_number(number: u32) -> bool {
    number < NUMBER_END
}

/// Whether a record may hold this time.
pub(super) fn is_time(at: Timestamp) -> bool {
    at >= Timestamp::UNIX_EPOCH && at < TIME_END
}

fn times(times: impl IntoIterator<Item = Option<Timestamp>>) -> Result<(), String> {
    holds(times.into_iter().flatten().all(is_time), "a time is not between the years 1970 and 9000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::event_for;
    use crate::record::{Item, text};

    type Change = fn(&mut Record);

    /// The record as it is after a change that no transition makes.
    fn changed(change: impl FnOnce(&mut Record)) -> Result<Record, NotARecord> {
        let mut record = event_for(&["a", "b"]);
        change(&mut record);
        Record::decode(record.encode())
    }

    fn delivery(record: &mut Record) -> &mut Delivery {
        record.destinations.get_mut("a").unwrap()
    }

    /// Gives the deliveries these states, with the right tallies.
    fn states(record: &mut Record, states: [State; 2]) {
        record.destinations.values_mut().zip(states).for_each(|(delivery, state)| delivery.state = state);
        let count = |state| states.iter().filter(|at| **at == state).count() as u32;
        (record.open, record.dead) = (count(State::Pending), count(State::Dead));
    }

    #[test]
    fn what_no_record_of_ours_says_is_not_a_record() {
        assert!(changed(|_| ()).is_ok());
        let changes: [(&str, Change); 18] = [
            ("id", |record| record.id = "\u{1}".repeat(100)),
            ("too large", |record| {
                record.data = crate::Json::from_serialize(&"x".repeat(EVENT_BYTES_MAX)).unwrap()
            }),
            ("traceparent", |record| record.traceparent = Some("\u{1}".into())),
            ("version", |record| record.version = VERSION_END),
            ("number", |record| record.dispatches = NUMBER_END),
            ("number", |record| delivery(record).fence = u32::MAX),
            ("time", |record| record.accepted_at = TIME_END),
            ("time", |record| delivery(record).due_at = TIME_END),
            ("time", |record| delivery(record).lease_until = Some(Timestamp::constant(-1, 0))),
            ("name", |record| {
                let delivery = record.destinations.remove("a").unwrap();
                record.destinations.insert("\u{1}".into(), delivery);
            }),
            ("sequence", |record| delivery(record).sequenced = true),
            ("tallies", |record| record.open = 1),
            ("tallies", |record| record.dead = 1),
            ("tallies", |record| delivery(record).state = State::Done),
            ("status", |record| record.status = Status::Done),
            ("status", |record| states(record, [State::Done, State::Done])),
            ("status", |record| {
                states(record, [State::Done, State::Done]);
                record.status = Status::Dead;
            }),
            ("status", |record| {
                states(record, [State::Pending, State::Dead]);
                record.status = Status::Dead;
            }),
        ];
        for (said, change) in changes {
            let error = changed(change).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn a_state_of_a_later_release_is_counted_by_that_release() {
        for (open, dead) in [(2, 0), (1, 1), (1, 0)] {
            let decoded = changed(|record| {
                (record.open, record.dead) = (open, dead);
                delivery(record).state = State::Unknown;
            });
            // It is stored under a name that this release does not know.
            assert!(decoded.is_ok(), "{open} {dead}: {decoded:?}");
        }
    }

    #[test]
    fn an_item_that_lacks_an_attribute_is_not_a_record() {
        let error = Record::decode(Item::from([("id".to_owned(), text("1"))])).unwrap_err().to_string();
        assert_eq!(error, "the item is not a record of a notification: missing field `type`");
    }

    #[test]
    fn an_error_about_an_item_does_not_quote_it() {
        for name in ["version", "kind", "data", "destinations", "accepted_at"] {
            let mut item = event_for(&["a"]).encode();
            item.insert(name.to_owned(), text("4111 1111"));
            let error = Record::decode(item).unwrap_err().to_string();
            assert!(error.contains("another type") && !error.contains("4111"), "{name}: {error}");
        }
    }
}
