//! What an event source mapping sets.

use std::time::Duration;

use crate::Filters;

/// The settings of an event source mapping, by AWS's names and defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// BatchSize: the most records of one invocation, at least 1.
    pub batch_size: usize,
    /// MaximumBatchingWindowInSeconds: how long records may be gathered.
    pub maximum_batching_window: Duration,
    /// ParallelizationFactor: how many batches of the shard may be in flight, at least 1.
    pub parallelization_factor: usize,
    /// Whether FunctionResponseTypes holds ReportBatchItemFailures.
    pub report_batch_item_failures: bool,
    /// FilterCriteria.
    pub filters: Filters,
}

// "CreateEventSourceMapping", https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_size: 100,
            maximum_batching_window: Duration::ZERO,
            parallelization_factor: 1,
            report_batch_item_failures: false,
            filters: Filters::default(),
        }
    }
}
