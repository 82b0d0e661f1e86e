//! The engine's time: since the Unix epoch, and never running back.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A clock that was set once, and goes steadily from there.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    set: Instant,
    set_to: Duration,
}

impl Clock {
    /// Sets it to the system's time.
    pub fn set() -> Self {
        let set_to = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { set: Instant::now(), set_to }
    }

    pub fn now(self) -> Duration {
        self.set_to + self.set.elapsed()
    }

    /// When it will show this time; at once if it is past.
    pub fn instant(self, time: Duration) -> Instant {
        self.set + time.saturating_sub(self.set_to)
    }
}
