//! The error of the calls that apply a transition.

use super::transaction::CONDITION_FAILED;
use crate::aws::Fault;
use crate::record::Refused;

/// Why a state transition was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransitionError {
    /// Nothing was decided. Give the copy back.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The record does not allow it.
    #[error("the record does not allow it ({0:?})")]
    Refused(Refused),
    /// The effect is over a limit, or its table does not take the form of a write. A repeat fails again.
    #[error(
        "the effect is not valid ({0}); check its writes against their tables and the limits of a transaction"
    )]
    Invalid(Fault),
    /// The condition of the effect's write with this number, from 0, failed.
    #[error("write {at} of the effect was refused ({CONDITION_FAILED})")]
    Condition { at: usize },
    /// The effect's write with this number, from 0, was refused for another reason.
    #[error("write {at} of the effect was refused ({code})")]
    Write { at: usize, code: String },
    /// The id of an emit has other content: an earlier call of the handler gave it another content.
    #[error(
        "the emitted notification {id} is stored with other content; a repeat must emit the same content under the same name"
    )]
    EmitConflict { id: String },
    /// A sequenced destination has not completed an earlier notification. This one is registered, and gone on with
    /// when its turn comes.
    #[error("an earlier notification of its `partitionkey` is not completed")]
    Early,
    /// A sequenced destination has completed, or registered, another notification with this sequence.
    #[error(
        "another notification of its source and `partitionkey` has its `sequence`; close this one, or send it again with an id and a sequence of its own"
    )]
    SequenceTaken,
}
