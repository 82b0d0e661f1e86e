//! consume: lets a destination apply what it is offered, each notification once.
//!
//! Decode, decide, commit: the handler decides; its effect and the mark commit together.
//! If a commit fails before or after it took effect, or the function dies, the offer comes
//! again and meets the mark (G4). Distinct notifications run concurrently (G8). What follows
//! when one does not end is in `lane.rs`.

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::attempt::NotEnded;
use crate::clock::Clock;
use crate::destination::Destination;
use crate::digest::emitted_id;
use crate::effect::{Effect, End, Failure};
use crate::ledger::{Ledger, Mark, Marked, STATEMENTS_MAX};
use crate::moves::{Form, Move, Stamp};
use crate::notification::Notification;
use crate::offer::Offer;
use crate::parking::Parking;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::route::Routes;

/// Notifications applied at once.
const CONCURRENCY_MAX: usize = 64;
/// Batches of marks sent at once.
const MARK_CALLS_MAX: usize = 4;

/// The stage that consumes, for one destination.
#[derive(Debug)]
pub struct Consumer<D> {
    destination: D,
    pub(crate) settings: Settings,
}

/// What a consumer works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The destination's name, as routes have it.
    pub name: String,
    /// The records.
    pub ledger: Ledger,
    /// The destination's queues.
    pub parking: Parking,
    /// Where emits go.
    pub routes: Routes,
    /// How long an ended record is kept.
    pub keep: SignedDuration,
    /// How long a copy waits after the first failed attempt; twice as long after each other.
    pub backoff: std::time::Duration,
    /// The time.
    pub clock: Clock,
}

/// A notification of a batch, with all its copies there.
#[derive(Debug)]
pub(crate) struct Work {
    pub offer: Offer,
    pub received_at: Timestamp,
    /// What the event source calls the copies: sequence numbers, or message ids.
    pub copies: Vec<String>,
}

/// When work of a batch has to stop, before its invocation does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// No handler begins after this.
    begin_by: Instant,
    /// What still runs is cancelled, and parked.
    end_by: Instant,
}

impl Times {
    /// A handler has at least a quarter of the time, and what did not end has the last.
    pub(crate) fn until(until: Instant) -> Times {
        let now = Instant::now();
        let left = until.saturating_duration_since(now);
        Times { begin_by: now + left / 2, end_by: now + left * 3 / 4 }
    }
}

/// What is left to do for a notification after its handler.
enum Step {
    /// Its mark changes the record alone; it goes with others.
    Mark(Box<Mark>, Work),
    /// It is decided.
    Settled(Settled),
}

/// How a notification came out.
#[derive(Debug)]
pub(crate) struct Settled {
    pub work: Work,
    pub result: Result<Marked, NotEnded>,
}

impl<D: Destination> Consumer<D> {
    /// Consumes as this destination.
    pub fn new(destination: D, settings: Settings) -> Consumer<D> {
        Consumer { destination, settings }
    }

    /// Applies each, once.
    pub(crate) async fn consume(&self, work: Vec<Work>, times: Times) -> Vec<Settled> {
        let steps = stream::iter(work).map(|work| self.step(work, times)).buffer_unordered(CONCURRENCY_MAX);
        // Without a bound of its own: to wait for marks must not keep handlers from running.
        let mark_calls = Semaphore::new(MARK_CALLS_MAX);
        let settled = steps.ready_chunks(STATEMENTS_MAX).map(|steps| self.settle(steps, &mark_calls, times));
        settled.buffer_unordered(usize::MAX).concat().await
    }

    async fn step(&self, work: Work, times: Times) -> Step {
        let settled = |work, result| Step::Settled(Settled { work, result });
        if Instant::now() >= times.begin_by {
            return settled(work, Err(NotEnded::NoTime));
        }
        match self.apply(&work.offer, work.received_at, times.end_by).await {
            Ok(Applied::Ended(marked)) => settled(work, Ok(marked)),
            Ok(Applied::ToMark(mark)) => Step::Mark(mark, work),
            Err(error) => settled(work, Err(error)),
        }
    }

    /// Sends the marks among these steps together.
    async fn settle(&self, steps: Vec<Step>, calls: &Semaphore, times: Times) -> Vec<Settled> {
        let (mut marks, mut marked, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Settled(it) => settled.push(it),
                Step::Mark(mark, work) => {
                    marks.push(*mark);
                    marked.push(work);
                }
            }
        }
        if marks.is_empty() {
            return settled;
        }
        let mark = async {
            let _turn = calls.acquire().await;
            self.settings.ledger.mark(marks).await
        };
        let results = match timeout_at(times.end_by, mark).await {
            Ok(results) => results.into_iter().map(|result| result.map_err(NotEnded::from)).collect(),
            Err(_) => marked.iter().map(|_| Err(NotEnded::NoTime)).collect::<Vec<_>>(),
        };
        settled.extend(marked.into_iter().zip(results).map(|(work, result)| Settled { work, result }));
        settled
    }

    /// Lets the handler decide, and commits what it decided, unless that is a mark alone. A
    /// handler that takes too long has failed; a commit that does, has not.
    async fn apply(
        &self,
        offer: &Offer,
        received_at: Timestamp,
        end_by: Instant,
    ) -> Result<Applied, NotEnded> {
        let decided = timeout_at(end_by, self.decide(&offer.notification)).await;
        let effect = decided.unwrap_or_else(|_| Err(Failure::passing("the handler took too long")))?;
        let emits = self.emits(&offer.notification, &effect)?;
        let mark = self.mark(offer, received_at, effect.end);
        if effect.writes.is_empty() && emits.is_empty() {
            return Ok(Applied::ToMark(Box::new(mark)));
        }
        let commit = self.settings.ledger.commit(mark, &effect.writes, emits);
        let marked = timeout_at(end_by, commit).await.map_err(|_| NotEnded::NoTime)?;
        Ok(Applied::Ended(marked?))
    }

    /// Calls the handler. Its panic is the failure of this one notification.
    async fn decide(&self, notification: &Notification) -> Result<Effect, Failure> {
        let decide = async {
            let typed = notification.typed::<D::Data>().map_err(|error| undecodable(&error))?;
            self.destination.apply(&typed).await
        };
        let decided = AssertUnwindSafe(decide).catch_unwind().await;
        let effect = decided.unwrap_or_else(|_| Err(Failure::passing("the handler panicked")))?;
        effect.check()?;
        Ok(effect)
    }

    /// The INIT records of what the effect emits. A refusal would be the same each time.
    fn emits(&self, parent: &Notification, effect: &Effect) -> Result<Vec<Record>, Failure> {
        let record = |(name, draft): &(String, crate::Draft)| -> Result<Record, Refusal> {
            let mut notification =
                draft.clone().with_id(emitted_id(&parent.id, &self.settings.name, name))?;
            notification.traceparent = notification.traceparent.or_else(|| parent.traceparent.clone());
            Record::accept(notification, &self.settings.routes, self.settings.clock.now())
        };
        let records = effect.emits.iter().map(|emit| {
            record(emit).map_err(|refusal| Failure::permanent(format!("emit `{}`: {refusal}", emit.0)))
        });
        records.collect()
    }

    fn mark(&self, offer: &Offer, received_at: Timestamp, end: End) -> Mark {
        let it = match end {
            // A refused result did not pass `Effect::check`.
            End::Done { result } => Move::Done { result: result.and_then(Result::ok), fence: None },
            End::Rejected { reason } => Move::Rejected { reason, fence: None },
        };
        let form = Form::guess(&it, offer.destinations.len());
        self.move_of(offer, received_at, it, form)
    }

    /// A move of this destination that an offer led to.
    pub(crate) fn move_of(&self, offer: &Offer, received_at: Timestamp, it: Move, form: Form) -> Mark {
        let stamp = Stamp {
            now: self.settings.clock.now(),
            relayed_at: Some(offer.relayed_at),
            received_at: Some(received_at),
            ledger: self.settings.keep,
        };
        let (id, destination) = (offer.notification.id.clone(), self.settings.name.clone());
        Mark { id, destination, it, form, stamp }
    }
}

/// Says where, and not what: serde's own text quotes the data.
fn undecodable(error: &serde_json::Error) -> Failure {
    let column = error.column();
    Failure::permanent(format!(
        "the data is not of the type that this destination takes (at byte {column} of its canonical JSON)"
    ))
}

/// How far a notification has come with its handler's decision.
enum Applied {
    Ended(Marked),
    ToMark(Box<Mark>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecodable_data_is_said_without_quoting_it() {
        let json = crate::Json::of(&serde_json::json!({ "card": "4111 1111 1111 1111" })).unwrap();
        let error = json.to::<std::collections::BTreeMap<String, u32>>().unwrap_err();
        let failure = undecodable(&error);
        assert!(failure.permanent);
        assert!(!failure.error.contains("4111") && failure.error.contains("at byte 29"), "{}", failure.error);
    }
}
