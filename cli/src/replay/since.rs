//! Since when: a time, or how long ago.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::value;

/// How far back a replay may reach, in days: as long as a completed record may be kept.
const DAYS_MAX: i64 = 3_650;

/// Since when events are replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Since {
    /// This time.
    At(Timestamp),
    /// So long ago.
    Ago(SignedDuration),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Since, String> {
        let ago = value::duration(text).map(Since::Ago);
        ago.or_else(|_| text.parse().map(Since::At)).map_err(|_| {
            "a time such as 2026-01-31T00:00:00Z, or how long ago it is: a whole number and s, m, h or d, such as 7d".into()
        })
    }
}

impl Since {
    /// The time.
    ///
    /// # Errors
    /// When it is to come, or longer ago than a record may be kept.
    pub fn resolve(self, now: Timestamp) -> anyhow::Result<Timestamp> {
        let earliest = now - SignedDuration::from_hours(24 * DAYS_MAX);
        let since = match self {
            Since::At(at) => at,
            Since::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        };
        anyhow::ensure!(since <= now, "--since is {since}, which is to come; name a time that is past");
        anyhow::ensure!(
            since >= earliest,
            "--since is {since}; name a time within the last {DAYS_MAX} days, for which completed records may be kept"
        );
        Ok(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_how_long_ago_it_is() {
        let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let since = |text: &str| text.parse::<Since>().unwrap().resolve(now);
        assert_eq!(since("1d").unwrap().to_string(), "2026-01-31T00:00:00Z");
        assert_eq!(since("2026-01-31T12:00:00+01:00").unwrap().to_string(), "2026-01-31T11:00:00Z");
        assert!(since("2026-02-01T00:00:01Z").unwrap_err().to_string().contains("is to come"));
        assert!(since("3651d").unwrap_err().to_string().contains("within the last 3650 days"));
        for text in ["", "7", "7w", "-1d", "2026-01-31", "2026-01-31T00:00:00", "yesterday"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
