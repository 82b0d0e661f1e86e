//! Gives up what is not completed for days, and renews dead letters before SQS deletes them. A dead letter is sent before
//! the record says so: if the run dies in between, there is one more, and the record is still decided on.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::{Reconcile, ReconcileSettings, Run};
use crate::aws::Fault;
use crate::record::{
    Dispatch, Expected, PendingTransition, Record, Transition, TransitionOutcome, TransitionTimes,
    dead_letter_renewed,
};
use crate::store::{TransitionError, Updated};

impl Reconcile {
    /// Gives up at several destinations concurrently, and counts those that are dead now. Returns those that have no
    /// dead-letter queue: their notifications stay open, and are dispatched again.
    pub(super) async fn give_up_at(
        &self,
        record: &Record,
        names: &[String],
        now: Timestamp,
        run: &Run,
    ) -> Result<Vec<String>, Fault> {
        let given_up = join_all(names.iter().map(|name| self.give_up(record, name, now, run))).await;
        let count = given_up.iter().filter(|given_up| matches!(given_up, Ok(true))).count();
        run.counts.given_up.fetch_add(count as u32, Ordering::Relaxed);
        let mut without_queue = Vec::new();
        for (name, given_up) in names.iter().zip(given_up) {
            match given_up {
                Err(fault) if fault.is_missing_resource() => {
                    tracing::error!(destination = name, %fault, "it has no dead-letter queue");
                    without_queue.push(name.clone());
                }
                given_up => drop(given_up?),
            }
        }
        Ok(without_queue)
    }

    /// Sends the dead letter, then marks the destination dead, unless that changed meanwhile. Says whether it
    /// is dead now by this call.
    async fn give_up(&self, record: &Record, name: &str, now: Timestamp, run: &Run) -> Result<bool, Fault> {
        let ReconcileSettings { ledger, dead_letters, give_up_after, .. } = &self.settings;
        let Some(delivery) = record.destinations.get(name) else { return Ok(false) };
        run.dispatches.take(1.0).await;
        let waited = if delivery.sequenced { ", in which it may have waited for its turn" } else { "" };
        let reason = format!("not completed within {} h{waited}", give_up_after.as_hours());
        tracing::error!(
            id = record.id,
            source = record.source,
            destination = name,
            error = reason,
            "dead-lettered"
        );
        let dispatch = Dispatch::new(record, vec![name.to_owned()], now);
        dead_letters.of(name).send(&dispatch, name, delivery.attempts, &reason).await?;
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
        let dead = PendingTransition::new(record.key(), name, transition, expected, times);
        match ledger.apply(dead).await {
            Err(TransitionError::Fault(fault)) => Err(fault),
            applied => Ok(matches!(applied, Ok(TransitionOutcome::Applied))),
        }
    }

    /// Sends new dead letters concurrently, then notes those that were sent. Returns the destinations where that
    /// failed. If the note fails there is one dead letter more, which is obsolete where the notification is not dead
    /// any more.
    pub(super) async fn renew(
        &self,
        record: &Record,
        names: Vec<String>,
        now: Timestamp,
        run: &Run,
    ) -> Result<Vec<String>, Fault> {
        let sends = join_all(names.iter().map(|name| self.send_again(record, name, now, run))).await;
        let (sent, in_trouble): (Vec<_>, Vec<_>) =
            names.into_iter().zip(sends).partition(|(_, sent)| sent.is_ok());
        for (name, sent) in &in_trouble {
            let fault = sent.as_ref().err().map(Fault::to_string);
            tracing::error!(id = record.id, source = record.source, destination = name, fault, "not renewed");
        }
        let sent: Vec<String> = sent.into_iter().map(|(name, _)| name).collect();
        if !sent.is_empty() {
            let note = dead_letter_renewed(record, &sent, now);
            if let Updated::Applied = self.settings.ledger.update(&record.key(), &note).await? {
                run.counts.renewed.fetch_add(sent.len() as u32, Ordering::Relaxed);
            }
        }
        Ok(in_trouble.into_iter().map(|(name, _)| name).collect())
    }

    async fn send_again(&self, record: &Record, name: &str, now: Timestamp, run: &Run) -> Result<(), Fault> {
        let Some(delivery) = record.destinations.get(name) else { return Ok(()) };
        run.dispatches.take(1.0).await;
        let dispatch = Dispatch::new(record, vec![name.to_owned()], now);
        let reason = delivery.reason.as_deref().unwrap_or("its reason is not on the record");
        let dead_letters = self.settings.dead_letters.of(name);
        dead_letters.send(&dispatch, name, delivery.attempts, reason).await
    }
}
