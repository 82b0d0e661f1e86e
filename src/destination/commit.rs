//! A destination whose effect commits with the mark, in one transaction or one update (G4).
//!
//! If the commit fails before or after it took effect, or the function dies, the notification is redelivered
//! and meets its mark.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::destination::Destination;
use super::effect::{CALLS_MAX, Effect, End, Otherwise, Write};
use super::failure::Failure;
use super::handler::{Deadlines, DestinationSettings, Handled, Handler, WorkItem};
use super::retry_policy::NotCompleted;
use crate::aws::pause;
use crate::notification::{Draft, Kind, Notification, Refusal};
use crate::record::{PendingTransition, Record, Transition};
use crate::store::{Commit, EffectWrite, Precedence, TransitionError};

/// Runs a [`Destination`].
pub(crate) struct Commits<D>(pub(crate) D);

impl<D: Destination> Handler for Commits<D> {
    fn handle<'a>(
        &'a self,
        settings: &'a DestinationSettings,
        work: &'a WorkItem,
        deadlines: Deadlines,
    ) -> BoxFuture<'a, Result<Handled, NotCompleted>> {
        self.run(settings, work, deadlines).boxed()
    }
}

impl<D: Destination> Commits<D> {
    /// Lets the destination decide, and commits its effect; again while a condition that says `or_retry` fails. A
    /// decision that takes too long is a failure; a commit that does is not.
    async fn run(
        &self,
        settings: &DestinationSettings,
        work: &WorkItem,
        deadlines: Deadlines,
    ) -> Result<Handled, NotCompleted> {
        if !taken(|| self.0.takes(&work.dispatch.notification.r#type)).await? {
            return settings.leave(work, None, deadlines).await;
        }
        let notification = typed(&work.dispatch.notification)?;
        for call in 1.. {
            let effect = decided(self.0.apply(&notification), settings, deadlines).await?;
            let committed = settings.commit(work, effect, None, deadlines).await;
            let is_overtaken = matches!(committed, Err(NotCompleted::Overtaken { .. }));
            if !is_overtaken || call >= CALLS_MAX || Instant::now() >= deadlines.start_by {
                return committed;
            }
            pause(call).await;
        }
        unreachable!("the last call returns")
    }
}

/// The notification with its data.
pub(crate) fn typed<D: DeserializeOwned>(notification: &Notification) -> Result<Notification<D>, Failure> {
    notification.typed().map_err(|error| undecodable(&error))
}

/// Says where the data is wrong, and not what it is: serde's own text quotes the data.
fn undecodable(error: &serde_json::Error) -> Failure {
    let column = error.column();
    Failure::permanent(format!(
        "the data is not of the type that this destination takes (at byte {column} of its canonical JSON)"
    ))
}

/// The decision of the user's code, if it comes in time. A panic is a failure of this one notification.
pub(crate) async fn decided(
    decide: impl Future<Output = Result<Effect, Failure>>,
    settings: &DestinationSettings,
    deadlines: Deadlines,
) -> Result<Effect, Failure> {
    let (end_by, late) = end_of_handler(settings.handler_timeout, Instant::now(), deadlines);
    match timeout_at(end_by, caught(decide)).await {
        Ok(Some(decided)) => decided,
        Ok(None) => Err(Failure::transient("the handler panicked")),
        Err(_) => Err(Failure::transient(late)),
    }
}

/// When a handler is ended that begins now, and why: by its own time-out, or with the work of its invocation.
fn end_of_handler(timeout: Option<Duration>, now: Instant, deadlines: Deadlines) -> (Instant, String) {
    match timeout.filter(|timeout| now + *timeout < deadlines.end_by) {
        Some(timeout) => {
            let late =
                format!("the handler took longer than {} s (HANDLER_TIMEOUT_SECONDS)", timeout.as_secs());
            (now + timeout, late)
        }
        None => (deadlines.end_by, "the handler took too long".to_owned()),
    }
}

/// Whether the destination takes a type, as the user's code says.
pub(crate) async fn taken(takes: impl FnOnce() -> bool) -> Result<bool, Failure> {
    caught(async { takes() }).await.ok_or_else(|| Failure::transient("the handler panicked"))
}

/// The result of the user's code, unless it panicked.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

fn to_commit(Write { action, otherwise }: &Write) -> EffectWrite<'_> {
    let precedence = match otherwise {
        Otherwise::Retry => Precedence::Retry,
        Otherwise::Fail => Precedence::Fail,
        Otherwise::Else(_) => Precedence::Else,
    };
    EffectWrite { action, precedence }
}

impl DestinationSettings {
    /// Completes a notification of a type that the destination does not take: an event is marked done.
    pub(crate) async fn leave(
        &self,
        work: &WorkItem,
        fence: Option<u32>,
        deadlines: Deadlines,
    ) -> Result<Handled, NotCompleted> {
        let notification = &work.dispatch.notification;
        match notification.kind {
            Kind::Event => self.commit(work, Effect::new(), fence, deadlines).await,
            Kind::Command => {
                let error = format!("this destination does not take the type `{}`", notification.r#type);
                Err(Failure::permanent(error).into())
            }
        }
    }

    /// Commits an effect with its mark, unless that is a mark alone. Where a condition fails that says `or_else`, the
    /// other effect is committed in its place, under the same conditions of the mark: if an earlier try of the first
    /// took effect after all, that is found.
    pub(crate) async fn commit(
        &self,
        work: &WorkItem,
        mut effect: Effect,
        fence: Option<u32>,
        deadlines: Deadlines,
    ) -> Result<Handled, NotCompleted> {
        effect.check(work.position.is_some())?;
        loop {
            let at = match self.commit_once(work, &mut effect, fence, deadlines).await {
                Err(NotCompleted::NotApplied(TransitionError::Condition { at })) => at,
                committed => return committed,
            };
            effect = match effect.writes.swap_remove(at).otherwise {
                Otherwise::Else(other) => *other,
                Otherwise::Retry => return Err(NotCompleted::Overtaken { at }),
                Otherwise::Fail => return Err(TransitionError::Condition { at }.into()),
            };
        }
    }

    async fn commit_once(
        &self,
        work: &WorkItem,
        effect: &mut Effect,
        fence: Option<u32>,
        deadlines: Deadlines,
    ) -> Result<Handled, NotCompleted> {
        let emits = self.emits(&work.dispatch.notification, effect)?;
        let transition = match std::mem::take(&mut effect.end) {
            // `Effect::check` refuses an invalid result.
            End::Done { result } => Transition::Done { result: result.and_then(Result::ok), fence },
            End::Rejected { reason } => Transition::Rejected { reason, fence },
        };
        let names: Vec<String> = effect.emits.iter().map(|(name, _)| name.clone()).collect();
        // What is emitted goes back to it, so that a copy must not say something else.
        let rests_on_copy = work.delivery.is_none() && !names.is_empty();
        let correlationid = rests_on_copy.then(|| work.dispatch.notification.correlationid.clone());
        let mark = PendingTransition { emits: names, correlationid, ..self.transition(work, transition) };
        if effect.writes.is_empty() && emits.is_empty() && work.position.is_none() {
            // The lease of an external effect changed the record's version.
            let basis = work.basis.filter(|_| fence.is_none());
            return Ok(Handled::ToMark(Box::new(PendingTransition { basis, ..mark })));
        }
        let position = work.position.as_ref().map(|update| (&self.positions, update.clone()));
        let mut commit = Commit { writes: effect.writes.iter().map(to_commit).collect(), emits, position };
        // On the heap: a mark alone need not make room for it.
        let committed = Box::pin(self.ledger.commit(mark, &mut commit));
        let outcome = deadlines.in_time(committed).await?;
        Ok(Handled::Completed { outcome, moved: commit.position.map(|(_, update)| update) })
    }

    /// The INIT records of the effect's emits. A refusal is permanent, unless the routes may soon take the emit, since
    /// a function's code and its configuration are updated one after the other.
    fn emits(&self, parent: &Notification, effect: &Effect) -> Result<Vec<Record>, Failure> {
        let record = |(name, draft): &(String, Draft)| -> Result<Record, Refusal> {
            let notification = draft.clone().build_emitted(parent, &self.name, name)?;
            Record::accept(notification, &self.routes, self.clock.now())
        };
        let records = effect.emits.iter().map(|emit| {
            record(emit).map_err(|refusal| {
                let error = format!("emit `{}`: {refusal}", emit.0);
                match refusal {
                    Refusal::UnknownType { .. }
                    | Refusal::WrongKind { .. }
                    | Refusal::ForeignSource { .. }
                    | Refusal::NotKeyed { .. }
                    | Refusal::NotNumbered { .. }
                    | Refusal::Outcome { .. }
                    | Refusal::NoOutcome { .. }
                    | Refusal::TooLargeForRoute { .. } => Failure::transient(error),
                    _ => Failure::permanent(error),
                }
            })
        });
        records.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::failure::FailureKind;
    use crate::notification::Json;

    #[test]
    fn an_error_about_data_does_not_quote_it() {
        let json = Json::from_serialize(&serde_json::json!({ "card": "4111 1111 1111 1111" })).unwrap();
        let error = json.deserialize::<std::collections::BTreeMap<String, u32>>().unwrap_err();
        let failure = undecodable(&error);
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(!failure.error.contains("4111") && failure.error.contains("at byte 29"), "{}", failure.error);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_ends_by_its_own_time_out_or_with_its_invocation() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let deadlines = Deadlines { begun: now, start_by: now + 2 * second, end_by: now + 3 * second };
        let of = |timeout: Option<u32>| end_of_handler(timeout.map(|nth| nth * second), now, deadlines);
        let (end_by, late) = of(Some(2));
        assert_eq!(
            (end_by, &*late),
            (now + 2 * second, "the handler took longer than 2 s (HANDLER_TIMEOUT_SECONDS)")
        );
        for timeout in [None, Some(3), Some(900)] {
            assert_eq!(of(timeout), (deadlines.end_by, "the handler took too long".to_owned()));
        }
    }
}
