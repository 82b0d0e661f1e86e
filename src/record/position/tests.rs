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

/// The position at this sequence, with no knowledge of later ones.
fn just(at: u64) -> Position {
    Position { at, later: BTreeMap::new() }
}

#[test]
fn a_position_after_a_commit_is_where_the_commit_moved_it() {
    let later = |at, id: &str| (at, Later::Registered(id.into()));
    // Sequence 3 was registered when this was read, and is closed by now.
    let known = Position { at: 1, later: [later(3, "three"), later(4, "four"), later(6, "six")].into() };
    let change = |next: Option<&str>| {
        let next = next.map(str::to_owned);
        PositionUpdate::new(&key(2, "two"), PositionChange::To { from: 1, to: 3, passed: vec![3], next })
    };
    let moved = known.clone().moved(&change(Some("four")));
    assert_eq!(moved, Position { at: 3, later: [later(4, "four"), later(6, "six")].into() });
    assert!(matches!(moved.readiness(&key(4, "four")), Readiness::Ready(_)));
    assert_eq!(known.moved(&change(None)), Position { at: 3, later: [later(6, "six")].into() });
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
    assert_eq!(decoded(&item), just(2));
    assert_eq!(just(2).readiness(&key(2, "other")), Readiness::Past);
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
    assert!(close(&mut item, &just(5), 5).is_none(), "another has its sequence");
    assert!(just(5).closing(&key(1_006, "far")).unwrap().is_too_early());
    assert!(!just(5).closing(&key(1_005, "as-far-as-can-be")).unwrap().is_too_early());
    assert!(!just(5).closing(&key(6, "next")).unwrap().is_too_early());
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
    assert!(just(0).registration(&key(AHEAD_MAX + 1, "x")).is_none());
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
    let stale = just(1).closing(&key(3, "other")).unwrap();
    item.insert(POSITION.into(), number(1));
    assert_eq!(applied(&stale.update(), &item), None);
    // Another of the same batch completed the one before, and knew of no registration.
    item.insert(POSITION.into(), number(2));
    let Readiness::Ready(change) = just(2).readiness(&key(3, "other")) else { panic!("as far as is known") };
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
