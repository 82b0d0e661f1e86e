//! Virtual time: tokio's paused clock, from a fixed moment on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use tokio::time::Instant;

/// When every simulation begins, in seconds since the epoch: 2026-01-01T00:00:00Z.
pub const BEGIN_S: u64 = 1_767_225_600;

/// The moment on tokio's clock at which the simulation began.
#[derive(Clone, Copy, Debug)]
pub struct Time(Instant);

impl Time {
    /// Begins now.
    pub(crate) fn begin() -> Time {
        Time(Instant::now())
    }

    /// How long the simulation has run, in milliseconds.
    pub fn elapsed_ms(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    /// The moment this many milliseconds after the beginning.
    pub fn at(self, elapsed_ms: u64) -> Instant {
        self.0 + Duration::from_millis(elapsed_ms)
    }

    /// Now, in milliseconds since the epoch.
    pub fn now_ms(self) -> u64 {
        BEGIN_S * 1_000 + self.elapsed_ms()
    }

    /// Now, on a clock that is this much ahead, in milliseconds.
    pub fn timestamp(self, ahead_ms: i64) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms() as i64 + ahead_ms).expect("a time of these centuries")
    }

    /// Now, for the SDK.
    pub fn system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.now_ms())
    }
}
