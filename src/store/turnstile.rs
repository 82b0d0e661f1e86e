//! Staggers concurrent calls: each request is sent before the next one is built. Otherwise the first request would wait
//! until all are built.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::timeout;

/// Longest wait for a turn. Turns only save time.
const TURN_MAX: Duration = Duration::from_millis(250);

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Where calls pass one after another. Its clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Turnstile(Arc<Mutex<Turn>>);

impl Turnstile {
    /// Waits for a turn. A handler that blocks its thread may keep one for ever, so a turn that does not end is
    /// replaced.
    pub(super) async fn pass(&self) {
        let turn = self.turn(None);
        match timeout(TURN_MAX, turn.lock()).await {
            Ok(_passing) => yield_now().await,
            Err(_) => drop(self.turn(Some(&turn))),
        }
    }

    /// The present turn, which is not the lost one.
    fn turn(&self, lost: Option<&Turn>) -> Turn {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_some_and(|lost| Arc::ptr_eq(lost, &present)) {
            *present = Turn::default();
        }
        present.clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_kept_holds_up_one_call() {
        let turnstile = Turnstile::default();
        let turn = turnstile.turn(None);
        let _kept = turn.lock().await;
        let begun = Instant::now();
        turnstile.clone().pass().await;
        assert_eq!(begun.elapsed(), TURN_MAX);
        turnstile.pass().await;
        assert_eq!(begun.elapsed(), TURN_MAX);
    }
}
