//! When reconcile checks an open record, and when it gives up: every such time, and the slots of its index.
//!
//! The index holds a record under the slot in which the record is due. So reconcile reads each record about
//! once, when most are completed. A dispatch writes the slot. A failed attempt changes `due_at` only, which is
//! outside the index and so costs no second write.

use jiff::{SignedDuration, Timestamp};

/// When an open notification is dispatched again, counted from accept or redrive: after 30 minutes, and then
/// after 2, 8, 24 and 48 hours more.
const DISPATCHED_AFTER: [SignedDuration; 5] = [
    FIRST_DUE_AFTER,
    SignedDuration::from_mins(2 * 60 + 30),
    SignedDuration::from_mins(10 * 60 + 30),
    SignedDuration::from_mins(34 * 60 + 30),
    SignedDuration::from_mins(82 * 60 + 30),
];
/// When reconcile first checks an open record. It is longer than any invocation (15 minutes), so that a record
/// is always stored before it is due.
pub const FIRST_DUE_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// Length of a slot, in seconds.
pub const SLOT_SECONDS: i64 = 900;
/// Partitions of a slot. A partition takes about 1,000 writes a second, and everything accepted in a slot is
/// due in one slot: sixteen partitions take 16,000 a second.
pub const PARTITIONS_PER_SLOT: u32 = 16;
/// How long before its slot a record is in the index, at least, so that reconcile finds it there.
pub const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How long after its end a slot is read: clocks differ, and the index lags behind the table.
pub const LAG: SignedDuration = SignedDuration::from_mins(1);

/// When to dispatch a record again that has been open since `since`, and not before a first dispatch is due.
pub(crate) fn next_dispatch(since: Timestamp, now: Timestamp) -> Timestamp {
    let soonest = now + FIRST_DUE_AFTER;
    let planned = DISPATCHED_AFTER.into_iter().map(|after| since + after).find(|at| *at >= soonest);
    let [.., last_but_one, last] = DISPATCHED_AFTER;
    planned.unwrap_or(now + (last - last_but_one))
}

/// The index key of a record that is due at this time: its slot, and a partition of it chosen by id.
pub fn bucket(id: &str, due_at: Timestamp) -> String {
    // FNV-1a spreads ids evenly, ascending ones too. It must never change.
    let hash =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Slot::of(due_at).bucket(hash % PARTITIONS_PER_SLOT)
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

    /// The first slot that is not due yet.
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
    pub fn bucket(self, partition: u32) -> String {
        format!("{}#{partition:02}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::at;

    const MINUTE: i64 = 60_000;

    #[test]
    fn an_open_record_is_dispatched_at_growing_intervals() {
        let dispatches =
            std::iter::successors(Some(at(0)), |dispatched| Some(next_dispatch(at(0), *dispatched)));
        let hours: Vec<f64> = dispatches.take(7).map(|at| at.as_second() as f64 / 3_600.0).collect();
        assert_eq!(hours, [0.0, 0.5, 2.5, 10.5, 34.5, 82.5, 130.5]);
        assert_eq!(next_dispatch(at(0), at(120 * MINUTE)), at(150 * MINUTE));
        assert_eq!(
            next_dispatch(at(0), at(121 * MINUTE)),
            at(630 * MINUTE),
            "a late dispatch takes the time of the next one"
        );
    }

    #[test]
    fn buckets_are_slots_of_fifteen_minutes_in_sixteen_parts() {
        assert_eq!(bucket("a", at(15 * MINUTE - 1)), bucket("a", at(0)));
        assert!(bucket("a", at(15 * MINUTE)).starts_with("1970-01-01T00:15:00Z#"));
        let buckets: std::collections::BTreeSet<_> =
            (0..1000).map(|n| bucket(&format!("r-{n}"), at(0))).collect();
        assert_eq!(
            buckets,
            (0..PARTITIONS_PER_SLOT).map(|partition| Slot::of(at(0)).bucket(partition)).collect()
        );
    }

    #[test]
    fn a_slot_is_due_a_minute_after_its_end() {
        assert_eq!(Slot::end(at(16 * MINUTE - 1)), Slot::of(at(0)));
        assert_eq!(Slot::end(at(16 * MINUTE)), Slot::of(at(0)).next());
    }
}
