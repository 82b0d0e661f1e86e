use super::*;
use crate::notification::Draft;
use crate::record::tests::applied;
use crate::record::update::{Update, number, text};
use proptest::prelude::*;

/// The items of a key in the `positions` table, by their sequence.
#[derive(Clone, Debug, Default, PartialEq)]
struct Items(BTreeMap<u64, Item>);

impl Items {
    fn at(position: u64) -> Items {
        let mut items = Items::default();
        items.0.insert(0, Item::from([(POSITION.to_owned(), number(position))]));
        items
    }

    fn item(&self, sequence: u64) -> Item {
        self.0.get(&sequence).cloned().unwrap_or_default()
    }

    /// Makes an update as a transaction does: `false` where a condition fails.
    fn make(&mut self, update: &PositionUpdate) -> bool {
        let mut changed = self.clone();
        let check = |conditions, item: &Item| applied(&Update { conditions, ..Update::default() }, item);
        for (sequence, write) in update.writes() {
            let item = self.item(sequence);
            let made = match write {
                Write::Update(update) => {
                    applied(&update, &item).map(|item| changed.0.insert(sequence, item)).is_some()
                }
                Write::Check(conditions) => check(conditions, &item).is_some(),
                Write::Delete(conditions) => {
                    changed.0.remove(&sequence);
                    check(conditions, &item).is_some()
                }
            };
            if !made {
                return false;
            }
        }
        *self = changed;
        true
    }

    /// Makes an update, and decides on it again where a condition fails.
    fn decide(&mut self, mut update: PositionUpdate) -> Option<PositionUpdate> {
        while !self.make(&update) {
            let sequence = update.sequence_key().sequence;
            update = match self.known(sequence).reconsider(&update) {
                ReconsideredPosition::SendAgain(again) => again,
                ReconsideredPosition::Contended => panic!("nobody else changes it"),
                ReconsideredPosition::Unneeded | ReconsideredPosition::SequenceTaken => return None,
            };
        }
        Some(update)
    }

    /// The position, with what decides on a sequence.
    fn known(&self, sequence: u64) -> Position {
        let mut position = Position::decode(&self.item(0)).unwrap();
        self.read(&mut position, sequence);
        position
    }

    /// Reads two registrations at a time, where the calls read more.
    fn read(&self, position: &mut Position, sequence: u64) {
        while let Some(from) = position.unread(sequence) {
            let of_page = self.0.range(from..).take(2).map(|(sequence, item)| {
                let mut item = item.clone();
                item.insert(SEQUENCE.to_owned(), number(sequence));
                item
            });
            let page: Vec<_> = of_page.collect();
            position.read(from, &page, self.0.range(from..).count() <= 2).unwrap();
        }
    }

    fn position(&self) -> u64 {
        Position::decode(&self.item(0)).unwrap().at()
    }

    fn next(&self) -> Option<String> {
        self.known(self.position()).next()
    }

    fn register(&mut self, sequence: u64, id: &str) {
        let registration = self.known(sequence).registration(&key(sequence, id)).unwrap();
        assert!(self.make(&registration));
    }

    fn complete(&mut self, known: &Position, sequence: u64) -> Option<PositionUpdate> {
        let key = key(sequence, &format!("n{sequence}"));
        match known.readiness(&key) {
            Readiness::Ready(change) => self.decide(PositionUpdate::new(&key, change)),
            Readiness::Early { .. } | Readiness::Past => None,
        }
    }

    fn close(&mut self, known: &Position, sequence: u64) -> Option<PositionUpdate> {
        self.decide(known.closing(&key(sequence, &format!("n{sequence}")))?)
    }

    /// The registrations are those after the position, and the largest is what the position says.
    fn are_whole(&self) -> bool {
        let mut registered = self.0.keys().copied().filter(|sequence| *sequence > 0);
        let registered_to = Position::decode(&self.item(0)).unwrap().registered_to;
        registered_to == registered.clone().next_back()
            && registered.all(|sequence| sequence > self.position())
    }
}

fn key(sequence: u64, id: &str) -> SequenceKey {
    let draft = Draft::event("t", "s", &()).partitionkey("k 1").sequence(sequence);
    SequenceKey::new(&draft.build(id).unwrap(), "a").unwrap()
}

/// The position at this sequence, where nothing is registered.
fn just(at: u64) -> Position {
    Position { at, read: (at, at), ..Position::default() }
}

#[test]
fn a_read_from_a_sequence_on_says_nothing_of_earlier_ones() {
    let mut position = Position { registered_to: Some(9), ..just(0) };
    position.read(5, &[], true).unwrap();
    assert_eq!([3, 4, 5, 9].map(|sequence| position.unread(sequence)), [Some(3), Some(4), None, None]);
}

#[test]
fn a_completion_whose_sequence_is_passed_finds_it_taken_and_a_close_has_no_need() {
    let sequence_key = key(2, "two");
    let Readiness::Ready(change) = just(1).readiness(&sequence_key) else { panic!("it is its turn") };
    let completion = PositionUpdate::new(&sequence_key, change);
    assert_eq!(just(2).reconsider(&completion), ReconsideredPosition::SequenceTaken);
    assert_eq!(just(0).reconsider(&completion), ReconsideredPosition::Contended);
    let close = just(1).closing(&sequence_key).unwrap();
    assert_eq!(just(2).reconsider(&close), ReconsideredPosition::Unneeded);
}

#[test]
fn the_one_after_is_checked_only_where_more_is_registered() {
    let writes = |registered_to: u64| {
        let (passed, next) = (vec![3], None);
        let change = PositionChange::To { from: 1, to: 3, registered_to: Some(registered_to), passed, next };
        let writes = PositionUpdate::new(&key(2, "two"), change).writes();
        writes.into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>()
    };
    assert_eq!((writes(3), writes(4)), (vec![0, 2, 3], vec![0, 2, 4, 3]));
}

#[test]
fn a_position_after_a_commit_is_where_the_commit_moved_it() {
    let waits = |at, id: &str| (at, Registration::Waits(id.into()));
    // Sequence 3 was registered when this was read, and is closed by now.
    let registrations = [waits(3, "three"), waits(4, "four"), waits(6, "six")].into();
    let known = Position { at: 1, registered_to: Some(6), registrations, read: (1, 9) };
    let change = |next: Option<&str>, registered_to| {
        let (next, passed) = (next.map(str::to_owned), vec![3]);
        PositionUpdate::new(
            &key(2, "two"),
            PositionChange::To { from: 1, to: 3, registered_to, passed, next },
        )
    };
    let moved = known.clone().moved(&change(Some("four"), Some(6)));
    let registrations = BTreeMap::from([waits(4, "four"), waits(6, "six")]);
    assert_eq!(moved, Position { at: 3, registrations, ..known.clone() });
    assert!(matches!(moved.readiness(&key(4, "four")), Readiness::Ready(_)));
    let registrations = BTreeMap::from([waits(6, "six")]);
    assert_eq!(
        known.clone().moved(&change(None, Some(6))),
        Position { at: 3, registrations, ..known.clone() }
    );
    assert_eq!(known.moved(&change(None, Some(3))).registered_to, None);
}

#[test]
fn g8_each_in_its_turn_and_a_registered_one_is_gone_on_with() {
    let mut items = Items::default();
    let known = Position::default();
    assert_eq!(known.readiness(&key(2, "n2")), Readiness::Early { is_registered: false });
    items.register(2, "n2");
    let registered = items.known(2);
    assert_eq!(registered.readiness(&key(2, "n2")), Readiness::Early { is_registered: true });
    assert_eq!(registered.readiness(&key(2, "other")), Readiness::Past, "the sequence is another's");
    assert_eq!(registered.registration(&key(2, "other")), None);
    // It was decided when none was registered, and is reconsidered.
    assert_eq!(items.complete(&known, 1).unwrap().next(), Some("n2"));
    assert_eq!((items.position(), items.next().as_deref()), (1, Some("n2")));
    assert_eq!(items.complete(&items.known(2), 2).unwrap().next(), None);
    assert_eq!(items, Items::at(2), "nothing is left of the registration");
    assert_eq!(just(2).readiness(&key(2, "other")), Readiness::Past);
}

#[test]
fn g8_a_registration_fails_once_its_turn_has_come() {
    let items = Items::at(1);
    let late = Position::default().registration(&key(2, "two")).unwrap();
    assert!(!items.clone().make(&late), "the one before it completed in between");
    assert!(matches!(items.known(2).readiness(&key(2, "two")), Readiness::Ready(_)));
}

#[test]
fn what_waits_does_not_make_the_position_larger() {
    let mut items = Items::at(1);
    items.register(3, "n3");
    let size = items.item(0).len();
    (4..1_500).for_each(|sequence| items.register(sequence, &format!("n{sequence}")));
    assert_eq!(items.item(0).len(), size);
    // In order with nothing registered it is the one action that it was.
    let Readiness::Ready(change) = just(4).readiness(&key(5, "n5")) else { panic!("it is its turn") };
    assert_eq!(PositionUpdate::new(&key(5, "n5"), change).writes().len(), 1);
    // What is read suffices for several that go one after another.
    let mut known = items.known(2);
    for sequence in 2..1_500 {
        let moved = items.complete(&known, sequence).unwrap();
        known = known.moved(&moved);
        items.read(&mut known, sequence + 1);
        assert!(moved.writes().len() <= 3 && items.are_whole());
    }
    assert_eq!(items, Items::at(1_499));
}

#[test]
fn a_gap_that_is_filled_meanwhile_is_not_passed() {
    let mut items = Items::at(1);
    items.register(9, "n9");
    let known = items.known(2);
    // Below what is registered: the position itself does not change.
    items.register(3, "n3");
    assert_eq!(items.item(0)[REGISTERED_TO], number(9));
    assert_eq!(items.complete(&known, 2).unwrap().next(), Some("n3"));
    assert_eq!(items.next().as_deref(), Some("n3"));
}

#[test]
fn what_is_closed_early_is_passed_when_its_turn_comes() {
    let mut items = Items::default();
    for sequence in (2..120).rev() {
        assert_eq!(items.close(&Position::default(), sequence).unwrap().next(), None);
    }
    items.register(120, "last");
    let known = items.known(3);
    assert_eq!(known.readiness(&key(3, "n3")), Readiness::Past, "no late copy applies it");
    assert!(known.registration(&key(3, "n3")).is_none());
    assert_eq!(items.complete(&items.known(1), 1).unwrap().next(), Some("last"));
    assert_eq!((items.position(), items.are_whole()), (119, true));
}

#[test]
fn closing_in_turn_moves_the_position() {
    let mut items = Items::at(4);
    items.register(6, "six");
    assert_eq!(items.close(&items.known(5), 5).unwrap().next(), Some("six"));
    assert_eq!(items.position(), 5);
    assert!(items.close(&just(5), 5).is_none(), "another has its sequence");
}

#[test]
fn an_item_that_has_not_the_form_is_refused() {
    for wrong in [number(0), number(-1), number("1.5"), text("41")] {
        let item = |name: &str| Item::from([(name.to_owned(), wrong.clone())]);
        assert!(Position::decode(&item(POSITION)).is_err());
        assert!(Position::decode(&item(REGISTERED_TO)).is_err());
        assert!(just(1).read(2, &[item(SEQUENCE)], true).is_err());
    }
    let without_id = Item::from([(SEQUENCE.to_owned(), number(2))]);
    assert!(just(1).read(2, &[without_id], true).is_err());
}

#[test]
fn a_sequence_belongs_to_the_notification_that_came_first() {
    let mut items = Items::at(1);
    items.register(3, "n3");
    // It registered after the operator had read the position.
    assert!(!items.clone().make(&just(1).closing(&key(3, "other")).unwrap()));
    // Another of the same batch completed the one before, and knew of no registration.
    items.complete(&items.known(2), 2).unwrap();
    assert_eq!(items.known(3).readiness(&key(3, "other")), Readiness::Past);
    let Readiness::Ready(change) = just(2).readiness(&key(3, "other")) else { panic!("as far as is known") };
    assert!(items.decide(PositionUpdate::new(&key(3, "other"), change.clone())).is_none());
    // Something later is registered, and its own number was read before this one was.
    items.register(4, "n4");
    let PositionChange::To { to, passed, .. } = change else { panic!("it moves") };
    let stale = PositionChange::To { from: 2, to, registered_to: Some(4), passed, next: Some("n4".into()) };
    assert!(items.decide(PositionUpdate::new(&key(3, "other"), stale.clone())).is_none());
    assert!(items.decide(PositionUpdate::new(&key(3, "n3"), stale)).is_some());
}

proptest! {
    /// In every order of events, and with fresh or stale knowledge: the position passes only what is
    /// completed or closed, and the registered notification that it reaches is gone on with.
    #[test]
    fn g8_a_position_passes_only_what_is_completed(
        history in prop::collection::vec((0u8..4, 1u64..7, any::<bool>()), 0..40),
    ) {
        let mut items = Items::default();
        let mut completed = std::collections::BTreeSet::new();
        let mut before = Items::default();
        for (what, sequence, is_stale) in history {
            let known = if is_stale { before.known(sequence) } else { items.known(sequence) };
            let was_at = items.position();
            before = items.clone();
            // The record's own condition fails first.
            if what > 0 && completed.contains(&sequence) {
                continue;
            }
            let update = match what {
                0 => {
                    if let Some(update) = known.registration(&key(sequence, &format!("n{sequence}"))) {
                        items.make(&update);
                    }
                    prop_assert!(items.are_whole(), "{:?}", items);
                    continue;
                }
                1 => items.close(&known, sequence),
                _ => items.complete(&known, sequence),
            };
            let Some(update) = update else { continue };
            completed.insert(sequence);
            let whole = (1..).take_while(|at| completed.contains(at)).last().unwrap_or(0);
            prop_assert_eq!(items.position(), whole);
            prop_assert!(items.are_whole(), "{:?}", items);
            if what > 1 {
                prop_assert_eq!(sequence, was_at + 1, "out of turn");
            }
            let gone_on_with = items.next().filter(|_| items.position() != was_at);
            prop_assert_eq!(update.next().map(str::to_owned), gone_on_with);
        }
    }
}

#[test]
fn a_key_that_has_begun_does_not_begin_again() {
    let beginning = Position::beginning(5);
    let begun = applied(&beginning, &Item::new()).unwrap();
    assert_eq!(Position::decode(&begun).unwrap().at(), 4);
    // One that was made again, or lands late.
    assert_eq!(applied(&beginning, &begun), None);
    let waits = Item::from([(REGISTERED_TO.to_owned(), number(7))]);
    let begun = applied(&beginning, &waits).unwrap();
    assert_eq!(begun[REGISTERED_TO], number(7), "what waits stays registered");
}
