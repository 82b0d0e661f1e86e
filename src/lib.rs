//! Handover: transactional messaging for AWS serverless.
//!
//! A message is accepted once, carried to every destination at least once, and its effect is
//! applied exactly once. Write a [`Destination`], wire it with [`run`], and let its functions
//! be deployed beside `accept` and `relay`; a producer sends to the upstream queue, or
//! commits a notification with its own write through the [`Outbox`].
//!
//! One file per stage: [`accept`] (behind [`upstream`], the queue), [`relay`], [`consume`],
//! [`reconcile`]. One file per shape: [`event`] on the wire, [`record`] in the table, [`offer`] in the
//! stream. [`moves`] says what may become of a record, and [`sequence`] when it is the turn of a numbered one.

pub mod accept;
mod attempt;
pub mod aws;
pub mod by_hand;
pub mod clock;
pub mod consume;
pub mod custody;
mod destination;
mod digest;
pub mod due;
pub mod effect;
pub mod event;
pub mod external;
pub mod fault;
pub mod index;
mod json;
mod lane;
pub mod ledger;
mod line;
pub mod moves;
pub mod notification;
pub mod offer;
pub mod outbox;
mod packing;
pub mod parking;
pub mod reconcile;
pub mod record;
mod refusal;
pub mod relay;
pub mod route;
pub mod runtime;
pub mod sequence;
mod sqs;
mod transaction;
pub mod update;
pub mod upstream;

/// The SDK's client for DynamoDB, in the version whose types an [`Effect`] takes.
pub use aws_sdk_dynamodb as dynamodb;

pub use clock::Clock;
pub use destination::Destination;
pub use effect::{Effect, Failure};
pub use external::External;
pub use fault::Fault;
pub use json::Json;
pub use ledger::Ledger;
pub use notification::{Draft, Kind, Notification};
pub use outbox::Outbox;
pub use refusal::Refusal;
pub use route::Routes;
pub use runtime::{Error, run, run_external};
pub use sequence::Positions;

/// The code that the README shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
