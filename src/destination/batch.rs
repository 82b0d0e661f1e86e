//! What a destination's two event sources share: reading a batch, and what follows for what was not completed.

use std::collections::HashMap;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::commit::Commits;
use super::destination::Destination;
use super::external::External;
use super::external_call::Calls;
use super::failed_attempt::{Disposition, Source};
use super::gate::Gate;
use super::handler::{Deadlines, DestinationSettings, WorkItem};
use super::process::Processed;
use super::retry_policy::NotCompleted;
use crate::aws::HeldUp;
use crate::notification::NotificationKey;
use crate::record::{Dispatch, TransitionOutcome};

pub(super) const NOT_A_DISPATCH: &str = "this is not a dispatch of a notification";

/// The stage that runs one destination.
pub struct Consumer {
    pub(super) handler: Gate,
    pub(super) settings: DestinationSettings,
}

impl Consumer {
    /// Runs this destination.
    pub fn new(destination: impl Destination, settings: DestinationSettings) -> Consumer {
        Consumer { handler: Gate::new(Commits(destination)), settings }
    }

    /// Runs this destination, whose effect is a call.
    pub fn external(external: impl External, settings: DestinationSettings) -> Consumer {
        Consumer { handler: Gate::new(Calls(external)), settings }
    }

    /// The notifications for this destination, each with all its copies, and the copies that are not a
    /// dispatch.
    pub(super) fn read(
        &self,
        copies: impl Iterator<Item = (String, Vec<u8>)>,
    ) -> (Vec<WorkItem>, Vec<(String, Vec<u8>)>) {
        let received_at = self.settings.clock.now();
        let mut work: Vec<WorkItem> = Vec::new();
        let mut by_key: HashMap<NotificationKey, usize> = HashMap::new();
        let mut undecodable = Vec::new();
        for (copy, data) in copies {
            match Dispatch::decode(&data) {
                Ok(dispatch) if !dispatch.is_for(&self.settings.name) => (),
                Ok(dispatch) => match by_key.get(&dispatch.notification.key()) {
                    Some(at) => work[*at].join(copy, dispatch, &self.settings.name),
                    None => {
                        by_key.insert(dispatch.notification.key(), work.len());
                        work.push(WorkItem::of_copy(copy, dispatch, received_at, &self.settings.name));
                    }
                },
                Err(_) => undecodable.push((copy, data)),
            }
        }
        (work, undecodable)
    }

    /// Whether the destination is paused, asked before a batch: then nothing is read or sent for it. Where that is not
    /// known, each handler asks again before it begins.
    pub(super) async fn is_paused(&self, work: &[WorkItem], deadlines: Deadlines) -> bool {
        !work.is_empty()
            && matches!(self.handler.pass(&self.settings, deadlines).await, Err(NotCompleted::Paused))
    }

    /// Records the failures. Says what to do with the copies of each.
    pub(super) async fn dispositions(
        &self,
        processed: Vec<Processed>,
        until: Instant,
        event_source: impl Fn(&WorkItem) -> Source,
    ) -> Vec<(Vec<String>, Disposition)> {
        let (mut applied, mut already_applied) = (0, 0);
        let mut not_completed = Vec::new();
        for Processed { work, result } in processed {
            match result {
                Ok(TransitionOutcome::Applied) => applied += 1,
                Ok(TransitionOutcome::AlreadyApplied(_)) => already_applied += 1,
                Err(error) => not_completed.push((work, error)),
            }
        }
        HeldUp::count(not_completed.iter().filter_map(|(_, error)| error.held_up_by()));
        let destination = &self.settings.name;
        tracing::info!(destination, applied, already_applied, failed = not_completed.len(), "consumed");
        join_all(not_completed.into_iter().map(async |(work, error)| {
            let (id, source) = (work.id(), work.source());
            let event_source = event_source(&work);
            match error.needs_no_copy() {
                true => tracing::debug!(id, source, destination, %error, "it waits"),
                false => {
                    let (severity, from) = (error.severity().as_str(), event_source.as_str());
                    tracing::warn!(id, source, destination, %error, severity, from, "not completed")
                }
            }
            let redeliver = || event_source.redeliver(&self.settings.retries, error.retry_after());
            let disposition = match timeout_at(
                until,
                self.settings.record_failure(&work, &error, event_source),
            )
            .await
            {
                Ok(Ok(disposition)) => disposition,
                Ok(Err(error)) => {
                    tracing::warn!(id, source, destination, %error, "the copy will be redelivered as it is");
                    HeldUp::count(NotCompleted::from(error).held_up_by());
                    redeliver()
                }
                Err(_) => redeliver(),
            };
            (work.copies, disposition)
        }))
        .await
    }
}
