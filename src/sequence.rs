//! Order, where it is data: the emitter numbers the notifications of a `partitionkey`, and a sequenced
//! destination applies each in its turn, when the one before it has ended there (G8).
//!
//! How far a destination has come with a key is its position: an item of the `positions` table, which moves
//! in the same transaction as the mark. Who comes early is written down there, and its copy is dropped;
//! whoever ends the one before it finds the name, and brings it another. He does not let go of his own copy
//! before he has (G3).

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update as UpdateAction,
};

use crate::fault::{Fault, pause};
use crate::ledger::NotMarked;
use crate::notification::Notification;
use crate::record::{Item, Record};
use crate::update::{Condition, Expression, Path, Set, Update, number, text};

/// How far ahead of its key's position a notification is written down, at most: that bounds the item to
/// so many ids. The copy of one that comes still earlier waits in the retry queue.
pub const AHEAD_MAX: u64 = 1_000;
/// Most tries of an update of a position, within one invocation.
const TRIES_MAX: u32 = 8;

const POSITION: &str = "position";

/// The `positions` table: an item for each destination, source and partition key.
#[derive(Clone, Debug)]
pub struct Positions {
    client: Client,
    table: String,
}

/// A notification's place among those of its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// Of the item: the destination, the source and the partition key.
    pub key: String,
    /// Which it is, from 1.
    pub sequence: u64,
    id: String,
}

/// How far a destination has come with a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Position {
    /// The sequence that ended last; 0 before the first.
    at: u64,
    /// What is known of those behind it.
    later: BTreeMap<u64, Later>,
}

#[derive(Clone, Debug, PartialEq)]
enum Later {
    /// The notification with this id came early, and waits.
    Waits(String),
    /// A person closed it.
    Closed,
}

/// Where a notification stands.
#[derive(Debug, PartialEq)]
pub(crate) enum Stand {
    /// It is its turn.
    Now(Advance),
    /// One before it has not ended. Whether it is written down, so that it will be woken.
    Early { is_written: bool },
    /// Its number has ended, or another waits under it.
    Past,
}

/// How a position changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Advance {
    /// It moves.
    To {
        from: u64,
        to: u64,
        /// Numbers that it leaves behind, and that are written down.
        passed: Vec<u64>,
        /// Who waits for it.
        wakes: Option<String>,
    },
    /// It stays; what comes later is closed already.
    Closed { at: u64 },
}

/// What the end of a notification changes beside its record.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    positions: Positions,
    place: Place,
    advance: Advance,
    by_hand: bool,
}

impl Place {
    /// Its place at a destination, if it is numbered. Neither of the first two names has a space.
    pub(crate) fn of(notification: &Notification, destination: &str) -> Option<Place> {
        let (key, sequence) = notification.partitionkey.as_ref().zip(notification.sequence)?;
        let key = format!("{destination} {} {key}", notification.source);
        Some(Place { key, sequence, id: notification.id.clone() })
    }

    /// Of the notification.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn path(&self) -> Path {
        path(self.sequence)
    }
}

fn path(of: impl ToString) -> Path {
    vec![of.to_string()]
}

fn is_at(at: u64) -> Condition {
    match at {
        0 => Condition::Absent(path(POSITION)),
        at => Condition::Is(path(POSITION), number(at)),
    }
}

impl Position {
    /// This far, and nothing is known of what comes later.
    pub(crate) fn just(at: u64) -> Position {
        Position { at, later: BTreeMap::new() }
    }

    /// Reads an item; of none, nothing has ended yet. Unknown attributes are left alone.
    fn decode(item: &Item) -> Position {
        let at = item.get(POSITION).and_then(|it| it.as_n().ok()?.parse().ok()).unwrap_or_default();
        let later = item.iter().filter_map(|(name, value)| {
            let later = match value {
                AttributeValue::S(id) => Later::Waits(id.clone()),
                AttributeValue::Null(true) => Later::Closed,
                _ => return None,
            };
            Some((name.parse().ok()?, later))
        });
        Position { at, later: later.collect() }
    }

    /// How far it reaches from a number on: what was closed beforehand is passed.
    fn reach(&self, from: u64) -> u64 {
        let is_closed = |at: &u64| self.later.get(at) == Some(&Later::Closed);
        (from + 1..).take_while(is_closed).last().unwrap_or(from)
    }

    fn who_waits_at(&self, at: u64) -> Option<String> {
        match self.later.get(&at) {
            Some(Later::Waits(id)) => Some(id.clone()),
            _ => None,
        }
    }

    /// Who waits, and has its turn.
    pub(crate) fn next(&self) -> Option<String> {
        self.who_waits_at(self.reach(self.at) + 1)
    }

    pub(crate) fn stand(&self, place: &Place) -> Stand {
        let reached = self.reach(self.at);
        match place.sequence {
            passed if passed <= reached => Stand::Past,
            next if next == reached + 1 => {
                let to = self.reach(next);
                let passed = self.later.range(..=to).map(|(at, _)| *at).collect();
                Stand::Now(Advance::To { from: self.at, to, passed, wakes: self.who_waits_at(to + 1) })
            }
            early => match self.later.get(&early) {
                None => Stand::Early { is_written: false },
                Some(Later::Waits(id)) if *id == place.id => Stand::Early { is_written: true },
                Some(_) => Stand::Past,
            },
        }
    }

    /// What it changes to write down that this one waits; nothing where somebody is written down under its
    /// number, or it is too early for that.
    fn wait(&self, place: &Place) -> Option<Update> {
        let is_near = place.sequence <= self.at + AHEAD_MAX;
        (is_near && !self.later.contains_key(&place.sequence)).then(|| Update {
            conditions: vec![is_at(self.at), Condition::Absent(place.path())],
            sets: vec![(place.path(), Set::To(text(&place.id)))],
            removes: vec![],
        })
    }
}

impl Positions {
    /// The table of this name, whose key is `key`.
    pub fn new(client: Client, table: impl Into<String>) -> Positions {
        Positions { client, table: table.into() }
    }

    /// How far a destination has come with the key of a notification: the sequence that ended last there,
    /// 0 before the first; nothing where the notification is not numbered.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn position(&self, record: &Record, destination: &str) -> Result<Option<u64>, Fault> {
        match Place::of(&record.notification(), destination) {
            None => Ok(None),
            Some(place) => self.get(&place).await.map(|it| Some(it.reach(it.at))),
        }
    }

    /// The position of a place's key, read consistently.
    pub(crate) async fn get(&self, place: &Place) -> Result<Position, Fault> {
        let get = self.client.get_item().table_name(&self.table).key("key", text(&place.key));
        let item = get.consistent_read(true).send().await.map_err(|error| Fault::of("GetItem", &error))?.item;
        Ok(item.as_ref().map(Position::decode).unwrap_or_default())
    }

    /// Where a notification stands. One that is early is written down, so that whoever ends the one before
    /// it knows whom to wake; `position`, as it was read, is brought up to date.
    pub(crate) async fn stand(&self, place: &Place, position: &mut Position) -> Result<Stand, Fault> {
        loop {
            let stand = position.stand(place);
            let is_early = matches!(stand, Stand::Early { .. });
            let Some(wait) = position.wait(place).filter(|_| is_early) else {
                return Ok(stand);
            };
            match self.update(place, &wait).await? {
                None => return Ok(Stand::Early { is_written: true }),
                Some(changed) => *position = changed,
            }
        }
    }

    /// One conditional update: nothing, or the position on which its condition failed.
    async fn update(&self, place: &Place, update: &Update) -> Result<Option<Position>, Fault> {
        for tries in 1.. {
            let it = Expression::of(update);
            let call = self.client.update_item().table_name(&self.table).key("key", text(&place.key));
            let call = call
                .condition_expression(it.condition)
                .update_expression(it.update)
                .set_expression_attribute_names(Some(it.names))
                .set_expression_attribute_values(Some(it.values))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let Err(error) = call.send().await else { return Ok(None) };
            if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
                return Ok(Some(failed.item.as_ref().map(Position::decode).unwrap_or_default()));
            }
            let fault = Fault::of("UpdateItem", &error);
            if !fault.is_retryable() || tries == TRIES_MAX {
                return Err(fault);
            }
            pause(tries).await;
        }
        unreachable!("the last try returns")
    }

    /// The turn of a notification that is to be applied.
    pub(crate) fn turn(&self, place: &Place, advance: Advance) -> Turn {
        Turn { positions: self.clone(), place: place.clone(), advance, by_hand: false }
    }

    /// What closing a notification by hand changes; nothing where its number has ended.
    pub(crate) fn closing(&self, place: &Place, position: &Position) -> Option<Turn> {
        let advance = match position.stand(place) {
            Stand::Now(advance) => advance,
            Stand::Early { .. } => Advance::Closed { at: position.at },
            Stand::Past => return None,
        };
        Some(Turn { by_hand: true, ..self.turn(place, advance) })
    }
}

/// Of one notification.
impl PartialEq for Turn {
    fn eq(&self, other: &Turn) -> bool {
        self.advance == other.advance
    }
}

impl Turn {
    /// Whether it closes what is so early that it cannot be written down.
    pub(crate) fn is_too_early(&self) -> bool {
        matches!(self.advance, Advance::Closed { at } if self.place.sequence > at + AHEAD_MAX)
    }

    /// Who waits for it to end.
    pub(crate) fn wakes(&self) -> Option<&str> {
        match &self.advance {
            Advance::To { wakes, .. } => wakes.as_deref(),
            Advance::Closed { .. } => None,
        }
    }

    /// What stands in the place of this one, as the position is now.
    ///
    /// # Errors
    /// When it is not its turn.
    pub(crate) fn again(&self, item: Option<&Item>) -> Result<Option<Turn>, NotMarked> {
        let position = item.map(Position::decode).unwrap_or_default();
        if self.by_hand {
            return Ok(self.positions.closing(&self.place, &position));
        }
        match position.stand(&self.place) {
            Stand::Now(advance) => Ok(Some(Turn { advance, ..self.clone() })),
            Stand::Early { is_written } => Err(NotMarked::Early { is_written }),
            Stand::Past => Err(NotMarked::Taken),
        }
    }

    /// The change as an action of the mark's transaction.
    pub(crate) fn action(&self) -> TransactWriteItem {
        let it = Expression::of(&self.update());
        let update = UpdateAction::builder()
            .table_name(&self.positions.table)
            .key("key", text(&self.place.key))
            .condition_expression(it.condition)
            .update_expression(it.update)
            .set_expression_attribute_names(Some(it.names))
            .set_expression_attribute_values(Some(it.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }

    /// It asks for the position that was read. What was closed beforehand stays so while that stands; and
    /// nobody may have come to wait next, or he would not be woken.
    fn update(&self) -> Update {
        match &self.advance {
            Advance::To { from, to, passed, wakes } => {
                let next = path(to + 1);
                let next = match wakes {
                    Some(id) => Condition::Is(next, text(id)),
                    None => Condition::Absent(next),
                };
                Update {
                    conditions: vec![is_at(*from), next],
                    sets: vec![(path(POSITION), Set::To(number(to)))],
                    removes: passed.iter().map(path).collect(),
                }
            }
            Advance::Closed { at } => Update {
                conditions: vec![is_at(*at)],
                sets: vec![(self.place.path(), Set::To(AttributeValue::Null(true)))],
                removes: vec![],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Draft, ID_BYTES_MAX};
    use crate::update::tests::applied;
    use proptest::prelude::*;

    fn place(sequence: u64, id: &str) -> Place {
        let draft = Draft::event("t", "s", &()).partitionkey("k 1").sequence(sequence);
        Place::of(&draft.with_id(id).unwrap(), "a").unwrap()
    }

    fn positions() -> Positions {
        let config = aws_sdk_dynamodb::Config::builder().behavior_version_latest();
        Positions::new(Client::from_conf(config.build()), "positions")
    }

    /// What a transaction makes of the item, decided anew where its condition fails.
    fn made(turn: Turn, item: &mut Item) -> Option<Turn> {
        let mut turn = turn;
        loop {
            if let Some(changed) = applied(&turn.update(), item) {
                *item = changed;
                return Some(turn);
            }
            turn = turn.again(Some(item)).ok().flatten()?;
        }
    }

    fn end(item: &mut Item, known: &Position, sequence: u64) -> Option<Turn> {
        let place = place(sequence, "x");
        match known.stand(&place) {
            Stand::Now(advance) => made(positions().turn(&place, advance), item),
            _ => None,
        }
    }

    fn wait(item: &mut Item, sequence: u64, id: &str) {
        let wait = Position::decode(item).wait(&place(sequence, id)).unwrap();
        *item = applied(&wait, item).unwrap();
    }

    fn close(item: &mut Item, known: &Position, sequence: u64) -> Option<Turn> {
        made(positions().closing(&place(sequence, "x"), known)?, item)
    }

    #[test]
    fn a_key_is_of_a_destination_and_a_source() {
        assert_eq!(place(1, "x").key, "a s k 1");
        let unnumbered = Draft::event("t", "s", &()).partitionkey("k").with_id("x").unwrap();
        assert_eq!(Place::of(&unnumbered, "a"), None);
    }

    #[test]
    fn g8_each_in_its_turn_and_whoever_waits_is_woken() {
        let mut item = Item::new();
        let known = Position::default();
        assert_eq!(known.stand(&place(2, "two")), Stand::Early { is_written: false });
        wait(&mut item, 2, "two");
        let written = Position::decode(&item);
        assert_eq!(written.stand(&place(2, "two")), Stand::Early { is_written: true });
        assert_eq!(written.stand(&place(2, "other")), Stand::Past, "its number is another's");
        assert_eq!(written.wait(&place(2, "other")), None);
        // It was decided when nobody waited, and is decided anew.
        assert_eq!(end(&mut item, &known, 1).unwrap().wakes(), Some("two"));
        assert_eq!(item.len(), 2);
        let now = Position::decode(&item);
        assert_eq!((now.at, now.next().as_deref()), (1, Some("two")));
        assert_eq!(end(&mut item, &now, 2).unwrap().wakes(), None);
        assert_eq!(Position::decode(&item), Position::just(2));
        assert_eq!(Position::just(2).stand(&place(2, "other")), Stand::Past);
    }

    #[test]
    fn g8_what_came_to_wait_meanwhile_has_its_turn() {
        let item = HashMapOf([(POSITION, number(1))]).item();
        let stale = Position::default();
        let lost = stale.wait(&place(2, "two")).unwrap();
        assert_eq!(applied(&lost, &item), None, "the one before it has ended in between");
        assert!(matches!(Position::decode(&item).stand(&place(2, "two")), Stand::Now(_)));
    }

    #[test]
    fn what_is_closed_early_is_passed_when_its_turn_comes() {
        let mut item = Item::new();
        for sequence in [2, 3] {
            assert_eq!(close(&mut item, &Position::default(), sequence).unwrap().wakes(), None);
        }
        wait(&mut item, 4, "four");
        let known = Position::decode(&item);
        assert_eq!(known.stand(&place(3, "three")), Stand::Past, "no late copy applies it");
        assert!(known.wait(&place(3, "three")).is_none());
        assert_eq!(end(&mut item, &known, 1).unwrap().wakes(), Some("four"));
        let now = Position::decode(&item);
        assert_eq!((now.at, now.later.len()), (3, 1));
    }

    #[test]
    fn closing_in_turn_moves_the_position() {
        let mut item = HashMapOf([(POSITION, number(4))]).item();
        wait(&mut item, 6, "six");
        let known = Position::decode(&item);
        assert_eq!(close(&mut item, &known, 5).unwrap().wakes(), Some("six"));
        assert_eq!(Position::decode(&item).at, 5);
        assert!(close(&mut item, &Position::just(5), 5).is_none(), "another has its number");
        assert!(positions().closing(&place(1_006, "far"), &Position::just(5)).unwrap().is_too_early());
    }

    #[test]
    fn an_item_is_bounded() {
        let mut item = Item::new();
        let id = "x".repeat(ID_BYTES_MAX);
        let from = crate::notification::SEQUENCE_MAX - AHEAD_MAX;
        item.insert(POSITION.into(), number(from));
        (from + 1..=from + AHEAD_MAX).for_each(|at| wait(&mut item, at, &id));
        let bytes: usize = item.keys().map(|name| name.len() + ID_BYTES_MAX + 3).sum();
        assert!(bytes < 400 * 1024 / 2, "{bytes}");
        assert!(Position::just(0).wait(&place(AHEAD_MAX + 1, "x")).is_none());
    }

    /// An item by its attributes.
    struct HashMapOf<const N: usize>([(&'static str, AttributeValue); N]);

    impl<const N: usize> HashMapOf<N> {
        fn item(self) -> Item {
            self.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        }
    }

    proptest! {
        /// Whatever comes in whatever order, known as it is or as it was: the position moves by whole
        /// steps, past what has ended or is closed and nothing else, and whoever it reaches is woken.
        #[test]
        fn g8_a_position_passes_only_what_has_ended(
            history in prop::collection::vec((0u8..4, 1u64..7, any::<bool>()), 0..40),
        ) {
            let mut item = Item::new();
            let mut ended = std::collections::BTreeSet::new();
            let mut before = Position::default();
            for (what, sequence, is_stale) in history {
                let now = Position::decode(&item);
                let known = if is_stale { before.clone() } else { now.clone() };
                before = now.clone();
                // The record's own condition comes first.
                if what > 0 && ended.contains(&sequence) {
                    continue;
                }
                let turn = match what {
                    0 => {
                        if let Some(wait) = known.wait(&place(sequence, &format!("n{sequence}"))) {
                            item = applied(&wait, &item).unwrap_or(item);
                        }
                        continue;
                    }
                    1 => close(&mut item, &known, sequence),
                    _ => end(&mut item, &known, sequence),
                };
                let Some(turn) = turn else { continue };
                ended.insert(sequence);
                let after = Position::decode(&item);
                let whole = (1..).take_while(|at| ended.contains(at)).last().unwrap_or(0);
                prop_assert_eq!(after.reach(after.at), whole);
                if what > 1 {
                    prop_assert_eq!(sequence, now.reach(now.at) + 1, "out of turn");
                }
                let woken = after.next().filter(|_| after.at != now.at);
                prop_assert_eq!(turn.wakes().map(str::to_owned), woken);
            }
        }
    }
}
