//! Order: a producer numbers the notifications of a `partitionkey`, and a sequenced destination applies each
//! after the one before it is completed there (G8). These are the decisions; `store/positions.rs` has the calls.
//!
//! The position of a key at a destination is an item of the `positions` table, which moves in the same
//! transaction as the mark. An early notification registers its id in an item beside it, under its own sequence, and
//! its copy is dropped. Whoever completes the one before it reads that id and goes on with it before it releases
//! its own copy (G3).

mod change;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::attributes::{CLOSED, ID, POSITION, REGISTERED_TO, SEQUENCE};
use super::record::Item;
use super::sequence::SequenceKey;
use super::update::{Condition, Set, Update, number};
use crate::notification::SEQUENCE_MAX;
pub(crate) use change::{PositionChange, PositionUpdate, Write};

/// How far a destination has come with a key, and what is known of the sequences after that.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Position {
    /// The sequence that completed last; 0 before the first.
    at: u64,
    /// The largest sequence that is registered; `None` where none after the position is.
    registered_to: Option<u64>,
    /// The registrations that were read.
    registrations: BTreeMap<u64, Registration>,
    /// Registrations were read after the first of these sequences, and up to the second.
    read: (u64, u64),
}

#[derive(Clone, Debug, PartialEq)]
enum Registration {
    /// The notification with this id came early, and waits.
    Waits(String),
    /// An operator closed it.
    Closed,
}

/// Whether it is the turn of a notification.
#[derive(Debug, PartialEq)]
pub(crate) enum Readiness {
    /// It is next. This change of the position goes with its completion.
    Ready(PositionChange),
    /// An earlier one is not completed. A registered notification is gone on with when its turn comes.
    Early { is_registered: bool },
    /// Its sequence is completed, or another notification is registered under it.
    Past,
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
    /// The sequence is completed, or another notification is registered under it.
    SequenceTaken,
}

/// An item of the `positions` table has not the form of one: somebody changed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAPosition {
    #[error(
        "the item is not a position: `position` and `registered_to` have to be whole numbers from 1, or absent; correct the table"
    )]
    Position,
    #[error(
        "the item is not a registration: `sequence` has to be a whole number from 1, and `id` a text; correct the table"
    )]
    Registration,
}

/// The sequence in an attribute; `None` where there is no such attribute.
fn sequence_in(item: &Item, name: &str) -> Result<Option<u64>, NotAPosition> {
    let Some(value) = item.get(name) else { return Ok(None) };
    let sequence = value.as_n().ok().and_then(|digits| digits.parse().ok());
    sequence.filter(|at| (1..=SEQUENCE_MAX).contains(at)).map(Some).ok_or(NotAPosition::Position)
}

impl Position {
    /// Reads the item of the position. One that does not exist is the position before the first sequence. Unknown
    /// attributes are ignored.
    ///
    /// # Errors
    /// When an attribute is not a whole number from 1.
    pub(crate) fn decode(item: &Item) -> Result<Position, NotAPosition> {
        let at = sequence_in(item, POSITION)?.unwrap_or_default();
        let registered_to = sequence_in(item, REGISTERED_TO)?;
        Ok(Position { at, registered_to, registrations: BTreeMap::new(), read: (at, at) })
    }

    /// Adds the registrations that were read from a sequence on; after a last page there are no more.
    ///
    /// # Errors
    /// When an item is not a registration.
    pub(crate) fn read(&mut self, from: u64, page: &[Item], is_last: bool) -> Result<(), NotAPosition> {
        if self.read.1 + 1 != from {
            self.registrations.clear();
            self.read.0 = from - 1;
        }
        self.read.1 = if is_last { SEQUENCE_MAX } else { self.read.0 };
        for item in page {
            let sequence = sequence_in(item, SEQUENCE).ok().flatten().ok_or(NotAPosition::Registration)?;
            let registration = match (item.get(CLOSED), item.get(ID)) {
                (Some(_), _) => Registration::Closed,
                (None, Some(AttributeValue::S(id))) => Registration::Waits(id.clone()),
                (None, _) => return Err(NotAPosition::Registration),
            };
            self.registrations.insert(sequence, registration);
            self.read.1 = self.read.1.max(sequence);
        }
        Ok(())
    }

    /// The first sequence whose registration was not read, of those that decide on a notification of `sequence`: its
    /// own, and the one after it if it is its turn. Of one whose turn is past it is the next one of the key.
    pub(crate) fn unread(&self, sequence: u64) -> Option<u64> {
        let first = sequence.max(self.at + 1);
        let is_turn = sequence == self.at + 1;
        let last = if is_turn { self.reach(first) + 1 } else { first };
        [first, last].into_iter().find(|sequence| {
            let is_read = self.read.0 < *sequence && *sequence <= self.read.1;
            !is_read && self.registered_to.is_some_and(|registered_to| *sequence <= registered_to)
        })
    }

    /// Begins a key with a later sequence than the first: where the destination has no position yet. A registration that
    /// comes after it has a condition on the position, and one that came before is found by a read.
    pub(crate) fn beginning(sequence: u64) -> Update {
        Update {
            conditions: vec![Condition::Absent(POSITION.to_owned())],
            sets: vec![(POSITION.to_owned(), Set::To(number(sequence - 1)))],
            removes: vec![],
        }
    }

    /// The position after this update was committed. What it knows of later sequences may be old.
    pub(crate) fn moved(mut self, update: &PositionUpdate) -> Position {
        let PositionChange::To { to, registered_to, next, .. } = update.change() else { return self };
        let mut registrations = self.registrations.split_off(&(to + 1));
        match next {
            Some(id) => registrations.insert(to + 1, Registration::Waits(id.clone())),
            None => registrations.remove(&(to + 1)),
        };
        let registered_to = registered_to.filter(|registered_to| registered_to > to);
        Position { at: *to, registered_to, registrations, read: self.read }
    }

    /// The sequence that completed last; 0 before the first.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How far it moves from a sequence on: it passes what was closed before.
    fn reach(&self, from: u64) -> u64 {
        let is_closed = |at: &u64| self.registrations.get(at) == Some(&Registration::Closed);
        (from + 1..).take_while(is_closed).last().unwrap_or(from)
    }

    fn waits_at(&self, at: u64) -> Option<String> {
        match self.registrations.get(&at) {
            Some(Registration::Waits(id)) => Some(id.clone()),
            Some(Registration::Closed) | None => None,
        }
    }

    /// The id of the registered notification whose turn it is.
    pub(crate) fn next(&self) -> Option<String> {
        self.waits_at(self.at + 1)
    }

    /// Whether it is the turn of a notification, once nothing that decides on it is [unread](Self::unread). A sequence
    /// belongs to the notification that came first, even if that one only registered.
    pub(crate) fn readiness(&self, sequence_key: &SequenceKey) -> Readiness {
        let is_registered = match self.registrations.get(&sequence_key.sequence) {
            _ if sequence_key.sequence <= self.at => return Readiness::Past,
            None => false,
            Some(Registration::Waits(id)) if id == sequence_key.id() => true,
            Some(Registration::Waits(_) | Registration::Closed) => return Readiness::Past,
        };
        if sequence_key.sequence > self.at + 1 {
            return Readiness::Early { is_registered };
        }
        let to = self.reach(sequence_key.sequence);
        Readiness::Ready(PositionChange::To {
            from: self.at,
            to,
            registered_to: self.registered_to,
            passed: (sequence_key.sequence + 1..=to).collect(),
            next: self.waits_at(to + 1),
        })
    }

    /// The update that registers an early notification; none where it is registered, or is not early.
    pub(crate) fn registration(&self, sequence_key: &SequenceKey) -> Option<PositionUpdate> {
        match self.readiness(sequence_key) {
            Readiness::Early { is_registered: false } => {
                Some(PositionUpdate::new(sequence_key, self.ahead(sequence_key, false)))
            }
            Readiness::Early { is_registered: true } | Readiness::Ready(_) | Readiness::Past => None,
        }
    }

    /// What an operator's close of a notification changes; nothing where its sequence is completed.
    pub(crate) fn closing(&self, sequence_key: &SequenceKey) -> Option<PositionUpdate> {
        let change = match self.readiness(sequence_key) {
            Readiness::Ready(change) => change,
            Readiness::Early { .. } => self.ahead(sequence_key, true),
            Readiness::Past => return None,
        };
        Some(PositionUpdate::by_operator(sequence_key, change))
    }

    fn ahead(&self, sequence_key: &SequenceKey, is_closed: bool) -> PositionChange {
        let raises = self.registered_to.is_none_or(|registered_to| registered_to < sequence_key.sequence);
        PositionChange::Ahead { raises, is_closed }
    }

    /// Decides again on an update whose condition failed, on the position as it is now.
    pub(crate) fn reconsider(&self, update: &PositionUpdate) -> ReconsideredPosition {
        let sequence_key = update.sequence_key();
        let again = if update.is_by_operator() {
            match self.closing(sequence_key) {
                Some(again) => again,
                None => return ReconsideredPosition::Unneeded,
            }
        } else {
            match self.readiness(sequence_key) {
                Readiness::Ready(change) => PositionUpdate::new(sequence_key, change),
                // A position never goes back, unless somebody restores the table.
                Readiness::Early { .. } => return ReconsideredPosition::Contended,
                Readiness::Past => return ReconsideredPosition::SequenceTaken,
            }
        };
        match again == *update {
            true => ReconsideredPosition::Contended,
            false => ReconsideredPosition::SendAgain(again),
        }
    }
}

#[cfg(test)]
mod tests;
