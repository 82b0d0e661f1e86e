//! The stored shapes, and every decision about them as a pure function. Nothing here calls AWS.
//!
//! Read [`Record`] first: the item of the `notifications` table. `transition.rs` is the table of its state
//! machine, with the condition of each transition. `update.rs` writes a conditional update in DynamoDB's two
//! notations. `due.rs` has all times of reconcile and the key of its index. [`Dispatch`] is the Kinesis
//! record. `position.rs` says when it is the turn of a numbered notification, `control.rs` whether a destination is
//! paused.

pub(crate) mod attributes;
mod control;
mod decode;
mod delivery;
mod dispatch;
mod due;
mod outcome;
mod pending;
mod place;
mod position;
mod record;
mod redispatch;
mod replay;
mod replay_plan;
mod sequence;
#[cfg(test)]
mod shapes;
mod timeline;
mod transition;
mod update;
mod view;

pub use control::Control;
pub(crate) use control::{NotAControl, control_key, pausing, resuming};
pub use decode::NotARecord;
pub(crate) use delivery::shortened;
pub use delivery::{
    Delivery, EMIT_NAMES_BYTES_MAX, ERROR_BYTES_MAX, FailedAttempt, RESULT_BYTES_MAX, RecordedFault, Settled,
    State,
};
pub use dispatch::{Dispatch, NotADispatch};
pub(crate) use due::next_dispatch;
pub use due::{
    AHEAD, FIRST_DUE_AFTER, LAG, PARTITIONS_PER_SLOT, SLOT_SECONDS, Slot, SlotKind, bucket, dead_bucket,
    dead_slots, open_slots, recent_slots,
};
pub(crate) use due::{DEAD_DUE_AFTER, DEAD_LETTERS_LAST, PAUSED_CHECKED_AFTER, SECOND_CHECK_AFTER};
pub use outcome::{Outcome, OutcomeAt};
pub(crate) use pending::{Basis, PendingTransition, Reconsidered, TransitionOutcome};
pub(crate) use place::{Place, leave, take};
pub(crate) use position::{NotAPosition, Position, PositionUpdate, Readiness, ReconsideredPosition, Write};
pub use record::{Change, Emitted, Item, KEPT_WITHOUT_SUBSCRIBERS, Record, Status};
pub(crate) use redispatch::{Via, check_dead_later, check_later, dead_letter_renewed, dispatch_again};
pub use replay::NotReplayed;
pub(crate) use replay::{is_own_addition, replayed};
pub(crate) use replay_plan::plan as plan_replay;
pub use replay_plan::{Addition, Beginning, LeftOut, Replay, ReplayPlan, Replayable};
pub(crate) use sequence::SequenceKey;
pub use timeline::{Moment, What, timeline};
pub(crate) use transition::{Called, Expected, Refused, Transition, TransitionTimes};
pub(crate) use update::{Condition, Expression, Update, is_same_millisecond, number, statement, text};
pub use view::{DeliveryView, EmitView, FaultView, MomentView, PauseView, RecordView, Time};

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::record::tests::{at, event_for};
    pub(crate) use super::update::tests::applied;
}
