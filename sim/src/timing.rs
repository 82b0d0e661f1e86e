//! Fixed times, for a run that measures.

use std::time::Duration;

/// Fixed times, for a workload that measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long each call to AWS takes, in milliseconds.
    pub call_ms: u64,
    /// How long a copy waits after its first failed attempt.
    pub backoff: Duration,
}
