//! reconcile: on a schedule, finds notifications that a destination should have completed long ago, and
//! dispatches them again. After days without completion it gives up, with a dead letter.
//!
//! It reads the index slot by slot, behind a cursor that moves only past slots that it has checked. If it
//! fails or dies anywhere, the next run checks the same slots again: every update has the version that it was
//! decided on as its condition, and does nothing the second time (G3). It makes no attempt and resets none
//! (G7): a dispatch is one more copy, and copies may double.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::aws::{Cause, Fault};
use crate::clock::Clock;
use crate::notification::NotificationKey;
use crate::record::{
    Change, Dispatch, Expected, FIRST_DUE_AFTER, PARTITIONS_PER_SLOT, PendingTransition, Record, Slot,
    Transition, TransitionOutcome, TransitionTimes, Update, check_later, dispatch_again, next_dispatch,
};
use crate::store::{Cursor, DeadLetters, GET_ITEM, KEYS_MAX, Ledger, TransitionError, Updated};

/// Most concurrent calls for one partition of a slot. The partitions of a slot are read concurrently.
const CONCURRENCY_MAX: usize = 4;
/// [`Counts::behind_seconds`] of a run that could not read its cursor.
const UNKNOWN: i64 = -1;

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
    /// How far reconcile has come.
    pub cursor: Cursor,
    /// The dead-letter queue of each destination. Reconcile never gives up for a destination without one.
    pub dead_letters: HashMap<String, DeadLetters>,
    /// How long after accept or redrive reconcile gives up.
    pub give_up_after: SignedDuration,
    /// Most dispatches and dead letters of a run, so that the end of an outage causes no overload.
    pub most: u32,
    /// Tells the time.
    pub clock: Clock,
}

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
    /// Records that are open and not late. They are checked later.
    pub waiting: u32,
    /// How far it is behind, in seconds: 0 when it has checked all due slots; absent when it could not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<i64>,
}

impl Found {
    /// A log line in CloudWatch's embedded metric format, in the namespace `Handover`, for a function of this
    /// name.
    pub fn metrics(&self, function: &str, at: Timestamp) -> String {
        let mut line = serde_json::to_value(self).expect("numbers are JSON");
        let names: Vec<String> =
            line.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let unit = |name: &str| if name == "BehindSeconds" { "Seconds" } else { "Count" };
        let metrics = names.iter().map(|name| json!({ "Name": name, "Unit": unit(name) }));
        line["_aws"] = json!({
            "Timestamp": at.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": "Handover",
                "Dimensions": [["FunctionName"]],
                "Metrics": metrics.collect::<Vec<_>>(),
            }],
        });
        line["FunctionName"] = function.into();
        line.to_string()
    }
}

/// What to do about a record.
#[derive(Debug, PartialEq)]
enum Action {
    /// Nothing: it is completed, or it is in another bucket of the index now.
    Nothing,
    /// Give up at these destinations.
    GiveUp(Vec<String>),
    /// Dispatch it again.
    Dispatch(Update),
    /// Check it later.
    Wait(Update),
}

/// Why a slot is not finished.
enum Stopped {
    /// The run has done as much as it may.
    Full,
    Fault(Fault),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Stopped {
        Stopped::Fault(fault)
    }
}

struct Counts {
    looked: AtomicU32,
    dispatched: AtomicU32,
    given_up: AtomicU32,
    waiting: AtomicU32,
    behind_seconds: AtomicI64,
}

impl Default for Counts {
    fn default() -> Counts {
        let [looked, dispatched, given_up, waiting] = [0; 4].map(AtomicU32::new);
        Counts { looked, dispatched, given_up, waiting, behind_seconds: AtomicI64::new(UNKNOWN) }
    }
}

impl Counts {
    fn found(self) -> Found {
        let behind_seconds = self.behind_seconds.into_inner();
        Found {
            looked: self.looked.into_inner(),
            dispatched: self.dispatched.into_inner(),
            given_up: self.given_up.into_inner(),
            waiting: self.waiting.into_inner(),
            behind_seconds: (behind_seconds != UNKNOWN).then_some(behind_seconds),
        }
    }
}

impl Reconcile {
    /// Reconcile with these settings.
    pub fn new(settings: ReconcileSettings) -> Reconcile {
        Reconcile { settings }
    }

    /// Checks the due slots, until `until`. The next run continues where this one stops.
    pub async fn run(&self, until: Instant) -> Found {
        let counts = Counts::default();
        let now = self.settings.clock.now();
        match timeout_at(until, self.check_slots(Slot::end(now), now, &counts)).await {
            Ok(Ok(())) => (),
            Ok(Err(fault)) => tracing::error!(%fault, "reconcile stopped; its next run continues"),
            Err(_) => tracing::error!("reconcile ran out of time; its next run continues"),
        }
        counts.found()
    }

    /// Checks slot after slot, and moves the cursor past each.
    async fn check_slots(&self, end: Slot, now: Timestamp, counts: &Counts) -> Result<(), Fault> {
        let ReconcileSettings { cursor, give_up_after, .. } = &self.settings;
        // Before the first run nothing can have waited longer.
        let mut slot = cursor.get().await?.unwrap_or_else(|| Slot::of(now - *give_up_after));
        loop {
            let behind = end.begin().duration_since(slot.begin()).as_secs().max(0);
            counts.behind_seconds.store(behind, Ordering::Relaxed);
            if slot >= end {
                return Ok(());
            }
            match self.check_slot(slot, now, counts).await {
                Ok(()) => slot = slot.next(),
                Err(Stopped::Full) => return Ok(()),
                Err(Stopped::Fault(fault)) => return Err(fault),
            }
            cursor.set(slot).await?;
        }
    }

    /// Checks every record of a slot.
    async fn check_slot(&self, slot: Slot, now: Timestamp, counts: &Counts) -> Result<(), Stopped> {
        let buckets = (0..PARTITIONS_PER_SLOT).map(|partition| Ok(slot.bucket(partition)));
        stream::iter(buckets)
            .try_for_each_concurrent(None, |bucket| self.check_bucket(bucket, now, counts))
            .await
    }

    async fn check_bucket(&self, bucket: String, now: Timestamp, counts: &Counts) -> Result<(), Stopped> {
        let ledger = &self.settings.ledger;
        let mut from = None;
        loop {
            let page = ledger.page(&bucket, from).await?;
            counts.looked.fetch_add(page.keys.len() as u32, Ordering::Relaxed);
            let open =
                stream::iter(page.keys.chunks(KEYS_MAX)).map(|keys| ledger.not_completed(keys.to_vec()));
            let open: Vec<Vec<NotificationKey>> = open.buffered(CONCURRENCY_MAX).try_collect().await?;
            stream::iter(open.concat().into_iter().map(Ok))
                .try_for_each_concurrent(CONCURRENCY_MAX, |key| self.check_record(key, &bucket, now, counts))
                .await?;
            if page.next.is_none() {
                return Ok(());
            }
            from = page.next;
        }
    }

    /// Acts on a record. Where it changes meanwhile, reads it again.
    async fn check_record(
        &self,
        key: NotificationKey,
        bucket: &str,
        now: Timestamp,
        counts: &Counts,
    ) -> Result<(), Stopped> {
        let ReconcileSettings { ledger, give_up_after, dead_letters, most, .. } = &self.settings;
        loop {
            let done = |count: &AtomicU32| count.load(Ordering::Relaxed);
            if done(&counts.dispatched) + done(&counts.given_up) >= *most {
                return Err(Stopped::Full);
            }
            let record = match ledger.get(&key).await {
                Ok(Some(record)) => record,
                // A record in the index is open, and only a completed record is deleted.
                Ok(None) => return Err(Fault::new(GET_ITEM, Cause::Missing).into()),
                Err(fault) if fault.is_unreadable() => {
                    tracing::error!(id = key.id, source = key.source, %fault, "reconcile skips it");
                    return Ok(());
                }
                Err(fault) => return Err(fault.into()),
            };
            let can_give_up = |name: &str| dead_letters.contains_key(name);
            let (update, count) = match decide(&record, bucket, now, *give_up_after, can_give_up) {
                Action::Nothing => return Ok(()),
                Action::GiveUp(names) => match self.give_up_at(&record, &names, now, counts).await {
                    Ok(()) => continue,
                    // A queue in trouble holds up only what goes there.
                    Err(fault) => {
                        tracing::error!(id = key.id, source = key.source, %fault, "reconcile tries again later");
                        (check_later(&record, now, now + FIRST_DUE_AFTER, Change::Wait), &counts.waiting)
                    }
                },
                Action::Dispatch(update) => (update, &counts.dispatched),
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

    /// Gives up at several destinations concurrently, and counts those that are dead now.
    async fn give_up_at(
        &self,
        record: &Record,
        names: &[String],
        now: Timestamp,
        counts: &Counts,
    ) -> Result<(), Fault> {
        let given_up = join_all(names.iter().map(|name| self.give_up(record, name, now))).await;
        let count = given_up.iter().filter(|given_up| matches!(given_up, Ok(true))).count();
        counts.given_up.fetch_add(count as u32, Ordering::Relaxed);
        given_up.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }

    /// Sends the dead letter, then marks the destination dead, unless that changed meanwhile. Says whether it
    /// is dead now by this call.
    async fn give_up(&self, record: &Record, name: &str, now: Timestamp) -> Result<bool, Fault> {
        let ReconcileSettings { ledger, dead_letters, give_up_after, .. } = &self.settings;
        let Some((queue, delivery)) = dead_letters.get(name).zip(record.destinations.get(name)) else {
            return Ok(false);
        };
        let waited = if delivery.sequenced { ", in which it may have waited for its turn" } else { "" };
        let reason = format!("not completed within {} h{waited}", give_up_after.as_hours());
        tracing::error!(id = record.id, source = record.source, destination = name, reason, "dead-lettered");
        let dispatch = Dispatch::new(record, vec![name.to_owned()], now);
        queue.send(&dispatch, name, delivery.attempts, &reason).await?;
        let transition = Transition::Dead {
            attempts: delivery.attempts,
            dispatches: record.dispatches,
            fails: false,
            reason,
            call: None,
        };
        let times =
            TransitionTimes { now, relayed_at: None, received_at: None, retention: SignedDuration::ZERO };
        let expected = Expected::guess(&transition, record.destinations.len());
        let (key, destination) = (record.key(), name.to_owned());
        match ledger.apply(PendingTransition { key, destination, transition, expected, times }).await {
            Err(TransitionError::Fault(fault)) => Err(fault),
            applied => Ok(matches!(applied, Ok(TransitionOutcome::Applied))),
        }
    }
}

/// What to do about a record that the index shows in this bucket.
fn decide(
    record: &Record,
    bucket: &str,
    now: Timestamp,
    give_up_after: SignedDuration,
    can_give_up: impl Fn(&str) -> bool,
) -> Action {
    // The index may show it in an earlier bucket, or in one where this run has put it.
    if record.bucket != bucket || record.open == 0 {
        return Action::Nothing;
    }
    let give_up_at = |name: &str, since| can_give_up(name).then_some(since + give_up_after);
    let late: Vec<String> = record
        .pending()
        .filter(|(name, delivery)| give_up_at(name, record.since(delivery)).is_some_and(|at| at <= now))
        .map(|(name, _)| name.clone())
        .collect();
    if !late.is_empty() {
        return Action::GiveUp(late);
    }
    let at_the_latest =
        |at: Timestamp, name: &str, since| give_up_at(name, since).map_or(at, |last| at.min(last));
    let due = record
        .pending()
        .map(|(name, delivery)| at_the_latest(delivery.due_at, name, record.since(delivery)))
        .min();
    let wait_until = |at| Action::Wait(check_later(record, now, at, Change::Wait));
    match due {
        Some(due) if due > now => wait_until(due),
        Some(_) | None => {
            let due_at = |name: &str, since| at_the_latest(next_dispatch(since, now), name, since);
            let again = dispatch_again(record, now, |name, delivery| due_at(name, record.since(delivery)));
            // An open record without a pending delivery has one in a state of a later release.
            again.map_or_else(|| wait_until(now + FIRST_DUE_AFTER), Action::Dispatch)
        }
    }
}

#[cfg(test)]
mod tests;
