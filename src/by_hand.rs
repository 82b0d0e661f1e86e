//! What a person does with a notification that a destination gave up.
//!
//! Each is one conditional update. A repeat, or one that comes too late, changes nothing and
//! says how it stands.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use crate::due::{FIRST_DUE_AFTER, next};
use crate::fault::{Fault, pause};
use crate::ledger::{Ledger, Mark, Marked, NotMarked, TRIES_MAX};
use crate::moves::{Form, Lost, Move, Stamp, offer_again};
use crate::record::{Settled, State};
use crate::sequence::{Place, Positions, Turn};
use crate::transaction::{self, returned};

/// How long a close of what is sequenced tries.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is so now.
    Now,
    /// It was in this state, which this does not change.
    Was(State),
    /// There is no such notification, or it does not go to this destination.
    Unknown,
    /// No call of it is without an outcome, so there is nothing to settle.
    Known,
    /// A call of it may be under way; it says no more than that.
    Held,
    /// At a sequenced destination more than [`AHEAD_MAX`] are to come before it; close those first.
    ///
    /// [`AHEAD_MAX`]: crate::sequence::AHEAD_MAX
    Early,
}

impl Answer {
    /// Whether a dead letter that was received before may be deleted: a copy is on its way that
    /// brings another one if it fails, or there is nothing left to do.
    pub fn replaces_letter(self) -> bool {
        match self {
            Answer::Now => true,
            Answer::Was(state) => state.is_final(),
            Answer::Unknown | Answer::Known | Answer::Held | Answer::Early => false,
        }
    }
}

impl Ledger {
    /// Lets a destination that gave up try again, with six attempts: it goes into the stream
    /// once more. Mend the cause first.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn redrive(&self, id: &str, destination: &str, now: Timestamp) -> Result<Answer, Fault> {
        let it = Move::Redrive { due_at: now + FIRST_DUE_AFTER, settled: None, fence: None };
        self.by_hand(id, destination, it, now, SignedDuration::ZERO).await
    }

    /// Redrives what died of a call whose outcome is not known, and says what you have found out about
    /// it: that it took effect, or is to be made again. Not while that call, or another, may be under way
    /// still: then it says so, and what you found may not be true any more.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn settle(
        &self,
        id: &str,
        destination: &str,
        settled: Settled,
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        let record = self.get(id).await?;
        let Some(delivery) = record.as_ref().and_then(|it| it.destinations.get(destination)) else {
            return Ok(Answer::Unknown);
        };
        if delivery.lease_until.is_some_and(|until| until > now) {
            return Ok(Answer::Held);
        }
        let (settled, fence) = (Some(settled), Some(delivery.fence));
        let it = Move::Redrive { due_at: now + FIRST_DUE_AFTER, settled, fence };
        self.by_hand(id, destination, it, now, SignedDuration::ZERO).await
    }

    /// Tries again what a dead letter stands for. Where the destination is pending still, the
    /// notification is offered again: SQS itself moved its last copy, say. But the letter may also
    /// be ahead of its record, which is about to be marked dead; so it has to stay. Ask
    /// [`Answer::replaces_letter`] before you delete it.
    ///
    /// # Errors
    /// A [`Fault`]; keep the letter, and try again.
    pub async fn redrive_letter(&self, id: &str, destination: &str, now: Timestamp) -> Result<Answer, Fault> {
        let answer = self.redrive(id, destination, now).await?;
        if answer == Answer::Was(State::Pending) {
            self.offer_again(id, now).await?;
        }
        Ok(answer)
    }

    /// Offers a pending notification again, to replace copies that were lost: SQS itself moved
    /// the last one to a dead-letter queue, say. Attempts are not renewed. What is not pending
    /// anywhere, or was offered by somebody else just now, is left alone.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn offer_again(&self, id: &str, now: Timestamp) -> Result<Answer, Fault> {
        const CALL: &str = "UpdateItem";
        let Some(mut record) = self.get(id).await? else {
            return Ok(Answer::Unknown);
        };
        let mut tries = 0;
        while let Some(update) = offer_again(&record, now, |_, delivery| next(record.since(delivery), now)) {
            tries += 1;
            let item = match self.update(id, &update).await {
                Ok(None) => return Ok(Answer::Now),
                Ok(Some(item)) => item,
                Err(fault) if fault.is_retryable() && tries < TRIES_MAX => {
                    pause(tries).await;
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            let changed = returned(CALL, Some(item))?;
            if changed.offers > record.offers {
                // By this very call, whose answer was lost, or by somebody else: a copy is on its way.
                return Ok(Answer::Now);
            }
            record = changed;
        }
        let state = record.destinations.values().map(|delivery| delivery.state).next();
        Ok(state.map_or(Answer::Unknown, Answer::Was))
    }

    /// Ends a notification at a destination for good, so that no late copy can apply it: what
    /// it was to do was done by hand, or is not to be done. The reason is kept (512 bytes of
    /// it); an ended record is kept for `keep`.
    ///
    /// A sequenced destination goes on behind it, now or when its turn would have come. To close
    /// several of a key, begin with the last: the next one is woken as soon as nothing holds it.
    ///
    /// # Errors
    /// A [`Fault`]; try again, even where it is closed by now: whoever waits for that may not be woken yet.
    pub async fn close(
        &self,
        positions: &Positions,
        id: &str,
        destination: &str,
        reason: &str,
        now: Timestamp,
        keep: SignedDuration,
    ) -> Result<Answer, Fault> {
        let it = Move::Closed { reason: reason.into() };
        let record = self.get(id).await?;
        let Some(delivery) = record.as_ref().and_then(|it| it.destinations.get(destination)) else {
            return Ok(Answer::Unknown);
        };
        let place = record.as_ref().and_then(|it| Place::of(&it.notification(), destination));
        let Some(place) = place.filter(|_| delivery.sequenced) else {
            return self.by_hand(id, destination, it, now, keep).await;
        };
        let mut turn = positions.closing(&place, &positions.get(&place).await?);
        if turn.as_ref().is_some_and(Turn::is_too_early) {
            return Ok(Answer::Early);
        }
        let mark = mark_by_hand(id, destination, it, now, keep);
        let closed = timeout(CLOSE_WITHIN, self.commit(mark, &mut turn, &[], vec![])).await;
        let closed = closed.unwrap_or(Err(Fault::no_time(transaction::CALL).into()));
        let answer = answer(closed)?;
        let next = match &turn {
            Some(turn) => turn.wakes().map(str::to_owned),
            // Whoever repeats this when it failed here finds it closed, and wakes who waits.
            None => positions.get(&place).await?.next(),
        };
        if let Some(next) = next {
            self.wake(&next, destination, now).await?;
        }
        Ok(answer)
    }

    /// Offers a notification again whose turn has come; but one that was tried has a copy, which waits.
    async fn wake(&self, id: &str, destination: &str, now: Timestamp) -> Result<(), Fault> {
        let record = self.get(id).await?;
        let delivery = record.as_ref().and_then(|it| it.destinations.get(destination));
        if delivery.is_some_and(|it| it.state == State::Pending && it.attempts == 0) {
            self.offer_again(id, now).await?;
        }
        Ok(())
    }

    async fn by_hand(
        &self,
        id: &str,
        destination: &str,
        it: Move,
        now: Timestamp,
        keep: SignedDuration,
    ) -> Result<Answer, Fault> {
        answer(self.make(mark_by_hand(id, destination, it, now, keep)).await)
    }
}

/// What a person does most often, to what is dead.
fn mark_by_hand(id: &str, destination: &str, it: Move, now: Timestamp, keep: SignedDuration) -> Mark {
    let stamp = Stamp { now, relayed_at: None, received_at: None, ledger: keep };
    let form = Form { from: State::Dead, ..Form::guess(&it, 1) };
    Mark { id: id.into(), destination: destination.into(), it, form, stamp }
}

fn answer(made: Result<Marked, NotMarked>) -> Result<Answer, Fault> {
    match made {
        Ok(Marked::Now) => Ok(Answer::Now),
        Ok(Marked::Before(state)) | Err(NotMarked::Lost(Lost::Was(state))) => Ok(Answer::Was(state)),
        Err(NotMarked::Lost(Lost::Known)) => Ok(Answer::Known),
        Err(NotMarked::Lost(Lost::Held)) => Ok(Answer::Held),
        Err(NotMarked::Fault(fault)) if !fault.is_missing_record() => Err(fault),
        Err(NotMarked::Invalid(fault)) => Err(fault),
        Err(_) => Ok(Answer::Unknown),
    }
}
