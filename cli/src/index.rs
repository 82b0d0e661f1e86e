//! Reads the index of the `notifications` table: what is open or dead, or was accepted lately, and the records of that.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use handover::aws::Pace;
use handover::record::{PARTITIONS_PER_SLOT, Record, Slot, dead_slots, open_slots, recent_slots};
use handover::store::Walk;
use handover::{Fault, Ledger, NotificationKey};
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::output::{counter, say_error};
use crate::stack::Stack;

/// Most calls that are made concurrently: reads of the index or of records.
const CALLS_MAX: usize = 16;
/// About how many read units of the index are used in a second, at most: half of what reconcile uses by default.
const READ_UNITS_PER_SECOND: u32 = 500;
/// How long a bounded read of the index takes, at most.
pub const READ_FOR: Duration = Duration::from_secs(30);
/// Most records of a bounded read.
pub const RECORDS_MAX: usize = 1_000;
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

/// What a bounded read found.
pub struct Found<T> {
    pub all: Vec<T>,
    /// Whether there may be more, which was not read.
    pub is_cut: bool,
}

/// The bounds of a read.
struct Bounds {
    time: Duration,
    records: usize,
}

impl Bounds {
    const NONE: Bounds = Bounds { time: Duration::MAX, records: usize::MAX };
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
        Ok(latest_first(open_slots(unchecked, self.now).filter(|slot| Some(*slot) >= unchecked)))
    }

    /// The slots of what was accepted so long ago or less, the latest first.
    pub fn recent(&self, age: SignedDuration) -> Vec<Slot> {
        latest_first(recent_slots(self.now - age, self.now))
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
        let keys = self.keys(slots, Which::NotCompleted, Bounds::NONE).await?;
        self.records(keys.all, chosen).await
    }

    /// The same of at most [`RECORDS_MAX`] records, as far as the slots can be read in a short time.
    pub async fn choose_some<T>(
        &self,
        slots: Vec<Slot>,
        which: Which,
        chosen: impl Fn(Record) -> Option<T>,
    ) -> anyhow::Result<Found<T>> {
        let bounds = Bounds { time: READ_FOR, records: RECORDS_MAX };
        let Found { all, is_cut } = self.keys(slots, which, bounds).await?;
        Ok(Found { all: self.records(all, chosen).await?, is_cut })
    }

    async fn records<T>(
        &self,
        keys: Vec<NotificationKey>,
        chosen: impl Fn(Record) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        let progress = counter(keys.len(), "records read");
        let reads = stream::iter(keys).map(async |key| {
            let record = self.record(&key, &progress).await;
            progress.inc(1);
            record.map(|record| record.and_then(&chosen))
        });
        let records: Vec<Option<T>> = reads.buffered(CALLS_MAX).try_collect().await?;
        progress.finish_and_clear();
        Ok(records.into_iter().flatten().collect())
    }

    /// The keys in these slots, in order. The last slots may be cut off.
    async fn keys(
        &self,
        slots: Vec<Slot>,
        which: Which,
        bounds: Bounds,
    ) -> anyhow::Result<Found<NotificationKey>> {
        let reads = Pace::new(READ_UNITS_PER_SECOND);
        let count = slots.len() * PARTITIONS_PER_SLOT as usize;
        let progress = counter(count, "parts of the index read");
        let parts = slots.into_iter().flat_map(|slot| (0..PARTITIONS_PER_SLOT).map(move |part| (slot, part)));
        let looks = stream::iter(parts).map(async |(slot, part)| {
            let look = async || match which {
                Which::NotCompleted => self.ledger.not_completed_in(slot, part, &reads).await,
                Which::All => self.ledger.keys_in(slot, part, &reads).await,
            };
            let keys = patiently(look).await;
            progress.inc(1);
            keys.map_err(|fault| self.stack.explained(fault))
        });
        let found = within(bounds, looks.buffer_unordered(CALLS_MAX), count).await?;
        progress.finish_and_clear();
        Ok(found)
    }

    async fn record(&self, key: &NotificationKey, progress: &ProgressBar) -> anyhow::Result<Option<Record>> {
        match patiently(|| self.ledger.get(key)).await {
            Ok(record) => Ok(record),
            Err(fault) if fault.is_unreadable() => {
                progress.suspend(|| say_error!("{key} is left out: {fault}"));
                Ok(None)
            }
            Err(fault) => Err(self.stack.explained(fault)),
        }
    }
}

fn latest_first(slots: impl Iterator<Item = Slot>) -> Vec<Slot> {
    let mut slots: Vec<Slot> = slots.collect();
    slots.reverse();
    slots
}

/// The keys that these parts of the index have, of which there are so many, up to the bounds.
async fn within(
    bounds: Bounds,
    parts: impl Stream<Item = anyhow::Result<Vec<NotificationKey>>>,
    count: usize,
) -> anyhow::Result<Found<NotificationKey>> {
    let mut parts = pin!(parts.take_until(sleep(bounds.time)));
    // One that moves to another slot meanwhile is found twice.
    let (mut found, mut read) = (BTreeSet::new(), 0);
    while found.len() <= bounds.records
        && let Some(keys) = parts.try_next().await?
    {
        found.extend(keys);
        read += 1;
    }
    let is_cut = read < count || found.len() > bounds.records;
    Ok(Found { all: found.into_iter().take(bounds.records).collect(), is_cut })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Five parts of two keys, of which each takes a second.
    async fn found(time: u64, records: usize) -> (usize, bool) {
        let parts = stream::iter(0..5).then(async |part| {
            sleep(Duration::from_secs(1)).await;
            Ok([1, 2].map(|at| NotificationKey::new(format!("{part}-{at}"), "s")).to_vec())
        });
        let bounds = Bounds { time: Duration::from_secs(time), records };
        let found = within(bounds, parts, 5).await.unwrap();
        (found.all.len(), found.is_cut)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_cut_off_is_said_to_be() {
        assert_eq!(found(60, 10).await, (10, false));
        assert_eq!(found(60, 9).await, (9, true));
        assert_eq!(found(60, 4).await, (4, true));
        assert_eq!(found(3, 10).await, (4, true));
        let parts = stream::iter([Ok(vec![NotificationKey::new("1", "s")])]);
        assert!(!within(Bounds::NONE, parts, 1).await.unwrap().is_cut);
    }
}
