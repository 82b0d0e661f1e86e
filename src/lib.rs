//! Handover: transactional messaging for AWS serverless.

#![cfg_attr(
    not(feature = "lambda"),
    allow(dead_code, unused_imports, reason = "a producer's outbox uses a part of what the stages share")
)]

pub mod aws;
mod clock;
pub mod destination;
mod error;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod notification;
pub mod pipeline;
pub mod record;
pub mod store;

/// The SDK's client for DynamoDB, in the version whose types an [`Effect`] takes.
pub use aws_sdk_dynamodb as dynamodb;

pub use aws::fault::Fault;
pub use clock::Clock;
pub use destination::destination::Destination;
pub use destination::effect::{Effect, Failure};
pub use destination::external::{Asked, CallFailure, External, Unknown};
pub use error::Error;
#[cfg(feature = "lambda")]
pub use lambda::{run, run_external};
pub use notification::checked::Checked;
pub use notification::draft::Draft;
pub use notification::json::Json;
pub use notification::kind::Kind;
pub use notification::notification::Notification;
pub use notification::refusal::Refusal;
pub use notification::routes::Routes;
pub use pipeline::outbox::Outbox;
pub use store::ledger::Ledger;
pub use store::positions::Positions;

/// The code that the README shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
