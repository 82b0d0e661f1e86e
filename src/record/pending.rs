//! A transition on its way to the table, and what to do when its condition fails.

use aws_sdk_dynamodb::types::AttributeValue;

use super::attributes::{
    CLOSED, CORRELATIONID, DEAD, DIGEST, EMITS, EMITS_LEFT_OUT, OPEN, OUTCOME_ID, OUTCOMETO, SEQUENCED,
    VERSION, of_delivery,
};
use super::delivery::{EMIT_NAMES_BYTES_MAX, State};
use super::dispatch::Dispatch;
use super::outcome::{is_end, outcome, outcome_id};
use super::record::{Record, Status};
use super::transition::{Expected, Refused, Transition, TransitionTimes, plan};
use super::update::{Condition, Set, Update, number, text};
use crate::notification::{NotificationKey, digest};

/// A state transition to apply.
#[derive(Clone, Debug)]
pub(crate) struct PendingTransition {
    pub(crate) key: NotificationKey,
    pub(crate) destination: String,
    pub(crate) transition: Transition,
    pub(crate) expected: Expected,
    pub(crate) times: TransitionTimes,
    /// What the record is known to be. Its update then has values in place of sums, under the condition on the
    /// version: the sums of PartiQL are not documented.
    pub(crate) basis: Option<Basis>,
    /// The digest that the record has to have, where its data was read from a copy: somebody else may have written
    /// that.
    pub(crate) digest: Option<String>,
    /// Whether the destination has to apply it in order, where a copy said that it does or does not.
    pub(crate) sequenced: Option<bool>,
    /// The first cause that the record has to have, or that it has none, where a copy said so and the effect emits.
    pub(crate) correlationid: Option<Option<String>>,
    /// The names of what the effect emits.
    pub(crate) emits: Vec<String>,
    /// The record as it was read, where it asks for its outcome.
    pub(crate) asks_for_outcome: Option<Box<Record>>,
}

/// The numbers of a record that a transition changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    version: u64,
    open: u32,
    dead: u32,
    closed: u32,
}

impl Basis {
    /// Of a record whose dispatch said its version. No delivery is dead or closed, as most often; where one is, the
    /// condition fails.
    pub(crate) fn of_dispatch(dispatch: &Dispatch) -> Option<Basis> {
        let open = dispatch.destinations.len() as u32;
        dispatch.version.map(|version| Basis { version, open, dead: 0, closed: 0 })
    }

    pub(crate) fn of(record: &Record) -> Basis {
        let Record { version, open, dead, closed, .. } = *record;
        Basis { version, open, dead, closed }
    }

    /// Puts values in place of sums, under the condition on what they are computed from.
    fn apply(&self, update: &mut Update) {
        let known = [
            (VERSION, self.version as i64),
            (OPEN, i64::from(self.open)),
            (DEAD, i64::from(self.dead)),
            (CLOSED, i64::from(self.closed)),
        ];
        for (path, set) in &mut update.sets {
            let before = known.iter().find(|(name, _)| path == name).map(|(_, before)| before);
            if let (Set::Plus(more), Some(before)) = (&set, before) {
                *set = Set::To(number(before + *more));
                let condition = Condition::Is(path.clone(), number(before));
                if !update.conditions.contains(&condition) {
                    update.conditions.push(condition);
                }
            }
        }
    }
}

/// How a transition came out, unless it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransitionOutcome {
    /// Applied by this call.
    Applied,
    /// The delivery was in this final state before, by another copy or by a call whose answer was lost.
    AlreadyApplied(State),
}

/// What the record says of a transition whose condition failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reconsidered {
    /// The record allows it with another expectation, which the transition now has. Send it again.
    SendAgain,
    /// The record meets the expectation after all: other writers are changing it.
    Contended,
    /// There is nothing left to apply.
    Complete(TransitionOutcome),
    /// The record does not allow it.
    Refused(Refused),
}

impl PendingTransition {
    pub(crate) fn new(
        key: NotificationKey,
        destination: &str,
        transition: Transition,
        expected: Expected,
        times: TransitionTimes,
    ) -> PendingTransition {
        PendingTransition {
            key,
            destination: destination.to_owned(),
            transition,
            expected,
            times,
            basis: None,
            digest: None,
            sequenced: None,
            correlationid: None,
            emits: vec![],
            asks_for_outcome: None,
        }
    }

    pub(crate) fn update(&self) -> Update {
        let mut update = plan(&self.transition, &self.destination, self.expected, &self.key.id, &self.times);
        if let Some(basis) = &self.basis {
            basis.apply(&mut update);
        }
        match &self.asks_for_outcome {
            Some(record) if self.has_outcome() => {
                update.sets.push((OUTCOME_ID.into(), Set::To(text(outcome_id(record)))));
            }
            // An end without its outcome is refused, so that the record is read.
            None if self.expected.after != Status::Init => {
                update.conditions.push(Condition::Absent(OUTCOMETO.into()));
            }
            Some(_) | None => (),
        }
        let digest = self.digest.iter().map(|digest| Condition::Is(DIGEST.into(), text(digest)));
        update.conditions.extend(digest);
        let in_order = of_delivery(&self.destination, SEQUENCED);
        update.conditions.extend(self.sequenced.map(|sequenced| match sequenced {
            true => Condition::Is(in_order, AttributeValue::Bool(true)),
            false => Condition::Absent(in_order),
        }));
        update.conditions.extend(self.correlationid.iter().map(|id| match id {
            Some(id) => Condition::Is(CORRELATIONID.into(), text(id)),
            None => Condition::Absent(CORRELATIONID.into()),
        }));
        if !self.emits.is_empty() {
            let (kept, left_out) = kept(&self.emits);
            let here = |name| of_delivery(&self.destination, name);
            update.sets.push((here(EMITS), Set::To(AttributeValue::L(kept.map(text).collect()))));
            if left_out > 0 {
                update.sets.push((here(EMITS_LEFT_OUT), Set::To(number(left_out))));
            }
        }
        update
    }

    /// Whether it leads to an end, and the sender asks for the outcome.
    pub(crate) fn has_outcome(&self) -> bool {
        self.asks_for_outcome.as_ref().is_some_and(|record| is_end(record, self.expected))
    }

    /// The INIT record of the outcome that goes with it, in one transaction.
    pub(crate) fn outcome(&self) -> Option<Record> {
        let record = self.asks_for_outcome.as_ref().filter(|_| self.has_outcome())?;
        Some(outcome(record, &self.destination, &self.transition, self.expected, self.times.now))
    }

    /// Whether it was decided on the content of this record.
    fn has_content_of(&self, record: &Record) -> bool {
        self.digest.as_ref().is_none_or(|digest| *digest == self::digest(&record.notification()))
    }

    /// Whether it was decided on another order than that of this record.
    fn has_other_order_than(&self, record: &Record) -> bool {
        let delivery = record.destinations.get(&self.destination);
        self.sequenced.zip(delivery).is_some_and(|(sequenced, delivery)| sequenced != delivery.sequenced)
    }

    /// Decides on the record that DynamoDB returned with the failed condition.
    pub(crate) fn reconsider(&mut self, record: &Record) -> Reconsidered {
        let asks_for_outcome = record.outcometo.as_ref().map(|_| Box::new(record.clone()));
        // The outcome says what the record is, so it has to be that.
        let basis = (self.basis.is_some() || asks_for_outcome.is_some()).then(|| Basis::of(record));
        let is_told = asks_for_outcome.is_some() == self.asks_for_outcome.is_some();
        let is_other_cause = self.correlationid.as_ref().is_some_and(|id| *id != record.correlationid);
        let is_other_digest = self.digest.as_ref().is_some_and(|digest| *digest != record.digest);
        match Expected::of(record, &self.destination, &self.transition, self.times.now) {
            Ok(_)
                if is_other_cause
                    || self.has_other_order_than(record)
                    || (is_other_digest && !self.has_content_of(record)) =>
            {
                Reconsidered::Refused(Refused::OtherContent)
            }
            Ok(expected)
                if expected == self.expected && basis == self.basis && is_told && !is_other_digest =>
            {
                Reconsidered::Contended
            }
            Ok(expected) => {
                self.asks_for_outcome = asks_for_outcome;
                (self.expected, self.basis) = (expected, basis);
                // By the rule of another release it may have another digest.
                self.digest = self.digest.take().map(|_| record.digest.clone());
                Reconsidered::SendAgain
            }
            Err(Refused::OwnWrite) => Reconsidered::Complete(TransitionOutcome::Applied),
            Err(Refused::Was(state)) if state.is_final() => {
                Reconsidered::Complete(TransitionOutcome::AlreadyApplied(state))
            }
            Err(refused) => Reconsidered::Refused(refused),
        }
    }
}

/// The names that the record keeps, and how many it leaves out.
fn kept(names: &[String]) -> (impl Iterator<Item = &String>, usize) {
    let bytes = names.iter().scan(0, |bytes, name| {
        *bytes += name.len();
        Some(*bytes)
    });
    let count = bytes.take_while(|bytes| *bytes <= EMIT_NAMES_BYTES_MAX).count();
    (names.iter().take(count), names.len() - count)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::notification::Draft;
    use crate::record::record::Emitted;
    use crate::record::tests::{applied, at, event_for};

    fn done() -> PendingTransition {
        let transition = Transition::Done { result: None, fence: None };
        let expected = Expected::guess(&transition, 1);
        let times = TransitionTimes {
            now: at(2_000),
            relayed_at: None,
            received_at: None,
            retention: SignedDuration::from_hours(1),
        };
        PendingTransition::new(NotificationKey::new("1", "s"), "a", transition, expected, times)
    }

    fn in_state(state: State) -> Record {
        let mut record = event_for(&["a"]);
        record.destinations.get_mut("a").unwrap().state = state;
        record
    }

    #[test]
    fn a_completed_record_is_a_duplicate() {
        let complete = Reconsidered::Complete(TransitionOutcome::AlreadyApplied(State::Done));
        assert_eq!(done().reconsider(&in_state(State::Done)), complete);
    }

    #[test]
    fn an_open_record_is_sent_again_with_what_it_expects() {
        let mut pending = done();
        assert_eq!(pending.reconsider(&event_for(&["a", "b"])), Reconsidered::SendAgain);
        assert_eq!(pending.expected, Expected { from: State::Pending, after: Status::Init });
        assert_eq!(pending.reconsider(&event_for(&["a", "b"])), Reconsidered::Contended);
    }

    #[test]
    fn a_dispatch_that_says_its_version_is_a_basis() {
        let record = event_for(&["a", "b"]);
        let dispatch = Dispatch::new(&record, vec!["a".into(), "b".into()], at(2_000));
        assert_eq!(Basis::of_dispatch(&dispatch), Some(Basis::of(&record)));
        assert_eq!(Basis::of_dispatch(&Dispatch { version: None, ..dispatch }), None);
    }

    #[test]
    fn with_a_basis_an_update_has_values_and_the_condition_on_its_version() {
        let record = event_for(&["a", "b"]);
        let mut pending = PendingTransition { basis: Some(Basis::of(&event_for(&["a"]))), ..done() };
        assert_eq!(pending.reconsider(&record), Reconsidered::SendAgain);
        assert_eq!(pending.basis, Some(Basis { version: 1, open: 2, dead: 0, closed: 0 }));
        assert_eq!(pending.reconsider(&record), Reconsidered::Contended);
        let with_values = pending.update();
        assert!(with_values.sets.iter().all(|(_, set)| matches!(set, Set::To(_))), "{with_values:?}");
        let item = record.encode();
        let with_sums = PendingTransition { basis: None, ..pending }.update();
        assert_eq!(applied(&with_values, &item), applied(&with_sums, &item));
        assert_eq!(applied(&with_values, &Record { version: 2, ..record }.encode()), None);
    }

    #[test]
    fn g4_a_copy_with_other_content_than_the_record_applies_nothing() {
        let record = event_for(&["a"]);
        let digest = |digest: &str| PendingTransition { digest: Some(digest.into()), ..done() };
        let mut forged = digest("v2:of other content");
        assert_eq!(applied(&forged.update(), &record.encode()), None);
        assert_eq!(forged.reconsider(&record), Reconsidered::Refused(Refused::OtherContent));
        let mut own = digest(&record.digest);
        assert!(applied(&own.update(), &record.encode()).is_some());
        // By the rule of another release the record has another digest of the same content.
        let of_later = Record { digest: "v9:0".into(), ..record };
        assert_eq!(own.reconsider(&of_later), Reconsidered::SendAgain);
        assert!(applied(&own.update(), &of_later.encode()).is_some());
        assert_eq!(forged.reconsider(&of_later), Reconsidered::Refused(Refused::OtherContent));
    }

    #[test]
    fn g8_a_copy_with_another_order_than_the_record_applies_nothing() {
        for (said, recorded) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut record = event_for(&["a"]);
            record.destinations.get_mut("a").unwrap().sequenced = recorded;
            let mut pending = PendingTransition { sequenced: Some(said), ..done() };
            assert_eq!(applied(&pending.update(), &record.encode()).is_some(), said == recorded);
            let refused = pending.reconsider(&record) == Reconsidered::Refused(Refused::OtherContent);
            assert_eq!(refused, said != recorded);
        }
    }

    #[test]
    fn a_mark_keeps_the_names_of_its_emits_as_far_as_they_fit() {
        let marked = |names: &[usize]| {
            let emits = names.iter().map(|bytes| "x".repeat(*bytes)).collect();
            let update = PendingTransition { emits, ..done() }.update();
            let item = applied(&update, &event_for(&["a"]).encode()).unwrap();
            Record::decode(item).unwrap()
        };
        let of = |record: &Record| {
            let delivery = &record.destinations["a"];
            (delivery.emits.iter().map(String::len).collect::<Vec<_>>(), delivery.emits_left_out)
        };
        assert_eq!(of(&marked(&[])), (vec![], 0));
        assert_eq!(of(&marked(&[3, 1_000])), (vec![3, 1_000], 0));
        assert_eq!(of(&marked(&[2_000, 48, 1, 0])), (vec![2_000, 48], 2));
        let parent = event_for(&["a"]).notification();
        let child = Draft::event("u", "s", &1).build_emitted(&parent, "a", "xxx").unwrap();
        let marked = marked(&[3]);
        let emits: Vec<_> = marked.emits().collect();
        assert_eq!(emits, [Emitted { destination: Some("a"), name: "xxx", id: child.id.clone() }]);
    }

    #[test]
    fn a_state_of_a_later_release_is_refused() {
        let refused = Reconsidered::Refused(Refused::Was(State::Unknown));
        assert_eq!(done().reconsider(&in_state(State::Unknown)), refused);
    }
}
