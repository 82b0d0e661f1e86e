//! The CloudFormation templates that a stack is built on, of this release: write them into your repository, or let
//! `handover new` do it.

/// Tables, stream, accept, relay, reconcile, and their alarms.
pub const CORE: &str = include_str!("../infra/core.yaml");

/// What belongs to a destination: its queues, event sources, alarms, and the rights that its function needs.
pub const DESTINATION: &str = include_str!("../infra/destination.yaml");
