//! Processes the notifications of one key in order, at a sequenced destination. Each waits for its turn, and
//! whoever completes one goes on with the next that is registered (G8).
//!
//! If the function dies after a notification is completed and before the next one is, the copy is redelivered, and
//! goes on from there. It is not released before those that waited are completed, have a copy of their own, or are
//! dispatched again (G3).

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::handler::{Deadlines, DestinationSettings, Handled, Handler, WorkItem};
use super::retry_policy::NotCompleted;
use crate::aws::{Cause, Fault, pause};
use crate::notification::NotificationKey;
use crate::record::{
    Delivery, Position, PositionUpdate, Readiness, Record, Refused, SequenceKey, State, TransitionOutcome,
};
use crate::store::{GET_ITEM, TransitionError};

/// Most reads of a record whose position says that its sequence is completed, about 150 ms apart in all.
const FINAL_STATE_READS: u32 = 5;

/// What is processed one after another.
pub(crate) enum Group {
    Single(Box<WorkItem>),
    /// Those of one key that are applied in order, by their sequence.
    Ordered(Vec<(SequenceKey, WorkItem)>),
}

/// Groups by key what is applied in order. Everything else is a group of its own.
pub(crate) fn group_by_key(work: Vec<WorkItem>) -> Vec<Group> {
    let mut by_key: BTreeMap<String, Vec<(SequenceKey, WorkItem)>> = BTreeMap::new();
    let mut singles = Vec::new();
    for work in work {
        match work.sequence_key.clone() {
            Some(sequence_key) => {
                by_key.entry(sequence_key.key.clone()).or_default().push((sequence_key, work));
            }
            None => singles.push(Group::Single(Box::new(work))),
        }
    }
    let ordered = by_key.into_values().map(|mut group| {
        group.sort_by_key(|(sequence_key, _)| sequence_key.sequence);
        Group::Ordered(group)
    });
    ordered.chain(singles).collect()
}

/// What a group knows while it is processed.
struct Ordered<'a> {
    handler: &'a dyn Handler,
    settings: &'a DestinationSettings,
    deadlines: Deadlines,
    /// The position, where it is known.
    position: Option<Position>,
    /// Registered notifications whose turn came here, and that failed.
    failed: Vec<(WorkItem, NotCompleted)>,
    /// How many others are completed.
    completed: u32,
}

/// A completed notification, and the registered one whose turn has come.
struct Completed {
    outcome: TransitionOutcome,
    next: Option<String>,
}

/// Whether it is the turn of a notification, as far as its record says, too.
enum Turn {
    /// It is.
    Now(PositionUpdate),
    /// It was completed before.
    Past(Completed),
}

/// Processes the notifications of one key one after another, and with each those that waited for it.
pub(crate) async fn process_in_order(
    handler: &dyn Handler,
    settings: &DestinationSettings,
    group: Vec<(SequenceKey, WorkItem)>,
    deadlines: Deadlines,
) -> Vec<(WorkItem, Result<TransitionOutcome, NotCompleted>)> {
    let mut ordered =
        Ordered { handler, settings, deadlines, position: None, failed: Vec::new(), completed: 0 };
    let mut processed = Vec::with_capacity(group.len());
    let mut group = group.into_iter().peekable();
    while let Some((sequence_key, mut work)) = group.next() {
        let follower = group.peek().map(|(_, work)| work.id());
        // On the heap: what is not sequenced need not make room for it.
        let result = Box::pin(ordered.process(&mut work, &sequence_key, follower)).await;
        processed.push((work, result));
        processed.extend(ordered.failed.drain(..).map(|(work, error)| (work, Err(error))));
    }
    if ordered.completed > 0 {
        let (destination, completed) = (&settings.name, ordered.completed);
        tracing::info!(destination, completed, "went on with notifications that waited for their turn");
    }
    processed
}

impl Ordered<'_> {
    /// Applies a notification if it is its turn. Then goes on with those that are registered after it, up to the
    /// `follower` in this group. If that is not possible, its copy has to be redelivered.
    async fn process(
        &mut self,
        work: &mut WorkItem,
        sequence_key: &SequenceKey,
        follower: Option<&str>,
    ) -> Result<TransitionOutcome, NotCompleted> {
        let Completed { outcome, mut next } = self.apply(work, sequence_key).await?;
        while let Some(id) = next.take().filter(|id| follower != Some(id)) {
            let key = sequence_key.registered(&id);
            next = self.go_on(&work.copies, &key).await.inspect_err(|error| {
                let (source, destination) = (&key.source, &self.settings.name);
                tracing::warn!(id, source, destination, %error, "it waits, and cannot be gone on with");
            })?;
        }
        Ok(outcome)
    }

    /// Processes a registered notification whose turn has come, unless it has a copy that waits. Returns the one
    /// after it, if it is completed. If it fails and cannot be sent to the retry queue, `copies` are redelivered.
    async fn go_on(
        &mut self,
        copies: &[String],
        key: &NotificationKey,
    ) -> Result<Option<String>, NotCompleted> {
        let settings = self.settings;
        if Instant::now() >= self.deadlines.start_by {
            return self.leave_to_the_stream(key).await;
        }
        let (record, delivery) = self.deadlines.in_time(settings.delivery(key)).await?;
        let Some(sequence_key) = SequenceKey::of(&record, &settings.name) else {
            return Ok(None);
        };
        let (state, attempts) = (delivery.state, delivery.attempts);
        let mut work = WorkItem::of(&record, delivery, copies.to_vec(), settings);
        match state {
            State::Pending if attempts == 0 => match self.apply(&mut work, &sequence_key).await {
                Ok(completed) => {
                    self.completed += 1;
                    Ok(completed.next)
                }
                Err(NotCompleted::OutOfTime) => self.leave_to_the_stream(key).await,
                Err(error) => {
                    self.failed.push((work, error));
                    Ok(None)
                }
            },
            // A function of a later release decides. Its copy was dropped when it was early, so a new one waits for
            // that.
            State::Unknown => {
                let held = TransitionError::Refused(Refused::Was(State::Unknown));
                self.failed.push((work, held.into()));
                Ok(None)
            }
            // One that was attempted has a copy, which waits.
            State::Pending | State::Dead => Ok(None),
            State::Done | State::Rejected | State::Closed => {
                Ok(self.read_next(&sequence_key).await?.filter(|next| *next != key.id))
            }
        }
    }

    /// Dispatches a registered notification again for which no time is left: the retry queue may be full of what
    /// fails.
    async fn leave_to_the_stream(&self, key: &NotificationKey) -> Result<Option<String>, NotCompleted> {
        let DestinationSettings { ledger, name, clock, .. } = self.settings;
        self.deadlines.in_time(ledger.notify_next(key, name, clock.now())).await?;
        Ok(None)
    }

    /// Applies a notification if it is its turn.
    async fn apply(
        &mut self,
        work: &mut WorkItem,
        sequence_key: &SequenceKey,
    ) -> Result<Completed, NotCompleted> {
        if Instant::now() >= self.deadlines.start_by {
            return Err(NotCompleted::OutOfTime);
        }
        match self.deadlines.in_time(self.turn(work, sequence_key)).await? {
            Turn::Past(completed) => return Ok(completed),
            Turn::Now(update) => work.position = Some(update),
        }
        let handled = match self.handler.handle(self.settings, work, self.deadlines).await {
            Err(error) if error.finds_sequence_taken() => {
                // Maybe by another copy of it, after its condition on a registration failed.
                let state = self.deadlines.in_time(self.settings.final_state(sequence_key)).await?;
                let outcome = TransitionOutcome::AlreadyApplied(state.ok_or(error)?);
                Handled::Completed { outcome, moved: None }
            }
            handled => handled?,
        };
        match handled {
            Handled::Completed { outcome: TransitionOutcome::Applied, moved: Some(moved) } => {
                // What it says of later numbers was read before. Where that changed, the next commit corrects it.
                self.position = self.position.take().map(|was| was.moved(&moved));
                let next = moved.next().map(str::to_owned);
                Ok(Completed { outcome: TransitionOutcome::Applied, next })
            }
            // Applied by another holder, which may have died before it notified the next one.
            Handled::Completed { outcome, .. } => {
                Ok(Completed { outcome, next: self.read_next(sequence_key).await? })
            }
            Handled::ToMark(_) => unreachable!("a mark with a position is committed"),
        }
    }

    /// Reads the position. Returns the registered notification whose turn it is.
    async fn read_next(&mut self, sequence_key: &SequenceKey) -> Result<Option<String>, NotCompleted> {
        let position = self.deadlines.in_time(self.settings.position(sequence_key)).await?;
        let next = position.next();
        self.position = Some(position);
        Ok(next)
    }

    /// Whether it is the turn of a notification. The known position is brought up to date.
    async fn turn(
        &mut self,
        work: &mut WorkItem,
        sequence_key: &SequenceKey,
    ) -> Result<Turn, TransitionError> {
        let positions = &self.settings.positions;
        let mut position = match self.position.take() {
            Some(position) => position,
            None => positions.get(sequence_key).await?,
        };
        let mut readiness = positions.readiness(sequence_key, &mut position).await?;
        if readiness == (Readiness::Early { is_registered: false }) {
            if work.delivery.is_none() {
                self.settings.confirm(work).await?;
            }
            readiness = positions.register(sequence_key, &mut position).await?;
        }
        let next = position.next();
        self.position = Some(position);
        match readiness {
            Readiness::Ready(change) => Ok(Turn::Now(PositionUpdate::new(sequence_key, change))),
            Readiness::Early { .. } => Err(TransitionError::Early),
            Readiness::Past => match self.settings.final_state(sequence_key).await? {
                Some(state) => {
                    let outcome = TransitionOutcome::AlreadyApplied(state);
                    Ok(Turn::Past(Completed { outcome, next }))
                }
                None => Err(TransitionError::SequenceTaken),
            },
        }
    }
}

impl DestinationSettings {
    async fn position(&self, sequence_key: &SequenceKey) -> Result<Position, Fault> {
        self.positions.current(sequence_key).await
    }

    /// The record of a notification, and its delivery here.
    pub(crate) async fn delivery(&self, key: &NotificationKey) -> Result<(Record, Delivery), Fault> {
        let record = self.ledger.get(key).await?.ok_or(Fault::new(GET_ITEM, Cause::Missing))?;
        let delivery = record.destinations.get(&self.name).cloned();
        // It was dispatched to this destination, or is registered here.
        delivery.map(|delivery| (record, delivery)).ok_or(Fault::new(GET_ITEM, Cause::Missing))
    }

    /// Reads the record of a copy that is to be registered: under a number that only the copy says it would take the
    /// place of another notification.
    async fn confirm(&self, work: &mut WorkItem) -> Result<(), TransitionError> {
        let (record, delivery) = self.delivery(&work.key()).await?;
        if !work.agrees_with(&record, &delivery) {
            return Err(TransitionError::Refused(Refused::OtherContent));
        }
        work.look_at(&record, &self.name);
        Ok(())
    }

    /// The final state of a notification whose sequence is completed; `None` where another one completed it.
    async fn final_state(&self, sequence_key: &SequenceKey) -> Result<Option<State>, TransitionError> {
        // Of one transaction a read may see the position, and the next reads not yet the record.
        for tries in 1..=FINAL_STATE_READS {
            let (_, delivery) = self.delivery(sequence_key.notification()).await?;
            match delivery.state {
                State::Done | State::Rejected | State::Closed => return Ok(Some(delivery.state)),
                State::Unknown => return Err(TransitionError::Refused(Refused::Was(State::Unknown))),
                State::Pending | State::Dead if tries < FINAL_STATE_READS => pause(tries).await,
                State::Pending | State::Dead => (),
            }
        }
        Ok(None)
    }
}
