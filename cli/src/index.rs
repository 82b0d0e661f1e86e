//! Reads the index of the `notifications` table: what is open or dead, or was accepted lately, and the records of that.

mod found;

use std::time::Duration;

use handover::aws::Pace;
use handover::record::{PARTITIONS_PER_SLOT, Record, Slot, dead_slots, open_slots, recent_slots};
use handover::store::Walk;
use handover::{Fault, Ledger, NotificationKey};
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

pub use self::found::Found;
use self::found::{Bounds, Finding, find};
use crate::output::{counter, say_error};
use crate::stack::Stack;

/// Most parts of the index that are read concurrently, each with its records.
const PARTS_MAX: usize = 16;
/// About how many read units are used in a second, at most, for the index and its records together: half of what
/// reconcile uses by default.
const READ_UNITS_PER_SECOND: u32 = 500;
/// How long a bounded read takes, at most.
pub const READ_FOR: Duration = Duration::from_secs(30);
/// Most that a bounded read finds.
pub const FOUND_MAX: usize = 1_000;
/// Most tries of a call that was throttled or had no answer.
const TRIES_MAX: u32 = 6;
/// The pause before such a call is made again; it doubles with each try.
const PAUSE: Duration = Duration::from_millis(200);

/// Which keys of the index.
#[derive(Clone, Copy)]
pub enum Which {
    /// Those of records that are open or dead.
    NotCompleted,
    /// All.
    All,
}

/// What a read looks for, and what it takes.
struct Search<F> {
    which: Which,
    /// What to make of a record, if it is wanted.
    chosen: F,
    reads: Pace,
    progress: ProgressBar,
}

/// The index of a stack.
pub struct Index<'a> {
    stack: &'a Stack,
    ledger: Ledger,
    now: Timestamp,
}

impl Index<'_> {
    pub fn of(stack: &Stack) -> Index<'_> {
        Index { stack, ledger: stack.ledger(), now: Timestamp::now() }
    }

    /// The slots of what is open at a destination. One that is dead at another is among them.
    pub async fn open(&self) -> anyhow::Result<Vec<Slot>> {
        Ok(open_slots(self.unchecked_open(Walk::DueAgain).await?, self.now).collect())
    }

    /// The slots of what is dead and nowhere open.
    pub async fn dead(&self) -> anyhow::Result<Vec<Slot>> {
        Ok(dead_slots(self.unchecked(Walk::Dead).await?, self.now).collect())
    }

    /// The slots of what is open, those of the latest dispatches first. Slots that reconcile has checked are left out:
    /// what was open there was dispatched again since, so that only what came late into the index is missing.
    pub async fn open_unchecked(&self) -> anyhow::Result<Vec<Slot>> {
        let unchecked = self.unchecked_open(Walk::Due).await?;
        let mut slots: Vec<Slot> =
            open_slots(unchecked, self.now).filter(|slot| Some(*slot) >= unchecked).collect();
        slots.reverse();
        Ok(slots)
    }

    /// The slots of what was accepted so long ago or less, those that have the latest first.
    pub fn recent(&self, age: SignedDuration) -> Vec<Slot> {
        self.since(self.now - age)
    }

    /// The slots of what was accepted since a time.
    pub fn since(&self, since: Timestamp) -> Vec<Slot> {
        recent_slots(since, self.now).collect()
    }

    async fn unchecked_open(&self, walk: Walk) -> anyhow::Result<Option<Slot>> {
        let unchecked = self.unchecked(walk).await?;
        if unchecked.is_none() {
            say_error!("note: reconcile has not run in this stack: what is older than a day may be missing");
        }
        Ok(unchecked)
    }

    async fn unchecked(&self, walk: Walk) -> anyhow::Result<Option<Slot>> {
        let cursors = self.stack.cursors();
        patiently(|| cursors.unchecked(walk)).await.map_err(|fault| self.stack.explained(fault))
    }

    /// What `chosen` makes of each record in these slots that is open or dead, in the order of the keys. A record that
    /// moves to another slot meanwhile may be missing.
    pub async fn choose<T>(
        &self,
        slots: Vec<Slot>,
        chosen: impl Fn(Record) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        Ok(self.find(slots, Which::NotCompleted, Bounds::NONE, chosen).await?.all)
    }

    /// The same of every record, whatever became of it.
    pub async fn choose_all<T>(
        &self,
        mut slots: Vec<Slot>,
        chosen: impl Fn(Record) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        slots.sort();
        slots.dedup();
        Ok(self.find(slots, Which::All, Bounds::NONE, chosen).await?.all)
    }

    /// The same of records in this state, up to [`FOUND_MAX`] that are chosen, as far as the slots can be read in
    /// [`READ_FOR`]. The first slots are read first.
    pub async fn choose_some<T>(
        &self,
        slots: Vec<Slot>,
        which: Which,
        chosen: impl Fn(Record) -> Option<T>,
    ) -> anyhow::Result<Found<T>> {
        self.find(slots, which, Bounds { time: READ_FOR, found: FOUND_MAX }, chosen).await
    }

    async fn find<T>(
        &self,
        slots: Vec<Slot>,
        which: Which,
        bounds: Bounds,
        chosen: impl Fn(Record) -> Option<T>,
    ) -> anyhow::Result<Found<T>> {
        let progress = counter(slots.len() * PARTITIONS_PER_SLOT as usize, "parts of the index read");
        let search = Search { which, chosen, reads: Pace::new(READ_UNITS_PER_SECOND), progress };
        let parts =
            slots.into_iter().flat_map(|slot| (0..PARTITIONS_PER_SLOT).map(move |part| slot.bucket(part)));
        let read = async |bucket: String, finding: &Finding<T>| {
            self.read(&bucket, &search, finding).await.map_err(|fault| self.stack.explained(fault))
        };
        let found = find(bounds, parts, PARTS_MAX, read).await;
        search.progress.finish_and_clear();
        found
    }

    /// Reads a part of the index, page by page, with the records of each page.
    async fn read<T, F: Fn(Record) -> Option<T>>(
        &self,
        bucket: &str,
        search: &Search<F>,
        finding: &Finding<T>,
    ) -> Result<(), Fault> {
        let mut from = None;
        loop {
            let page = patiently(|| self.ledger.page(bucket, from.as_ref())).await?;
            search.reads.take(page.units).await;
            for key in self.wanted(page.keys, search).await? {
                if finding.is_new(&key) {
                    self.look_at(key, search, finding).await?;
                }
            }
            from = page.next;
            if from.is_none() {
                search.progress.inc(1);
                return Ok(());
            }
        }
    }

    /// Those keys of a page whose records have to be read.
    async fn wanted<F>(
        &self,
        keys: Vec<NotificationKey>,
        search: &Search<F>,
    ) -> Result<Vec<NotificationKey>, Fault> {
        match search.which {
            Which::All => Ok(keys),
            Which::NotCompleted => {
                let open = patiently(|| self.ledger.not_completed(keys.clone())).await?;
                search.reads.take(open.units).await;
                Ok(open.keys)
            }
        }
    }

    /// Reads a record, and adds what is made of it.
    async fn look_at<T, F: Fn(Record) -> Option<T>>(
        &self,
        key: NotificationKey,
        Search { chosen, reads, progress, .. }: &Search<F>,
        finding: &Finding<T>,
    ) -> Result<(), Fault> {
        let record = match patiently(|| self.ledger.get(&key)).await {
            Err(fault) if fault.is_unreadable() => {
                progress.suspend(|| say_error!("{key} is left out: {fault}"));
                None
            }
            record => record?,
        };
        // A consistent read takes a unit for each 4 KB.
        let units = record.as_ref().map_or(0, |record| record.data.as_str().len()) / 4_096 + 1;
        if let Some(found) = record.and_then(chosen) {
            finding.add(key, found);
        }
        reads.take(units as f64).await;
        Ok(())
    }
}

/// The result of a read, which is made again after a throttle or a lost answer.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
    for tries in 1..TRIES_MAX {
        match call().await {
            Err(fault) if fault.is_retryable() => sleep(PAUSE * (1 << (tries - 1))).await,
            result => return result,
        }
    }
    call().await
}
