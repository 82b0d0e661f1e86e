//! A deterministic simulation of Handover on AWS.
//!
//! The library's real handlers and the real SDK clients run in one process, on one thread and on virtual
//! time. Below the SDK, at its HTTP connector, is a simulated AWS: DynamoDB by dynoxide, Kinesis and SQS
//! written for it, Lambda's mappings by the engine that also serves local AWSs. A seed decides what is sent
//! and what fails; the same seed gives the same history, byte for byte.
//!
//! [`check`] runs a destination of yours under faults, and [`check_external`] one whose effect is a call. For more than
//! one destination, or for operators that act while faults are injected, implement a [`Workload`], and pass it to
//! [`run()`].

mod at_rest;
mod aws;
mod check;
mod disturbance;
mod faults;
mod history;
mod invariants;
pub mod item;
mod names;
mod run;
mod runner;
mod shrink;
mod stack;
mod timing;
mod workload;

pub use at_rest::SentMessage;
pub use aws::dynamodb::Table;
pub use aws::provider::KEY_LIFETIME;
pub use aws::time::Time;
pub use check::{AtRest, Check, check, check_external};
pub use faults::coverage::Coverage;
pub use faults::fault::Fault;
pub use faults::injected::{InjectedFault, NotAPlan};
pub use faults::plan::FAULTS_MS;
pub use faults::plan::{Plan, PlannedFaults};
pub use faults::rates::Faults;
pub use faults::site::Site;
pub use history::History;
pub use names::PRODUCER;
pub use run::{Run, run};
pub use runner::run_all;
pub use shrink::shortest;
pub use stack::deploy::Undeployed;
pub use stack::elsewhere::Down;
pub use stack::http::Request;
pub use stack::operator::{DeadLetter, OperatorResult};
pub use stack::pauses::ControlResult;
pub use stack::replays::ReplayResult;
pub use stack::{Killer, Stack};
pub use timing::Timing;
pub use workload::Workload;
