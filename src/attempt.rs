//! What follows when a destination did not end a notification: as pure decisions.

use std::time::Duration;

use crate::effect::Failure;
use crate::ledger::NotMarked;
use crate::moves::{Called, Lost};

/// Attempts since accept or redrive, after which a destination gives up.
pub const ATTEMPTS_MAX: u32 = 6;
/// Longest a message may be delayed or hidden, in seconds.
const WAIT_SECONDS_MAX: f64 = 12.0 * 60.0 * 60.0;

/// Why a destination has not ended a notification.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEnded {
    /// The handler failed, panicked, or took too long.
    #[error("{}", .0.error)]
    Failed(Failure),
    #[error(transparent)]
    NotMarked(#[from] NotMarked),
    #[error("no time is left in this invocation")]
    NoTime,
    /// After the start of an external effect was recorded.
    #[error("{error}")]
    Called { error: Box<NotEnded>, called: Called },
}

impl From<Failure> for NotEnded {
    fn from(failure: Failure) -> Self {
        NotEnded::Failed(failure)
    }
}

/// How much a failure weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Nothing was decided: it is tried again, and no attempt is counted.
    None,
    /// A failed attempt.
    Attempt,
    /// A failed attempt, and no other would do better: the last.
    Last,
}

impl NotEnded {
    /// Where this holder of an external effect, if it is one, could not record the outcome of its call.
    pub(crate) fn of_call(self, fence: Option<u32>) -> NotEnded {
        match fence {
            Some(fence) => {
                NotEnded::Called { error: Box::new(self), called: Called { fence, is_unknown: true } }
            }
            None => self,
        }
    }

    /// What is said of an external effect that was started.
    pub(crate) fn called(&self) -> Option<Called> {
        match self {
            NotEnded::Called { called, .. } => Some(*called),
            _ => None,
        }
    }

    /// Whether it came before its turn, and will be woken for it.
    pub(crate) fn is_woken(&self) -> bool {
        matches!(self, NotEnded::NotMarked(NotMarked::Early { is_written: true }))
    }

    pub(crate) fn weight(&self) -> Weight {
        match self {
            NotEnded::Called { error, .. } => error.weight(),
            NotEnded::Failed(failure) if failure.permanent => Weight::Last,
            NotEnded::Failed(_) => Weight::Attempt,
            NotEnded::NotMarked(NotMarked::Fault(_)) | NotEnded::NoTime => Weight::None,
            NotEnded::NotMarked(NotMarked::Write { .. }) => Weight::Attempt,
            NotEnded::NotMarked(NotMarked::Early { .. }) => Weight::None,
            NotEnded::NotMarked(
                NotMarked::Invalid(_) | NotMarked::EmitConflict { .. } | NotMarked::Taken,
            ) => Weight::Last,
            NotEnded::NotMarked(NotMarked::Lost(Lost::Held | Lost::Counted(_) | Lost::Offered(_))) => {
                Weight::None
            }
            NotEnded::NotMarked(NotMarked::Lost(_)) => Weight::Last,
        }
    }
}

/// Whether an attempt of this number and weight is the last.
pub(crate) fn gives_up(weight: Weight, number: u32) -> bool {
    weight == Weight::Last || (weight == Weight::Attempt && number >= ATTEMPTS_MAX)
}

/// How long to wait after attempt `number`, from 1: doubling, and between half and all of
/// that, so that those who failed together do not come back together. `random` is from 0
/// to 1.
pub(crate) fn wait(base: Duration, number: u32, random: f64) -> Duration {
    let longest = base.as_secs_f64() * 2f64.powi(number.clamp(1, 30) as i32 - 1);
    let seconds = longest.min(WAIT_SECONDS_MAX) * (0.5 + random / 2.0);
    Duration::from_secs(seconds.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Cause, Fault};
    use crate::record::State;

    #[test]
    fn what_is_nobodys_failure_counts_no_attempt() {
        let fault = |code| NotEnded::from(NotMarked::Fault(Fault::new("", Cause::of_code(Some(code), None))));
        for code in
            ["TransactionConflict", "ThrottlingException", "AccessDeniedException", "InternalServerError"]
        {
            assert_eq!(fault(code).weight(), Weight::None, "{code}");
        }
        assert_eq!(NotEnded::NoTime.weight(), Weight::None);
        assert_eq!(NotEnded::from(NotMarked::Lost(Lost::Held)).weight(), Weight::None);
        assert_eq!(NotEnded::from(NotMarked::Early { is_written: true }).weight(), Weight::None);
    }

    #[test]
    fn what_no_repeat_would_mend_is_the_last() {
        assert_eq!(NotEnded::from(Failure::permanent("no")).weight(), Weight::Last);
        assert_eq!(NotEnded::from(NotMarked::EmitConflict { id: "1".into() }).weight(), Weight::Last);
        assert_eq!(NotEnded::from(NotMarked::Lost(Lost::NotACommand)).weight(), Weight::Last);
        assert_eq!(NotEnded::from(NotMarked::Lost(Lost::Was(State::Closed))).weight(), Weight::Last);
    }

    #[test]
    fn the_sixth_attempt_is_the_last() {
        assert_eq!(NotEnded::from(Failure::passing("no")).weight(), Weight::Attempt);
        assert!(!gives_up(Weight::Attempt, 5));
        assert!(gives_up(Weight::Attempt, 6));
        assert!(gives_up(Weight::Last, 1));
        assert!(!gives_up(Weight::None, 6));
    }

    #[test]
    fn waits_double_and_are_spread() {
        let minutes = |number, random| wait(Duration::from_secs(120), number, random).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 5].map(|number| minutes(number, 1.0)), [2, 4, 8, 16, 32]);
        assert_eq!(minutes(5, 0.0), 16);
        assert_eq!(minutes(40, 1.0), 12 * 60);
        assert_eq!(wait(Duration::from_secs(1), 1, 0.0), Duration::from_secs(1));
    }
}
