//! Updates of a record that concern several destinations: dispatch it again, check it later, or note that its
//! dead letters were renewed.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::attributes::{
    BUCKET, CHANGE, DEAD_LETTER_AT, DISPATCHES, DUE_AT, REDISPATCHED, UPDATED_AT, VERSION, of_delivery,
};
use super::delivery::Delivery;
use super::due::{AHEAD, bucket, dead_bucket};
use super::record::{Change, Record};
use super::update::{Condition, Set, Update, millis, number, text};

/// By which way the copies of a dispatch come to the handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// By the stream: its turn in a sequence has come, and there it waits behind nothing that fails.
    Stream,
    /// By the destinations' retry queues: an earlier dispatch came to no end, so it may kill its function, and would
    /// hold up its shard.
    RetryQueue,
}

/// Dispatches a record again to all its pending destinations; `due_at` says when each is due next. `None`
/// when no destination is pending.
///
/// The condition is the version that was read, because none of the destinations may have completed since.
pub(crate) fn dispatch_again(
    record: &Record,
    now: Timestamp,
    via: Via,
    due_at: impl Fn(&str, &Delivery) -> Timestamp,
) -> Option<Update> {
    let dues: Vec<_> = record.pending().map(|(name, delivery)| (name, due_at(name, delivery))).collect();
    let mut update = check_later(record, now, dues.iter().map(|(_, at)| *at).min()?, Change::Dispatch);
    update.sets.push((DISPATCHES.into(), Set::Plus(1)));
    match via {
        Via::Stream => update.removes.push(REDISPATCHED.into()),
        Via::RetryQueue => update.sets.push((REDISPATCHED.into(), redispatched())),
    }
    for (name, at) in dues {
        update.sets.push((of_delivery(name, DUE_AT), Set::To(millis(at))));
    }
    Some(update)
}

/// The value of [`REDISPATCHED`].
pub(super) fn redispatched() -> Set {
    Set::To(AttributeValue::Bool(true))
}

/// Reschedules reconcile's next check of an open record, to `at` or a little later. The condition is the version
/// that was read.
pub(crate) fn check_later(record: &Record, now: Timestamp, at: Timestamp, change: Change) -> Update {
    moved(record, now, bucket(&record.id, at.max(now + AHEAD)), change)
}

/// Reschedules reconcile's next check of a dead record, to the day after `at`. The condition is the version that
/// was read.
pub(crate) fn check_dead_later(record: &Record, now: Timestamp, at: Timestamp) -> Update {
    moved(record, now, dead_bucket(&record.id, at), Change::Wait)
}

/// Notes that new dead letters were sent for these destinations. The condition is the version that was read.
pub(crate) fn dead_letter_renewed(record: &Record, destinations: &[String], now: Timestamp) -> Update {
    let mut update = moved(record, now, record.bucket.clone(), Change::Renew);
    let sent = |name: &String| (of_delivery(name, DEAD_LETTER_AT), Set::To(millis(now)));
    update.sets.extend(destinations.iter().map(sent));
    update
}

fn moved(record: &Record, now: Timestamp, bucket: String, change: Change) -> Update {
    Update {
        conditions: vec![Condition::Is(VERSION.into(), number(record.version))],
        sets: vec![
            (VERSION.into(), Set::Plus(1)),
            (CHANGE.into(), Set::To(text(change.as_str()))),
            (BUCKET.into(), Set::To(text(bucket))),
            (UPDATED_AT.into(), Set::To(millis(now))),
        ],
        removes: vec![],
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::record::tests::{applied, at, event_for};

    /// Reconcile reads a slot when its time has passed: the record has to be in the index by then.
    #[test]
    fn a_check_is_in_a_slot_that_begins_later() {
        let (record, minute) = (event_for(&["a"]), SignedDuration::from_mins(1));
        let now = at(0) + 14 * minute;
        let checked = |at| {
            let update = check_later(&record, now, at, Change::Wait);
            Record::decode(applied(&update, &record.encode()).unwrap()).unwrap().bucket
        };
        assert_eq!(checked(now), bucket("1", now + AHEAD));
        assert_ne!(checked(now), bucket("1", now));
        assert_eq!(checked(now + 40 * minute), bucket("1", now + 40 * minute));
    }

    #[test]
    fn what_is_dispatched_again_is_checked_when_the_first_of_its_deliveries_is_due() {
        let record = event_for(&["a", "b"]);
        let due_at = |name: &str, _: &Delivery| at(if name == "a" { 90_000_000 } else { 60_000_000 });
        let update = dispatch_again(&record, at(0), Via::RetryQueue, due_at).unwrap();
        let again = Record::decode(applied(&update, &record.encode()).unwrap()).unwrap();
        assert_eq!(again.bucket, bucket("1", at(60_000_000)));
        assert_eq!(again.destinations["a"].due_at, at(90_000_000));
    }
}
