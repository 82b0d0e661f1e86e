//! What every call to AWS shares: clients, failures, back-off, pace, and packing. Nothing here knows a notification.

mod backoff;
#[cfg(any(feature = "client", feature = "lambda"))]
mod client;
pub(crate) mod fault;
#[cfg(feature = "lambda")]
mod held_up;
mod pace;
#[cfg(feature = "lambda")]
mod packing;
#[cfg(feature = "lambda")]
pub(crate) mod queue;
#[cfg(feature = "lambda")]
pub(crate) mod sqs;
#[cfg(feature = "lambda")]
mod unique_id;

#[cfg(feature = "lambda")]
pub(crate) use backoff::patiently;
pub(crate) use backoff::{TRIES_MAX, pause};
#[cfg(any(feature = "client", feature = "lambda"))]
pub use client::config;
#[cfg(feature = "client")]
pub(crate) use client::connector;
#[cfg(feature = "lambda")]
pub(crate) use client::lambda_config;
pub(crate) use fault::Cause;
pub(crate) use fault::Fault;
#[cfg(feature = "lambda")]
pub(crate) use held_up::HeldUp;
pub use pace::Pace;
#[cfg(feature = "lambda")]
pub(crate) use packing::pack;
#[cfg(feature = "lambda")]
pub(crate) use unique_id::unique_id;
