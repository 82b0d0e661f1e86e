//! Replay: a destination is added to events that were accepted before the destination was there.

use jiff::Timestamp;

use super::attributes::{
    DESTINATIONS, DISPATCHES, EXPIRES_AT, OPEN, OUTCOME_DESTINATIONS, OUTCOMETO, REDISPATCHED, STATUS,
};
use super::delivery::Delivery;
use super::due::FIRST_DUE_AFTER;
use super::record::{Change, Record, Status};
use super::redispatch::check_later;
use super::update::{Set, Update, is_same_millisecond, text};
use crate::notification::{DESTINATIONS_MAX, Kind};

/// Why a replay does not add its destination to a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReplayed {
    /// It goes there already.
    Has,
    /// It is a command, which its owner has applied or rejected. Another owner would apply it once more.
    Command,
    /// The destination applies in sequence, and it has no number.
    Unnumbered,
    /// It has as many destinations as a record may have, some of which the routes no longer name.
    Full,
    /// Its record is of a later release.
    LaterRelease,
    /// The destination applies in sequence, and the record may expire before it has.
    Expires,
    /// The destination applies in sequence, and is past its number.
    Past,
}

/// Whether a destination may be added to a record.
pub(super) fn may_be_replayed(
    record: &Record,
    destination: &str,
    sequenced: bool,
) -> Result<(), NotReplayed> {
    match () {
        () if record.destinations.contains_key(destination) => Err(NotReplayed::Has),
        () if record.kind == Kind::Command => Err(NotReplayed::Command),
        () if sequenced && record.partitionkey.as_ref().zip(record.sequence).is_none() => {
            Err(NotReplayed::Unnumbered)
        }
        () if record.destinations.len() >= DESTINATIONS_MAX => Err(NotReplayed::Full),
        () if record.status == Status::Unknown => Err(NotReplayed::LaterRelease),
        () => Ok(()),
    }
}

/// Adds a destination to a record, and dispatches it. The condition is the version that was read: what the record counts
/// may have changed since, or its time to live may have deleted it.
///
/// # Errors
/// When the destination is not to be added.
pub(crate) fn replayed(
    record: &Record,
    destination: &str,
    sequenced: bool,
    now: Timestamp,
) -> Result<Update, NotReplayed> {
    may_be_replayed(record, destination, sequenced)?;
    let due_at = now + FIRST_DUE_AFTER;
    // The attempts, and when it is given up, count from now: a function of an earlier release knows `redriven_at` alone.
    let (redriven_at, replayed_at) = (Some(now), Some(now));
    let delivery = Delivery { redriven_at, replayed_at, ..Delivery::pending(sequenced, due_at) };
    let mut update = check_later(record, now, due_at, Change::Dispatch);
    update.sets.extend([
        (format!("{DESTINATIONS}.{destination}"), Set::To(delivery.encode())),
        (OPEN.into(), Set::Plus(1)),
        (STATUS.into(), Set::To(text(Status::Init.as_str()))),
        (DISPATCHES.into(), Set::Plus(1)),
    ]);
    update.removes.push(EXPIRES_AT.into());
    if record.open == 0 {
        update.removes.push(REDISPATCHED.into());
    }
    if matches!(record.status, Status::Done | Status::Rejected | Status::Closed) {
        // Its sender has heard of the end that it asked for.
        update.removes.extend([OUTCOMETO.into(), OUTCOME_DESTINATIONS.into()]);
    }
    Ok(update)
}

/// Whether the record shows this same addition, whose answer was lost.
pub(crate) fn is_own_addition(record: &Record, destination: &str, now: Timestamp) -> bool {
    let replayed_at = record.destinations.get(destination).and_then(|delivery| delivery.replayed_at);
    replayed_at.is_some_and(|at| is_same_millisecond(at, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{applied, at, event_for};
    use crate::record::{Expected, State, Transition, TransitionTimes, bucket};

    /// The record after this update, and whether it is one.
    fn after(update: &Update, record: &Record) -> Record {
        Record::decode(applied(update, &record.encode()).unwrap()).unwrap()
    }

    /// An event that is done at `a`.
    fn done() -> Record {
        let mut record = event_for(&["a"]);
        record.destinations.get_mut("a").unwrap().state = State::Done;
        (record.open, record.status, record.redispatched) = (0, Status::Done, true);
        record.expires_at = Some(at(9_000));
        (record.outcometo, record.outcome_destinations) = (Some("t".into()), vec!["c".into()]);
        record
    }

    #[test]
    fn a_completed_event_is_open_at_the_destination_that_is_added() {
        let record = done();
        let update = replayed(&record, "d", false, at(5_000)).unwrap();
        let added = after(&update, &record);
        assert_eq!((added.status, added.open, added.version), (Status::Init, 1, record.version + 1));
        assert_eq!((added.change, added.dispatches, added.redispatched), (Change::Dispatch, 2, false));
        assert_eq!((added.expires_at, &added.outcometo), (None, &None));
        let due_at = at(5_000) + FIRST_DUE_AFTER;
        assert_eq!(added.bucket, bucket("1", due_at));
        let at_d = &added.destinations["d"];
        assert_eq!((at_d.state, at_d.due_at, added.since(at_d)), (State::Pending, due_at, at(5_000)));
        assert_eq!(added.destinations["a"], record.destinations["a"]);
        assert!(is_own_addition(&added, "d", at(5_000)) && !is_own_addition(&added, "d", at(5_001)));
        assert_eq!(replayed(&added, "d", false, at(6_000)), Err(NotReplayed::Has));
        // It changed meanwhile, or has expired.
        assert_eq!(applied(&update, &added.encode()), None);
        assert_eq!(applied(&update, &[].into()), None);
    }

    #[test]
    fn what_is_open_or_dead_elsewhere_stays_so() {
        let mut open = event_for(&["a"]);
        open.redispatched = true;
        (open.outcometo, open.outcome_destinations) = (Some("t".into()), vec!["c".into()]);
        let added = after(&replayed(&open, "d", false, at(5_000)).unwrap(), &open);
        assert_eq!((added.status, added.open, added.redispatched), (Status::Init, 2, true));
        assert_eq!(added.outcometo.as_deref(), Some("t"), "its end is to come");
        let mut dead = open.clone();
        dead.destinations.get_mut("a").unwrap().state = State::Dead;
        (dead.open, dead.dead, dead.status) = (0, 1, Status::Dead);
        let added = after(&replayed(&dead, "d", false, at(5_000)).unwrap(), &dead);
        assert_eq!((added.status, added.open, added.dead), (Status::Init, 1, 1));
        assert_eq!(added.outcometo.as_deref(), Some("t"), "it may be redriven");
    }

    #[test]
    fn the_last_to_end_writes_the_status() {
        let record = done();
        let added = after(&replayed(&record, "d", false, at(5_000)).unwrap(), &record);
        let mark = Transition::Done { result: None, fence: None };
        let expected = Expected::of(&added, "d", &mark, at(6_000)).unwrap();
        assert_eq!(expected, Expected { from: State::Pending, after: Status::Done });
        let times = TransitionTimes {
            now: at(6_000),
            relayed_at: None,
            received_at: None,
            retention: jiff::SignedDuration::from_hours(1),
        };
        let marked = after(&super::super::transition::plan(&mark, "d", expected, "1", &times), &added);
        assert_eq!((marked.status, marked.open), (Status::Done, 0));
        assert!(marked.expires_at.is_some());
    }
}
