//! The two lanes that bring a destination its copies, the stream and its retry queue, and
//! what becomes of a copy whose notification did not end.
//!
//! A failing notification never holds up its shard: its copy moves to the retry queue (G8).
//! After a failed attempt, in this order: the copy that tries again, or the dead letter; then
//! the record; then the answer. If the function dies in between, a copy comes again, and the
//! record still counts right: a crash can add a copy or a try, never an effect (G3, G7).

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_lambda_events::streams::KinesisEventResponse;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::attempt::{NotEnded, Weight, gives_up, wait};
use crate::consume::{Consumer, Settled, Times, Work};
use crate::due::FIRST_DUE_AFTER;
use crate::fault::{Cause, Fault};
use crate::ledger::{Marked, NotMarked};
use crate::moves::{Lost, Move};
use crate::offer::{Offer, Offers};
use crate::parking::ERROR;
use crate::record::{Delivery, State};
use crate::sqs::{body, id, receives};

/// What becomes of the copies of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They have done their service: it ended, is dead, or another copy is parked.
    Drop,
    /// They come again, for the nth time: each wait is twice as long as the one before.
    Again { nth: u32 },
}

/// Where the copies came from, and what is known of the record.
#[derive(Clone, Copy, Debug)]
enum Lane {
    /// The stream: a copy that is to come again has to be parked.
    Stream,
    /// The retry queue: the copy stays there. So many attempts are recorded, and so often it
    /// was received; it may be a dead letter that somebody moved there.
    Retry { attempts: u32, receives: u32, is_letter: bool },
}

/// How long a copy of the stream waits that counted no attempt, at most: long enough for a
/// throttle to pass. In the retry queue it waits longer each time.
const UNCOUNTED_WAIT: Duration = Duration::from_secs(10);

impl Lane {
    /// The copy comes again as it came: with its batch, or later and later.
    fn as_it_is(self) -> Fate {
        match self {
            Lane::Stream => Fate::Again { nth: 1 },
            Lane::Retry { receives, .. } => Fate::Again { nth: receives },
        }
    }
}

impl Consumer {
    /// Handles a batch of the Kinesis stream by `until`. A batch item failure, which comes
    /// again with all that follows it, is only what could not even be parked.
    pub async fn receive(&self, offers: Offers, until: Instant) -> KinesisEventResponse {
        let (work, undecodable) = self.read(offers.copies());
        let buried = join_all(undecodable.into_iter().map(|(copy, data)| self.bury_raw(copy, data, until)));
        let (settled, unburied) = tokio::join!(self.consume(work, Times::until(until)), buried);
        let fates = self.fates(settled, until, |_| Lane::Stream).await;
        let mut response = KinesisEventResponse::default();
        let again = fates.into_iter().filter(|(_, fate)| *fate != Fate::Drop).flat_map(|(copies, _)| copies);
        again.chain(unburied.into_iter().flatten()).for_each(|copy| response.add_failure(copy));
        response
    }

    /// Handles a batch of the destination's retry queue by `until`. A batch item failure
    /// waits there for its next attempt.
    pub async fn retry(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        let times = Times::until(until);
        let messages: HashMap<&str, &SqsMessage> = event.records.iter().map(|it| (id(it), it)).collect();
        let copies = event.records.iter().map(|it| (id(it).to_owned(), body(it).into()));
        let (work, undecodable) = self.read(copies);
        let buried = join_all(undecodable.into_iter().map(|(copy, data)| self.bury_raw(copy, data, until)));
        let looked = join_all(work.into_iter().map(|work| self.look(work, &messages, until)));
        let (unburied, looked) = tokio::join!(buried, looked);

        let receives = |work: &Work| {
            let messages = work.copies.iter().filter_map(|copy| messages.get(copy.as_str()));
            messages.map(|message| receives(message)).max().unwrap_or(1)
        };
        let mut lanes = HashMap::new();
        let (mut open, mut again) = (Vec::new(), Vec::new());
        for (work, looked) in looked {
            match looked {
                Ok(None) => (),
                Ok(Some(attempts)) => {
                    let id = work.offer.notification.id.clone();
                    let is_letter = work.copies.iter().any(|copy| is_dead_letter(&messages, copy));
                    lanes.insert(id, Lane::Retry { attempts, receives: receives(&work), is_letter });
                    open.push(work);
                }
                Err(fault) => {
                    tracing::warn!(id = work.offer.notification.id, %fault, "a parked copy comes again");
                    again.push((receives(&work), work.copies));
                }
            }
        }
        let settled = self.consume(open, times).await;
        for (copies, fate) in self.fates(settled, until, |id| lanes[id]).await {
            if let Fate::Again { nth } = fate {
                again.push((nth, copies));
            }
        }
        // Of several copies one is enough; the others go. A dead letter stays before any other, since it
        // alone tries what is dead.
        let again: Vec<(u32, &String)> = again
            .iter()
            .filter_map(|(nth, copies)| {
                let letter = copies.iter().find(|copy| is_dead_letter(&messages, copy));
                Some((*nth, letter.or(copies.first())?))
            })
            .collect();
        let hide = again.iter().filter_map(|(nth, copy)| {
            let message = messages.get(copy.as_str())?;
            Some(self.settings.parking.hide(message, wait(self.settings.backoff, *nth, fastrand::f64())))
        });
        // Without it they come again all the same, only sooner.
        let _ = timeout_at(until, join_all(hide)).await;
        let mut response = SqsBatchResponse::default();
        let again = again.into_iter().map(|(_, copy)| copy.clone());
        response.set_failures(again.chain(unburied.into_iter().flatten()));
        response
    }

    /// The notifications that are for this destination, the copies of each together, and what
    /// is not an offer.
    fn read(&self, copies: impl Iterator<Item = (String, Vec<u8>)>) -> (Vec<Work>, Vec<(String, Vec<u8>)>) {
        let received_at = self.settings.clock.now();
        let mut work: Vec<Work> = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        let mut undecodable = Vec::new();
        for (copy, data) in copies {
            match Offer::decode(&data) {
                Ok(offer) if !offer.is_for(&self.settings.name) => (),
                Ok(offer) => match by_id.get(&offer.notification.id) {
                    Some(at) => work[*at].copies.push(copy),
                    None => {
                        by_id.insert(offer.notification.id.clone(), work.len());
                        let place = offer.place(&self.settings.name);
                        let (copies, delivery, turn) = (vec![copy], None, None);
                        work.push(Work { offer, received_at, copies, delivery, place, turn });
                    }
                },
                Err(_) => undecodable.push((copy, data)),
            }
        }
        (work, undecodable)
    }

    /// Sends what is not an offer to the dead-letter queue; returns the copy if that failed.
    async fn bury_raw(&self, copy: String, data: Vec<u8>, until: Instant) -> Option<String> {
        let why = "this is not an offer of a notification";
        tracing::error!(copy, destination = self.settings.name, why, "dead-lettered");
        let buried =
            timeout_at(until, self.settings.parking.dead_letters().bury_raw(&data, &self.settings.name, why))
                .await;
        (!matches!(buried, Ok(Ok(())))).then_some(copy)
    }

    /// Looks at the record before a parked copy is tried, for the attempts so far. Copies of
    /// what has ended are dropped, and those of a dead one, too, unless somebody moved its
    /// dead letter here: then there is nothing to try, and nobody to wake.
    async fn look(
        &self,
        mut work: Work,
        messages: &HashMap<&str, &SqsMessage>,
        until: Instant,
    ) -> (Work, Result<Option<u32>, Fault>) {
        const CALL: &str = "GetItem";
        let look = timeout_at(until, self.settings.ledger.get(&work.offer.notification.id)).await;
        let is_dead_letter = work.copies.iter().any(|copy| is_dead_letter(messages, copy));
        let attempts = match look {
            Err(_) => Err(Fault::no_time(CALL)),
            Ok(Err(fault)) => Err(fault),
            Ok(Ok(None)) => Err(Fault::new(CALL, Cause::Missing)),
            Ok(Ok(Some(mut record))) => {
                let is_sequenced = work.place.is_some();
                let has_a_use = |it: &Delivery| match it.state {
                    State::Pending => true,
                    State::Dead => is_dead_letter,
                    // Whoever ended it may have died before he woke the one that waited for that.
                    State::Done | State::Rejected | State::Closed => is_sequenced,
                };
                work.delivery = record.destinations.remove(&self.settings.name).filter(has_a_use);
                Ok(work.delivery.as_ref().map(|it| it.attempts))
            }
        };
        (work, attempts)
    }

    /// Settles what did not end; says what becomes of the copies of each.
    async fn fates(
        &self,
        settled: Vec<Settled>,
        until: Instant,
        lane: impl Fn(&str) -> Lane,
    ) -> Vec<(Vec<String>, Fate)> {
        let (mut now, mut before) = (0, 0);
        let mut not_ended = Vec::new();
        for Settled { work, result } in settled {
            match result {
                Ok(Marked::Now) => now += 1,
                Ok(Marked::Before(_)) => before += 1,
                Err(error) => not_ended.push((work, error)),
            }
        }
        let destination = &self.settings.name;
        tracing::info!(destination, now, before, not_ended = not_ended.len(), "consumed");
        join_all(not_ended.into_iter().map(async |(work, error)| {
            let id = work.offer.notification.id.as_str();
            let lane = lane(id);
            match error.is_woken() {
                true => tracing::debug!(id, destination, "waits for its turn"),
                false => {
                    tracing::warn!(id, destination, %error, weight = ?error.weight(), ?lane, "not ended")
                }
            }
            let fate = match timeout_at(until, self.count(&work, &error, lane)).await {
                Ok(Ok(fate)) => fate,
                Ok(Err(fault)) => {
                    tracing::warn!(id, destination, %fault, "the copy comes again as it is");
                    lane.as_it_is()
                }
                Err(_) => lane.as_it_is(),
            };
            (work.copies, fate)
        }))
        .await
    }

    /// Gives back what was not decided: it counts no attempt.
    async fn give_back(&self, work: &Work, lane: Lane) -> Result<Fate, Fault> {
        match lane {
            Lane::Stream => {
                let waits = wait(UNCOUNTED_WAIT.min(self.settings.backoff), 1, fastrand::f64());
                self.settings.parking.park(&work.offer, 0, waits).await.map(|()| Fate::Drop)
            }
            Lane::Retry { .. } => Ok(lane.as_it_is()),
        }
    }

    /// Parks or buries, then writes the attempt to the record. Where the record counts
    /// otherwise than was known, it is asked again with what it returned.
    async fn count(&self, work: &Work, error: &NotEnded, lane: Lane) -> Result<Fate, NotMarked> {
        let weight = error.weight();
        // A dead letter has to stay: nobody wakes what is dead, or about to be.
        if error.is_woken() && !matches!(lane, Lane::Retry { is_letter: true, .. }) {
            return Ok(Fate::Drop);
        }
        if weight == Weight::None {
            return Ok(self.give_back(work, lane).await?);
        }
        let (mut recorded, mut needs_parking) = match lane {
            Lane::Stream => (0, true),
            Lane::Retry { attempts, .. } => (attempts, false),
        };
        let (mut offers, mut needs_burying) = (work.offer.number, true);
        let call = error.called();
        loop {
            let number = recorded + 1;
            let (it, fate) = if gives_up(weight, number) {
                if needs_burying {
                    self.bury(work, number, error).await?;
                    needs_burying = false;
                }
                (
                    Move::Dead { attempts: recorded, offers, fails: true, reason: error.to_string(), call },
                    Fate::Drop,
                )
            } else {
                let waits = wait(self.settings.backoff, number, fastrand::f64());
                if needs_parking {
                    self.settings.parking.park(&work.offer, number, waits).await?;
                    needs_parking = false;
                }
                let due_at = self.settings.clock.now() + FIRST_DUE_AFTER + waits;
                let fate = match lane {
                    Lane::Stream => Fate::Drop,
                    Lane::Retry { .. } => Fate::Again { nth: number },
                };
                (Move::Attempt { number, error: error.to_string(), due_at, call }, fate)
            };
            let it = self.settings.move_of(work, it);
            match self.settings.ledger.make(it).await {
                Ok(Marked::Now) => return Ok(fate),
                Ok(Marked::Before(_)) => return Ok(Fate::Drop),
                Err(NotMarked::Lost(Lost::Counted(attempts))) => recorded = attempts,
                // If that was a redrive, the letter may have gone with it.
                Err(NotMarked::Lost(Lost::Offered(number))) => {
                    offers = number;
                    needs_burying = true;
                }
                // Another copy was last, or a person moved its dead letter here for this
                // attempt: there has to be one.
                Err(NotMarked::Lost(Lost::Was(State::Dead))) => {
                    if needs_burying {
                        self.bury(work, number, error).await?;
                    }
                    return Ok(Fate::Drop);
                }
                Err(other) => return Err(other),
            }
        }
    }

    async fn bury(&self, work: &Work, attempts: u32, error: &NotEnded) -> Result<(), Fault> {
        let destination = &self.settings.name;
        tracing::error!(id = work.offer.notification.id, destination, attempts, %error, "dead-lettered");
        self.settings
            .parking
            .dead_letters()
            .bury(&work.offer, destination, attempts, &error.to_string())
            .await
    }
}

/// Whether a message of the retry queue is a dead letter that somebody moved there.
fn is_dead_letter(messages: &HashMap<&str, &SqsMessage>, copy: &str) -> bool {
    messages.get(copy).is_some_and(|message| message.message_attributes.contains_key(ERROR))
}
