//! A rate that several callers keep together, such as the read units of an index.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets at most `per_second` units through in a second. The caller chooses the unit, such as read units or dispatches.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    /// When the next one may go.
    next: Mutex<Instant>,
}

impl Pace {
    /// A pace of `per_second` units; 0 counts as 1.
    pub fn new(per_second: u32) -> Pace {
        Pace { per_second: f64::from(per_second.max(1)), next: Mutex::new(Instant::now()) }
    }

    /// Waits until earlier calls are paid for, then charges `amount` units. The next caller waits for them, because
    /// what a call takes is often known only afterwards.
    pub async fn take(&self, amount: f64) {
        let turn = {
            let mut next = self.next.lock().expect("no thread panics while it holds the lock");
            let turn = (*next).max(Instant::now());
            *next = turn + Duration::from_secs_f64(amount / self.per_second);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_to_its_rate_and_saves_nothing_up() {
        let pace = Pace::new(10);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let begun = Instant::now();
        for _ in 0..21 {
            pace.take(1.0).await;
        }
        assert_eq!(begun.elapsed().as_millis(), 2_000);
        pace.take(5.0).await;
        pace.take(1.0).await;
        assert_eq!(begun.elapsed().as_millis(), 2_600);
    }
}
