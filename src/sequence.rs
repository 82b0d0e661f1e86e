//! Order, where it is data: the emitter numbers the notifications of a `partitionkey`, and a sequenced
//! destination applies each in its turn, when the one before it has ended there (G8).
//!
//! How far a destination has come with a key is its position: an item of the `positions` table, which moves
//! in the same transaction as the mark. Who comes early is written down there, and its copy is dropped;
//! whoever ends the one before it finds the name, and brings it another. He does not let go of his own copy
//! before he has (G3).

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use crate::fault::{Cause, Fault, pause};
use crate::ledger::{NotMarked, TRIES_MAX};
use crate::notification::{Notification, SEQUENCE_MAX};
use crate::record::{Item, Record};
use crate::transaction::CALL;
use crate::update::{self, Condition, Path, Set, Update, number, text};

/// How far ahead of its key's position a notification is written down, at most: that bounds the item to
/// so many ids. The copy of one that comes still earlier waits in the retry queue.
pub const AHEAD_MAX: u64 = 1_000;
/// Most numbers that a position leaves behind and that are removed with one move, so that its expression
/// stays within DynamoDB's 4 KB. Those that are left are behind it, and go with a later move.
const PASSED_MAX: usize = 100;

const POSITION: &str = "position";
const GET: &str = "GetItem";
const UPDATE: &str = "UpdateItem";

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
    /// It stays; what comes later is closed already. It may have waited itself.
    Closed { at: u64, waits: bool },
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

    fn item_key(&self) -> Item {
        Item::from([("key".to_owned(), text(&self.key))])
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
    /// This far, and nothing is known of what comes later.
    pub(crate) fn just(at: u64) -> Position {
        Position { at, later: BTreeMap::new() }
    }

    /// Reads an item; of none, nothing has ended yet. Unknown attributes are left alone.
    ///
    /// # Errors
    /// When its position is no whole number from 1.
    fn decode(call: &'static str, item: &Item) -> Result<Position, Fault> {
        let at = match item.get(POSITION) {
            None => 0,
            Some(AttributeValue::N(at)) => at.parse().ok().filter(|at| *at > 0).unwrap_or(u64::MAX),
            Some(_) => u64::MAX,
        };
        if at > SEQUENCE_MAX {
            return Err(Fault::new(call, Cause::NotAPosition));
        }
        let later = item.iter().filter_map(|(name, value)| {
            let later = match value {
                AttributeValue::S(id) => Later::Waits(id.clone()),
                AttributeValue::Null(true) => Later::Closed,
                _ => return None,
            };
            Some((name.parse().ok()?, later))
        });
        Ok(Position { at, later: later.collect() })
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
        self.who_waits_at(self.at + 1)
    }

    /// Where a notification stands. A number belongs to whoever came first, be it to wait.
    pub(crate) fn stand(&self, place: &Place) -> Stand {
        let is_written = match self.later.get(&place.sequence) {
            _ if place.sequence <= self.at => return Stand::Past,
            None => false,
            Some(Later::Waits(id)) if *id == place.id => true,
            Some(_) => return Stand::Past,
        };
        if place.sequence > self.at + 1 {
            return Stand::Early { is_written };
        }
        let to = self.reach(place.sequence);
        let passed = self.later.range(..=to).map(|(at, _)| *at).take(PASSED_MAX).collect();
        Stand::Now(Advance::To { from: self.at, to, passed, wakes: self.who_waits_at(to + 1) })
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
            Some(place) => self.get(&place).await.map(|it| Some(it.at)),
        }
    }

    /// The position of a place's key, read consistently.
    pub(crate) async fn get(&self, place: &Place) -> Result<Position, Fault> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(place.item_key()));
        let get = get.consistent_read(true);
        let item = get.send().await.map_err(|error| Fault::of(GET, &error))?.item.unwrap_or_default();
        Position::decode(GET, &item)
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
                // It was otherwise when it failed: others are at work on the key.
                Some(changed) if changed == *position => return Err(Fault::new(UPDATE, Cause::Contended)),
                Some(changed) => *position = changed,
            }
        }
    }

    /// One conditional update: nothing, or the position on which its condition failed.
    async fn update(&self, place: &Place, update: &Update) -> Result<Option<Position>, Fault> {
        for tries in 1.. {
            match update::send(&self.client, &self.table, place.item_key(), update).await {
                Ok(failed) => return failed.map(|item| Position::decode(UPDATE, &item)).transpose(),
                Err(fault) if fault.is_retryable() && tries < TRIES_MAX => pause(tries).await,
                Err(fault) => return Err(fault),
            }
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
            Stand::Early { is_written } => Advance::Closed { at: position.at, waits: is_written },
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
        matches!(self.advance, Advance::Closed { at, .. } if self.place.sequence > at + AHEAD_MAX)
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
        let position = Position::decode(CALL, item.unwrap_or(&Item::new()))?;
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
        update::action(&self.positions.table, self.place.item_key(), &self.update())
    }

    /// It asks for the position that was read. What was closed beforehand stays so while that stands;
    /// nobody may have come to wait next, or he would not be woken; and nobody else under its own number, for
    /// that would be his.
    fn update(&self) -> Update {
        match &self.advance {
            Advance::To { from, to, passed, wakes } => {
                let next = (to + 1).to_string();
                let next = match wakes {
                    Some(id) => Condition::Is(next, text(id)),
                    None => Condition::Absent(next),
                };
                let own = Condition::AbsentOr(self.place.path(), text(&self.place.id));
                Update {
                    conditions: vec![is_at(*from), next, own],
                    sets: vec![(POSITION.to_owned(), Set::To(number(to)))],
                    removes: passed.iter().map(u64::to_string).collect(),
                }
            }
            Advance::Closed { at, waits } => Update {
                conditions: vec![
                    is_at(*at),
                    match waits {
                        true => Condition::Is(self.place.path(), text(&self.place.id)),
                        false => Condition::Absent(self.place.path()),
                    },
                ],
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

    fn decoded(item: &Item) -> Position {
        Position::decode("", item).unwrap()
    }

    fn end(item: &mut Item, known: &Position, sequence: u64) -> Option<Turn> {
        let place = place(sequence, &format!("n{sequence}"));
        match known.stand(&place) {
            Stand::Now(advance) => made(positions().turn(&place, advance), item),
            _ => None,
        }
    }

    fn wait(item: &mut Item, sequence: u64, id: &str) {
        let wait = decoded(item).wait(&place(sequence, id)).unwrap();
        *item = applied(&wait, item).unwrap();
    }

    fn close(item: &mut Item, known: &Position, sequence: u64) -> Option<Turn> {
        made(positions().closing(&place(sequence, &format!("n{sequence}")), known)?, item)
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
        assert_eq!(known.stand(&place(2, "n2")), Stand::Early { is_written: false });
        wait(&mut item, 2, "n2");
        let written = decoded(&item);
        assert_eq!(written.stand(&place(2, "n2")), Stand::Early { is_written: true });
        assert_eq!(written.stand(&place(2, "other")), Stand::Past, "its number is another's");
        assert_eq!(written.wait(&place(2, "other")), None);
        // It was decided when nobody waited, and is decided anew.
        assert_eq!(end(&mut item, &known, 1).unwrap().wakes(), Some("n2"));
        assert_eq!(item.len(), 2);
        let now = decoded(&item);
        assert_eq!((now.at, now.next().as_deref()), (1, Some("n2")));
        assert_eq!(end(&mut item, &now, 2).unwrap().wakes(), None);
        assert_eq!(decoded(&item), Position::just(2));
        assert_eq!(Position::just(2).stand(&place(2, "other")), Stand::Past);
    }

    #[test]
    fn g8_what_came_to_wait_meanwhile_has_its_turn() {
        let item = HashMapOf([(POSITION, number(1))]).item();
        let stale = Position::default();
        let lost = stale.wait(&place(2, "two")).unwrap();
        assert_eq!(applied(&lost, &item), None, "the one before it has ended in between");
        assert!(matches!(decoded(&item).stand(&place(2, "two")), Stand::Now(_)));
    }

    #[test]
    fn what_is_closed_early_is_passed_when_its_turn_comes() {
        let mut item = Item::new();
        for sequence in [2, 3] {
            assert_eq!(close(&mut item, &Position::default(), sequence).unwrap().wakes(), None);
        }
        wait(&mut item, 4, "four");
        let known = decoded(&item);
        assert_eq!(known.stand(&place(3, "three")), Stand::Past, "no late copy applies it");
        assert!(known.wait(&place(3, "three")).is_none());
        assert_eq!(end(&mut item, &known, 1).unwrap().wakes(), Some("four"));
        let now = decoded(&item);
        assert_eq!((now.at, now.later.len()), (3, 1));
    }

    #[test]
    fn closing_in_turn_moves_the_position() {
        let mut item = HashMapOf([(POSITION, number(4))]).item();
        wait(&mut item, 6, "six");
        let known = decoded(&item);
        assert_eq!(close(&mut item, &known, 5).unwrap().wakes(), Some("six"));
        assert_eq!(decoded(&item).at, 5);
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
        // Closed, all of them, they do not make an expression too long.
        item.retain(|name, _| name == POSITION);
        item.extend((from + 2..=from + AHEAD_MAX).map(|at| (at.to_string(), AttributeValue::Null(true))));
        let Stand::Now(advance) = decoded(&item).stand(&place(from + 1, "x")) else {
            panic!("it is its turn")
        };
        let turn = positions().turn(&place(from + 1, "x"), advance);
        let action = turn.action();
        assert!(action.update().unwrap().update_expression().len() < 4 * 1024);
        let after = decoded(&applied(&turn.update(), &item).unwrap());
        assert_eq!((after.at, after.next()), (from + AHEAD_MAX, None));
        assert!(Position::just(0).wait(&place(AHEAD_MAX + 1, "x")).is_none());
    }

    #[test]
    fn a_position_is_read_strictly() {
        for wrong in [number(0), number(-1), number("1.5"), text("41")] {
            let item = HashMapOf([(POSITION, wrong)]).item();
            assert!(!Position::decode("", &item).unwrap_err().is_retryable());
        }
    }

    #[test]
    fn a_number_is_of_whoever_came_first() {
        let mut item = HashMapOf([(POSITION, number(1))]).item();
        wait(&mut item, 3, "n3");
        item.insert(POSITION.into(), number(2));
        assert_eq!(decoded(&item).stand(&place(3, "other")), Stand::Past);
        assert!(matches!(decoded(&item).stand(&place(3, "n3")), Stand::Now(_)));
        // He came to wait after a person had looked.
        let stale = positions().closing(&place(3, "other"), &Position::just(1)).unwrap();
        item.insert(POSITION.into(), number(1));
        assert_eq!(applied(&stale.update(), &item), None);
        // Another of the same batch ended the one before, and knew nothing of who waits.
        item.insert(POSITION.into(), number(2));
        let Stand::Now(advance) = Position::just(2).stand(&place(3, "other")) else {
            panic!("as far as is known")
        };
        assert!(made(positions().turn(&place(3, "other"), advance.clone()), &mut item).is_none());
        assert!(made(positions().turn(&place(3, "n3"), advance), &mut item).is_some());
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
                let now = decoded(&item);
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
                let after = decoded(&item);
                let whole = (1..).take_while(|at| ended.contains(at)).last().unwrap_or(0);
                prop_assert_eq!(after.at, whole);
                if what > 1 {
                    prop_assert_eq!(sequence, now.at + 1, "out of turn");
                }
                let woken = after.next().filter(|_| after.at != now.at);
                prop_assert_eq!(turn.wakes().map(str::to_owned), woken);
            }
        }
    }
}
