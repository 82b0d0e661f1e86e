//! Order: an emitter numbers the notifications of a `partitionkey`, and a sequenced destination applies each
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
use crate::notification::{Notification, SEQUENCE_MAX};

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
    id: String,
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
        Some(SequenceKey { key, sequence, id: notification.id.clone() })
    }

    /// The id of the notification.
    pub(crate) fn id(&self) -> &str {
        &self.id
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
    /// The position at this sequence, with no knowledge of later ones.
    pub(crate) fn just(at: u64) -> Position {
        Position { at, later: BTreeMap::new() }
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
            Some(Later::Registered(id)) if *id == sequence_key.id => true,
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
            sets: vec![(sequence_key.path(), Set::To(text(&sequence_key.id)))],
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

    /// Its condition is the position that was read, which implies that what was closed stays so. It also fails
    /// if a successor registered meanwhile, which would never be notified, or if another notification
    /// registered under this sequence.
    pub(crate) fn update(&self) -> Update {
        let path = self.sequence_key.path();
        match &self.change {
            PositionChange::To { from, to, passed, next } => {
                let successor = (to + 1).to_string();
                let successor = match next {
                    Some(id) => Condition::Is(successor, text(id)),
                    None => Condition::Absent(successor),
                };
                let own = Condition::AbsentOr(path, text(&self.sequence_key.id));
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
                        true => Condition::Is(path.clone(), text(&self.sequence_key.id)),
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
mod tests {
    use super::*;
    use crate::notification::{Draft, ID_BYTES_MAX};
    use crate::record::tests::applied;
    use crate::record::update::Expression;
    use proptest::prelude::*;

    fn key(sequence: u64, id: &str) -> SequenceKey {
        let draft = Draft::event("t", "s", &()).partitionkey("k 1").sequence(sequence);
        SequenceKey::new(&draft.build(id).unwrap(), "a").unwrap()
    }

    /// Applies an update as a transaction does, and reconsiders it where its condition fails.
    fn made(mut update: PositionUpdate, item: &mut Item) -> Option<PositionUpdate> {
        loop {
            if let Some(changed) = applied(&update.update(), item) {
                *item = changed;
                return Some(update);
            }
            update = match update.reconsider(&decoded(item)) {
                ReconsideredPosition::SendAgain(again) => again,
                ReconsideredPosition::Contended => panic!("nobody else changes it"),
                ReconsideredPosition::Unneeded
                | ReconsideredPosition::Early { .. }
                | ReconsideredPosition::SequenceTaken => return None,
            };
        }
    }

    fn decoded(item: &Item) -> Position {
        Position::decode(item).unwrap()
    }

    fn complete(item: &mut Item, known: &Position, sequence: u64) -> Option<PositionUpdate> {
        let key = key(sequence, &format!("n{sequence}"));
        match known.readiness(&key) {
            Readiness::Ready(change) => made(PositionUpdate::new(&key, change), item),
            Readiness::Early { .. } | Readiness::Past => None,
        }
    }

    fn register(item: &mut Item, sequence: u64, id: &str) {
        let registration = decoded(item).registration(&key(sequence, id)).unwrap();
        *item = applied(&registration, item).unwrap();
    }

    fn close(item: &mut Item, known: &Position, sequence: u64) -> Option<PositionUpdate> {
        made(known.closing(&key(sequence, &format!("n{sequence}")))?, item)
    }

    #[test]
    fn a_key_is_of_a_destination_and_a_source() {
        assert_eq!(key(1, "x").key, "a s k 1");
        let unnumbered = Draft::event("t", "s", &()).partitionkey("k").build("x").unwrap();
        assert_eq!(SequenceKey::new(&unnumbered, "a"), None);
    }

    #[test]
    fn g8_each_in_its_turn_and_a_registered_one_is_notified() {
        let mut item = Item::new();
        let known = Position::default();
        assert_eq!(known.readiness(&key(2, "n2")), Readiness::Early { is_registered: false });
        register(&mut item, 2, "n2");
        let registered = decoded(&item);
        assert_eq!(registered.readiness(&key(2, "n2")), Readiness::Early { is_registered: true });
        assert_eq!(registered.readiness(&key(2, "other")), Readiness::Past, "the sequence is another's");
        assert_eq!(registered.registration(&key(2, "other")), None);
        // It was decided when none was registered, and is reconsidered.
        assert_eq!(complete(&mut item, &known, 1).unwrap().next(), Some("n2"));
        assert_eq!(item.len(), 2);
        let now = decoded(&item);
        assert_eq!((now.at, now.next().as_deref()), (1, Some("n2")));
        assert_eq!(complete(&mut item, &now, 2).unwrap().next(), None);
        assert_eq!(decoded(&item), Position::just(2));
        assert_eq!(Position::just(2).readiness(&key(2, "other")), Readiness::Past);
    }

    #[test]
    fn g8_a_registration_fails_once_its_turn_has_come() {
        let item = ItemOf([(POSITION, number(1))]).item();
        let stale = Position::default();
        let late = stale.registration(&key(2, "two")).unwrap();
        assert_eq!(applied(&late, &item), None, "the one before it completed in between");
        assert!(matches!(decoded(&item).readiness(&key(2, "two")), Readiness::Ready(_)));
    }

    #[test]
    fn what_is_closed_early_is_passed_when_its_turn_comes() {
        let mut item = Item::new();
        for sequence in [2, 3] {
            assert_eq!(close(&mut item, &Position::default(), sequence).unwrap().next(), None);
        }
        register(&mut item, 4, "four");
        let known = decoded(&item);
        assert_eq!(known.readiness(&key(3, "three")), Readiness::Past, "no late copy applies it");
        assert!(known.registration(&key(3, "three")).is_none());
        assert_eq!(complete(&mut item, &known, 1).unwrap().next(), Some("four"));
        let now = decoded(&item);
        assert_eq!((now.at, now.later.len()), (3, 1));
    }

    #[test]
    fn closing_in_turn_moves_the_position() {
        let mut item = ItemOf([(POSITION, number(4))]).item();
        register(&mut item, 6, "six");
        let known = decoded(&item);
        assert_eq!(close(&mut item, &known, 5).unwrap().next(), Some("six"));
        assert_eq!(decoded(&item).at, 5);
        assert!(close(&mut item, &Position::just(5), 5).is_none(), "another has its sequence");
        assert!(Position::just(5).closing(&key(1_006, "far")).unwrap().is_too_early());
    }

    #[test]
    fn an_item_is_bounded() {
        let mut item = Item::new();
        let id = "x".repeat(ID_BYTES_MAX);
        let from = crate::notification::SEQUENCE_MAX - AHEAD_MAX;
        item.insert(POSITION.into(), number(from));
        (from + 1..=from + AHEAD_MAX).for_each(|at| register(&mut item, at, &id));
        let bytes: usize = item.keys().map(|name| name.len() + ID_BYTES_MAX + 3).sum();
        assert!(bytes < 400 * 1024 / 2, "{bytes}");
        // An expression stays short enough even where all of them are closed.
        item.retain(|name, _| name == POSITION);
        item.extend((from + 2..=from + AHEAD_MAX).map(|at| (at.to_string(), AttributeValue::Null(true))));
        let Readiness::Ready(change) = decoded(&item).readiness(&key(from + 1, "x")) else {
            panic!("it is its turn")
        };
        let update = PositionUpdate::new(&key(from + 1, "x"), change).update();
        assert!(Expression::new(&update).update.len() < 4 * 1024);
        let after = decoded(&applied(&update, &item).unwrap());
        assert_eq!((after.at, after.next()), (from + AHEAD_MAX, None));
        assert!(Position::just(0).registration(&key(AHEAD_MAX + 1, "x")).is_none());
    }

    #[test]
    fn an_item_that_is_not_a_position_is_refused() {
        for wrong in [number(0), number(-1), number("1.5"), text("41")] {
            let item = ItemOf([(POSITION, wrong)]).item();
            assert!(Position::decode(&item).is_err());
        }
    }

    #[test]
    fn a_sequence_belongs_to_the_notification_that_came_first() {
        let mut item = ItemOf([(POSITION, number(1))]).item();
        register(&mut item, 3, "n3");
        item.insert(POSITION.into(), number(2));
        assert_eq!(decoded(&item).readiness(&key(3, "other")), Readiness::Past);
        assert!(matches!(decoded(&item).readiness(&key(3, "n3")), Readiness::Ready(_)));
        // It registered after the operator had read the position.
        let stale = Position::just(1).closing(&key(3, "other")).unwrap();
        item.insert(POSITION.into(), number(1));
        assert_eq!(applied(&stale.update(), &item), None);
        // Another of the same batch completed the one before, and knew of no registration.
        item.insert(POSITION.into(), number(2));
        let Readiness::Ready(change) = Position::just(2).readiness(&key(3, "other")) else {
            panic!("as far as is known")
        };
        assert!(made(PositionUpdate::new(&key(3, "other"), change.clone()), &mut item).is_none());
        assert!(made(PositionUpdate::new(&key(3, "n3"), change), &mut item).is_some());
    }

    /// An item by its attributes.
    struct ItemOf<const N: usize>([(&'static str, AttributeValue); N]);

    impl<const N: usize> ItemOf<N> {
        fn item(self) -> Item {
            self.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        }
    }

    proptest! {
        /// In every order of events, and with fresh or stale knowledge: the position passes only what is
        /// completed or closed, and the registered notification that it reaches is notified.
        #[test]
        fn g8_a_position_passes_only_what_is_completed(
            history in prop::collection::vec((0u8..4, 1u64..7, any::<bool>()), 0..40),
        ) {
            let mut item = Item::new();
            let mut completed = std::collections::BTreeSet::new();
            let mut before = Position::default();
            for (what, sequence, is_stale) in history {
                let now = decoded(&item);
                let known = if is_stale { before.clone() } else { now.clone() };
                before = now.clone();
                // The record's own condition fails first.
                if what > 0 && completed.contains(&sequence) {
                    continue;
                }
                let update = match what {
                    0 => {
                        if let Some(update) = known.registration(&key(sequence, &format!("n{sequence}"))) {
                            item = applied(&update, &item).unwrap_or(item);
                        }
                        continue;
                    }
                    1 => close(&mut item, &known, sequence),
                    _ => complete(&mut item, &known, sequence),
                };
                let Some(update) = update else { continue };
                completed.insert(sequence);
                let after = decoded(&item);
                let whole = (1..).take_while(|at| completed.contains(at)).last().unwrap_or(0);
                prop_assert_eq!(after.at, whole);
                if what > 1 {
                    prop_assert_eq!(sequence, now.at + 1, "out of turn");
                }
                let notified = after.next().filter(|_| after.at != now.at);
                prop_assert_eq!(update.next().map(str::to_owned), notified);
            }
        }
    }
}
