//! Dispatches what is pending at a destination, several concurrently.

use std::pin::pin;
use std::process::ExitCode;

use futures_util::StreamExt;
use handover::NotificationKey;
use handover::record::{Change, Record, State};
use handover::store::OperatorOutcome;
use jiff::{SignedDuration, Timestamp};

use super::Dispatch;
use crate::ask::{can_ask, is_confirmed};
use crate::index::Index;
use crate::interrupt::exit_code;
use crate::many::each;
use crate::output::{counter, say_error};

/// Most dispatches that are made concurrently.
const CALLS_MAX: usize = 16;
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
                self.did(0, None, "0 dispatched again")?;
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
            self.did(0, Some(pending.len()), format_args!("would dispatch {found}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        say_error!("found {found}");
        if !self.yes && !pending.is_empty() && !is_confirmed("Dispatch them again?", self.interrupt).await {
            self.did_all(0, pending.len())?;
            return Ok(exit_code(false));
        }
        self.dispatch_all(pending).await
    }

    /// The notifications that are pending at a destination and not just on their way.
    async fn pending(&self, destination: &str) -> anyhow::Result<Vec<NotificationKey>> {
        let (index, now) = (Index::of(self.stack), Timestamp::now());
        let waiting = |record: Record| waits(&record, destination, now).then(|| record.key());
        index.choose(index.open().await?, waiting).await
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
        self.did_all(dispatched, left)?;
        match fault {
            Some(fault) => Err(self.stack.explained(fault)),
            None => Ok(exit_code(left == 0)),
        }
    }

    fn did_all(&self, dispatched: usize, left: usize) -> serde_json::Result<()> {
        self.did(dispatched, Some(left), format_args!("{dispatched} dispatched again, {left} left"))
    }
}

/// Whether a notification waits at a destination, and is not on its way.
fn waits(record: &Record, destination: &str, now: Timestamp) -> bool {
    let is_on_its_way = record.change == Change::Dispatch && now < record.updated_at + ON_ITS_WAY;
    let delivery = record.destinations.get(destination);
    !is_on_its_way && delivery.is_some_and(|delivery| delivery.state == State::Pending)
}
