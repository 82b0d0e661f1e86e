//! consume: lets a destination apply what it is offered, each notification once.
//!
//! Decode, decide, commit: the handler decides; its effect and the mark commit together.
//! If a commit fails before or after it took effect, or the function dies, the offer comes
//! again and meets the mark (G4). Distinct notifications run concurrently (G8).

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use aws_lambda_events::kinesis::KinesisEvent;
use aws_lambda_events::streams::KinesisEventResponse;
use futures_util::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::destination::Destination;
use crate::digest::emitted_id;
use crate::effect::{Effect, End, Failure};
use crate::ledger::{Ledger, Mark, Marked, NotMarked, STATEMENTS_MAX};
use crate::moves::{Form, Move, Stamp};
use crate::notification::Notification;
use crate::offer::Offer;
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
    name: String,
    ledger: Ledger,
    routes: Routes,
    keep: SignedDuration,
    clock: Clock,
}

/// A notification of a batch, with all its copies there.
struct Work {
    offer: Offer,
    received_at: Timestamp,
    sequence_numbers: Vec<String>,
}

/// What is left to do for a notification after its handler.
enum Step {
    /// Its mark changes the record alone; it goes with others.
    Mark(Box<Mark>, Vec<String>),
    /// It is decided: ended, or not.
    Settled(Settled),
}

/// How a notification came out, by the sequence numbers of its copies.
struct Settled {
    id: String,
    sequence_numbers: Vec<String>,
    result: Result<Marked, NotEnded>,
}

/// Why a notification has not ended.
#[derive(Debug, thiserror::Error)]
enum NotEnded {
    #[error("{}{}", .0.error, if .0.permanent { " (permanent)" } else { "" })]
    Failed(Failure),
    #[error(transparent)]
    NotMarked(#[from] NotMarked),
    #[error("no time is left in this invocation")]
    NoTime,
}

impl From<Failure> for NotEnded {
    fn from(failure: Failure) -> Self {
        NotEnded::Failed(failure)
    }
}

impl<D: Destination> Consumer<D> {
    /// Consumes as the destination of this name. `routes` are for what it emits; an ended
    /// record is kept for `keep`.
    pub fn new(
        destination: D,
        name: impl Into<String>,
        ledger: Ledger,
        routes: Routes,
        keep: SignedDuration,
        clock: Clock,
    ) -> Consumer<D> {
        Consumer { destination, name: name.into(), ledger, routes, keep, clock }
    }

    /// Handles a batch of the Kinesis stream. What has not ended by `until` is a batch item
    /// failure, and comes again.
    pub async fn receive(&self, event: KinesisEvent, until: Instant) -> KinesisEventResponse {
        let copies = event.records.len();
        let (work, undecodable) = self.work(event);
        let notifications = work.len();
        let steps = stream::iter(work).map(|work| self.step(work, until)).buffer_unordered(CONCURRENCY_MAX);
        // Without a bound of its own: to wait for marks must not keep handlers from running.
        let mark_calls = Semaphore::new(MARK_CALLS_MAX);
        let settled = steps.ready_chunks(STATEMENTS_MAX).map(|steps| self.settle(steps, &mark_calls, until));
        let settled: Vec<Settled> = settled.buffer_unordered(usize::MAX).concat().await;

        let mut response = KinesisEventResponse::default();
        let (mut now, mut before) = (0, 0);
        for Settled { id, sequence_numbers, result } in settled {
            match result {
                Ok(Marked::Now) => now += 1,
                Ok(Marked::Before(_)) => before += 1,
                Err(error) => {
                    tracing::warn!(id, destination = self.name, %error, "it comes again");
                    sequence_numbers.into_iter().for_each(|number| response.add_failure(number));
                }
            }
        }
        undecodable.into_iter().for_each(|number| response.add_failure(number));
        let failed = response.batch_item_failures.len();
        tracing::info!(destination = self.name, copies, notifications, now, before, failed, "consumed");
        response
    }

    /// The notifications of a batch that are for this destination, the copies of each
    /// together, and the sequence numbers of what cannot be read.
    fn work(&self, event: KinesisEvent) -> (Vec<Work>, Vec<String>) {
        let received_at = self.clock.now();
        let mut work: Vec<Work> = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        let mut undecodable = Vec::new();
        for record in event.records {
            let sequence_number = record.kinesis.sequence_number;
            match Offer::decode(&record.kinesis.data) {
                Ok(offer) if !offer.is_for(&self.name) => (),
                Ok(offer) => match by_id.get(&offer.notification.id) {
                    Some(at) => work[*at].sequence_numbers.push(sequence_number),
                    None => {
                        by_id.insert(offer.notification.id.clone(), work.len());
                        work.push(Work { offer, received_at, sequence_numbers: vec![sequence_number] });
                    }
                },
                Err(error) => {
                    tracing::error!(sequence_number, %error, "a record of the stream is not an offer");
                    undecodable.push(sequence_number);
                }
            }
        }
        (work, undecodable)
    }

    async fn step(&self, work: Work, until: Instant) -> Step {
        let id = work.offer.notification.id.clone();
        let Work { offer, received_at, sequence_numbers } = work;
        let settled = |sequence_numbers, result| Step::Settled(Settled { id, sequence_numbers, result });
        if Instant::now() >= until {
            return settled(sequence_numbers, Err(NotEnded::NoTime));
        }
        match timeout_at(until, self.apply(&offer, received_at)).await {
            Ok(Ok(Applied::Ended(marked))) => settled(sequence_numbers, Ok(marked)),
            Ok(Ok(Applied::ToMark(mark))) => Step::Mark(mark, sequence_numbers),
            Ok(Err(error)) => settled(sequence_numbers, Err(error)),
            Err(_) => settled(sequence_numbers, Err(NotEnded::NoTime)),
        }
    }

    /// Sends the marks among these steps together.
    async fn settle(&self, steps: Vec<Step>, calls: &Semaphore, until: Instant) -> Vec<Settled> {
        let (mut marks, mut numbers, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Settled(it) => settled.push(it),
                Step::Mark(mark, sequence_numbers) => {
                    numbers.push((mark.id.clone(), sequence_numbers));
                    marks.push(*mark);
                }
            }
        }
        if marks.is_empty() {
            return settled;
        }
        let mark = async {
            let _turn = calls.acquire().await;
            self.ledger.mark(marks).await
        };
        let results = match timeout_at(until, mark).await {
            Ok(results) => results.into_iter().map(|result| result.map_err(NotEnded::from)).collect(),
            Err(_) => numbers.iter().map(|_| Err(NotEnded::NoTime)).collect::<Vec<_>>(),
        };
        let marked = numbers.into_iter().zip(results);
        settled.extend(marked.map(|((id, sequence_numbers), result)| Settled {
            id,
            sequence_numbers,
            result,
        }));
        settled
    }

    /// Lets the handler decide, and commits what it decided, unless that is a mark alone.
    async fn apply(&self, offer: &Offer, received_at: Timestamp) -> Result<Applied, NotEnded> {
        let effect = self.decide(&offer.notification).await?;
        let emits = self.emits(&offer.notification, &effect)?;
        let mark = self.mark(offer, received_at, effect.end);
        if effect.writes.is_empty() && emits.is_empty() {
            return Ok(Applied::ToMark(Box::new(mark)));
        }
        Ok(Applied::Ended(self.ledger.commit(mark, &effect.writes, emits).await?))
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
            let mut notification = draft.clone().with_id(emitted_id(&parent.id, &self.name, name))?;
            notification.traceparent = notification.traceparent.or_else(|| parent.traceparent.clone());
            Record::accept(notification, &self.routes, self.clock.now())
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
        let stamp = Stamp {
            now: self.clock.now(),
            relayed_at: Some(offer.relayed_at),
            received_at: Some(received_at),
            ledger: self.keep,
        };
        let form = Form::guess(&it, offer.destinations.len());
        let (id, destination) = (offer.notification.id.clone(), self.name.clone());
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
