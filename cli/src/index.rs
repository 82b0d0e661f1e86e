//! Reads the index of the `notifications` table: what is open or dead, and the records of that.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use handover::aws::Pace;
use handover::record::{PARTITIONS_PER_SLOT, Record, Slot, dead_slots, open_slots};
use handover::store::Walk;
use handover::{Fault, Ledger, NotificationKey};
use indicatif::ProgressBar;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::output::{counter, say_error};
use crate::stack::Stack;

/// Most calls that are made concurrently: reads of the index or of records.
const CALLS_MAX: usize = 16;
/// About how many read units of the index are used in a second, at most: half of what reconcile uses by default.
const READ_UNITS_PER_SECOND: u32 = 500;
/// Most tries of a call that was throttled or had no answer.
const TRIES_MAX: u32 = 6;
/// The pause before such a call is made again; it doubles with each try.
const PAUSE: Duration = Duration::from_millis(200);

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
        let unchecked = self.unchecked(Walk::DueAgain).await?;
        if unchecked.is_none() {
            say_error!("note: reconcile has not run in this stack: what is older than a day may be missing");
        }
        Ok(open_slots(unchecked, self.now).collect())
    }

    /// The slots of what is dead and nowhere open.
    pub async fn dead(&self) -> anyhow::Result<Vec<Slot>> {
        Ok(dead_slots(self.unchecked(Walk::Dead).await?, self.now).collect())
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
        let keys = self.keys(slots).await?;
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

    async fn keys(&self, slots: Vec<Slot>) -> anyhow::Result<BTreeSet<NotificationKey>> {
        let reads = Pace::new(READ_UNITS_PER_SECOND);
        let progress = counter(slots.len() * PARTITIONS_PER_SLOT as usize, "parts of the index read");
        let parts = slots.into_iter().flat_map(|slot| (0..PARTITIONS_PER_SLOT).map(move |part| (slot, part)));
        let looks = stream::iter(parts).map(async |(slot, part)| {
            let keys = patiently(|| self.ledger.not_completed_in(slot, part, &reads)).await;
            progress.inc(1);
            keys.map_err(|fault| self.stack.explained(fault))
        });
        let keys: Vec<Vec<NotificationKey>> = looks.buffer_unordered(CALLS_MAX).try_collect().await?;
        progress.finish_and_clear();
        // One that moves to another slot meanwhile is found twice.
        Ok(keys.into_iter().flatten().collect())
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
