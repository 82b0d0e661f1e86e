//! The user's end: what a destination is, and how it applies each notification once.
//!
//! A user writes a [`Destination`], which returns an [`Effect`](crate::Effect), or an [`External`], which makes a call.
//! Read on from the top of the pipeline: `several.rs` has the destinations of a function; `stream_batch.rs` takes a batch
//! of the stream, `retry_batch.rs` one of the retry queue, and `batch.rs` has what both share; `gate.rs` keeps a paused
//! destination from being called; `process.rs` runs its notifications concurrently; `ordered.rs` runs those of one key in
//! order; `commit.rs` and `external_call.rs` apply one notification. If that fails, `failed_attempt.rs` does what
//! `retry_policy.rs` decides by the destination's `retry_schedule.rs`. `blocked.rs` decides where a handler does not yield,
//! by what `watch.rs` saw. `handler.rs` has what all of them share.

pub(crate) mod destination;
pub(crate) mod effect;
pub(crate) mod external;
pub(crate) mod failure;

#[cfg(feature = "lambda")]
mod batch;
#[cfg(feature = "lambda")]
mod blocked;
#[cfg(feature = "lambda")]
mod commit;
#[cfg(feature = "lambda")]
mod external_call;
#[cfg(feature = "lambda")]
mod failed_attempt;
#[cfg(feature = "lambda")]
mod gate;
#[cfg(feature = "lambda")]
mod handler;
#[cfg(feature = "lambda")]
mod ordered;
#[cfg(feature = "lambda")]
mod process;
#[cfg(feature = "lambda")]
mod retry_batch;
#[cfg(feature = "lambda")]
mod retry_policy;
#[cfg(feature = "lambda")]
mod retry_schedule;
#[cfg(feature = "lambda")]
mod several;
#[cfg(feature = "lambda")]
mod stream_batch;
#[cfg(feature = "lambda")]
pub(crate) mod to_queue;
#[cfg(feature = "lambda")]
mod watch;

#[cfg(feature = "lambda")]
pub use batch::Consumer;
#[cfg(feature = "lambda")]
pub(crate) use destination::Destination;
pub use effect::{ACTIONS_MAX, CALLS_MAX, Write};
#[cfg(feature = "lambda")]
pub(crate) use external::{External, OnUnknown};
#[cfg(feature = "lambda")]
pub(crate) use external_call::never_works;
#[cfg(feature = "lambda")]
pub(crate) use handler::Deadlines;
#[cfg(feature = "lambda")]
pub use handler::DestinationSettings;
#[cfg(feature = "lambda")]
pub use process::CONCURRENCY_MAX;
#[cfg(feature = "lambda")]
pub use retry_schedule::RetrySchedule;
#[cfg(feature = "lambda")]
pub use several::Consumers;
#[cfg(feature = "lambda")]
pub use stream_batch::DispatchBatch;
