//! consume: lets a destination apply what it is offered, each notification once.
//!
//! Decode, decide, commit: the handler decides; its effect and the mark commit together.
//! If a commit fails before or after it took effect, or the function dies, the offer comes
//! again and meets the mark (G4). A call to somebody else's API, which no transaction spans, is made
//! by `external.rs` instead. Distinct notifications run concurrently (G8); those that are applied in
//! sequence wait for their turn, in `line.rs`. What follows when one does not end is in `lane.rs`.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::attempt::NotEnded;
use crate::clock::Clock;
use crate::destination::Destination;
use crate::digest::emitted_id;
use crate::effect::{Effect, End, Failure};
use crate::external::{Calls, External};
use crate::ledger::{Ledger, Mark, Marked, STATEMENTS_MAX};
use crate::line::lines;
use crate::moves::{Form, Move, Stamp};
use crate::notification::Notification;
use crate::offer::Offer;
use crate::parking::Parking;
use crate::record::{Delivery, Record};
use crate::refusal::Refusal;
use crate::route::Routes;
use crate::sequence::{Place, Positions, Turn};

/// Notifications applied at once. Each may have a connection of its own, which takes memory, and so many
/// transactions keep a processor busy for longer than one of them takes (`make bench`).
const CONCURRENCY_MAX: usize = 48;
/// Batches of marks sent at once.
const MARK_CALLS_MAX: usize = 4;

/// The stage that consumes, for one destination.
pub struct Consumer {
    pub(crate) handler: Box<dyn Handler>,
    pub(crate) settings: Settings,
}

/// What a destination does with a notification: it commits an effect, or makes a call.
pub(crate) trait Handler: Send + Sync {
    fn handle<'a>(
        &'a self,
        settings: &'a Settings,
        work: &'a Work,
        times: Times,
    ) -> BoxFuture<'a, Result<Applied, NotEnded>>;
}

/// What a consumer works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The destination's name, as routes have it.
    pub name: String,
    /// The records.
    pub ledger: Ledger,
    /// How far it has come with each key, where it applies notifications in sequence.
    pub positions: Option<Positions>,
    /// The destination's queues.
    pub parking: Parking,
    /// Where emits go.
    pub routes: Routes,
    /// How long an ended record is kept.
    pub keep: SignedDuration,
    /// How long a copy waits after the first failed attempt; twice as long after each other.
    pub backoff: Duration,
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
    /// Where it stands at this destination, where that was read.
    pub delivery: Option<Delivery>,
    /// Its place, where this destination applies it in sequence.
    pub place: Option<Place>,
    /// What ends with it there, when it is its turn.
    pub turn: Option<Turn>,
}

/// When work of a batch has to stop, before its invocation does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When it began.
    pub begun: Instant,
    /// No handler begins after this.
    pub begin_by: Instant,
    /// What still runs is cancelled, and parked.
    pub end_by: Instant,
}

impl Times {
    /// A handler has at least a quarter of the time, and what did not end has the last.
    pub(crate) fn until(until: Instant) -> Times {
        let begun = Instant::now();
        let left = until.saturating_duration_since(begun);
        Times { begun, begin_by: begun + left / 2, end_by: begun + left * 3 / 4 }
    }
}

/// What is left to do for a notification after its handler.
pub(crate) enum Step {
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

impl Consumer {
    /// Consumes as this destination.
    pub fn new(destination: impl Destination, settings: Settings) -> Consumer {
        Consumer { handler: Box::new(Commits(destination)), settings }
    }

    /// Consumes as this destination, whose effect is a call.
    pub fn external(external: impl External, settings: Settings) -> Consumer {
        Consumer { handler: Box::new(Calls(external)), settings }
    }

    /// Applies each, once.
    pub(crate) async fn consume(&self, work: Vec<Work>, times: Times) -> Vec<Settled> {
        let steps = stream::iter(lines(work)).map(|line| self.line(line, times));
        let steps = steps.buffer_unordered(CONCURRENCY_MAX).flat_map(stream::iter);
        // Without a bound of its own: to wait for marks must not keep handlers from running.
        let mark_calls = Semaphore::new(MARK_CALLS_MAX);
        let settled = steps.ready_chunks(STATEMENTS_MAX).map(|steps| self.settle(steps, &mark_calls, times));
        settled.buffer_unordered(usize::MAX).concat().await
    }

    pub(crate) async fn step(&self, work: Work, times: Times) -> Step {
        let settled = |work, result| Step::Settled(Settled { work, result });
        if Instant::now() >= times.begin_by {
            return settled(work, Err(NotEnded::NoTime));
        }
        match self.handler.handle(&self.settings, &work, times).await {
            Ok(Applied::Ended { marked, .. }) => settled(work, Ok(marked)),
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
                    marked.push((work, mark.it.fence()));
                    marks.push(*mark);
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
        settled.extend(marked.into_iter().zip(results).map(|((work, fence), result)| Settled {
            work,
            result: result.map_err(|error| error.of_call(fence)),
        }));
        settled
    }
}

/// A destination whose effect commits with the mark.
struct Commits<D>(D);

impl<D: Destination> Handler for Commits<D> {
    /// Lets the handler decide, and commits what it decided. A handler that takes too long has
    /// failed; a commit that does, has not.
    fn handle<'a>(
        &'a self,
        settings: &'a Settings,
        work: &'a Work,
        times: Times,
    ) -> BoxFuture<'a, Result<Applied, NotEnded>> {
        let handle = async move {
            let typed = typed(&work.offer.notification)?;
            let effect = decided(self.0.apply(&typed), times).await?;
            settings.apply(work, effect, None, times).await
        };
        handle.boxed()
    }
}

/// The notification with its data.
pub(crate) fn typed<D: DeserializeOwned>(notification: &Notification) -> Result<Notification<D>, Failure> {
    notification.typed().map_err(|error| undecodable(&error))
}

/// What a handler decides. Its panic is the failure of this one notification.
pub(crate) async fn decided(
    decide: impl Future<Output = Result<Effect, Failure>>,
    times: Times,
) -> Result<Effect, Failure> {
    match timeout_at(times.end_by, caught(decide)).await {
        Ok(Some(decided)) => decided,
        Ok(None) => Err(Failure::passing("the handler panicked")),
        Err(_) => Err(Failure::passing("the handler took too long")),
    }
}

/// What the user's code came to, unless it panicked.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

impl Settings {
    /// Commits an effect with its mark, unless that is a mark alone.
    pub(crate) async fn apply(
        &self,
        work: &Work,
        effect: Effect,
        fence: Option<u32>,
        times: Times,
    ) -> Result<Applied, NotEnded> {
        effect.check(work.turn.is_some())?;
        let emits = self.emits(&work.offer.notification, &effect)?;
        let it = match effect.end {
            // A refused result did not pass `Effect::check`.
            End::Done { result } => Move::Done { result: result.and_then(Result::ok), fence },
            End::Rejected { reason } => Move::Rejected { reason, fence },
        };
        let mark = self.move_of(work, it);
        let mut turn = work.turn.clone();
        if effect.writes.is_empty() && emits.is_empty() && turn.is_none() {
            return Ok(Applied::ToMark(Box::new(mark)));
        }
        // On the heap, like what stands in a line: a mark alone need not make room for it.
        let commit = Box::pin(self.ledger.commit(mark, &mut turn, &effect.writes, emits));
        let marked = timeout_at(times.end_by, commit).await.map_err(|_| NotEnded::NoTime)??;
        let waits = turn.as_ref().and_then(Turn::wakes).map(str::to_owned);
        Ok(Applied::Ended { marked, waits })
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

    /// A move of this destination that a copy led to.
    pub(crate) fn move_of(&self, work: &Work, it: Move) -> Mark {
        let stamp = Stamp {
            now: self.clock.now(),
            relayed_at: Some(work.offer.relayed_at),
            received_at: Some(work.received_at),
            ledger: self.keep,
        };
        let form = Form::guess(&it, work.offer.destinations.len());
        let (id, destination) = (work.offer.notification.id.clone(), self.name.clone());
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
pub(crate) enum Applied {
    /// It has ended, and so it is the turn of the one who waits for that.
    Ended { marked: Marked, waits: Option<String> },
    /// Its mark can go with others.
    ToMark(Box<Mark>),
}

impl Applied {
    /// It had ended.
    pub(crate) fn ended(marked: Marked) -> Applied {
        Applied::Ended { marked, waits: None }
    }
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
