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

    #[test]
    fn pauses_double_up_to_a_second() {
        assert_eq!(backoff(1, 1.0), Duration::from_millis(20));
        assert_eq!(backoff(3, 0.5), Duration::from_millis(40));
        assert_eq!(backoff(99, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(99, 0.0), Duration::ZERO);
    }
}
