//! Updates of a record that concern several destinations: dispatch it again, or check it later.

use jiff::Timestamp;

use super::attributes::{BUCKET, CHANGE, DISPATCHES, DUE_AT, UPDATED_AT, VERSION, of_delivery};
use super::due::{AHEAD, bucket};
use super::record::{Change, Delivery, Record};
use super::update::{Condition, Set, Update, millis, number, text};

/// Dispatches a record again to all its pending destinations; `due_at` says when each is due next. `None`
/// when no destination is pending.
///
/// The condition is the version that was read, because none of the destinations may have completed since.
pub(crate) fn dispatch_again(
    record: &Record,
    now: Timestamp,
    due_at: impl Fn(&str, &Delivery) -> Timestamp,
) -> Option<Update> {
    let dues: Vec<_> = record.pending().map(|(name, delivery)| (name, due_at(name, delivery))).collect();
    let mut update = check_later(record, now, dues.iter().map(|(_, at)| *at).min()?, Change::Dispatch);
    update.sets.push((DISPATCHES.into(), Set::Plus(1)));
    for (name, at) in dues {
        update.sets.push((of_delivery(name, DUE_AT), Set::To(millis(at))));
    }
    Some(update)
}

/// Reschedules reconcile's next check of a record, to `at` or a little later. The condition is the version
/// that was read.
pub(crate) fn check_later(record: &Record, now: Timestamp, at: Timestamp, change: Change) -> Update {
    let at = at.max(now + AHEAD);
    Update {
        conditions: vec![Condition::Is(VERSION.into(), number(record.version))],
        sets: vec![
            (VERSION.into(), Set::Plus(1)),
            (CHANGE.into(), Set::To(text(change.as_str()))),
            (BUCKET.into(), Set::To(text(bucket(&record.id, at)))),
            (UPDATED_AT.into(), Set::To(millis(now))),
        ],
        removes: vec![],
    }
}
