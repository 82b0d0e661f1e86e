//! Times of the SDK as times of the engine.

use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;

/// The time since the Unix epoch. `None` before it.
pub(super) fn since_epoch(time: &DateTime) -> Option<Duration> {
    Some(Duration::new(u64::try_from(time.secs()).ok()?, time.subsec_nanos()))
}
