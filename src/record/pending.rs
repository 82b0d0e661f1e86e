//! A transition on its way to the table, and what to do when its condition fails.

use super::record::{Record, State};
use super::transition::{Expected, Refused, Transition, TransitionTimes, plan};
use super::update::Update;
use crate::notification::NotificationKey;

/// A state transition to apply.
#[derive(Clone, Debug)]
pub(crate) struct PendingTransition {
    pub(crate) key: NotificationKey,
    pub(crate) destination: String,
    pub(crate) transition: Transition,
    pub(crate) expected: Expected,
    pub(crate) times: TransitionTimes,
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
    pub(crate) fn update(&self) -> Update {
        plan(&self.transition, &self.destination, self.expected, &self.key.id, &self.times)
    }

    /// Decides on the record that DynamoDB returned with the failed condition.
    pub(crate) fn reconsider(&mut self, record: &Record) -> Reconsidered {
        match Expected::of(record, &self.destination, &self.transition, self.times.now) {
            Ok(expected) if expected == self.expected => Reconsidered::Contended,
            Ok(expected) => {
                self.expected = expected;
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::record::record::Status;
    use crate::record::tests::{at, event_for};

    fn done() -> PendingTransition {
        let transition = Transition::Done { result: None, fence: None };
        let expected = Expected::guess(&transition, 1);
        let times = TransitionTimes {
            now: at(2_000),
            relayed_at: None,
            received_at: None,
            retention: SignedDuration::from_hours(1),
        };
        let key = NotificationKey::new("1", "s");
        PendingTransition { key, destination: "a".into(), transition, expected, times }
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
    fn a_state_of_a_later_release_is_refused() {
        let refused = Reconsidered::Refused(Refused::Was(State::Unknown));
        assert_eq!(done().reconsider(&in_state(State::Unknown)), refused);
    }
}
