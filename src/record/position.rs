//! Order: a producer numbers the notifications of a `partitionkey`, and a sequenced destination applies each
//! after the one before it is completed there (G8). These are the decisions; `store/positions.rs` has the calls.
//!
//! The position of a key at a destination is an item of the `positions` table, which moves in the same
//! transaction as the mark. An early notification registers its id in that item, and its copy is dropped.
//! Whichever notification completes next reads that id and sends a fresh copy before it releases its own (G3).

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::attributes::{POSITION, POSITION_KEY};
use super::record::Item;
use super::update::{Condition, Path, Set, Update, number, text};
use crate::notification::{Notification, NotificationKey, SEQUENCE_MAX};

/// How far ahead of its key's position a notification can register. It bounds the item to this number of ids.
/// The copy of a notification that is still further ahead waits in the retry queue.
pub const AHEAD_MAX: u64 = 1_000;
/// Most registered sequences that one change of a position removes, so that its expression stays within
/// DynamoDB's 4 KB. A later change removes the rest.
const PASSED_MAX: usize = 100;

/// The sequence of a notification at one destination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SequenceKey {
    /// Key of the position: destination, source and partition key.
    pub(crate) key: String,
    /// Its number, from 1.
    pub(crate) sequence: u64,
    notification: NotificationKey,
}

/// How far a destination has come with a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Position {
    /// The sequence that completed last; 0 before the first.
    at: u64,
    /// What is known of later sequences.
    later: BTreeMap<u64, Later>,
}

#[derive(Clone, Debug, PartialEq)]
enum Later {
    /// The notification with this id came early and is registered.
    Registered(String),
    /// An operator closed it.
    Closed,
}

/// Whether it is the turn of a notification.
#[derive(Debug, PartialEq)]
pub(crate) enum Readiness {
    /// It is next. This change of the position goes with its completion.
    Ready(PositionChange),
    /// An earlier one is not completed. A registered notification is notified when its turn comes.
    Early { is_registered: bool },
    /// Its sequence is completed, or another notification is registered under it.
    Past,
}

/// How a position changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PositionChange {
    /// It moves.
    To {
        from: u64,
        to: u64,
        /// Registered sequences that it passes.
        passed: Vec<u64>,
        /// The id of the registered notification that is next.
        next: Option<String>,
    },
    /// It does not move; an operator closes a later sequence, which may be registered.
    Closed { at: u64, is_registered: bool },
}

/// The change of a position that goes into the transaction of a mark.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PositionUpdate {
    sequence_key: SequenceKey,
    change: PositionChange,
    by_operator: bool,
}

/// What a position update becomes when its condition failed.
#[derive(Debug, PartialEq)]
pub(crate) enum ReconsideredPosition {
    /// Send this one instead.
    SendAgain(PositionUpdate),
    /// The operator's close needs none: the sequence is completed.
    Unneeded,
    /// The position meets the condition after all: other writers are changing it.
    Contended,
    /// An earlier one is not completed.
    Early { is_registered: bool },
    /// The sequence is completed, or another notification is registered under it.
    SequenceTaken,
}

/// The item is not a position: somebody changed it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the item is not a position: `position` has to be a whole number from 1, or absent; correct the table"
)]
pub(crate) struct NotAPosition;

impl SequenceKey {
    /// The sequence of a notification at a destination, if it is numbered. The names of destinations and
    /// sources have no spaces.
    pub(crate) fn new(notification: &Notification, destination: &str) -> Option<SequenceKey> {
        let (key, sequence) = notification.partitionkey.as_ref().zip(notification.sequence)?;
        let key = format!("{destination} {} {key}", notification.source);
        Some(SequenceKey { key, sequence, notification: notification.key() })
    }

    /// The notification.
    pub(crate) fn notification(&self) -> &NotificationKey {
        &self.notification
    }

    /// The notification that is registered under this id. All of a key have one source.
    pub(crate) fn registered(&self, id: &str) -> NotificationKey {
        NotificationKey::new(id, &self.notification.source)
    }

    fn id(&self) -> &str {
        &self.notification.id
    }

    /// The key of the item.
    pub(crate) fn item_key(&self) -> Item {
        Item::from([(POSITION_KEY.to_owned(), text(&self.key))])
    }

    fn path(&self) -> Path {
        self.sequence.to_string()
    }
}

fn is_at(at: u64) -> Condition {
    match at {
        0 => Condition::Absent(POSITION.to_owned()),
        at => Condition::Is(POSITION.to_owned(), number(at)),
    }
}

impl Position {
    /// The position after this update was committed. What it knows of later sequences may be old.
    pub(crate) fn moved(mut self, update: &PositionUpdate) -> Position {
        let PositionChange::To { to, next, .. } = &update.change else { return self };
        let mut later = self.later.split_off(&(to + 1));
        match next {
            Some(id) => later.insert(to + 1, Later::Registered(id.clone())),
            None => later.remove(&(to + 1)),
        };
        Position { at: *to, later }
    }

    /// The sequence that completed last; 0 before the first.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Reads an item. An item that does not exist is the position before the first sequence. Unknown
    /// attributes are ignored.
    ///
    /// # Errors
    /// When the position is not a whole number from 1.
    pub(crate) fn decode(item: &Item) -> Result<Position, NotAPosition> {
        let at = match item.get(POSITION) {
            None => 0,
            Some(AttributeValue::N(at)) => at.parse().ok().filter(|at| *at > 0).unwrap_or(u64::MAX),
            Some(_) => u64::MAX,
        };
        if at > SEQUENCE_MAX {
            return Err(NotAPosition);
        }
        let later = item.iter().filter_map(|(name, value)| {
            let later = match value {
                AttributeValue::S(id) => Later::Registered(id.clone()),
                AttributeValue::Null(true) => Later::Closed,
                _ => return None,
            };
            Some((name.parse().ok()?, later))
        });
        Ok(Position { at, later: later.collect() })
    }

    /// How far it moves from a sequence on: it passes what was closed before.
    fn reach(&self, from: u64) -> u64 {
        let is_closed = |at: &u64| self.later.get(at) == Some(&Later::Closed);
        (from + 1..).take_while(is_closed).last().unwrap_or(from)
    }

    fn registered_at(&self, at: u64) -> Option<String> {
        match self.later.get(&at) {
            Some(Later::Registered(id)) => Some(id.clone()),
            Some(Later::Closed) | None => None,
        }
    }

    /// The id of the registered notification whose turn it is.
    pub(crate) fn next(&self) -> Option<String> {
        self.registered_at(self.at + 1)
    }

    /// Whether it is the turn of a notification. A sequence belongs to the notification that came first, even
    /// if that one only registered.
    pub(crate) fn readiness(&self, sequence_key: &SequenceKey) -> Readiness {
        let is_registered = match self.later.get(&sequence_key.sequence) {
            _ if sequence_key.sequence <= self.at => return Readiness::Past,
            None => false,
            Some(Later::Registered(id)) if id == sequence_key.id() => true,
            Some(Later::Registered(_) | Later::Closed) => return Readiness::Past,
        };
        if sequence_key.sequence > self.at + 1 {
            return Readiness::Early { is_registered };
        }
        let to = self.reach(sequence_key.sequence);
        let passed = self.later.range(..=to).map(|(at, _)| *at).take(PASSED_MAX).collect();
        Readiness::Ready(PositionChange::To { from: self.at, to, passed, next: self.registered_at(to + 1) })
    }

    /// The update that registers an early notification; none where its sequence is taken, or is too far
    /// ahead.
    pub(crate) fn registration(&self, sequence_key: &SequenceKey) -> Option<Update> {
        let is_near = sequence_key.sequence <= self.at + AHEAD_MAX;
        (is_near && !self.later.contains_key(&sequence_key.sequence)).then(|| Update {
            conditions: vec![is_at(self.at), Condition::Absent(sequence_key.path())],
            sets: vec![(sequence_key.path(), Set::To(text(sequence_key.id())))],
            removes: vec![],
        })
    }

    /// What an operator's close of a notification changes; nothing where its sequence is completed.
    pub(crate) fn closing(&self, sequence_key: &SequenceKey) -> Option<PositionUpdate> {
        let change = match self.readiness(sequence_key) {
            Readiness::Ready(change) => change,
            Readiness::Early { is_registered } => PositionChange::Closed { at: self.at, is_registered },
            Readiness::Past => return None,
        };
        Some(PositionUpdate { sequence_key: sequence_key.clone(), change, by_operator: true })
    }
}

impl PositionUpdate {
    /// The change of the position that goes with the completion of a notification.
    pub(crate) fn new(sequence_key: &SequenceKey, change: PositionChange) -> PositionUpdate {
        PositionUpdate { sequence_key: sequence_key.clone(), change, by_operator: false }
    }

    /// The key of the item.
    pub(crate) fn item_key(&self) -> Item {
        self.sequence_key.item_key()
    }

    /// Whether it closes a sequence that is too far ahead to be registered.
    pub(crate) fn is_too_early(&self) -> bool {
        match self.change {
            PositionChange::Closed { at, .. } => self.sequence_key.sequence > at + AHEAD_MAX,
            PositionChange::To { .. } => false,
        }
    }

    /// The id of the registered notification whose turn comes with it.
    pub(crate) fn next(&self) -> Option<&str> {
        match &self.change {
            PositionChange::To { next, .. } => next.as_deref(),
            PositionChange::Closed { .. } => None,
        }
    }

    /// Decides on the position that DynamoDB returned with the failed condition.
    pub(crate) fn reconsider(&self, position: &Position) -> ReconsideredPosition {
        let update = match (self.by_operator, position.readiness(&self.sequence_key)) {
            (true, _) => match position.closing(&self.sequence_key) {
                Some(update) => update,
                None => return ReconsideredPosition::Unneeded,
            },
            (false, Readiness::Ready(change)) => PositionUpdate { change, ..self.clone() },
            (false, Readiness::Early { is_registered }) => {
                return ReconsideredPosition::Early { is_registered };
            }
            (false, Readiness::Past) => return ReconsideredPosition::SequenceTaken,
        };
        match update == *self {
            true => ReconsideredPosition::Contended,
            false => ReconsideredPosition::SendAgain(update),
        }
    }

    /// Its condition is the position that was read. An operator's close is never undone, so the condition need
    /// not repeat it. It also fails if a successor registered meanwhile, with which nobody would go on, or if
    /// another notification registered under this sequence.
    pub(crate) fn update(&self) -> Update {
        let path = self.sequence_key.path();
        match &self.change {
            PositionChange::To { from, to, passed, next } => {
                let successor = (to + 1).to_string();
                let successor = match next {
                    Some(id) => Condition::Is(successor, text(id)),
                    None => Condition::Absent(successor),
                };
                let own = Condition::AbsentOr(path, text(self.sequence_key.id()));
                Update {
                    conditions: vec![is_at(*from), successor, own],
                    sets: vec![(POSITION.to_owned(), Set::To(number(to)))],
                    removes: passed.iter().map(u64::to_string).collect(),
                }
            }
            PositionChange::Closed { at, is_registered } => Update {
                conditions: vec![
                    is_at(*at),
                    match is_registered {
                        true => Condition::Is(path.clone(), text(self.sequence_key.id())),
                        false => Condition::Absent(path.clone()),
                    },
                ],
                sets: vec![(path, Set::To(AttributeValue::Null(true)))],
                removes: vec![],
            },
        }
    }
}

#[cfg(test)]
mod tests;
