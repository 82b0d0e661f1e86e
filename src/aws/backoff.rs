//! How long to wait before a call to AWS is repeated within an invocation.

use std::time::Duration;

#[cfg(feature = "lambda")]
use super::fault::Fault;

/// First pause, in milliseconds.
const BACKOFF_BASE_MS: f64 = 10.0;
/// Longest pause, in milliseconds.
const BACKOFF_MAX_MS: f64 = 1_000.0;
/// Most tries of an update of one item, within one invocation.
pub(crate) const TRIES_MAX: u32 = 8;

/// The pause after try number `tries`, from 1: exponential with full jitter, so that two callers that
/// collided do not collide again. `random` is from 0 to 1.
fn backoff(tries: u32, random: f64) -> Duration {
    let longest = (BACKOFF_BASE_MS * 2f64.powi(tries.min(16) as i32)).min(BACKOFF_MAX_MS);
    Duration::from_millis((longest * random) as u64)
}

/// Waits after try number `tries`, from 1.
pub(crate) async fn pause(tries: u32) {
    tokio::time::sleep(backoff(tries, fastrand::f64())).await;
}

/// Repeats a call as long as its fault may pass. Whoever awaits it sets an end.
#[cfg(feature = "lambda")]
pub(crate) async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match call().await {
            Err(fault) if fault.is_retryable() => pause(tries).await,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "lambda")]
    use crate::aws::fault::Cause;

    #[test]
    fn pauses_double_up_to_a_second() {
        assert_eq!(backoff(1, 1.0), Duration::from_millis(20));
        assert_eq!(backoff(3, 0.5), Duration::from_millis(40));
        assert_eq!(backoff(99, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(99, 0.0), Duration::ZERO);
    }

    #[cfg(feature = "lambda")]
    #[tokio::test(start_paused = true)]
    async fn a_call_is_repeated_after_longer_and_longer_pauses_while_its_fault_may_pass() {
        fastrand::seed(1);
        let begin = tokio::time::Instant::now();
        let tries = std::cell::Cell::new(0);
        let result: Result<(), Fault> = patiently(async || {
            tries.set(tries.get() + 1);
            assert!(tries.get() <= 20, "it was repeated after a fault that stays");
            let cause = if tries.get() < 20 { Cause::Throttled } else { Cause::Missing };
            Err(Fault::new("Call", cause))
        })
        .await;
        assert!(matches!(result, Err(fault) if !fault.is_retryable()));
        assert_eq!(tries.get(), 20);
        let waited = begin.elapsed();
        assert!(waited > Duration::from_secs(3) && waited < Duration::from_secs(16), "{waited:?}");
    }
}
