//! When reconcile checks a record, when it gives up, and when it renews a dead letter: every such time, and the
//! slots of its index.
//!
//! The index holds an open record under the slot in which the record is due. So reconcile reads each record about once,
//! when most are completed; it stays in its slot then. A dispatch writes the slot. A failed attempt, or what holds a copy
//! up without one, changes `due_at` only, which is outside the index and so costs no second write. A dead record moves
//! to slots of a day, under which it is listed and its dead letter is renewed.

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
/// How long after its due time a slot is checked once more, for a record that came into it late: by a clock that
/// was behind, a transaction that was retried, or an index that lagged.
pub const SECOND_CHECK_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// How long after its death reconcile first checks a record: when the day that contains this time is over.
pub const DEAD_DUE_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);
/// How long SQS keeps a dead letter, at most.
pub const DEAD_LETTERS_LAST: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How old a dead letter gets before a new one is sent. It leaves time for the longest pause between two dispatches,
/// and for [`DEAD_DUE_AFTER`] with its day.
pub const DEAD_LETTER_RENEWED_AFTER: SignedDuration = SignedDuration::from_hours(6 * 24);

/// When reconcile first checks an open record. It is longer than any invocation (15 minutes), so that a record
/// is always stored before it is due.
pub const FIRST_DUE_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// When reconcile checks again what is open at a paused destination. It is short beside a pause, so that what `handover
/// resume` did not dispatch waits no longer.
pub(crate) const PAUSED_CHECKED_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// Length of a slot of open records, in seconds.
pub const SLOT_SECONDS: i64 = 900;
/// Length of a slot of dead records, in seconds: a day, so that few have to be read to list them.
const DEAD_SLOT_SECONDS: i64 = 24 * 3_600;
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

/// The index key of an open record that is due at this time: its slot, and a partition of it chosen by id.
pub fn bucket(id: &str, due_at: Timestamp) -> String {
    Slot::of(SlotKind::Open, due_at).bucket(partition(id))
}

/// The index key of a dead record that is due at this time.
pub fn dead_bucket(id: &str, due_at: Timestamp) -> String {
    Slot::of(SlotKind::Dead, due_at).bucket(partition(id))
}

fn partition(id: &str) -> u32 {
    // FNV-1a spreads ids evenly, ascending ones too. It must never change.
    let hash =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % PARTITIONS_PER_SLOT
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SlotKind {
    /// Records that were open when they came into it.
    Open,
    /// Records that were dead when they came into it.
    Dead,
}

impl SlotKind {
    fn seconds(self) -> i64 {
        match self {
            SlotKind::Open => SLOT_SECONDS,
            SlotKind::Dead => DEAD_SLOT_SECONDS,
        }
    }
}

/// A slot of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    kind: SlotKind,
    begin: Timestamp,
}

impl Slot {
    /// The slot that a time falls into.
    pub fn of(kind: SlotKind, time: Timestamp) -> Slot {
        let second = time.as_second();
        let begin = Timestamp::from_second(second - second.rem_euclid(kind.seconds()));
        Slot { kind, begin: begin.expect("an earlier time") }
    }

    /// The first slot that is not due yet.
    pub fn end(kind: SlotKind, now: Timestamp) -> Slot {
        Slot::of(kind, now - LAG)
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        self.begin
    }

    /// The one after it.
    pub fn next(self) -> Slot {
        Slot { begin: self.begin + SignedDuration::from_secs(self.kind.seconds()), ..self }
    }

    /// The key of one of its partitions in the index.
    pub fn bucket(self, partition: u32) -> String {
        let of = match self.kind {
            SlotKind::Open => "",
            SlotKind::Dead => "dead ",
        };
        format!("{of}{}#{partition:02}", self.begin)
    }
}

/// Every slot in which a record is that is open now: from those that reconcile checks once more, to that of the last
/// dispatch that is planned. Where reconcile is behind, they begin at the first one that it has not checked once more.
pub fn open_slots(unchecked: Option<Slot>, now: Timestamp) -> impl Iterator<Item = Slot> {
    let in_time = Slot::of(SlotKind::Open, now - SECOND_CHECK_AFTER);
    let first = unchecked.map_or(in_time, |unchecked| unchecked.min(in_time));
    slots(first, last_open(now))
}

/// Every slot in which a record is that is dead now and nowhere open: from the first that reconcile has not checked, to
/// that of a dead letter which was sent a moment ago.
pub fn dead_slots(unchecked: Option<Slot>, now: Timestamp) -> impl Iterator<Item = Slot> {
    let oldest = Slot::of(SlotKind::Dead, now - DEAD_LETTERS_LAST);
    slots(unchecked.unwrap_or(oldest), last_dead(now))
}

/// Every slot in which a record is that was accepted since a time, whatever became of it: one that is completed stays in
/// the slot that it had. First those of a first dispatch, the latest before the others; then those of later dispatches,
/// and of what is dead. What was accepted earlier may fill these, so they are last.
pub fn recent_slots(since: Timestamp, now: Timestamp) -> impl Iterator<Item = Slot> {
    let first = |accepted: Timestamp| Slot::of(SlotKind::Open, accepted + FIRST_DUE_AFTER);
    let latest_first = slots(first(since - LAG), first(now)).collect::<Vec<_>>().into_iter().rev();
    let dead = Slot::of(SlotKind::Dead, since + DEAD_DUE_AFTER - LAG);
    latest_first.chain(slots(first(now).next(), last_open(now))).chain(slots(dead, last_dead(now)))
}

/// The slot of the last dispatch that is planned for what is open now.
fn last_open(now: Timestamp) -> Slot {
    let [.., last_but_one, last] = DISPATCHED_AFTER;
    Slot::of(SlotKind::Open, now + (last - last_but_one) + FIRST_DUE_AFTER)
}

/// The slot of a dead letter that was sent a moment ago.
fn last_dead(now: Timestamp) -> Slot {
    Slot::of(SlotKind::Dead, now + DEAD_LETTER_RENEWED_AFTER)
}

/// The slots from one to another of its kind, which is the last.
fn slots(first: Slot, last: Slot) -> impl Iterator<Item = Slot> {
    std::iter::successors(Some(first), |slot| Some(slot.next())).take_while(move |slot| *slot <= last)
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
            (0..PARTITIONS_PER_SLOT)
                .map(|partition| Slot::of(SlotKind::Open, at(0)).bucket(partition))
                .collect()
        );
    }

    #[test]
    fn a_slot_is_due_a_minute_after_its_end() {
        let first = Slot::of(SlotKind::Open, at(0));
        assert_eq!(Slot::end(SlotKind::Open, at(16 * MINUTE - 1)), first);
        assert_eq!(Slot::end(SlotKind::Open, at(16 * MINUTE)), first.next());
        assert_eq!(first.next().begin(), at(15 * MINUTE));
        let day = Slot::of(SlotKind::Dead, at(25 * 60 * MINUTE));
        assert_eq!((day.begin(), day.next().begin()), (at(24 * 60 * MINUTE), at(48 * 60 * MINUTE)));
    }

    #[test]
    fn whatever_is_open_is_in_an_open_slot() {
        let now = at(1_000 * MINUTE);
        let buckets: Vec<String> = open_slots(None, now).map(|slot| slot.bucket(partition("a"))).collect();
        assert_eq!(buckets.len(), 24 * 4 + 48 * 4 + 3);
        for since in [0, 500 * MINUTE, 1_000 * MINUTE] {
            assert!(buckets.contains(&bucket("a", next_dispatch(at(since), now))));
        }
        assert!(buckets.contains(&bucket("a", now - SECOND_CHECK_AFTER)));
    }

    #[test]
    fn what_reconcile_has_not_checked_once_more_is_in_an_open_slot() {
        let now = at(10_000 * MINUTE);
        let first = |unchecked: Option<i64>| {
            let unchecked =
                unchecked.map(|before| Slot::of(SlotKind::Open, now - SignedDuration::from_hours(before)));
            open_slots(unchecked, now).next().unwrap()
        };
        assert_eq!(first(Some(100)), Slot::of(SlotKind::Open, now - SignedDuration::from_hours(100)));
        assert_eq!(first(Some(1)), first(None), "its first walk finds what is due");
    }

    #[test]
    fn whatever_is_dead_and_not_checked_is_in_a_dead_slot() {
        let now = at(100_000 * MINUTE);
        let buckets = |unchecked| -> Vec<String> {
            dead_slots(unchecked, now).map(|slot| slot.bucket(partition("a"))).collect()
        };
        let soon = Slot::end(SlotKind::Dead, now);
        for due_at in [soon.begin(), now + DEAD_DUE_AFTER, now + DEAD_LETTER_RENEWED_AFTER] {
            assert!(buckets(Some(soon)).contains(&dead_bucket("a", due_at)), "{due_at}");
        }
        assert!(buckets(None).contains(&dead_bucket("a", now - DEAD_LETTERS_LAST)), "without a walk");
    }

    #[test]
    fn whatever_was_accepted_since_is_in_a_recent_slot() {
        // The beginning of a slot.
        let (since, now) = (at(9_015 * MINUTE), at(10_000 * MINUTE));
        let slots: Vec<Slot> = recent_slots(since, now).collect();
        let buckets: Vec<String> = slots.iter().map(|slot| slot.bucket(partition("a"))).collect();
        for accepted in [since - LAG, at(9_500 * MINUTE), now] {
            let first = accepted + FIRST_DUE_AFTER;
            let open = [first, first + AHEAD, next_dispatch(accepted, now)].map(|at| bucket("a", at));
            let dead = [accepted + DEAD_DUE_AFTER, now + DEAD_DUE_AFTER, now + DEAD_LETTER_RENEWED_AFTER];
            for bucket in open.into_iter().chain(dead.map(|at| dead_bucket("a", at))) {
                assert!(buckets.contains(&bucket), "{bucket}");
            }
        }
        let first_dispatches = slots.iter().position(|slot| *slot > slots[0]).unwrap();
        let latest = Slot::of(SlotKind::Open, now + FIRST_DUE_AFTER);
        assert_eq!(slots[0], latest);
        assert_eq!(
            slots[first_dispatches - 1].begin(),
            since + SignedDuration::from_mins(15),
            "and none before"
        );
        assert_eq!(slots[first_dispatches], latest.next());
        let (open, dead) = slots.split_at(slots.iter().position(|slot| slot.kind == SlotKind::Dead).unwrap());
        assert_eq!(open.last().copied(), open_slots(None, now).last());
        assert_eq!(dead[0], Slot::of(SlotKind::Dead, since + DEAD_DUE_AFTER - LAG), "and none before");
        assert!(dead.iter().all(|slot| slot.kind == SlotKind::Dead));
    }

    /// SQS deletes a dead letter after 14 days.
    #[test]
    fn g3_a_dead_letter_is_renewed_before_it_is_gone() {
        let [.., last_but_one, last] = DISPATCHED_AFTER;
        let day = SignedDuration::from_secs(DEAD_SLOT_SECONDS);
        // A dead delivery of an open record is looked at with each dispatch, and after the last delivery is
        // completed as that of a dead record.
        let oldest = DEAD_LETTER_RENEWED_AFTER + (last - last_but_one) + DEAD_DUE_AFTER + day;
        assert!(oldest + SignedDuration::from_hours(24) < DEAD_LETTERS_LAST, "{oldest}");
        assert_eq!(dead_bucket("a", at(0)), "dead 1970-01-01T00:00:00Z#12");
    }
}
