//! What a run deploys, sends and checks.

use std::time::Duration;

use handover::Routes;

use crate::at_rest::SentMessage;
use crate::aws::dynamodb::Table;
use crate::stack::Stack;
use crate::timing::Timing;

/// A workload: destinations, the messages that are sent to them, and what has to hold at rest.
pub trait Workload {
    /// Whether what is dead is redriven once faults have stopped.
    const REDRIVES: bool;

    /// The timeout of the destinations' functions.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// Fixed times in place of drawn ones.
    const TIMING: Option<Timing> = None;

    /// The tables of the destinations.
    fn tables(&self) -> Vec<Table>;

    /// Which destinations a notification goes to.
    fn routes(&self) -> Routes;

    /// The routes that an earlier release had: without the types that destinations emit since this one, or without the
    /// destinations that were added.
    fn earlier_routes(&self) -> Routes {
        self.routes()
    }

    /// Deploys the destinations.
    fn serve(&self, stack: &Stack);

    /// Sends the messages that the plan has, does what operators do, and returns what was sent.
    fn drive(&self, stack: &Stack) -> impl Future<Output = Vec<SentMessage>>;

    /// What does not hold at rest, beside the guarantees.
    fn violations(&self, stack: &Stack, sent: &[SentMessage]) -> Vec<String>;
}
