//! What an operator tunes of the destinations, in a few of the runs.

use std::time::Duration;

use handover::destination::{CONCURRENCY_MAX, RetrySchedule};

use crate::faults::rng::{Purpose, below, of_name};
use crate::invariants::schedule::Schedule;
use crate::stack::Stack;

/// The waits of a destination with a schedule of its own: one attempt; two; more than the default; and the longest wait,
/// during which reconcile runs.
const WAITS: [&str; 4] = ["none", "3", "1,2,1,4,1,2,1,1", "1,42300"];
/// The part of its function's time-out that a handler has: the last of a batch would have a quarter otherwise.
const HANDLERS_PART: u64 = 10;
/// Attempts of a schedule whose waits double.
const ATTEMPTS_DOUBLING: u32 = 6;
/// Longest wait of a schedule whose waits double, in milliseconds.
const DOUBLING_MS_MAX: i64 = 42_300_000;

/// What is tuned of one destination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tuning {
    /// The waits, where it has a schedule of its own.
    waits: Option<&'static str>,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) concurrency: usize,
}

impl Tuning {
    /// The schedule, as the library reads it.
    pub(crate) fn retries(&self, backoff: Duration) -> RetrySchedule {
        let schedule = RetrySchedule::doubling(backoff);
        self.waits.map_or(schedule.clone(), |waits| schedule.with_waits(waits).expect("a schedule"))
    }

    /// The schedule, as the invariants read it.
    pub(crate) fn schedule(&self, backoff: Duration) -> Schedule {
        let backoff_ms = backoff.as_millis() as i64;
        let doubling = || (1..ATTEMPTS_DOUBLING).map(|nth| (backoff_ms << (nth - 1)).min(DOUBLING_MS_MAX));
        let own = |waits: &str| {
            waits.split(',').filter_map(|wait| Some(1_000 * wait.parse::<i64>().ok()?)).collect()
        };
        Schedule { waits_ms: self.waits.map_or_else(|| doubling().collect(), own) }
    }
}

impl Stack {
    /// Whether something is tuned in this run: in an eighth of them. They are none of those whose plans were listed in
    /// `sim/mutants/tests/` and `sim/soak/` before, since what a plan finds depends on all that is drawn.
    pub(crate) fn is_tuned(&self) -> bool {
        self.timing.is_none() && self.draw_for_tuning(8, &[99]) == 2
    }

    /// What is tuned of a destination in this run.
    pub(crate) fn tuning(&self, destination: &str) -> Tuning {
        let draw = |end, what| self.draw_for_tuning(end, &[what, of_name(destination)]);
        let is_tuned = self.is_tuned();
        let handler_timeout = Duration::from_secs((self.timeout.as_secs() / HANDLERS_PART).max(1));
        Tuning {
            waits: (is_tuned && draw(2, 0) == 0).then(|| WAITS[draw(WAITS.len() as u64, 1) as usize]),
            handler_timeout: (is_tuned && draw(2, 2) == 0).then_some(handler_timeout),
            concurrency: if is_tuned && draw(2, 3) == 0 { 1 } else { CONCURRENCY_MAX },
        }
    }

    fn draw_for_tuning(&self, end: u64, what: &[u64]) -> u64 {
        below(end, self.aws.seed(), &[&[Purpose::Tuning as u64], what].concat())
    }
}
