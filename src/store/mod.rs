//! Every call that keeps something: the `notifications` table, the `positions` table, reconcile's cursor, and
//! a destination's queues. The decisions are in `record/`; here are the calls, their retries, and what their
//! errors mean.
//!
//! Read [`Ledger`] first. `transaction.rs` says what a cancelled transaction means, `token.rs` makes its
//! request token.

mod call;
mod controls;
mod cursor;
mod due_index;
mod error;
pub(crate) mod ledger;
mod operator;
pub(crate) mod positions;
#[cfg(feature = "lambda")]
mod queues;
#[cfg(feature = "lambda")]
mod relay_queue;
mod replay;
mod token;
mod transaction;
mod turnstile;
mod waiters;

pub(crate) use call::{GET_ITEM, PUT_ITEM, Updated};
pub use controls::Controlled;
pub use cursor::{Cursors, Walk};
pub(crate) use cursor::{PartitionProgress, Place};
pub use due_index::{NotCompleted, Page};
pub(crate) use error::TransitionError;
pub use ledger::Acceptance;
pub(crate) use ledger::{Commit, Ledger, STATEMENTS_MAX};
pub use operator::OperatorOutcome;
pub(crate) use positions::Positions;
#[cfg(feature = "lambda")]
pub(crate) use queues::destination_of_retry_queue;
#[cfg(feature = "lambda")]
pub use queues::{
    ATTEMPTS, AllDeadLetters, DESTINATION, DeadLetters, DestinationQueues, ENCODING, ERROR, PART,
};
#[cfg(feature = "lambda")]
pub use relay_queue::RelayQueue;
pub use replay::Replayed;
pub(crate) use transaction::{EffectWrite, Precedence};
pub use waiters::Waiters;
