//! What a run of reconcile found, as metrics.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use jiff::Timestamp;
use serde::Serialize;

use super::controls::Controls;
use crate::metrics::METRICS;
use crate::record::Record;
use crate::store::Walk;

/// [`Counts::behind_seconds`] of a run that could not read its cursor, the age of no record, and the pause of no
/// destination.
const UNKNOWN: i64 = -1;

/// What a run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Found {
    /// Records that were due to be checked. Most are completed.
    pub looked: u32,
    /// Records that were dispatched again.
    pub dispatched: u32,
    /// Destinations that gave up, with a dead letter.
    pub given_up: u32,
    /// Dead letters that were sent anew before the earlier ones are gone.
    pub renewed: u32,
    /// Records that are open and not late, or dead. They are checked later.
    pub waiting: u32,
    /// How long the oldest of the open records that were looked at is open, in seconds; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_open_seconds: Option<i64>,
    /// How long that destination is paused, in seconds, which is paused longest of those where records wait that were
    /// looked at; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_seconds: Option<i64>,
    /// How far the walk is behind that is furthest behind, in seconds: 0 when all due slots are checked; absent when
    /// it could not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<i64>,
}

impl Found {
    /// Reports it as metrics.
    pub(super) fn report(&self) {
        let Found { looked, dispatched, given_up, renewed, waiting, .. } = *self;
        let Found { oldest_open_seconds, paused_seconds, behind_seconds, .. } = *self;
        tracing::info!(
            target: METRICS,
            Looked = looked,
            Dispatched = dispatched,
            GivenUp = given_up,
            Renewed = renewed,
            Waiting = waiting,
            OldestOpenSeconds = oldest_open_seconds,
            PausedSeconds = paused_seconds,
            BehindSeconds = behind_seconds,
        );
    }
}

/// What a run has found so far.
pub(super) struct Counts {
    pub(super) looked: AtomicU32,
    pub(super) dispatched: AtomicU32,
    pub(super) given_up: AtomicU32,
    pub(super) renewed: AtomicU32,
    pub(super) waiting: AtomicU32,
    oldest_open_seconds: AtomicI64,
    paused_seconds: AtomicI64,
    /// Of each walk.
    behind_seconds: [AtomicI64; 3],
}

impl Default for Counts {
    fn default() -> Counts {
        let [looked, dispatched, given_up, renewed, waiting] = [0; 5].map(AtomicU32::new);
        let [oldest_open_seconds, paused_seconds] = [UNKNOWN; 2].map(AtomicI64::new);
        let behind_seconds = [UNKNOWN; 3].map(AtomicI64::new);
        Counts {
            looked,
            dispatched,
            given_up,
            renewed,
            waiting,
            oldest_open_seconds,
            paused_seconds,
            behind_seconds,
        }
    }
}

impl Counts {
    /// Notes how far a walk is behind.
    pub(super) fn set_behind(&self, walk: Walk, seconds: i64) {
        self.behind_seconds[walk as usize].store(seconds.max(0), Ordering::Relaxed);
    }

    /// Notes how long a record has been open, the time left out in which its destinations were paused; and how long
    /// those are paused that are.
    pub(super) fn saw(&self, record: &Record, controls: &Controls, now: Timestamp) {
        for (name, delivery) in record.pending() {
            let (longest, since) = match controls.paused_since(name) {
                Some(since) => (&self.paused_seconds, since),
                None => (&self.oldest_open_seconds, controls.waits_since(name, record.since(delivery))),
            };
            longest.fetch_max(now.duration_since(since).as_secs().max(0), Ordering::Relaxed);
        }
    }

    pub(super) fn found(self) -> Found {
        let known = |seconds: AtomicI64| Some(seconds.into_inner()).filter(|seconds| *seconds != UNKNOWN);
        let behind = self.behind_seconds.map(AtomicI64::into_inner);
        Found {
            looked: self.looked.into_inner(),
            dispatched: self.dispatched.into_inner(),
            given_up: self.given_up.into_inner(),
            renewed: self.renewed.into_inner(),
            waiting: self.waiting.into_inner(),
            oldest_open_seconds: known(self.oldest_open_seconds),
            paused_seconds: known(self.paused_seconds),
            behind_seconds: (!behind.contains(&UNKNOWN))
                .then(|| behind.into_iter().max().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::metrics::written_by;
    use crate::record::Control;
    use crate::record::tests::event_for;

    fn behind(walks: &[(Walk, i64)]) -> Option<i64> {
        let counts = Counts::default();
        walks.iter().for_each(|&(walk, seconds)| counts.set_behind(walk, seconds));
        counts.found().behind_seconds
    }

    #[test]
    fn a_run_is_as_far_behind_as_its_last_walk_if_each_could_tell() {
        assert_eq!(behind(&[(Walk::Due, 1), (Walk::DueAgain, 7), (Walk::Dead, 1)]), Some(7));
        assert_eq!(behind(&[(Walk::Due, 0), (Walk::DueAgain, -1), (Walk::Dead, -7)]), Some(0));
        assert_eq!(behind(&[(Walk::Due, 1), (Walk::Dead, 1)]), None);
    }

    #[test]
    fn each_number_is_a_metric() {
        let counts = Counts::default();
        for (n, count) in (1..).zip([
            &counts.looked,
            &counts.dispatched,
            &counts.given_up,
            &counts.renewed,
            &counts.waiting,
        ]) {
            count.store(n, Ordering::Relaxed);
        }
        let (record, mut controls) = (event_for(&["a", "b"]), Controls::default());
        let paused =
            Control::Paused { since: record.accepted_at - SignedDuration::from_secs(1), reason: "".into() };
        let resumed =
            Control::Running { resumed_at: Some(record.accepted_at + SignedDuration::from_secs(3)) };
        controls.0.insert("a".into(), paused);
        controls.0.insert("b".into(), resumed);
        let now = record.accepted_at + SignedDuration::from_secs(10);
        counts.saw(&record, &controls, now);
        counts.saw(&record, &controls, now - SignedDuration::from_secs(2));
        let mut found = counts.found();
        assert_eq!((found.behind_seconds, found.oldest_open_seconds), (None, Some(7)));
        found.behind_seconds = Some(6);
        let written = written_by(|| found.report());
        let [line] = &*written else { panic!("one line, with all numbers") };
        let names =
            ["Looked", "Dispatched", "GivenUp", "Renewed", "Waiting", "BehindSeconds", "OldestOpenSeconds"];
        assert_eq!(names.map(|name| line[name].as_i64().unwrap()), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(line["PausedSeconds"], 11);
        let none = Counts::default().found();
        assert_eq!((none.oldest_open_seconds, none.paused_seconds), (None, None), "it saw none");
    }
}
