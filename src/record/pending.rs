//! A transition on its way to the table, and what to do when its condition fails.

use super::record::{Record, State};
use super::transition::{Expected, Refused, Transition, TransitionTimes, plan};
use super::update::Update;

/// A state transition to apply.
#[derive(Clone, Debug)]
pub(crate) struct PendingTransition {
    pub(crate) id: String,
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
        plan(&self.transition, &self.destination, self.expected, &self.id, &self.times)
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
