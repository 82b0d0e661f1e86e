//! When reconcile looks at what is open, and when it gives it up: all of these numbers, and the slots of
//! its index that follow from them.
//!
//! The index has a record under the slot of time in which it is due, so that reconcile reads each record
//! about once, when most have ended long ago. The slot is written when it is offered; what a destination
//! moves later, `due_at` after a failed attempt, stays outside the index, and costs no second write.

use jiff::{SignedDuration, Timestamp};

/// When a notification is offered again, since it was accepted or redriven, where a destination has not
/// ended it: after 30 minutes, and then after 2, 8, 24 and 48 hours more.
const OFFERED_AFTER: [SignedDuration; 5] = [
    FIRST_DUE_AFTER,
    SignedDuration::from_mins(2 * 60 + 30),
    SignedDuration::from_mins(10 * 60 + 30),
    SignedDuration::from_mins(34 * 60 + 30),
    SignedDuration::from_mins(82 * 60 + 30),
];
/// When a notification that is still open is looked at for the first time. Longer than a transaction
/// that stores a record takes from the making of the record on: an invocation, 15 minutes at most.
pub const FIRST_DUE_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// Length of a slot, in seconds.
pub const SLOT_SECONDS: i64 = 900;
/// Partitions of a slot. One takes about 1,000 writes a second, and all that is accepted in a slot goes
/// to the same few: sixteen leave room for 16,000 a second.
pub const SHARDS: u32 = 16;
/// How far ahead of its slot a record comes into the index at least, so that it is there before its slot
/// is looked at.
pub const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How long after its end a slot is looked at: clocks differ, and the index follows the table.
pub const LAG: SignedDuration = SignedDuration::from_mins(1);

/// When to offer again what has been open since then: not sooner than a first offer takes to be due.
pub(crate) fn next(since: Timestamp, now: Timestamp) -> Timestamp {
    let soonest = now + FIRST_DUE_AFTER;
    let planned = OFFERED_AFTER.into_iter().map(|after| since + after).find(|at| *at >= soonest);
    let [.., last_but_one, last] = OFFERED_AFTER;
    planned.unwrap_or(now + (last - last_but_one))
}

/// The bucket of the index for what is due at this time: a slot, and one of its partitions by id.
pub fn bucket(id: &str, due_at: Timestamp) -> String {
    // FNV-1a: spreads ids, also those that count upwards, and never changes.
    let hash =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Slot::of(due_at).bucket(hash % SHARDS)
}

/// A slot of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(Timestamp);

impl Slot {
    /// The slot that a time falls into.
    pub fn of(time: Timestamp) -> Slot {
        let second = time.as_second();
        Slot(Timestamp::from_second(second - second.rem_euclid(SLOT_SECONDS)).expect("an earlier time"))
    }

    /// The first slot that is not to be looked at yet.
    pub fn end(now: Timestamp) -> Slot {
        Slot::of(now - LAG)
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        self.0
    }

    /// The one after it.
    pub fn next(self) -> Slot {
        Slot(self.0 + SignedDuration::from_secs(SLOT_SECONDS))
    }

    /// The key of one of its partitions in the index.
    pub fn bucket(self, shard: u32) -> String {
        format!("{}#{shard:02}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::at;

    const MINUTE: i64 = 60_000;

    #[test]
    fn what_is_open_is_offered_later_and_later() {
        let offers = std::iter::successors(Some(at(0)), |offered| Some(next(at(0), *offered)));
        let hours: Vec<f64> = offers.take(7).map(|it| it.as_second() as f64 / 3_600.0).collect();
        assert_eq!(hours, [0.0, 0.5, 2.5, 10.5, 34.5, 82.5, 130.5]);
        assert_eq!(next(at(0), at(120 * MINUTE)), at(150 * MINUTE));
        assert_eq!(
            next(at(0), at(121 * MINUTE)),
            at(630 * MINUTE),
            "one that is late takes the next one's place"
        );
    }

    #[test]
    fn buckets_are_slots_of_fifteen_minutes_in_sixteen_parts() {
        assert_eq!(bucket("a", at(15 * MINUTE - 1)), bucket("a", at(0)));
        assert!(bucket("a", at(15 * MINUTE)).starts_with("1970-01-01T00:15:00Z#"));
        let buckets: std::collections::BTreeSet<_> =
            (0..1000).map(|n| bucket(&format!("r-{n}"), at(0))).collect();
        assert_eq!(buckets, (0..SHARDS).map(|shard| Slot::of(at(0)).bucket(shard)).collect());
    }

    #[test]
    fn a_slot_is_looked_at_a_minute_after_its_end() {
        assert_eq!(Slot::end(at(16 * MINUTE - 1)), Slot::of(at(0)));
        assert_eq!(Slot::end(at(16 * MINUTE)), Slot::of(at(0)).next());
    }
}
