//! Replay: adds a destination to events that were accepted before it was there.
//!
//! Each call may be made again after it failed, and by a replay that begins anew: what is added is left alone, and a key
//! that has begun is not begun again. So a replay that was interrupted goes on when it is repeated.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::call::{GET_ITEM, UPDATE_ITEM, Updated, decode_record, update_item};
use super::ledger::Ledger;
use super::positions::Positions;
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::record::{
    Addition, Beginning, NotReplayed, Position, ReplayPlan, Replayable, SequenceKey, is_own_addition,
    plan_replay, replayed,
};

/// Most positions that are read concurrently.
const READS_MAX: usize = 16;

/// What became of a notification that a replay was to add its destination to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replayed {
    /// It goes there, and is dispatched.
    Added,
    /// It was left as it is.
    LeftOut(NotReplayed),
    /// Its record has expired.
    Gone,
}

impl Positions {
    /// Decides what a replay to this destination does, of all that it found.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn plan_replay(&self, found: Vec<Replayable>) -> Result<ReplayPlan, Fault> {
        let one_of_each =
            found.iter().filter_map(Replayable::sequence_key).map(|at| (at.key.clone(), at.clone()));
        let one_of_each: BTreeMap<String, SequenceKey> = one_of_each.collect();
        let reads = one_of_each.into_values().map(async |at| {
            let position = patiently(async || self.get(&at).await).await?;
            Ok::<_, Fault>((at.key, position.at()))
        });
        let positions: BTreeMap<_, _> = stream::iter(reads).buffer_unordered(READS_MAX).try_collect().await?;
        // Before the first one there is no position.
        Ok(plan_replay(found, &positions.into_iter().filter(|(_, at)| *at > 0).collect()))
    }

    /// Whether the destination begins a key with this event: now, or since an earlier call. It may have gone on by then.
    async fn begin(&self, with: &SequenceKey) -> Result<bool, Fault> {
        let (key, update) = (with.item_key(0), Position::beginning(with.sequence));
        match update_item(&self.client, &self.table, key, &update).await? {
            Updated::Applied => Ok(true),
            Updated::ConditionFailed(_) => Ok(self.get(with).await?.at() + 1 >= with.sequence),
        }
    }
}

impl Ledger {
    /// Lets a destination begin a key with an event, as a replay's plan says. Do so before you add the destination to any
    /// event of the key: what comes before its turn waits for the numbers before it.
    ///
    /// # Errors
    /// A [`Fault`]; try again. Where another replay has let it begin elsewhere, make a new plan.
    pub async fn begin_replay(
        &self,
        positions: &Positions,
        beginning: &Beginning,
        destination: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let with = &beginning.0;
        if !patiently(async || positions.begin(with).await).await? {
            return Err(Fault::new(UPDATE_ITEM, Cause::Contended));
        }
        // It came early, and has waited for numbers that never come.
        let next = patiently(async || Ok(positions.current(with).await?.next())).await?;
        let Some(id) = next else { return Ok(()) };
        let waiting = with.registered(&id);
        // It is pending, so that it has a record.
        match self.notify_next(&waiting, destination, now).await? {
            true => Ok(()),
            false => Err(Fault::new(GET_ITEM, Cause::Missing)),
        }
    }

    /// Adds a destination to a notification that was accepted before the destination was there, and dispatches it. What it
    /// was at other destinations is left as it is. Its sender hears of no further end, if it had ended for good.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn replay(
        &self,
        addition: &Addition,
        positions: &Positions,
        destination: &str,
        now: Timestamp,
    ) -> Result<Replayed, Fault> {
        let Addition { key, sequenced, .. } = addition;
        let Some(mut record) = patiently(async || self.get(key).await).await? else {
            return Ok(Replayed::Gone);
        };
        if *sequenced {
            let position = patiently(async || positions.position(&record, destination).await).await?;
            // Another replay may have begun the key meanwhile, and later.
            if position.is_some_and(|position| Some(position) >= record.sequence) {
                return Ok(Replayed::LeftOut(NotReplayed::Past));
            }
        }
        let mut tries = 0;
        loop {
            let update = match replayed(&record, destination, *sequenced, now) {
                Ok(update) => update,
                Err(NotReplayed::Has) if is_own_addition(&record, destination, now) => {
                    return Ok(Replayed::Added);
                }
                Err(why) => return Ok(Replayed::LeftOut(why)),
            };
            tries += 1;
            match self.update(key, &update).await {
                Ok(Updated::Applied) => return Ok(Replayed::Added),
                Ok(Updated::ConditionFailed(item)) if item.is_empty() => return Ok(Replayed::Gone),
                Ok(Updated::ConditionFailed(item)) => record = decode_record(UPDATE_ITEM, item)?,
                Err(fault) if fault.is_retryable() && tries < TRIES_MAX => pause(tries).await,
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// The result of a call that changes nothing when it is made again.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
    for tries in 1..TRIES_MAX {
        match call().await {
            Err(fault) if fault.is_retryable() => pause(tries).await,
            result => return result,
        }
    }
    call().await
}
