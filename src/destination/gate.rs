//! Keeps a paused destination from being called.
//!
//! Whether it is paused is a read of its control item, which is remembered for a while where it is not. It is read before
//! a batch, and again before a handler begins where that was long ago. If it cannot be read, nothing begins: whoever
//! pauses a destination, because it does damage, relies on that.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::handler::{Deadlines, DestinationSettings, Handled, Handler, WorkItem};
use super::retry_policy::NotCompleted;

/// How long it is remembered that a destination is not paused. That it is paused is not remembered, so that it goes on
/// at once when it is resumed.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(10);

/// A handler that is not called while its destination is paused.
pub(super) struct Gate {
    handler: Box<dyn Handler>,
    /// When the destination was seen not to be paused. By the clock of the system: another one may stand still while
    /// Lambda freezes the function between two invocations.
    running_at: Mutex<Option<Timestamp>>,
}

impl Gate {
    pub(super) fn new(handler: impl Handler + 'static) -> Gate {
        Gate { handler: Box::new(handler), running_at: Mutex::default() }
    }

    /// Whether a handler may begin.
    ///
    /// # Errors
    /// [`NotCompleted::Paused`]; or the fault for which that is not known.
    pub(super) async fn pass(
        &self,
        settings: &DestinationSettings,
        deadlines: Deadlines,
    ) -> Result<(), NotCompleted> {
        // A read that took long says what was long ago.
        while !self.is_open(settings.clock.now()) {
            let asked_at = settings.clock.now();
            let control = deadlines.in_time(settings.positions.control(&settings.name)).await?;
            if control.is_paused() {
                return Err(NotCompleted::Paused);
            }
            *self.running_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked_at);
        }
        Ok(())
    }

    /// Whether the destination was seen not to be paused a short time ago.
    fn is_open(&self, now: Timestamp) -> bool {
        let running_at = *self.running_at.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = running_at.map(|running_at| now.duration_since(running_at));
        // A clock that was set back says nothing.
        ago.is_some_and(|ago| (SignedDuration::ZERO..REMEMBERED).contains(&ago))
    }
}

impl Handler for Gate {
    fn handle<'a>(
        &'a self,
        settings: &'a DestinationSettings,
        work: &'a WorkItem,
        deadlines: Deadlines,
    ) -> BoxFuture<'a, Result<Handled, NotCompleted>> {
        if self.is_open(settings.clock.now()) {
            return self.handler.handle(settings, work, deadlines);
        }
        async move {
            self.pass(settings, deadlines).await?;
            self.handler.handle(settings, work, deadlines).await
        }
        .boxed()
    }
}
