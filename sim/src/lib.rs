//! A deterministic simulation of Handover on AWS.
//!
//! The library's real handlers and the real SDK clients run in one process, on one thread and on
//! virtual time. Below the SDK, at its HTTP connector, stands a simulated AWS: DynamoDB by dynoxide,
//! Kinesis and SQS by hand, Lambda's mappings by the engine that also serves local AWSs. A seed draws
//! what is sent and what fails; the same seed gives the same history, byte for byte.

mod aws;
mod check;
mod coverage;
mod draw;
mod dynamodb;
mod fault;
mod history;
mod journal;
mod lambda;
mod many;
#[path = "../../functions/payment/src/payments.rs"]
mod payments;
mod plan;
mod provider;
#[path = "../../functions/refund/src/refunds.rs"]
mod refunds;
mod rules;
mod schedule;
mod shop;
mod shrink;
mod sqs;
mod stream;
mod till;
mod time;
mod world;

pub use check::{AtRest, Check, check};
pub use coverage::{Coverage, Site};
pub use fault::{Fault, Faults};
pub use history::History;
pub use journal::Journal;
pub use many::many;
pub use plan::{NotAPlan, Plan, Strike, Strikes};
pub use schedule::{Named, Run, SCHEDULES, run};
pub use shop::Shop;
pub use shrink::shortest;
pub use till::Till;
