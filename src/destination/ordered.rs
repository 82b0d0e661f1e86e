//! Processes the notifications of one key in order, at a sequenced destination. Each waits for its turn, and
//! each completed one notifies the next (G8).
//!
//! If the function dies after a notification is completed and before the next one is notified, its copy is
//! redelivered, and then notifies the next one. It is not released before that (G3).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::handler::{Deadlines, DestinationSettings, Handled, Handler, WorkItem};
use super::retry_policy::NotCompleted;
use crate::aws::{Cause, Fault, pause};
use crate::notification::NotificationKey;
use crate::record::{
    Delivery, Dispatch, Position, PositionUpdate, Readiness, Record, Refused, SequenceKey, State,
    TransitionOutcome,
};
use crate::store::{GET_ITEM, TransitionError};

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
    /// The notification that was notified last.
    notified: Option<String>,
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

/// Processes the notifications of one key one after another.
pub(crate) async fn process_in_order(
    handler: &dyn Handler,
    settings: &DestinationSettings,
    group: Vec<(SequenceKey, WorkItem)>,
    deadlines: Deadlines,
) -> Vec<(WorkItem, Result<TransitionOutcome, NotCompleted>)> {
    let mut ordered = Ordered { handler, settings, deadlines, position: None, notified: None };
    let mut processed = Vec::with_capacity(group.len());
    let mut group = group.into_iter().peekable();
    while let Some((sequence_key, mut work)) = group.next() {
        let follower = group.peek().map(|(_, work)| work.id());
        // On the heap: what is not sequenced need not make room for it.
        let result = Box::pin(ordered.process(&mut work, &sequence_key, follower)).await;
        processed.push((work, result));
    }
    processed
}

impl Ordered<'_> {
    /// Applies a notification if it is its turn. Then notifies the next one, unless that is the `follower` in
    /// this group or was notified before. A completed one that cannot notify the next has to be redelivered.
    async fn process(
        &mut self,
        work: &mut WorkItem,
        sequence_key: &SequenceKey,
        follower: Option<&str>,
    ) -> Result<TransitionOutcome, NotCompleted> {
        let Completed { outcome, next } = self.apply(work, sequence_key).await?;
        let is_known = |id: &String| follower == Some(id) || self.notified.as_ref() == Some(id);
        if let Some(next) = next.filter(|id| !is_known(id)) {
            let notify =
                timeout_at(self.deadlines.end_by, self.settings.notify_next(&sequence_key.registered(&next)))
                    .await;
            notify.map_err(|_| NotCompleted::OutOfTime)?.map_err(TransitionError::from)?;
            self.notified = Some(next);
        }
        Ok(outcome)
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
        let turn = timeout_at(self.deadlines.end_by, self.turn(sequence_key)).await;
        match turn.map_err(|_| NotCompleted::OutOfTime)?? {
            Turn::Past(completed) => return Ok(completed),
            Turn::Now(update) => work.position = Some(update),
        }
        match self.handler.handle(self.settings, work, self.deadlines).await? {
            Handled::Completed { outcome: TransitionOutcome::Applied, next } => {
                // A guess for the follower. Where another is registered or closed, its commit corrects it.
                self.position = Some(Position::just(sequence_key.sequence));
                Ok(Completed { outcome: TransitionOutcome::Applied, next })
            }
            // Applied by another holder, which may have died before it notified the next one.
            Handled::Completed { outcome, .. } => {
                let position = timeout_at(self.deadlines.end_by, self.settings.position(sequence_key)).await;
                let position =
                    position.map_err(|_| NotCompleted::OutOfTime)?.map_err(TransitionError::from)?;
                let next = position.next();
                self.position = Some(position);
                Ok(Completed { outcome, next })
            }
            Handled::ToMark(_) => unreachable!("a mark with a position is committed"),
        }
    }

    /// Whether it is the turn of a notification. The known position is brought up to date.
    async fn turn(&mut self, sequence_key: &SequenceKey) -> Result<Turn, TransitionError> {
        let positions = self.settings.positions()?;
        let mut position = match self.position.take() {
            Some(position) => position,
            None => positions.get(sequence_key).await?,
        };
        let readiness = positions.readiness(sequence_key, &mut position).await?;
        let next = position.next();
        self.position = Some(position);
        match readiness {
            Readiness::Ready(change) => Ok(Turn::Now(PositionUpdate::new(sequence_key, change))),
            Readiness::Early { is_registered } => Err(TransitionError::Early { is_registered }),
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
        self.positions()?.get(sequence_key).await
    }

    /// The record of a notification, and its delivery here.
    async fn delivery(&self, key: &NotificationKey) -> Result<(Record, Delivery), Fault> {
        let record = self.ledger.get(key).await?.ok_or(Fault::new(GET_ITEM, Cause::Missing))?;
        let delivery = record.destinations.get(&self.name).cloned();
        // It was dispatched to this destination, or is registered here.
        delivery.map(|delivery| (record, delivery)).ok_or(Fault::new(GET_ITEM, Cause::Missing))
    }

    /// The final state of a notification whose sequence is completed; `None` where another one completed it.
    async fn final_state(&self, sequence_key: &SequenceKey) -> Result<Option<State>, TransitionError> {
        // Of one transaction a read may see the position, and the next read not yet the record.
        for tries in 1..=2 {
            let (_, delivery) = self.delivery(sequence_key.notification()).await?;
            match delivery.state {
                State::Done | State::Rejected | State::Closed => return Ok(Some(delivery.state)),
                State::Unknown => return Err(TransitionError::Refused(Refused::Was(State::Unknown))),
                State::Pending | State::Dead => (),
            }
            pause(tries).await;
        }
        Ok(None)
    }

    /// Sends a copy of a notification whose turn has come. Where it is completed meanwhile, does so for the one
    /// after it.
    async fn notify_next(&self, key: &NotificationKey) -> Result<(), Fault> {
        let mut key = key.clone();
        loop {
            let (record, delivery) = self.delivery(&key).await?;
            let next = match delivery.state {
                // One that was attempted has a copy, which waits.
                State::Pending if delivery.attempts == 0 => {
                    let dispatch = Dispatch::new(&record, vec![self.name.clone()], self.clock.now());
                    return self.queues.enqueue_retry(&dispatch, 0, Duration::ZERO).await;
                }
                State::Pending | State::Dead | State::Unknown => None,
                State::Done | State::Rejected | State::Closed => {
                    match SequenceKey::new(&record.notification(), &self.name) {
                        Some(sequence_key) => self.position(&sequence_key).await?.next(),
                        None => None,
                    }
                }
            };
            match next {
                Some(next) if next != key.id => key.id = next,
                _ => return Ok(()),
            }
        }
    }
}
