//! What becomes of a batch that failed.

use std::time::Duration;

use crate::answer::Failure;
use crate::discard::Reason;
use crate::settings::Settings;

/// The pause before the first retry of a batch.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// The longest pause between two tries of a batch.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What follows a failure, for the records that have not succeeded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Invoke with them as they are, after a pause.
    Retry { counted: bool },
    /// Invoke with them as they are, and without a pause: the function got on.
    RetryAtOnce,
    /// Invoke with the first half of them, and when it is done with, with the second.
    Split,
    /// Give them up.
    Discard(Reason),
}

/// The one place that decides what follows a failure: try again, split the batch, or give up.
///
/// `left` counts the records that have not succeeded, `failures` the failures before this one
/// that count against MaximumRetryAttempts.
pub(crate) fn after_failure(failure: Failure, left: usize, failures: u32, settings: &Settings) -> Next {
    let bisect = settings.bisect_batch_on_function_error;
    match failure {
        Failure::NotInvoked => return Next::Retry { counted: false },
        Failure::FunctionError if bisect && left > 1 => return Next::Split,
        // The function has split the batch itself.
        Failure::Reported { progress: true } if bisect => return Next::RetryAtOnce,
        Failure::FunctionError | Failure::Reported { .. } => {}
    }
    match settings.maximum_retry_attempts {
        Some(most) if failures >= most => {
            let function_error = failure == Failure::FunctionError;
            Next::Discard(Reason::RetryAttemptsExhausted { function_error })
        }
        _ => Next::Retry { counted: true },
    }
}

/// The pause after so many failures in a row, doubling from [`BACKOFF_FIRST`] to
/// [`BACKOFF_MAX`]. AWS does not document its pauses; ours have no jitter, so that the same
/// history gives the same times.
pub fn backoff(failures: u32) -> Duration {
    // Sixteen doublings are far above the longest pause, and no overflow.
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

    const ERROR: Failure = Failure::FunctionError;
    const AT_FIRST: Failure = Failure::Reported { progress: false };
    const LATER: Failure = Failure::Reported { progress: true };
    const COUNTED: Next = Next::Retry { counted: true };

    fn exhausted(function_error: bool) -> Next {
        Next::Discard(Reason::RetryAttemptsExhausted { function_error })
    }

    fn retries(most: u32) -> Settings {
        Settings { maximum_retry_attempts: Some(most), ..Settings::default() }
    }

    fn bisect(most: u32) -> Settings {
        Settings { bisect_batch_on_function_error: true, ..retries(most) }
    }

    // Both pages, "During invocation": an error of the function is retried up to the quota.
    #[test]
    fn a_batch_is_given_up_after_maximum_retry_attempts() {
        assert_eq!(after_failure(ERROR, 5, 0, &retries(2)), COUNTED);
        assert_eq!(after_failure(ERROR, 5, 1, &retries(2)), COUNTED);
        assert_eq!(after_failure(ERROR, 5, 2, &retries(2)), exhausted(true));
        assert_eq!(after_failure(ERROR, 5, 0, &retries(0)), exhausted(true));
    }

    // "Lambda parameters for Amazon Kinesis Data Streams event source mappings": -1, the default,
    // sets no end to the retries but the record's own.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html
    #[test]
    fn without_maximum_retry_attempts_there_is_no_last_one() {
        assert_eq!(after_failure(ERROR, 1, u32::MAX, &Settings::default()), COUNTED);
    }

    // Both pages, "Before invocation": a throttle and whatever else keeps Lambda from invoking
    // the function is retried until the records are too old; the quota and the split are named
    // for errors of the function only.
    #[test]
    fn a_throttle_is_retried_uncounted_and_unsplit() {
        let next = after_failure(Failure::NotInvoked, 5, 9, &bisect(2));
        assert_eq!(next, Next::Retry { counted: false });
    }

    // Both pages: a failed batch is split in two, which takes nothing from the quota.
    #[test]
    fn a_function_error_splits_a_batch_uncounted_down_to_single_records() {
        assert_eq!(after_failure(ERROR, 2, 0, &bisect(0)), Next::Split);
        assert_eq!(after_failure(ERROR, 2, 9, &bisect(0)), Next::Split);
        assert_eq!(after_failure(ERROR, 1, 0, &bisect(1)), COUNTED);
        assert_eq!(after_failure(ERROR, 1, 1, &bisect(1)), exhausted(true));
    }

    // "Configuring partial batch response with Kinesis Data Streams and Lambda", section "Success
    // and failure conditions": what is reported as failed is retried by the mapping's strategy.
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    #[test]
    fn reported_failures_count_as_errors_do() {
        for failure in [AT_FIRST, LATER] {
            assert_eq!(after_failure(failure, 5, 1, &retries(2)), COUNTED);
            assert_eq!(after_failure(failure, 5, 2, &retries(2)), exhausted(false));
        }
    }

    // The same page, section "Bisecting a batch": with both settings on, the reported sequence
    // number is where the batch is split, and what follows it is retried. A report that leaves
    // nothing before the split is no split: it counts, or it would be retried for ever.
    #[test]
    fn with_bisect_a_partial_success_is_a_split() {
        assert_eq!(after_failure(LATER, 5, 2, &bisect(2)), Next::RetryAtOnce);
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
