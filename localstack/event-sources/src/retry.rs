//! What becomes of a batch that failed.

use std::time::Duration;

/// The pause before the first retry of a batch.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// The longest pause between two tries of a batch.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// When to invoke with the failed records again. The one place that decides what follows a
/// failure: give up, split the batch, or, as here always, try again.
///
/// `failures` counts the invocations with these records that failed, at least one.
pub(crate) fn after_failure(failures: u32, now: Duration) -> Duration {
    now + backoff(failures)
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
    use super::*;

    // "How Lambda processes records from stream and queue-based event sources": by default a
    // batch is retried until it succeeds or its records expire.
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
    #[test]
    fn a_batch_is_retried_for_ever_at_growing_bounded_intervals() {
        let now = Duration::from_secs(1000);
        let pause = |failures| after_failure(failures, now) - now;
        assert_eq!(pause(1), BACKOFF_FIRST);
        assert_eq!(pause(2), BACKOFF_FIRST * 2);
        assert_eq!(pause(3), BACKOFF_FIRST * 4);
        assert_eq!(pause(100), BACKOFF_MAX);
        assert_eq!(pause(u32::MAX), BACKOFF_MAX);
    }
}
