//! A deterministic simulation of Handover on AWS.
//!
//! The library's real handlers and the real SDK clients run in one process, on one thread and on
//! virtual time. Below the SDK, at its HTTP connector, stands a simulated AWS: DynamoDB by dynoxide,
//! Kinesis and SQS by hand, Lambda's mappings by the engine that also serves local AWSs. A seed draws
//! what is sent and what fails; the same seed gives the same history, byte for byte.
//!
//! ```
//! use handover_sim::{Faults, run};
//!
//! let run = run(7, Faults { lost_answer: 100, death: 100, ..Faults::NONE });
//! assert!(run.violations.is_empty(), "{:#?}", run.violations);
//! ```

mod aws;
mod check;
mod draw;
mod dynamodb;
mod fault;
mod history;
mod kinesis;
mod lambda;
mod schedule;
mod sqs;
mod time;
mod world;

pub use fault::{Fault, Faults};
pub use history::History;
pub use schedule::{Run, run};
