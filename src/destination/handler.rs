//! What the parts of a destination share: its settings, one notification's work, deadlines, and the handler.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::retry_policy::NotCompleted;
use super::retry_schedule::RetrySchedule;
use crate::clock::Clock;
use crate::notification::{NotificationKey, Routes, digest};
use crate::record::{
    Basis, Delivery, Dispatch, Expected, PendingTransition, PositionUpdate, Record, SequenceKey, Transition,
    TransitionOutcome, TransitionTimes,
};
use crate::store::{DestinationQueues, Ledger, Positions, TransitionError};

/// What a destination works with.
#[derive(Clone, Debug)]
pub struct DestinationSettings {
    /// The destination's name in the routes.
    pub name: String,
    /// The records.
    pub ledger: Ledger,
    /// The positions of what it applies in order.
    pub positions: Positions,
    /// The destination's queues.
    pub queues: DestinationQueues,
    /// The routes of what it emits.
    pub routes: Routes,
    /// How long a completed record is kept.
    pub retention: SignedDuration,
    /// How many attempts there are, and how long a copy waits after each.
    pub retries: RetrySchedule,
    /// How long a call of the handler may take, if that is less than the invocation has.
    pub handler_timeout: Option<Duration>,
    /// Most handlers of an invocation that run at once.
    pub concurrency: usize,
    /// Tells the time.
    pub clock: Clock,
}

/// A notification of a batch, with all its copies there.
#[derive(Debug)]
pub(crate) struct WorkItem {
    pub(crate) dispatch: Dispatch,
    pub(crate) received_at: Timestamp,
    /// The event source's names of the copies: sequence numbers, or message ids.
    pub(crate) copies: Vec<String>,
    /// Its delivery at this destination, where that was read.
    pub(crate) delivery: Option<Delivery>,
    /// The numbers of its record, as far as they are known.
    pub(crate) basis: Option<Basis>,
    /// Its sequence, where this destination applies it in order.
    pub(crate) sequence_key: Option<SequenceKey>,
    /// The change of the position that goes with its completion, when it is its turn.
    pub(crate) position: Option<PositionUpdate>,
}

impl WorkItem {
    /// A notification as a copy of it says.
    pub(crate) fn of_copy(
        copy: String,
        dispatch: Dispatch,
        received_at: Timestamp,
        destination: &str,
    ) -> WorkItem {
        let (basis, sequence_key) = (Basis::of_dispatch(&dispatch), dispatch.sequence_key(destination));
        let (copies, delivery, position) = (vec![copy], None, None);
        WorkItem { dispatch, received_at, copies, delivery, basis, sequence_key, position }
    }

    /// A notification as its record says, without a copy of its own.
    pub(crate) fn of(
        record: &Record,
        delivery: Delivery,
        copies: Vec<String>,
        settings: &DestinationSettings,
    ) -> WorkItem {
        let now = settings.clock.now();
        let dispatch = Dispatch::new(record, vec![settings.name.clone()], now);
        let sequence_key = dispatch.sequence_key(&settings.name);
        let (delivery, basis, position) = (Some(delivery), None, None);
        WorkItem { dispatch, received_at: now, copies, delivery, basis, sequence_key, position }
    }

    /// Adds a copy. Of several dispatches the latest counts.
    pub(crate) fn join(&mut self, copy: String, dispatch: Dispatch, destination: &str) {
        self.copies.push(copy);
        if dispatch.number > self.dispatch.number {
            self.basis = Basis::of_dispatch(&dispatch);
            self.sequence_key = dispatch.sequence_key(destination);
            self.dispatch = dispatch;
        }
    }

    /// Puts what the record says in place of what the copies say.
    pub(crate) fn look_at(&mut self, record: &Record, destination: &str) {
        let delivery = record.destinations.get(destination).cloned();
        let is_sequenced = delivery.as_ref().is_some_and(|delivery| delivery.sequenced);
        self.dispatch.notification = record.notification();
        self.dispatch.number = self.dispatch.number.min(record.dispatches);
        self.dispatch.sequenced = is_sequenced.then(|| destination.to_owned()).into_iter().collect();
        self.sequence_key = self.dispatch.sequence_key(destination);
        self.basis = Some(Basis::of(record));
        self.delivery = delivery;
    }

    /// Whether the record says what the copies say, of the content and of the order. Somebody else may have written them.
    pub(crate) fn agrees_with(&self, record: &Record, delivery: &Delivery) -> bool {
        self.sequence_key.is_some() == delivery.sequenced
            && digest(&self.dispatch.notification) == digest(&record.notification())
    }

    pub(crate) fn key(&self) -> NotificationKey {
        self.dispatch.notification.key()
    }

    pub(crate) fn id(&self) -> &str {
        &self.dispatch.notification.id
    }

    pub(crate) fn source(&self) -> &str {
        &self.dispatch.notification.source
    }
}

/// When the work of a batch has to stop, before its invocation does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// When the work began.
    pub(crate) begun: Instant,
    /// No handler starts after this.
    pub(crate) start_by: Instant,
    /// What still runs then is cancelled, and goes to the retry queue.
    pub(crate) end_by: Instant,
}

impl Deadlines {
    /// A handler has at least a quarter of the time, and so has what follows a failure.
    pub(crate) fn until(until: Instant) -> Deadlines {
        let begun = Instant::now();
        let left = until.saturating_duration_since(begun);
        Deadlines { begun, start_by: begun + left / 2, end_by: begun + Deadlines::of_handlers(left) }
    }

    /// Until when what comes before the handlers may take: half of the time in which they may begin.
    pub(crate) fn prepared_by(self) -> Instant {
        self.begun + (self.start_by - self.begun) / 2
    }

    /// The result of a step, if it ends in time.
    pub(crate) async fn in_time<T, E>(
        self,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, NotCompleted>
    where
        TransitionError: From<E>,
    {
        let result = timeout_at(self.end_by, step).await.map_err(|_| NotCompleted::OutOfTime)?;
        Ok(result.map_err(TransitionError::from)?)
    }

    /// When a handler that is still polled blocks its thread: a sixteenth of the time after handlers are cancelled.
    pub(crate) fn blocked_by(self) -> Instant {
        self.end_by + (self.end_by - self.begun) / 12
    }

    /// What handlers have of the time that an invocation may work.
    pub(crate) fn of_handlers(work_time: Duration) -> Duration {
        work_time * 3 / 4
    }
}

/// How a destination applies a notification: it commits an effect, or makes a call.
pub(crate) trait Handler: Send + Sync {
    fn handle<'a>(
        &'a self,
        settings: &'a DestinationSettings,
        work: &'a WorkItem,
        deadlines: Deadlines,
    ) -> BoxFuture<'a, Result<Handled, NotCompleted>>;
}

/// How far a handler has brought a notification.
pub(crate) enum Handled {
    /// It is completed, with this change of the position if it is sequenced.
    Completed { outcome: TransitionOutcome, moved: Option<PositionUpdate> },
    /// Its mark changes the record alone, and can be sent with others.
    ToMark(Box<PendingTransition>),
}

impl DestinationSettings {
    /// A transition at this destination that a copy led to. Where it rests on what the copy says, the record has to say
    /// the same.
    pub(crate) fn transition(&self, work: &WorkItem, transition: Transition) -> PendingTransition {
        let times = TransitionTimes {
            now: self.clock.now(),
            relayed_at: Some(work.dispatch.relayed_at),
            received_at: Some(work.received_at),
            retention: self.retention,
        };
        let expected = Expected::guess(&transition, work.dispatch.destinations.len());
        let rests_on_copy = work.delivery.is_none() && transition.applies_content();
        let digest = rests_on_copy.then(|| digest(&work.dispatch.notification));
        let sequenced = rests_on_copy.then(|| work.sequence_key.is_some());
        let pending = PendingTransition::new(work.key(), &self.name, transition, expected, times);
        PendingTransition { digest, sequenced, ..pending }
    }
}
