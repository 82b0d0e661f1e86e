//! Lambda's stream event source mappings, by AWS's documented rules.
//!
//! [`Shard`] is the engine: a pure, synchronous state machine for one shard of a DynamoDB
//! stream or a Kinesis stream under one event source mapping. [`Event`]s go in, [`Action`]s
//! come out; it does no I/O and reads no clock, so that a poller and a simulation can drive
//! the same code:
//!
//! ```
//! use std::time::Duration;
//! use event_sources::{Action, Answer, Event, Record, Settings, Shard};
//!
//! let mut shard = Shard::new(Settings::default());
//! let now = Duration::ZERO;
//! assert_eq!(shard.handle(Event::TimePassed, now), [Action::Fetch]);
//!
//! let record = Record::new("111", "key", serde_json::json!({"eventID": "1"}));
//! let actions = shard.handle(Event::Fetched { records: vec![record], closed: false }, now);
//! let [Action::Invoke(batch), Action::Fetch] = &actions[..] else { panic!() };
//! assert_eq!(batch.payload, r#"{"Records":[{"eventID":"1"}]}"#);
//!
//! let answer = Answer::Returned("null".into());
//! let actions = shard.handle(Event::Answered { batch: batch.id, answer }, now);
//! assert_eq!(actions, [Action::Checkpoint("111".into())]);
//! ```
//!
//! [`event`] builds the records of an invocation's payload from what the streams return,
//! [`Filters`] decides which of them the function gets to see, and [`Lineage`] which shard of a
//! stream that is resharded may begin.

mod answer;
mod batch;
mod discard;
pub mod event;
mod filter;
mod lane;
mod lineage;
mod metadata;
mod part;
mod progress;
mod retry;
mod settings;
mod shard;

pub use answer::Answer;
pub use batch::{Batch, BatchId, PAYLOAD_MAX_BYTES, Record};
pub use discard::{Discard, Reason};
pub use event::Source;
pub use filter::{FilterError, Filters};
pub use lineage::{Lineage, ShardInfo};
pub use metadata::{Origin, metadata};
pub use retry::{BACKOFF_FIRST, BACKOFF_MAX, backoff};
pub use settings::Settings;
pub use shard::{Action, Event, HELD_BYTES_MAX, HELD_RECORDS_MAX, Shard};
