//! The engine's clock: the time since the Unix epoch, which never decreases.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A clock that reads the system's time once and then advances with the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    pub fn start() -> Self {
        let started_at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { started: Instant::now(), started_at }
    }

    pub fn now(self) -> Duration {
        self.started_at + self.started.elapsed()
    }

    /// The instant at which the clock shows this time. For a time before the clock's start, the
    /// start.
    pub fn instant(self, time: Duration) -> Instant {
        self.started + time.saturating_sub(self.started_at)
    }
}
