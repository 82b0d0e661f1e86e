//! The retry schedule of a destination: how many attempts it has, and how long it waits after each. Pure.

use std::time::Duration;

/// Most attempts of a schedule. `RetryMaxReceives` of a retry queue, which is 30 at least, has room for them beside the
/// receives that count no attempt (`RECEIVES_RENEWED`).
const ATTEMPTS_MAX: usize = 20;
/// Attempts of a schedule whose waits double.
const ATTEMPTS_DOUBLING: u32 = 6;
/// Longest delay of a message. SQS refuses a visibility time-out that ends more than 12 hours after the message was
/// received, and an invocation may have had it for 15 minutes.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs((12 * 60 - 15) * 60);
/// Longest wait of a copy that counted no attempt: it is tried at most this long after its cause is cured. A failure
/// may ask for no longer wait.
pub(crate) const UNCOUNTED_WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// How a schedule of one attempt is written.
const NO_RETRY: &str = "none";

/// How many attempts a destination has since accept or redrive, and how long it waits after each. A wait is between
/// half of what the schedule says and all of it, so that notifications that failed together are not retried together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The longest wait after each attempt but the last.
    waits: Vec<Duration>,
    /// The first wait of a copy that counts no attempt, which doubles with its receives.
    backoff: Duration,
}

impl RetrySchedule {
    /// Six attempts. The first wait is this one, and each later one is twice as long.
    pub fn doubling(backoff: Duration) -> RetrySchedule {
        let waits = (1..ATTEMPTS_DOUBLING).map(|number| doubled(backoff, number)).collect();
        RetrySchedule { waits, backoff }
    }

    /// The same with these waits, in seconds with commas between, such as `5,300,7200`; or `none` for one attempt.
    ///
    /// # Errors
    /// What is wrong with the text, and what it has to be.
    pub fn with_waits(self, text: &str) -> Result<RetrySchedule, String> {
        let waits = match text.trim() {
            NO_RETRY => vec![],
            text => text.split(',').map(wait).collect::<Result<Vec<_>, String>>()?,
        };
        match waits.len() < ATTEMPTS_MAX {
            true => Ok(RetrySchedule { waits, ..self }),
            false => Err(format!(
                "has {} waits; give {} at most, which are {ATTEMPTS_MAX} attempts",
                waits.len(),
                ATTEMPTS_MAX - 1
            )),
        }
    }

    /// Attempts after accept or redrive. After the last one the destination gives up.
    pub(crate) fn attempts_max(&self) -> u32 {
        self.waits.len() as u32 + 1
    }

    /// The waits of all attempts together, at their longest.
    pub(crate) fn total(&self) -> Duration {
        self.waits.iter().sum()
    }

    /// How long at least the first attempt and the second are apart, where there is a second.
    pub(crate) fn first_apart(&self) -> Option<Duration> {
        (!self.waits.is_empty()).then(|| self.apart(1))
    }

    /// How long to wait after attempt `number`, from 1, where the failure asks for `retry_after`. `random` is from 0 to
    /// 1.
    pub(crate) fn wait(&self, number: u32, retry_after: Duration, random: f64) -> Duration {
        (spread(self.longest_wait(number), random) + retry_after).min(WAIT_MAX)
    }

    /// How far attempt `number` and the next one are apart at least, whichever copies they are of.
    pub(crate) fn apart(&self, number: u32) -> Duration {
        self.longest_wait(number) / 2
    }

    /// The longest wait after attempt `number`, from 1. A function with another schedule may have counted more attempts
    /// than this one has.
    pub(crate) fn longest_wait(&self, number: u32) -> Duration {
        let nth = number.saturating_sub(1) as usize;
        self.waits.get(nth).or(self.waits.last()).copied().unwrap_or(self.backoff)
    }

    /// How long a copy waits that counted no attempt, was received this often, and was asked to wait for `retry_after`.
    /// The two times are added, and the longest wait is spread, so that what was refused together is not tried
    /// together.
    pub(crate) fn uncounted_wait(&self, receives: u32, retry_after: Duration, random: f64) -> Duration {
        uncounted(doubled(self.backoff, receives), retry_after, random)
    }

    /// The same of a copy from the stream, whose usual wait is this one at most.
    pub(crate) fn uncounted_wait_within(
        &self,
        most: Duration,
        retry_after: Duration,
        random: f64,
    ) -> Duration {
        uncounted(self.first_uncounted_wait(most), retry_after, random)
    }

    /// The first wait of a copy that counts no attempt, and this one at most.
    pub(crate) fn first_uncounted_wait(&self, most: Duration) -> Duration {
        most.min(self.backoff)
    }
}

fn uncounted(longest: Duration, retry_after: Duration, random: f64) -> Duration {
    let most = UNCOUNTED_WAIT_MAX.as_secs_f64() * (0.8 + random / 5.0);
    (spread(longest, random) + retry_after).min(Duration::from_secs_f64(most))
}

/// A wait of a schedule as an operator writes it.
fn wait(text: &str) -> Result<Duration, String> {
    let is_allowed = |seconds: &u64| (1..=WAIT_MAX.as_secs()).contains(seconds);
    let seconds: Option<u64> = text.trim().parse().ok().filter(is_allowed);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let most = WAIT_MAX.as_secs();
        format!(
            "has a wait that is not a whole number of seconds from 1 to {most}; give waits with commas between, such as 5,300,7200, or `{NO_RETRY}` for one attempt"
        )
    })
}

/// A wait that doubles from `base`: the one with this number, from 1.
fn doubled(base: Duration, number: u32) -> Duration {
    base.saturating_mul(1 << (number.clamp(1, 30) - 1)).min(WAIT_MAX)
}

fn spread(longest: Duration, random: f64) -> Duration {
    Duration::from_secs((longest.as_secs_f64() * (0.5 + random / 2.0)).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;

    fn doubling(seconds: u64) -> RetrySchedule {
        RetrySchedule::doubling(Duration::from_secs(seconds))
    }

    fn seconds(waits: &[u64]) -> Vec<Duration> {
        waits.iter().map(|wait| Duration::from_secs(*wait)).collect()
    }

    #[test]
    fn waits_double_and_are_spread() {
        let minutes = |number, random| doubling(120).wait(number, Duration::ZERO, random).as_secs() / MINUTE;
        assert_eq!([1, 2, 3, 4, 5].map(|number| minutes(number, 1.0)), [2, 4, 8, 16, 32]);
        assert_eq!(minutes(5, 0.0), 16);
        let after = |wait: &RetrySchedule| wait.wait(1, UNCOUNTED_WAIT_MAX, 1.0).as_secs() / MINUTE;
        let longest = doubling(1).with_waits("42300").unwrap();
        assert_eq!([after(&doubling(120)), after(&longest)], [17, 12 * MINUTE - 15]);
        assert_eq!(doubling(1).apart(1), Duration::from_millis(500));
        assert_eq!(doubling(1).wait(1, Duration::ZERO, 0.0), Duration::from_secs(1));
        assert_eq!(doubling(10_000).longest_wait(5), WAIT_MAX);
        assert_eq!((doubling(120).attempts_max(), doubling(120).total().as_secs()), (6, 62 * MINUTE));
    }

    #[test]
    fn a_schedule_has_an_attempt_more_than_waits() {
        let schedule = |text: &str| doubling(120).with_waits(text).unwrap();
        let own = schedule("5, 300,7200");
        assert_eq!(own.waits, seconds(&[5, 300, 7_200]));
        assert_eq!((own.attempts_max(), own.total().as_secs()), (4, 7_505));
        assert_eq!(own.apart(3), Duration::from_secs(3_600));
        assert_eq!(own.first_apart(), Some(Duration::from_millis(2_500)));
        let once = schedule(" none ");
        assert_eq!((once.attempts_max(), once.first_apart()), (1, None));
        assert_eq!(schedule(&["9"; 19].join(",")).attempts_max(), 20);
        // What counts no attempt waits as without a schedule of its own.
        let wait = |schedule: &RetrySchedule| schedule.uncounted_wait(2, Duration::ZERO, 1.0);
        assert_eq!([wait(&own), wait(&once)], [wait(&doubling(120)); 2]);
    }

    #[test]
    fn another_schedule_may_have_counted_more_attempts() {
        assert_eq!(doubling(1).longest_wait(9), Duration::from_secs(16));
        let own = |text| doubling(120).with_waits(text).unwrap();
        assert_eq!(
            [own("7").longest_wait(2), own("none").longest_wait(1)],
            [7, 120].map(Duration::from_secs)
        );
    }

    #[test]
    fn a_schedule_that_cannot_be_kept_is_refused_with_its_limit() {
        let said = |text: &str| doubling(120).with_waits(text).unwrap_err();
        for wrong in ["", "5,", "0", "42301", "1.5", "-1", "5;6", "5,none"] {
            assert!(said(wrong).contains("seconds from 1 to 42300"), "{wrong}: {}", said(wrong));
        }
        assert!(said(&["9"; 20].join(",")).starts_with("has 20 waits; give 19 at most"));
    }

    #[test]
    fn a_copy_that_counts_no_attempt_waits_a_quarter_of_an_hour_at_most() {
        let wait = |receives, retry_after, random| {
            let retry_after = Duration::from_secs(retry_after);
            doubling(120).uncounted_wait(receives, retry_after, random).as_secs()
        };
        assert_eq!((wait(1, 0, 0.0), wait(9, 0, 1.0)), (60, 15 * 60));
        assert_eq!(wait(40, 0, 1.0), 15 * 60);
        assert_eq!((wait(1, 90, 0.0), wait(1, 90, 1.0)), (150, 210));
        let day = 86_400;
        assert_eq!((wait(1, day, 0.0), wait(1, day, 1.0)), (12 * 60, 15 * 60), "it is spread");
        let within =
            |most| doubling(120).uncounted_wait_within(Duration::from_secs(most), Duration::ZERO, 1.0);
        assert_eq!([within(10), within(900)], [10, 120].map(Duration::from_secs));
    }
}
