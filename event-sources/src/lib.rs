//! The rules of AWS Lambda's stream event source mappings, as an engine without I/O.
//!
//! An event source mapping reads a DynamoDB stream or a Kinesis data stream and invokes a function
//! with batches of its records. AWS documents how: batching, retries, bisecting, partial batch
//! responses, filtering, checkpoints, discards. This crate implements these rules for programs that
//! play the part of AWS: a local AWS, an emulator's test or a simulation. It is not used on AWS.
//!
//! # The engine
//!
//! [`Shard`] is a state machine for one shard of a stream under one mapping. It calls nothing and
//! reads no clock. A driver carries out each [`Action`] that [`Shard::handle`] returns and reports
//! what has happened as an [`Input`], with the current time. The same inputs at the same times give
//! the same actions.
//!
//! | action | what the driver does | input that reports it |
//! |---|---|---|
//! | [`Action::Fetch`] | `GetRecords` | [`Input::Fetched`] |
//! | [`Action::Invoke`] | `Invoke` | [`Input::Invoked`] |
//! | [`Action::Discard`] | sends the [`invocation_record()`] to the on-failure destination | [`Input::Discarded`] |
//! | [`Action::WaitUntil`] | waits | [`Input::TimePassed`] |
//! | [`Action::Checkpoint`] | may store the position | none |
//! | [`Action::Drained`] | reports it to [`Lineage::drained`] | none |
//!
//! A shard that delivers a record, and delivers it again when the function fails:
//!
//! ```
//! use std::time::Duration;
//! use event_sources::{Action, BACKOFF_FIRST, Input, InvocationOutcome, MappingSettings, Record, Shard};
//!
//! let mut settings = MappingSettings::default();
//! settings.maximum_retry_attempts = Some(3);
//! let mut shard = Shard::new(settings);
//!
//! let start = Duration::from_secs(1_700_000_000);
//! assert_eq!(shard.handle(Input::TimePassed, start), [Action::Fetch]);
//!
//! let record = Record::new("111", "key", serde_json::json!({"eventID": "1"}));
//! let actions = shard.handle(Input::Fetched { records: vec![record], closed: false }, start);
//! let [Action::Invoke(batch), Action::Fetch] = &actions[..] else { panic!("{actions:?}") };
//! assert_eq!(batch.payload, r#"{"Records":[{"eventID":"1"}]}"#);
//!
//! // The function fails, so its batch is retried after a pause.
//! let outcome = InvocationOutcome::FunctionError;
//! let actions = shard.handle(Input::Invoked { batch: batch.id, outcome }, start);
//! let retry_at = start + BACKOFF_FIRST;
//! assert_eq!(actions, [Action::WaitUntil(retry_at)]);
//! let actions = shard.handle(Input::TimePassed, retry_at);
//! let [Action::Invoke(batch)] = &actions[..] else { panic!("{actions:?}") };
//! assert_eq!(batch.attempt, 2);
//!
//! // Now it succeeds, and the checkpoint moves past the record.
//! let outcome = InvocationOutcome::Returned("null".into());
//! let actions = shard.handle(Input::Invoked { batch: batch.id, outcome }, retry_at);
//! assert_eq!(actions, [Action::Checkpoint("111".into())]);
//! ```
//!
//! # Around the engine
//!
//! - [`event`] builds a [`Record`] from what the SDK returns, with the JSON that the function gets.
//! - [`MappingSettings`] holds the mapping's settings, [`Filters`] its FilterCriteria.
//! - [`Lineage`] says which shards of a stream may start when the stream is resharded.
//! - [`invocation_record()`] is the message for the on-failure destination.
//!
//! The crate's binary, `event-sources`, is a driver for a local AWS. The README lists the rules, with
//! the page of AWS's documentation for each, and what is missing.
//!
//! # Reading order
//!
//! The modules are declared from the top down: a module imports only modules that are declared after
//! it. [`Shard`] comes first. It hands each record to a key group, which delivers batches; a batch is
//! one part, or several after splits; `retry` decides what follows a failure.

mod shard;

mod checkpoint;
mod key_group;
mod part;

mod protocol;
mod retry;

mod invocation;
mod invocation_record;
mod lineage;
mod settings;

mod discard;
mod filter;

mod batch;
pub mod event;

mod record;

pub use batch::{Batch, BatchId, PAYLOAD_MAX_BYTES};
pub use discard::{Discard, DiscardReason};
pub use filter::{FilterError, Filters};
pub use invocation::InvocationOutcome;
pub use invocation_record::{DiscardOrigin, invocation_record};
pub use lineage::{Lineage, ShardInfo};
pub use protocol::{Action, Input};
pub use record::{Record, StreamKind};
pub use retry::{BACKOFF_FIRST, BACKOFF_MAX, backoff};
pub use settings::MappingSettings;
pub use shard::{HELD_BYTES_MAX, HELD_RECORDS_MAX, Shard};
