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
    /// MaximumRetryAttempts: how often a batch is retried after errors; `None` is AWS's -1, until
    /// its records are too old.
    pub maximum_retry_attempts: Option<u32>,
    /// MaximumRecordAgeInSeconds: records older than this are given up; `None` is AWS's -1.
    pub maximum_record_age: Option<Duration>,
    /// BisectBatchOnFunctionError: whether an error of the function splits the batch.
    pub bisect_batch_on_function_error: bool,
    /// Whether FunctionResponseTypes holds ReportBatchItemFailures.
    pub report_batch_item_failures: bool,
    /// FilterCriteria.
    pub filters: Filters,
    /// How long the stream keeps a record: a setting of the stream, not of the mapping.
    pub retention: Duration,
}

impl Settings {
    /// Whether the function may not get a record any more that arrived then.
    pub(crate) fn too_old(&self, arrived_at: Duration, now: Duration) -> bool {
        let most = self.maximum_record_age.map_or(self.retention, |age| age.min(self.retention));
        now.saturating_sub(arrived_at) > most
    }
}

// "CreateEventSourceMapping", https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
// The retention is that of DynamoDB streams, and Kinesis's default.
impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_size: 100,
            maximum_batching_window: Duration::ZERO,
            parallelization_factor: 1,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            bisect_batch_on_function_error: false,
            report_batch_item_failures: false,
            filters: Filters::default(),
            retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVED: Duration = Duration::from_secs(1_000_000);

    fn too_old(settings: &Settings, age_s: u64) -> bool {
        settings.too_old(ARRIVED, ARRIVED + Duration::from_secs(age_s))
    }

    // "Lambda parameters for Amazon Kinesis Data Streams event source mappings": a maximum age is
    // in seconds; records older than that are discarded.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html
    #[test]
    fn a_record_is_too_old_past_the_maximum_age() {
        let settings = Settings { maximum_record_age: Some(Duration::from_secs(60)), ..Settings::default() };
        assert!(!too_old(&settings, 60));
        assert!(too_old(&settings, 61));
    }

    // The same page, and "Lambda parameters for Amazon DynamoDB event source mappings": with -1 the
    // stream's retention is the limit still, 24 hours for DynamoDB.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
    #[test]
    fn the_streams_retention_is_a_limit_whatever_the_maximum_age() {
        let day_s = 24 * 60 * 60;
        assert!(!too_old(&Settings::default(), day_s));
        assert!(too_old(&Settings::default(), day_s + 1));
        let week = Duration::from_secs(7 * day_s);
        let settings = Settings { maximum_record_age: Some(week), ..Settings::default() };
        assert!(too_old(&settings, day_s + 1));
    }

    // The stream's clock is not ours.
    #[test]
    fn a_record_from_the_future_is_young() {
        assert!(!Settings::default().too_old(ARRIVED, Duration::ZERO));
    }
}
