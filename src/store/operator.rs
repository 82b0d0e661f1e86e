//! Operator actions: redrive, settle, close, and dispatch again.
//!
//! Each is one conditional update; `close` at a sequenced destination is a transaction with its position, and then
//! dispatches the next one. A repeat, or an action that comes too late, changes nothing and says how the delivery is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::call::{GET_ITEM, TRANSACT, UPDATE_ITEM, Updated, returned_record};
use super::error::TransitionError;
use super::ledger::{Commit, Ledger};
use super::positions::Positions;
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::notification::NotificationKey;
use crate::record::{
    Delivery, Expected, FIRST_DUE_AFTER, PendingTransition, Record, Refused, SequenceKey, Settled, State,
    Transition, TransitionOutcome, TransitionTimes, Via, dispatch_again, next_dispatch,
};

/// How long closing a notification of a sequenced destination is retried.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// How an operator action came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorOutcome {
    /// Applied.
    Applied,
    /// The delivery was in this state, which the action does not change.
    Was(State),
    /// There is no such notification, or it does not go to this destination.
    NotFound,
    /// The delivery has no call of unknown outcome to settle.
    NoUnknownCall,
    /// A call may be in progress.
    Held,
}

impl OperatorOutcome {
    /// Whether a dead letter that was received before may be deleted: a copy is on its way that sends another
    /// dead letter if it fails, or there is nothing left to do.
    pub fn replaces_dead_letter(self) -> bool {
        match self {
            OperatorOutcome::Applied => true,
            OperatorOutcome::Was(state) => state.is_final(),
            OperatorOutcome::NotFound | OperatorOutcome::NoUnknownCall | OperatorOutcome::Held => false,
        }
    }
}

impl Ledger {
    /// Lets a destination that gave up try again, with all attempts: the notification is dispatched again.
    /// Fix the cause first.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn redrive(
        &self,
        key: &NotificationKey,
        destination: &str,
        now: Timestamp,
    ) -> Result<OperatorOutcome, Fault> {
        let redrive = Transition::Redrive { due_at: now + FIRST_DUE_AFTER, settled: None, fence: None };
        self.operate(key, destination, redrive, now, SignedDuration::ZERO).await
    }

    /// Redrives a delivery that died of a call of unknown outcome, and records what you found out about the
    /// call: that it took effect, or that it has to be made again. While a call may be in progress the outcome
    /// is [`OperatorOutcome::Held`]: what you found out may no longer be true.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn settle(
        &self,
        key: &NotificationKey,
        destination: &str,
        settled: Settled,
        now: Timestamp,
    ) -> Result<OperatorOutcome, Fault> {
        let record = self.get(key).await?;
        let Some(delivery) = record.as_ref().and_then(|record| record.destinations.get(destination)) else {
            return Ok(OperatorOutcome::NotFound);
        };
        if delivery.lease_until.is_some_and(|until| until > now) {
            return Ok(OperatorOutcome::Held);
        }
        let (settled, fence) = (Some(settled), Some(delivery.fence));
        let redrive = Transition::Redrive { due_at: now + FIRST_DUE_AFTER, settled, fence };
        self.operate(key, destination, redrive, now, SignedDuration::ZERO).await
    }

    /// Tries the notification of a dead letter again. Where its delivery is still pending, the notification is
    /// dispatched again: SQS itself may have moved its last copy. But the dead letter may also have been sent
    /// just before its record is marked dead, and then it has to stay. Ask
    /// [`OperatorOutcome::replaces_dead_letter`] before you delete it.
    ///
    /// # Errors
    /// A [`Fault`]; keep the dead letter, and try again.
    pub async fn redrive_dead_letter(
        &self,
        key: &NotificationKey,
        destination: &str,
        now: Timestamp,
    ) -> Result<OperatorOutcome, Fault> {
        let outcome = self.redrive(key, destination, now).await?;
        if outcome == OperatorOutcome::Was(State::Pending) {
            self.dispatch_again(key, now).await?;
        }
        Ok(outcome)
    }

    /// Dispatches a pending notification again, to replace lost copies. It does not reset attempts, and does
    /// nothing where no delivery is pending or another caller dispatched it just now.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn dispatch_again(
        &self,
        key: &NotificationKey,
        now: Timestamp,
    ) -> Result<OperatorOutcome, Fault> {
        self.dispatch(key, now, Via::RetryQueue).await
    }

    async fn dispatch(
        &self,
        key: &NotificationKey,
        now: Timestamp,
        via: Via,
    ) -> Result<OperatorOutcome, Fault> {
        let Some(mut record) = self.get(key).await? else {
            return Ok(OperatorOutcome::NotFound);
        };
        // Not later than before, so that many dispatches put off neither a check nor giving up.
        let due_at = |record: &Record, delivery: &Delivery| {
            next_dispatch(record.since(delivery), now).min(delivery.due_at.max(now + FIRST_DUE_AFTER))
        };
        let mut tries = 0;
        while let Some(update) = dispatch_again(&record, now, via, |_, delivery| due_at(&record, delivery)) {
            tries += 1;
            let item = match self.update(key, &update).await {
                Ok(Updated::Applied) => return Ok(OperatorOutcome::Applied),
                Ok(Updated::ConditionFailed(item)) => item,
                Err(fault) if fault.is_retryable() && tries < TRIES_MAX => {
                    pause(tries).await;
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            let changed = returned_record(UPDATE_ITEM, Some(item))?;
            if changed.dispatches > record.dispatches {
                // By this call, whose answer was lost, or by another caller: a copy is on its way.
                return Ok(OperatorOutcome::Applied);
            }
            record = changed;
        }
        let state = record.destinations.values().map(|delivery| delivery.state).next();
        Ok(state.map_or(OperatorOutcome::NotFound, OperatorOutcome::Was))
    }

    /// Closes a notification at a destination for good, so that no late copy can apply it: its effect was made
    /// another way, or is not wanted. The record keeps the reason (512 bytes of it); a completed record is kept
    /// for `retention`.
    ///
    /// A sequenced destination goes on with the next notification, now or when the turn of this one would have
    /// come. To close several of a key, begin with the last: the next one is notified as soon as its turn comes.
    ///
    /// # Errors
    /// A [`Fault`]. Try again even if it is closed by then: the next one may not be notified yet, also because a later
    /// release holds it.
    pub async fn close(
        &self,
        positions: &Positions,
        key: &NotificationKey,
        destination: &str,
        reason: &str,
        now: Timestamp,
        retention: SignedDuration,
    ) -> Result<OperatorOutcome, Fault> {
        let close = Transition::Closed { reason: reason.into() };
        let record = self.get(key).await?;
        let Some((record, delivery)) =
            record.as_ref().and_then(|record| Some((record, record.destinations.get(destination)?)))
        else {
            return Ok(OperatorOutcome::NotFound);
        };
        let sequence_key = SequenceKey::of(record, destination);
        let Some(sequence_key) = sequence_key.filter(|_| delivery.sequenced) else {
            return self.operate(key, destination, close, now, retention).await;
        };
        let update = positions.current(&sequence_key).await?.closing(&sequence_key);
        let mut commit = Commit { position: update.map(|update| (positions, update)), ..Commit::default() };
        let pending = by_operator(key, destination, close, now, retention);
        let closed = timeout(CLOSE_WITHIN, self.commit(pending, &mut commit)).await;
        let outcome = outcome(closed.unwrap_or(Err(Fault::out_of_time(TRANSACT).into())))?;
        let next = match &commit.position {
            Some((_, update)) => update.next().map(str::to_owned),
            // A repeat after a failure below finds it closed, and notifies the next one.
            None => positions.current(&sequence_key).await?.next(),
        };
        if let Some(next) = next {
            self.notify_next(&sequence_key.registered(&next), destination, now).await?;
        }
        Ok(outcome)
    }

    /// Dispatches a notification again whose turn has come, and says whether its record was found. One that was attempted has
    /// a copy, which waits.
    ///
    /// One that a later release holds is not for this release to dispatch. It is a fault, so that the caller comes
    /// back.
    pub(crate) async fn notify_next(
        &self,
        key: &NotificationKey,
        destination: &str,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let Some(record) = self.get(key).await? else { return Ok(false) };
        let delivery = record.destinations.get(destination);
        match delivery.map(|delivery| (delivery.state, delivery.attempts)) {
            Some((State::Pending, 0)) => match self.dispatch(key, now, Via::Stream).await? {
                OperatorOutcome::Applied => Ok(true),
                // It changed meanwhile.
                _ => Err(Fault::new(UPDATE_ITEM, Cause::Contended)),
            },
            Some((State::Unknown, 0)) => Err(Fault::new(GET_ITEM, Cause::LaterRelease)),
            _ => Ok(true),
        }
    }

    async fn operate(
        &self,
        key: &NotificationKey,
        destination: &str,
        transition: Transition,
        now: Timestamp,
        retention: SignedDuration,
    ) -> Result<OperatorOutcome, Fault> {
        outcome(self.apply(by_operator(key, destination, transition, now, retention)).await)
    }
}

/// An operator acts on a dead delivery most often, so that is the guess.
fn by_operator(
    key: &NotificationKey,
    destination: &str,
    transition: Transition,
    now: Timestamp,
    retention: SignedDuration,
) -> PendingTransition {
    let times = TransitionTimes { now, relayed_at: None, received_at: None, retention };
    let expected = Expected { from: State::Dead, ..Expected::guess(&transition, 1) };
    PendingTransition::new(key.clone(), destination, transition, expected, times)
}

fn outcome(applied: Result<TransitionOutcome, TransitionError>) -> Result<OperatorOutcome, Fault> {
    match applied {
        Ok(TransitionOutcome::Applied) => Ok(OperatorOutcome::Applied),
        Ok(TransitionOutcome::AlreadyApplied(state)) | Err(TransitionError::Refused(Refused::Was(state))) => {
            Ok(OperatorOutcome::Was(state))
        }
        Err(TransitionError::Refused(Refused::NoUnknownCall)) => Ok(OperatorOutcome::NoUnknownCall),
        Err(TransitionError::Refused(Refused::Held)) => Ok(OperatorOutcome::Held),
        Err(TransitionError::Fault(fault)) if !fault.is_missing_item() => Err(fault),
        Err(TransitionError::Invalid(fault)) => Err(fault),
        Err(
            TransitionError::Fault(_)
            | TransitionError::Refused(_)
            | TransitionError::Condition { .. }
            | TransitionError::Write { .. }
            | TransitionError::EmitConflict { .. }
            | TransitionError::Early
            | TransitionError::SequenceTaken,
        ) => Ok(OperatorOutcome::NotFound),
    }
}
