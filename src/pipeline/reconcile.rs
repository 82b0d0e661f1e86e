//! reconcile: on a schedule, finds notifications that a destination should have completed long ago, and
//! dispatches them again. After days without completion it gives up, with a dead letter. It also sends a new dead
//! letter for what is dead before SQS deletes the last one.
//!
//! It walks through the index slot by slot, behind a cursor that moves only past slots that it has checked; within
//! a slot it notes each page. A second walk checks the slots once more a day later, and a third one the dead
//! records. If a run fails or dies anywhere, the next one goes on: every update has the version that it was
//! decided on as its condition, and does nothing the second time (G3). It makes no attempt and resets none (G7): a
//! dispatch is one more copy, and copies may double.

mod controls;
mod dead_letters;
mod decide;
mod found;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use futures_util::stream::{self, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use self::controls::Controls;
use self::decide::{Action, decide};
use self::found::Counts;
pub use self::found::Found;
use crate::aws::{Cause, Fault, Pace};
use crate::clock::Clock;
use crate::metrics::METRICS;
use crate::notification::NotificationKey;
use crate::record::{
    Change, DEAD_LETTERS_LAST, FIRST_DUE_AFTER, PARTITIONS_PER_SLOT, Record, SECOND_CHECK_AFTER, Slot,
    Update, check_dead_later, check_later,
};
use crate::store::{
    AllDeadLetters, Cursors, GET_ITEM, Ledger, PartitionProgress, Place, Positions, Updated, Walk,
};

/// Most records of one partition of a slot that are looked at concurrently. The partitions of a slot are read
/// concurrently.
const CONCURRENCY_MAX: usize = 4;

/// The stage that finds late notifications.
#[derive(Debug)]
pub struct Reconcile {
    settings: ReconcileSettings,
}

/// What reconcile works with.
#[derive(Clone, Debug)]
pub struct ReconcileSettings {
    /// The records.
    pub ledger: Ledger,
    /// The table that says which destinations are paused. Reconcile does not give up for these.
    pub positions: Positions,
    /// How far reconcile has come.
    pub cursors: Cursors,
    /// The dead-letter queues. Reconcile never gives up for a destination that has none.
    pub dead_letters: AllDeadLetters,
    /// How long after accept or redrive reconcile gives up.
    pub give_up_after: SignedDuration,
    /// Most dispatches and dead letters a second, so that the end of an outage causes no overload.
    pub dispatches_per_second: u32,
    /// About how many read units are used in a second at most. To see whether a record of 256 KB is completed takes 32,
    /// and to read one that is not takes 64 more.
    pub read_units_per_second: u32,
    /// Tells the time.
    pub clock: Clock,
}

/// What the walks of one run share.
struct Run {
    counts: Counts,
    dispatches: Pace,
    reads: Pace,
    controls: Mutex<Controls>,
}

impl Reconcile {
    /// Reconcile with these settings.
    pub fn new(settings: ReconcileSettings) -> Reconcile {
        Reconcile { settings }
    }

    /// Checks the due slots, until `until`, and reports as metrics what it found. The next run continues where this one
    /// stops.
    pub async fn run(&self, until: Instant) -> Found {
        let run = Run {
            counts: Counts::default(),
            dispatches: Pace::new(self.settings.dispatches_per_second),
            reads: Pace::new(self.settings.read_units_per_second),
            controls: Mutex::default(),
        };
        let walks = [Walk::Due, Walk::DueAgain, Walk::Dead].map(|walk| {
            let run = &run;
            async move {
                if let Err(fault) = self.walk(walk, run).await {
                    tracing::error!(walk = walk.name(), %fault, "reconcile stopped; its next run continues");
                }
            }
        });
        if timeout_at(until, join_all(walks)).await.is_err() {
            tracing::warn!("reconcile ran out of time; its next run continues");
        }
        let found = run.counts.found();
        found.report();
        found
    }

    /// Checks slot after slot, and moves the cursor past each.
    async fn walk(&self, walk: Walk, run: &Run) -> Result<(), Fault> {
        let ReconcileSettings { cursors, clock, .. } = &self.settings;
        let begin = || Place { slot: self.first_slot(walk), partitions: BTreeMap::new() };
        let mut place = cursors.get(walk).await?.unwrap_or_else(begin);
        loop {
            let end = end(walk, clock.now());
            run.counts.set_behind(walk, end.begin().duration_since(place.slot.begin()).as_secs());
            if place.slot >= end {
                return Ok(());
            }
            self.check_slot(walk, &place, run).await?;
            place = Place { slot: place.slot.next(), partitions: BTreeMap::new() };
            cursors.move_to(walk, place.slot).await?;
        }
    }

    /// Where a walk begins that was never made, or whose cursor was lost: nothing can be due before.
    fn first_slot(&self, walk: Walk) -> Slot {
        let before = match walk {
            Walk::Due | Walk::DueAgain => self.settings.give_up_after,
            Walk::Dead => DEAD_LETTERS_LAST,
        };
        Slot::of(walk.slots(), self.settings.clock.now() - before)
    }

    /// Checks every record of a slot. A partition in trouble does not hold up the others.
    async fn check_slot(&self, walk: Walk, place: &Place, run: &Run) -> Result<(), Fault> {
        let checked = join_all((0..PARTITIONS_PER_SLOT).map(|partition| {
            let progress = place.partitions.get(&partition).cloned().unwrap_or_default();
            self.check_partition(walk, place.slot, partition, progress, run)
        }));
        checked.await.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }

    /// Checks the pages of a partition that are left, and notes each.
    async fn check_partition(
        &self,
        walk: Walk,
        slot: Slot,
        partition: u32,
        mut progress: PartitionProgress,
        run: &Run,
    ) -> Result<(), Fault> {
        let ReconcileSettings { ledger, cursors, .. } = &self.settings;
        let bucket = slot.bucket(partition);
        while !progress.is_complete() {
            let page = ledger.page(&bucket, progress.last.as_ref()).await?;
            run.reads.take(page.units).await;
            run.counts.looked.fetch_add(page.keys.len() as u32, Ordering::Relaxed);
            let open = ledger.not_completed(page.keys).await?;
            run.reads.take(open.units).await;
            stream::iter(open.keys.into_iter().map(Ok))
                .try_for_each_concurrent(CONCURRENCY_MAX, |key| self.check_record(key, &bucket, run))
                .await?;
            progress = PartitionProgress { pages: progress.pages + 1, last: page.next };
            // Of a partition of one page, which most are, nothing is noted but that the slot is checked.
            if progress.pages > 1 || progress.last.is_some() {
                cursors.note(walk, slot, partition, &progress).await?;
            }
        }
        Ok(())
    }

    /// Acts on a record. Where it changes meanwhile, reads it again.
    async fn check_record(&self, key: NotificationKey, bucket: &str, run: &Run) -> Result<(), Fault> {
        let ReconcileSettings { ledger, positions, give_up_after, clock, .. } = &self.settings;
        let counts = &run.counts;
        // The destinations without a dead-letter queue, or whose dead letter could not be renewed just now: they hold up
        // only what goes there.
        let mut in_trouble: BTreeSet<String> = BTreeSet::new();
        loop {
            let record = match ledger.get(&key).await {
                Ok(Some(record)) => record,
                // It was not seen to be completed, and only a completed record expires.
                Ok(None) => return Err(Fault::new(GET_ITEM, Cause::Missing)),
                Err(fault) if fault.is_unreadable() => {
                    tracing::error!(id = key.id, source = key.source, %fault, "reconcile skips it");
                    tracing::info!(target: METRICS, UnreadableItems = 1);
                    return Ok(());
                }
                Err(fault) => return Err(fault),
            };
            // A consistent read takes a unit for each 4 KB.
            run.reads.take((record.data.as_str().len() / 4_096 + 1) as f64).await;
            let controls = {
                let mut controls = run.controls.lock().await;
                controls.meet(positions, &record).await?;
                controls.clone()
            };
            let now = clock.now();
            counts.saw(&record, &controls, now);
            let has_dead_letters = |name: &str| !in_trouble.contains(name);
            let action = decide(&record, bucket, now, *give_up_after, &controls, has_dead_letters);
            let (update, count) = match action {
                Action::Nothing => return Ok(()),
                Action::GiveUp(names) if self.is_paused_now(&names, run).await? => continue,
                Action::GiveUp(names) => match self.give_up_at(&record, &names, now, run).await {
                    Ok(without_queue) => {
                        in_trouble.extend(without_queue);
                        continue;
                    }
                    Err(fault) => {
                        tracing::error!(id = key.id, source = key.source, %fault, "reconcile tries again later");
                        (tried_later(&record, now), &counts.waiting)
                    }
                },
                Action::Renew(names) => {
                    in_trouble.extend(self.renew(&record, names, now, run).await?);
                    continue;
                }
                Action::Dispatch(update) => {
                    run.dispatches.take(1.0).await;
                    (update, &counts.dispatched)
                }
                Action::Wait(_) if !in_trouble.is_empty() => (tried_later(&record, now), &counts.waiting),
                Action::Wait(update) => (update, &counts.waiting),
            };
            match ledger.update(&key, &update).await? {
                Updated::Applied => {
                    count.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Updated::ConditionFailed(_) => continue,
            }
        }
    }

    /// Whether an operator paused one of these destinations since the run met it.
    async fn is_paused_now(&self, names: &[String], run: &Run) -> Result<bool, Fault> {
        let mut controls = run.controls.lock().await;
        for name in names {
            controls.read(&self.settings.positions, name).await?;
        }
        Ok(names.iter().any(|name| controls.is_paused(name)))
    }
}

/// The first slot that a walk does not check yet.
fn end(walk: Walk, now: Timestamp) -> Slot {
    match walk {
        Walk::Due | Walk::Dead => Slot::end(walk.slots(), now),
        Walk::DueAgain => Slot::end(walk.slots(), now - SECOND_CHECK_AFTER),
    }
}

/// Checks a record soon again, after a queue failed.
fn tried_later(record: &Record, now: Timestamp) -> Update {
    match record.open {
        0 => check_dead_later(record, now, now),
        _ => check_later(record, now, now + FIRST_DUE_AFTER, Change::Wait),
    }
}

#[cfg(test)]
mod tests;
