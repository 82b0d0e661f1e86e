//! Dispatches what is pending at a destination, several concurrently.

use std::collections::BTreeSet;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use handover::aws::Pace;
use handover::record::{Change, PARTITIONS_PER_SLOT, Record, State, open_slots};
use handover::store::{OperatorOutcome, Walk};
use handover::{Fault, NotificationKey};
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::Dispatch;
use crate::ask::{can_ask, is_confirmed};
use crate::interrupt::exit_code;
use crate::many::each;
use crate::output::{counter, say, say_error};

/// Most calls that are made concurrently: reads of the index or of records, or dispatches.
const CALLS_MAX: usize = 16;
/// About how many read units of the index are used in a second, at most: half of what reconcile uses by default.
const READ_UNITS_PER_SECOND: u32 = 500;
/// Most tries of a call that was throttled or had no answer.
const TRIES_MAX: u32 = 6;
/// The pause before such a call is made again; it doubles with each try.
const PAUSE: Duration = Duration::from_millis(200);
/// What was dispatched less than this ago is on its way.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_mins(1);

impl Dispatch<'_> {
    pub async fn every(&self, destination: &str) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            self.yes || self.dry_run || can_ask(),
            "dispatch of many asks before it begins, and this is not a terminal: add --yes, or --dry-run to see how many"
        );
        let pending = tokio::select! {
            pending = self.pending(destination) => pending?,
            () = self.interrupt.wait() => {
                say!("0 dispatched again");
                return Ok(exit_code(false));
            }
        };
        if pending.is_empty()
            && let Ok(routes) = self.stack.routes().await
        {
            self.stack.check_destination(destination, &routes)?;
        }
        let found = match pending.len() {
            1 => format!("1 notification that is pending at {destination}"),
            count => format!("{count} notifications that are pending at {destination}"),
        };
        if self.dry_run {
            say!("would dispatch {found}");
            return Ok(ExitCode::SUCCESS);
        }
        say_error!("found {found}");
        if !self.yes && !pending.is_empty() && !is_confirmed("Dispatch them again?", self.interrupt).await {
            say!("0 dispatched again, {} left", pending.len());
            return Ok(exit_code(false));
        }
        self.dispatch_all(pending).await
    }

    /// The notifications that are pending at a destination and not just on their way.
    async fn pending(&self, destination: &str) -> anyhow::Result<Vec<NotificationKey>> {
        let now = Timestamp::now();
        let (cursors, reads) = (self.stack.cursors(), Pace::new(READ_UNITS_PER_SECOND));
        let unchecked = patiently(|| cursors.unchecked(Walk::DueAgain)).await;
        let unchecked = unchecked.map_err(|fault| self.stack.explained(fault))?;
        let slots: Vec<_> = open_slots(unchecked, now).collect();
        let progress = counter(slots.len() * PARTITIONS_PER_SLOT as usize, "parts of the index read");
        let parts = slots.into_iter().flat_map(|slot| (0..PARTITIONS_PER_SLOT).map(move |part| (slot, part)));
        let looks = stream::iter(parts).map(async |(slot, part)| {
            let keys = patiently(|| self.ledger.not_completed_in(slot, part, &reads)).await;
            progress.inc(1);
            keys.map_err(|fault| self.stack.explained(fault))
        });
        let open: Vec<Vec<NotificationKey>> = looks.buffer_unordered(CALLS_MAX).try_collect().await?;
        progress.finish_and_clear();
        // One that moves to another slot meanwhile is found twice.
        let open: BTreeSet<NotificationKey> = open.into_iter().flatten().collect();
        let progress = counter(open.len(), "records read");
        let reads = stream::iter(open).map(async |key| {
            let is_pending = self.is_pending(&key, destination, now, &progress).await;
            progress.inc(1);
            is_pending.map(|is_pending| is_pending.then_some(key))
        });
        let pending: Vec<Option<NotificationKey>> = reads.buffered(CALLS_MAX).try_collect().await?;
        progress.finish_and_clear();
        Ok(pending.into_iter().flatten().collect())
    }

    async fn is_pending(
        &self,
        key: &NotificationKey,
        destination: &str,
        now: Timestamp,
        progress: &ProgressBar,
    ) -> anyhow::Result<bool> {
        match patiently(|| self.ledger.get(key)).await {
            Ok(record) => Ok(record.is_some_and(|record| waits(&record, destination, now))),
            Err(fault) if fault.is_unreadable() => {
                progress.suspend(|| say_error!("{key} is left out: {fault}"));
                Ok(false)
            }
            Err(fault) => Err(self.stack.explained(fault)),
        }
    }

    /// Says how many are dispatched again. Those that were completed meanwhile need no dispatch.
    ///
    /// # Errors
    /// The first fault. After it, and after Ctrl-C, it begins with no further one.
    async fn dispatch_all(&self, pending: Vec<NotificationKey>) -> anyhow::Result<ExitCode> {
        let progress = counter(pending.len(), "dispatched again");
        let dispatch = async |key: &NotificationKey| self.ledger.dispatch_again(key, Timestamp::now()).await;
        let mut dispatches = pin!(each(pending, CALLS_MAX, self.interrupt, dispatch));
        let (mut dispatched, mut left, mut fault) = (0, 0, None);
        while let Some((_, outcome)) = dispatches.next().await {
            progress.inc(u64::from(outcome.is_some()));
            match outcome {
                Some(Ok(OperatorOutcome::Applied)) => dispatched += 1,
                Some(Ok(_)) => (),
                None => left += 1,
                Some(Err(error)) => {
                    left += 1;
                    fault.get_or_insert(error);
                }
            }
        }
        progress.finish_and_clear();
        say!("{dispatched} dispatched again, {left} left");
        match fault {
            Some(fault) => Err(self.stack.explained(fault)),
            None => Ok(exit_code(left == 0)),
        }
    }
}

/// Whether a notification waits at a destination, and is not on its way.
fn waits(record: &Record, destination: &str, now: Timestamp) -> bool {
    let is_on_its_way = record.change == Change::Dispatch && now < record.updated_at + ON_ITS_WAY;
    let delivery = record.destinations.get(destination);
    !is_on_its_way && delivery.is_some_and(|delivery| delivery.state == State::Pending)
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
