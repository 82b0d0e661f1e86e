//! An operator pauses and resumes destinations.

use handover::Fault;
use handover::store::Controlled;

use crate::item::{self, destinations, state};
use crate::stack::Stack;

/// What became of a pause or a resume; nothing if its program died.
pub type ControlResult = Option<Result<Controlled, Fault>>;

impl Stack {
    /// Pauses a destination.
    pub async fn pause(&self, destination: &str) -> ControlResult {
        self.begin_operation();
        let give_up_after_ms = self.give_up_after().as_millis() as u64;
        {
            let mut state = self.aws.state();
            state.pauses.begin(give_up_after_ms);
            state.history.paused = true;
        }
        let (positions, name, now) = (self.positions(), destination.to_owned(), self.clock("operator").now());
        let paused = self
            .run_operation(async move { positions.pause(&name, "it loses what it gets", now).await })
            .await;
        self.note("operator", &format!("pauses {destination}: {paused:?}"));
        paused
    }

    /// Resumes a destination. What waits there is left to reconcile, or to [`Stack::dispatch_waiting`].
    pub async fn resume(&self, destination: &str) -> ControlResult {
        self.begin_operation();
        let (positions, name, now) = (self.positions(), destination.to_owned(), self.clock("operator").now());
        let resumed = self.run_operation(async move { positions.resume(&name, now).await }).await;
        self.note("operator", &format!("resumes {destination}: {resumed:?}"));
        resumed
    }

    /// Dispatches what is pending at a destination, as `handover resume` does.
    pub async fn dispatch_waiting(&self, destination: &str) {
        let is_pending = |record: &serde_json::Value| {
            destinations(record).get(destination).is_some_and(|delivery| state(delivery) == "pending")
        };
        let waiting: Vec<_> =
            self.records().iter().filter(|record| is_pending(record)).map(item::key).collect();
        for key in waiting {
            self.begin_operation();
            self.dispatch_again(key).await;
        }
    }
}
