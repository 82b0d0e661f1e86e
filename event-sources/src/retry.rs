//! What follows when a batch has failed.

use std::time::Duration;

use crate::discard::DiscardReason;
use crate::invocation::BatchFailure;
use crate::settings::MappingSettings;

/// The pause before the first retry of a batch.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// The longest pause between two attempts of a batch.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What happens to the records that have not succeeded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    /// Retry them together after a pause. `counted` says whether MaximumRetryAttempts applies.
    Retry { counted: bool },
    /// Retry them together without a pause, because some records of the batch have succeeded.
    RetryAtOnce,
    /// Retry the first half, and the second half when the first is processed.
    Split,
    /// Discard them.
    Discard(DiscardReason),
}

/// Decides whether to retry, split or discard a batch. No other place decides it.
///
/// `remaining` counts the records that have not succeeded. `counted_failures` counts the earlier
/// failures to which MaximumRetryAttempts applies.
pub(crate) fn after_failure(
    failure: BatchFailure,
    remaining: usize,
    counted_failures: u32,
    settings: &MappingSettings,
) -> RetryDecision {
    let bisect = settings.bisect_batch_on_function_error;
    match failure {
        BatchFailure::NotInvoked => return RetryDecision::Retry { counted: false },
        BatchFailure::FunctionError if bisect && remaining > 1 => return RetryDecision::Split,
        // The report is the split: it separates the records that have succeeded.
        BatchFailure::Reported { progress: true } if bisect => return RetryDecision::RetryAtOnce,
        BatchFailure::FunctionError | BatchFailure::Reported { .. } => {}
    }
    match settings.maximum_retry_attempts {
        Some(attempts_max) if counted_failures >= attempts_max => {
            let function_error = failure == BatchFailure::FunctionError;
            RetryDecision::Discard(DiscardReason::RetryAttemptsExhausted { function_error })
        }
        _ => RetryDecision::Retry { counted: true },
    }
}

/// The pause after a number of consecutive failures. It doubles from [`BACKOFF_FIRST`] to
/// [`BACKOFF_MAX`]. AWS does not document its pauses. These have no jitter, so that the same inputs
/// give the same times.
pub fn backoff(failures: u32) -> Duration {
    // 16 doublings exceed BACKOFF_MAX by far and do not overflow.
    let doublings = failures.saturating_sub(1).min(16);
    (BACKOFF_FIRST * 2_u32.pow(doublings)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    // "Retain discarded batch records for a Kinesis Data Streams event source in Lambda",
    // https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    // and "Retain discarded records for a DynamoDB event source in Lambda",
    // https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html

    use super::*;

    const ERROR: BatchFailure = BatchFailure::FunctionError;
    const AT_FIRST: BatchFailure = BatchFailure::Reported { progress: false };
    const LATER: BatchFailure = BatchFailure::Reported { progress: true };
    const COUNTED: RetryDecision = RetryDecision::Retry { counted: true };

    fn exhausted(function_error: bool) -> RetryDecision {
        RetryDecision::Discard(DiscardReason::RetryAttemptsExhausted { function_error })
    }

    fn retries(attempts_max: u32) -> MappingSettings {
        MappingSettings { maximum_retry_attempts: Some(attempts_max), ..MappingSettings::default() }
    }

    fn bisect(attempts_max: u32) -> MappingSettings {
        MappingSettings { bisect_batch_on_function_error: true, ..retries(attempts_max) }
    }

    // Both pages, "During invocation": Lambda retries a function error up to the retry quota.
    #[test]
    fn a_batch_is_given_up_after_maximum_retry_attempts() {
        assert_eq!(after_failure(ERROR, 5, 0, &retries(2)), COUNTED);
        assert_eq!(after_failure(ERROR, 5, 1, &retries(2)), COUNTED);
        assert_eq!(after_failure(ERROR, 5, 2, &retries(2)), exhausted(true));
        assert_eq!(after_failure(ERROR, 5, 0, &retries(0)), exhausted(true));
    }

    // "Lambda parameters for Amazon Kinesis Data Streams event source mappings": with -1, the
    // default, a batch is retried until its records expire.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html
    #[test]
    fn without_maximum_retry_attempts_there_is_no_last_one() {
        assert_eq!(after_failure(ERROR, 1, u32::MAX, &MappingSettings::default()), COUNTED);
    }

    // Both pages, "Before invocation": if Lambda cannot invoke the function because of a throttle
    // or another issue, it retries until the records expire. The pages mention the retry quota and
    // the split for function errors only.
    #[test]
    fn a_throttle_is_retried_uncounted_and_unsplit() {
        let decision = after_failure(BatchFailure::NotInvoked, 5, 9, &bisect(2));
        assert_eq!(decision, RetryDecision::Retry { counted: false });
    }

    // Both pages: splitting a failed batch in two does not consume the retry quota.
    #[test]
    fn a_function_error_splits_a_batch_uncounted_down_to_single_records() {
        assert_eq!(after_failure(ERROR, 2, 0, &bisect(0)), RetryDecision::Split);
        assert_eq!(after_failure(ERROR, 2, 9, &bisect(0)), RetryDecision::Split);
        assert_eq!(after_failure(ERROR, 1, 0, &bisect(1)), COUNTED);
        assert_eq!(after_failure(ERROR, 1, 1, &bisect(1)), exhausted(true));
    }

    // "Configuring partial batch response with Kinesis Data Streams and Lambda", section "Success
    // and failure conditions": Lambda retries reported records by
    // the mapping's retry strategy.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    #[test]
    fn reported_failures_count_as_errors_do() {
        for failure in [AT_FIRST, LATER] {
            assert_eq!(after_failure(failure, 5, 1, &retries(2)), COUNTED);
            assert_eq!(after_failure(failure, 5, 2, &retries(2)), exhausted(false));
        }
    }

    // The same page, section "Bisecting a batch": with both settings, the batch is split at the
    // reported sequence number, and Lambda retries the records from there on. A report of the first
    // record splits nothing off: it counts, or it would be retried for ever.
    #[test]
    fn with_bisect_a_partial_success_is_a_split() {
        assert_eq!(after_failure(LATER, 5, 2, &bisect(2)), RetryDecision::RetryAtOnce);
        assert_eq!(after_failure(AT_FIRST, 5, 1, &bisect(2)), COUNTED);
        assert_eq!(after_failure(AT_FIRST, 5, 2, &bisect(2)), exhausted(false));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        assert_eq!(backoff(1), BACKOFF_FIRST);
        assert_eq!(backoff(2), BACKOFF_FIRST * 2);
        assert_eq!(backoff(3), BACKOFF_FIRST * 4);
        assert_eq!(backoff(100), BACKOFF_MAX);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}
