//! The settings of an event source mapping.

use std::time::Duration;

use crate::filter::Filters;

/// The settings of an event source mapping, with AWS's names and defaults.
///
/// A later release may add settings, so start from the defaults:
///
/// ```
/// let mut settings = event_sources::MappingSettings::default();
/// settings.batch_size = 25;
/// settings.report_batch_item_failures = true;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MappingSettings {
    /// BatchSize: the maximum number of records in an invocation, at least 1.
    pub batch_size: usize,
    /// MaximumBatchingWindowInSeconds: the maximum time to gather records before an invocation.
    pub maximum_batching_window: Duration,
    /// ParallelizationFactor: the number of batches of a shard to process concurrently, at least 1.
    pub parallelization_factor: usize,
    /// MaximumRetryAttempts: how often a batch is retried after failures. `None` is AWS's -1: until
    /// the records expire.
    pub maximum_retry_attempts: Option<u32>,
    /// MaximumRecordAgeInSeconds: the age at which records are discarded. `None` is AWS's -1: the
    /// stream's retention period.
    pub maximum_record_age: Option<Duration>,
    /// BisectBatchOnFunctionError: whether a function error splits the batch in two.
    pub bisect_batch_on_function_error: bool,
    /// Whether FunctionResponseTypes contains ReportBatchItemFailures.
    pub report_batch_item_failures: bool,
    /// FilterCriteria.
    pub filters: Filters,
    /// How long the stream keeps a record. This is a setting of the stream, not of the mapping.
    pub retention: Duration,
}

impl MappingSettings {
    /// Whether a record that arrived at this time is too old to be delivered.
    pub(crate) fn is_too_old(&self, arrived_at: Duration, now: Duration) -> bool {
        let age_max = self.maximum_record_age.map_or(self.retention, |age| age.min(self.retention));
        now.saturating_sub(arrived_at) > age_max
    }
}

// "CreateEventSourceMapping", https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
// The retention period is that of DynamoDB streams and the default of Kinesis.
impl Default for MappingSettings {
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

    fn too_old(settings: &MappingSettings, age_s: u64) -> bool {
        settings.is_too_old(ARRIVED, ARRIVED + Duration::from_secs(age_s))
    }

    // "Lambda parameters for Amazon Kinesis Data Streams event source mappings": a maximum age is
    // in seconds; records older than that are discarded.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html
    #[test]
    fn a_record_is_too_old_past_the_maximum_age() {
        let settings = MappingSettings {
            maximum_record_age: Some(Duration::from_secs(60)),
            ..MappingSettings::default()
        };
        assert!(!too_old(&settings, 60));
        assert!(too_old(&settings, 61));
    }

    // The same page, and "Lambda parameters for Amazon DynamoDB event source mappings": with -1,
    // the limit is the stream's retention period, 24 hours for DynamoDB.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
    #[test]
    fn the_streams_retention_is_a_limit_whatever_the_maximum_age() {
        let day_s = 24 * 60 * 60;
        assert!(!too_old(&MappingSettings::default(), day_s));
        assert!(too_old(&MappingSettings::default(), day_s + 1));
        let week = Duration::from_secs(7 * day_s);
        let settings = MappingSettings { maximum_record_age: Some(week), ..MappingSettings::default() };
        assert!(too_old(&settings, day_s + 1));
    }

    // The stream's clock may be ahead of the driver's.
    #[test]
    fn a_record_from_the_future_is_young() {
        assert!(!MappingSettings::default().is_too_old(ARRIVED, Duration::ZERO));
    }
}
