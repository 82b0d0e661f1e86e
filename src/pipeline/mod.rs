//! The stages between a producer and a destination. Each file is one stage, and is read from top to bottom.
//!
//! [`Upstream`] reads the upstream queue and hands its messages to [`Accept`]. [`Outbox`](crate::Outbox) is the other
//! way in. [`Relay`] carries dispatches from the table's stream to Kinesis. [`Reconcile`] finds late notifications.

#[cfg(feature = "lambda")]
mod accept;
pub(crate) mod outbox;
#[cfg(feature = "lambda")]
mod reconcile;
#[cfg(feature = "lambda")]
mod relay;
#[cfg(feature = "lambda")]
mod upstream;

#[cfg(feature = "lambda")]
pub use crate::aws::sqs::ATTRIBUTES_MAX;
#[cfg(feature = "lambda")]
pub(crate) use accept::CONFLICT;
#[cfg(feature = "lambda")]
pub use accept::{Accept, AcceptOutcome, Envelope};
pub use outbox::OutboxMessage;
#[cfg(feature = "lambda")]
pub use reconcile::{Found, Reconcile, ReconcileSettings};
#[cfg(feature = "lambda")]
pub use relay::Relay;
#[cfg(feature = "lambda")]
pub use upstream::{REASON, Upstream, UpstreamQueue};
