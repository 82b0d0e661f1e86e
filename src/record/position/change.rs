//! A change of a position and of registrations, as the actions of a transaction.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::record::attributes::{CLOSED, ID, POSITION, REGISTERED_TO};
use crate::record::sequence::SequenceKey;
use crate::record::update::{Condition, Set, Update, number, text};

/// How a position changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PositionChange {
    /// It moves.
    To {
        from: u64,
        to: u64,
        /// The largest sequence that is registered, as far as is known.
        registered_to: Option<u64>,
        /// The sequences after its own that were closed before, and that it passes.
        passed: Vec<u64>,
        /// The id of the registered notification that is next.
        next: Option<String>,
    },
    /// It does not move: a later sequence is registered, or closed by an operator.
    Ahead {
        /// No larger sequence is registered.
        raises: bool,
        is_closed: bool,
    },
}

/// The change of a position that goes with the completion of a notification, or with its registration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PositionUpdate {
    sequence_key: SequenceKey,
    change: PositionChange,
    is_by_operator: bool,
}

/// What an action of a transaction does with one item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    Update(Update),
    /// It only has to meet these conditions.
    Check(Vec<Condition>),
    /// It is deleted, if it meets these conditions.
    Delete(Vec<Condition>),
}

impl PositionUpdate {
    pub(crate) fn new(sequence_key: &SequenceKey, change: PositionChange) -> PositionUpdate {
        PositionUpdate { sequence_key: sequence_key.clone(), change, is_by_operator: false }
    }

    pub(crate) fn by_operator(sequence_key: &SequenceKey, change: PositionChange) -> PositionUpdate {
        PositionUpdate { is_by_operator: true, ..PositionUpdate::new(sequence_key, change) }
    }

    pub(crate) fn sequence_key(&self) -> &SequenceKey {
        &self.sequence_key
    }

    pub(crate) fn change(&self) -> &PositionChange {
        &self.change
    }

    pub(crate) fn is_by_operator(&self) -> bool {
        self.is_by_operator
    }

    /// The id of the registered notification whose turn comes with it.
    pub(crate) fn next(&self) -> Option<&str> {
        match &self.change {
            PositionChange::To { next, .. } => next.as_deref(),
            PositionChange::Ahead { .. } => None,
        }
    }

    /// What it does with each item, by its sequence. What comes after the first three may be left out: it deletes
    /// registrations that nobody reads any more.
    pub(crate) fn writes(&self) -> Vec<(u64, Write)> {
        match &self.change {
            PositionChange::To { from, to, registered_to, passed, next } => {
                let position = moved(*from, *to, *registered_to);
                let mut writes = vec![(0, Write::Update(position))];
                if let Some(registered_to) = registered_to {
                    writes.push((self.sequence_key.sequence, Write::Delete(vec![self.is_own()])));
                    let successor = is_next(next.as_deref());
                    writes.extend((to < registered_to).then(|| (to + 1, Write::Check(successor))));
                    writes.extend(passed.iter().map(|sequence| (*sequence, Write::Delete(vec![]))));
                }
                writes
            }
            PositionChange::Ahead { raises, is_closed } => {
                let position = early(self.sequence_key.sequence, *raises);
                let registration = self.registration(*is_closed);
                vec![(0, position), (self.sequence_key.sequence, Write::Update(registration))]
            }
        }
    }

    /// No other notification is registered under its sequence.
    fn is_own(&self) -> Condition {
        Condition::AbsentOr(ID.to_owned(), text(self.sequence_key.id()))
    }

    /// A close is never undone, and takes the place of what is registered under the same id.
    fn registration(&self, is_closed: bool) -> Update {
        let id = (ID.to_owned(), Set::To(text(self.sequence_key.id())));
        let closed = (CLOSED.to_owned(), Set::To(AttributeValue::Bool(true)));
        match is_closed {
            true => Update { conditions: vec![self.is_own()], sets: vec![id, closed], removes: vec![] },
            false => {
                Update { conditions: vec![Condition::Absent(ID.to_owned())], sets: vec![id], removes: vec![] }
            }
        }
    }
}

/// The position moves from where it was read. Nothing is registered beyond what is known, or else a registration that
/// came meanwhile would be passed, and nobody would go on with it.
fn moved(from: u64, to: u64, registered_to: Option<u64>) -> Update {
    let is_at = match from {
        0 => Condition::Absent(POSITION.to_owned()),
        from => Condition::Is(POSITION.to_owned(), number(from)),
    };
    let (mut conditions, mut removes) = (vec![is_at], vec![]);
    match registered_to {
        None => conditions.push(Condition::Absent(REGISTERED_TO.to_owned())),
        Some(last) if last <= to => {
            conditions.push(Condition::Is(REGISTERED_TO.to_owned(), number(last)));
            removes.push(REGISTERED_TO.to_owned());
        }
        // Something after `to` stays registered, and `to + 1` has a condition of its own.
        Some(_) => (),
    }
    Update { conditions, sets: vec![(POSITION.to_owned(), Set::To(number(to)))], removes }
}

/// The next one is what is known, so that a registration or a close that came meanwhile is not missed.
fn is_next(next: Option<&str>) -> Vec<Condition> {
    match next {
        Some(id) => {
            vec![Condition::Is(ID.to_owned(), text(id)), Condition::Absent(CLOSED.to_owned())]
        }
        None => vec![Condition::Absent(ID.to_owned())],
    }
}

/// A sequence can only be registered, or closed ahead, before its turn. Until it is passed, `registered_to` is not
/// below it: so where it was not before, the position is only checked.
fn early(sequence: u64, raises: bool) -> Write {
    let is_early = Condition::AbsentOrBelow(POSITION.to_owned(), sequence - 1);
    match raises {
        true => Write::Update(Update {
            conditions: vec![is_early, Condition::AbsentOrBelow(REGISTERED_TO.to_owned(), sequence)],
            sets: vec![(REGISTERED_TO.to_owned(), Set::To(number(sequence)))],
            removes: vec![],
        }),
        false => Write::Check(vec![is_early]),
    }
}
