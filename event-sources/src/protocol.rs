//! What the engine and its driver tell each other.

use std::time::Duration;

use crate::batch::{Batch, BatchId};
use crate::discard::Discard;
use crate::invocation::InvocationOutcome;
use crate::record::Record;

/// What the driver tells the engine: time has passed, or an [`Action`] has completed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// Time has passed, and nothing else has happened. This is also a shard's first input.
    TimePassed,
    /// [`Action::Fetch`] has completed.
    Fetched {
        /// The records that follow those fetched before, in the order of the shard. May be empty.
        records: Vec<Record>,
        /// Whether the shard is closed and these are its last records.
        closed: bool,
    },
    /// [`Action::Invoke`] has completed.
    Invoked {
        /// The batch's [`Batch::id`]. The engine ignores an outcome of a batch that is not in flight.
        batch: BatchId,
        /// How the invocation ended.
        outcome: InvocationOutcome,
    },
    /// [`Action::Discard`] has completed.
    Discarded {
        /// The [`Discard::id`].
        batch: BatchId,
        /// Whether the on-failure destination has the invocation record, or the mapping has no
        /// destination. If the destination could not be written, the engine keeps the records and
        /// asks for the discard again later.
        written: bool,
    },
}

/// What the engine tells the driver to do.
///
/// A driver has to carry out every action, so this enum is exhaustive: an action that a later
/// release adds must not compile until the driver handles it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Every record up to this sequence number has succeeded, been filtered out or been discarded.
    /// A driver that stores its position may resume after this record.
    Checkpoint(String),
    /// Invoke the function with this batch and report [`Input::Invoked`].
    Invoke(Batch),
    /// Send an invocation record to the mapping's on-failure destination, if it has one, and report
    /// [`Input::Discarded`].
    Discard(Discard),
    /// Fetch the records that follow and report [`Input::Fetched`]. At most one fetch is
    /// outstanding.
    Fetch,
    /// Report [`Input::TimePassed`] at this time, unless another input comes first. Every call of
    /// [`Shard::handle`](crate::Shard::handle) replaces the time of the call before: without this
    /// action, there is nothing to wait for.
    WaitUntil(Duration),
    /// The shard is closed and all its records are processed: its child shards may start.
    Drained,
}
