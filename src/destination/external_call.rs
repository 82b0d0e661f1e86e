//! Runs an [`External`] effect: record the start, call, record the outcome (G5).
//!
//! The start is recorded first, under a lease with a fence. Then the call is made, inside the lease. Then its
//! outcome is recorded, if the fence is still the latest. If the function dies after the start, or no answer
//! comes, the outcome is unknown. No write is needed to say so: a started call without a result is an unknown
//! outcome. Its lease runs on, since the provider may still be about to take the call.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout, timeout_at};

use super::commit::{caught, decided, taken, typed};
use super::effect::Effect;
use super::external::{Asked, CallFailure, External, OnUnknown};
use super::failure::Failure;
use super::handler::{Deadlines, DestinationSettings, Handled, Handler, WorkItem};
use super::retry_policy::NotCompleted;
use crate::aws::{Cause, Fault};
use crate::notification::Notification;
use crate::record::{Called, Delivery, PendingTransition, Refused, Settled, Transition, TransitionOutcome};
use crate::store::{GET_ITEM, TransitionError};

/// How much longer than its call a lease lasts: for its own write, and for [`CALL_MARGIN`].
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(10);
/// Shortest rest of the lease after the call's time-out, when the call begins: for clocks that differ, and for
/// a request that the provider takes after we gave it up.
const CALL_MARGIN: SignedDuration = SignedDuration::from_secs(5);

const UNKNOWN_OUTCOME: &str = "the outcome of its call is unknown; find out what the provider did, then `handover redrive --as done` or `--as again`";
const KEY_EXPIRED: &str = "the outcome of its call is unknown, and its idempotency key has expired; find out what the provider did, then `handover redrive --as done` or `--as again`";

/// What to do for a notification.
#[derive(Debug, PartialEq)]
enum NextStep {
    /// Nothing: it is completed.
    Completed(TransitionOutcome),
    /// Wait: another call may be in progress.
    Wait,
    /// Apply the effect of the call, which an operator confirmed.
    Done { fence: u32 },
    /// Take this lease, ask where `asks` says so, and make the call.
    Call { fence: u32, called_at: Timestamp, asks: bool },
    /// Leave it to an operator.
    Escalate { fence: u32, why: &'static str },
}

/// What to do for a delivery; without one it is taken to be new. A call takes up to `timeout`.
fn next_step(
    delivery: Option<&Delivery>,
    on_unknown: OnUnknown,
    timeout: SignedDuration,
    now: Timestamp,
) -> NextStep {
    let Some(delivery) = delivery else { return NextStep::Call { fence: 1, called_at: now, asks: false } };
    let is_held = delivery.lease_until.is_some_and(|until| until > now);
    let fence = delivery.fence + 1;
    match (delivery.called_at, on_unknown) {
        _ if delivery.state.is_final() => {
            NextStep::Completed(TransitionOutcome::AlreadyApplied(delivery.state))
        }
        _ if delivery.settled == Some(Settled::Done) => NextStep::Done { fence: delivery.fence },
        // What an operator settled in a later release, a function of that release decides.
        _ if delivery.settled == Some(Settled::Unknown) => NextStep::Wait,
        _ if is_held => NextStep::Wait,
        (None, _) => NextStep::Call { fence, called_at: now, asks: false },
        (Some(called_at), OnUnknown::Retry { key_lives }) => {
            let key_lives = SignedDuration::try_from(key_lives).unwrap_or(SignedDuration::MAX);
            let needs = timeout.saturating_add(LEASE_MARGIN);
            let has_key = now.duration_since(called_at).saturating_add(needs) < key_lives;
            match has_key {
                true => NextStep::Call { fence, called_at, asks: false },
                false => NextStep::Escalate { fence: delivery.fence, why: KEY_EXPIRED },
            }
        }
        (Some(called_at), OnUnknown::Ask) => NextStep::Call { fence, called_at, asks: true },
        (Some(_), OnUnknown::Escalate) => NextStep::Escalate { fence: delivery.fence, why: UNKNOWN_OUTCOME },
    }
}

/// Most time of one try: to call, and before that to ask.
fn most_time(timeout: Duration, asks: bool) -> Duration {
    timeout.saturating_mul(if asks { 2 } else { 1 })
}

/// Why calls of this time-out could never be made, or never be repeated, by a function that may work for `work_time`,
/// where the first two attempts are apart for `apart` at least.
pub(crate) fn never_works(
    timeout: Duration,
    on_unknown: OnUnknown,
    work_time: Duration,
    apart: Duration,
) -> Option<String> {
    let (needs, has) = (most_time(timeout, on_unknown == OnUnknown::Ask), Deadlines::of_handlers(work_time));
    if needs >= has {
        let asking = if on_unknown == OnUnknown::Ask { ", and to ask before it," } else { "" };
        return Some(format!(
            "{needs:?} for a call{asking} do not fit into the {has:?} that the function's time-out leaves for handlers; raise the time-out, and TIMEOUT_SECONDS with it, or shorten the call"
        ));
    }
    // A repeat begins when the lease of the first call has expired and the wait is over, and needs a lease of its own.
    let lease = timeout.saturating_add(LEASE_MARGIN.unsigned_abs());
    let repeated = lease.max(apart).saturating_add(lease);
    match on_unknown {
        OnUnknown::Retry { key_lives } if key_lives <= repeated => Some(format!(
            "an idempotency key that lives {key_lives:?} is gone before a call is repeated and over, after {repeated:?}; use a key that lives longer, a shorter first wait (RETRY_WAITS, RETRY_BACKOFF_SECONDS), or another `on_unknown`"
        )),
        OnUnknown::Retry { .. } | OnUnknown::Ask | OnUnknown::Escalate => None,
    }
}

/// Runs an [`External`].
pub(crate) struct Calls<E>(pub(crate) E);

impl<E: External> Handler for Calls<E> {
    fn handle<'a>(
        &'a self,
        settings: &'a DestinationSettings,
        work: &'a WorkItem,
        deadlines: Deadlines,
    ) -> BoxFuture<'a, Result<Handled, NotCompleted>> {
        self.run(settings, work, deadlines).boxed()
    }
}

impl<E: External> Calls<E> {
    async fn run(
        &self,
        settings: &DestinationSettings,
        work: &WorkItem,
        deadlines: Deadlines,
    ) -> Result<Handled, NotCompleted> {
        if !taken(|| self.0.takes(&work.dispatch.notification.r#type)).await?
            && let Some(fence) = self.never_called(settings, work)
        {
            return settings.leave(work, Some(fence), deadlines).await;
        }
        let notification = typed(&work.dispatch.notification)?;
        let mut delivery = work.delivery.clone();
        loop {
            let now = settings.clock.now();
            match self.next_step(delivery.as_ref(), now) {
                NextStep::Completed(outcome) => return Ok(Handled::Completed { outcome, moved: None }),
                NextStep::Wait => return Err(TransitionError::Refused(Refused::Held).into()),
                NextStep::Done { fence } => {
                    let effect = decided(self.0.done(&notification), settings, deadlines).await?;
                    return settings.commit(work, effect, Some(fence), deadlines).await;
                }
                NextStep::Escalate { fence, why } => {
                    return Err(NotCompleted::from(Failure::permanent(why)).after_call(Some(fence)));
                }
                NextStep::Call { fence, called_at, asks } => {
                    let needs = most_time(self.0.timeout(), asks);
                    fits(needs, deadlines)?;
                    let until = now + needs + LEASE_MARGIN;
                    match take_lease(settings, work, (fence, until, called_at), deadlines).await? {
                        Leased::Taken => {
                            // The write of the lease may have taken long.
                            let is_in_time = settings.clock.now() + CALL_MARGIN + needs <= until;
                            let called = match is_in_time && fits(needs, deadlines).is_ok() {
                                true => self.ask_and_call(settings, &notification, asks).await,
                                false => Err(CallFailure::not_done(Failure::transient(
                                    "no time was left for the call",
                                ))),
                            };
                            let is_repeat = called_at < now;
                            return self.record(settings, work, called, fence, is_repeat, deadlines).await;
                        }
                        Leased::Completed(outcome) => {
                            return Ok(Handled::Completed { outcome, moved: None });
                        }
                        // It is not new, or another holder was faster.
                        Leased::Held => delivery = Some(read_delivery(settings, work).await?),
                    }
                }
            }
        }
    }

    fn next_step(&self, delivery: Option<&Delivery>, now: Timestamp) -> NextStep {
        let timeout = SignedDuration::try_from(self.0.timeout()).unwrap_or(SignedDuration::MAX);
        next_step(delivery, self.0.on_unknown(), timeout, now)
    }

    /// The fence of a delivery for which no call was made, as far as is known: the mark asks whether it is still the same.
    /// A call that an earlier release made is brought to its end, whether this one takes the type or not.
    fn never_called(&self, settings: &DestinationSettings, work: &WorkItem) -> Option<u32> {
        let Some(delivery) = &work.delivery else { return Some(0) };
        match self.next_step(Some(delivery), settings.clock.now()) {
            NextStep::Call { .. } if delivery.called_at.is_none() => Some(delivery.fence),
            _ => None,
        }
    }

    /// Makes the call under its lease, unless asking shows that it was made.
    async fn ask_and_call(
        &self,
        settings: &DestinationSettings,
        notification: &Notification<E::Data>,
        asks: bool,
    ) -> Result<Effect, CallFailure> {
        if asks {
            let asked = self.within_timeout(settings, "`ask`", self.0.ask(notification)).await?;
            match asked.map_err(CallFailure::unknown)? {
                Asked::Made(effect) => return Ok(effect),
                Asked::NotMade => (),
            }
        }
        self.within_timeout(settings, "the call", self.0.call(notification)).await?
    }

    /// The result of the user's code within the time-out. It is not polled after that: a function that was
    /// frozen meanwhile must not go on with a call that another holder may have repeated.
    async fn within_timeout<T>(
        &self,
        settings: &DestinationSettings,
        what: &str,
        call: impl Future<Output = T>,
    ) -> Result<T, CallFailure> {
        let limit = self.0.timeout();
        let end = settings.clock.now() + limit;
        let mut call = pin!(caught(call));
        let in_time = poll_fn(|context| match settings.clock.now() < end {
            true => call.as_mut().poll(context).map(Some),
            false => std::task::Poll::Ready(None),
        });
        let unknown = |error| Err(CallFailure::unknown(Failure::transient(error)));
        match timeout(limit, in_time).await {
            Ok(Some(Some(outcome))) => Ok(outcome),
            Ok(Some(None)) => unknown(format!("{what} panicked")),
            Ok(None) | Err(_) => unknown(format!("{what} had no answer within {limit:?}")),
        }
    }

    /// Records the outcome of a call. Where an earlier call's outcome is unknown, a failed repeat leaves it
    /// unknown.
    async fn record(
        &self,
        settings: &DestinationSettings,
        work: &WorkItem,
        called: Result<Effect, CallFailure>,
        fence: u32,
        is_repeat: bool,
        deadlines: Deadlines,
    ) -> Result<Handled, NotCompleted> {
        match called {
            Ok(effect) => {
                let committed = settings.commit(work, effect, Some(fence), deadlines).await;
                committed.map_err(|error| error.after_call(Some(fence)))
            }
            Err(CallFailure { failure, is_unknown }) => {
                let is_unknown = is_unknown || is_repeat;
                let failure = match is_unknown && self.0.on_unknown() == OnUnknown::Escalate {
                    true => Failure::permanent(format!("{}: {UNKNOWN_OUTCOME}", failure.error)),
                    false => failure,
                };
                let called = Called { fence, is_unknown };
                Err(NotCompleted::Called { error: Box::new(failure.into()), called })
            }
        }
    }
}

/// How taking a lease came out.
enum Leased {
    Taken,
    /// Another holder has it.
    Held,
    /// The notification is completed.
    Completed(TransitionOutcome),
}

async fn take_lease(
    settings: &DestinationSettings,
    work: &WorkItem,
    (fence, until, called_at): (u32, Timestamp, Timestamp),
    deadlines: Deadlines,
) -> Result<Leased, NotCompleted> {
    let holder = format!("{:016x}", fastrand::u64(..));
    let lease = Transition::Lease { fence, until, holder, called_at };
    // A call passes the cause on, such as to another stack, so that a copy must not say something else.
    let correlationid = work.delivery.is_none().then(|| work.dispatch.notification.correlationid.clone());
    let lease = PendingTransition { correlationid, ..settings.transition(work, lease) };
    let lease = settings.ledger.apply(lease);
    match timeout_at(deadlines.end_by, lease).await.map_err(|_| NotCompleted::OutOfTime)? {
        Ok(TransitionOutcome::Applied) => Ok(Leased::Taken),
        Ok(outcome) => Ok(Leased::Completed(outcome)),
        Err(TransitionError::Refused(Refused::Held)) => Ok(Leased::Held),
        Err(other) => Err(other.into()),
    }
}

async fn read_delivery(settings: &DestinationSettings, work: &WorkItem) -> Result<Delivery, NotCompleted> {
    let record = settings.ledger.get(&work.key()).await.map_err(TransitionError::from)?;
    let mut record = record.ok_or_else(|| TransitionError::from(Fault::new(GET_ITEM, Cause::Missing)))?;
    let delivery = record.destinations.remove(&settings.name);
    Ok(delivery.ok_or(TransitionError::Refused(Refused::UnknownDestination))?)
}

/// Whether the invocation never had this much time.
fn never_had(needs: Duration, deadlines: Deadlines) -> bool {
    needs > deadlines.end_by.saturating_duration_since(deadlines.begun)
}

/// Whether this much time is left. An invocation that never had it may have been frozen before it began, so
/// that is not an attempt, either. Most likely the function's time-out is too short, which is logged as an error.
fn fits(needs: Duration, deadlines: Deadlines) -> Result<(), NotCompleted> {
    if never_had(needs, deadlines) {
        tracing::error!(
            needs_seconds = needs.as_secs_f64(),
            "a call takes longer than this invocation had: raise the function's time-out"
        );
    }
    match needs > deadlines.end_by.saturating_duration_since(Instant::now()) {
        true => Err(NotCompleted::OutOfTime),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::retry_policy::Severity;
    use crate::record::State;
    use crate::record::tests::{at, event_for};

    const NOW: i64 = 1_000_000;
    const SECOND: i64 = 1_000;
    const RETRY: OnUnknown = OnUnknown::Retry { key_lives: Duration::from_secs(60) };

    fn decided_for(delivery: &Delivery, on_unknown: OnUnknown) -> NextStep {
        next_step(Some(delivery), on_unknown, SignedDuration::from_secs(5), at(NOW))
    }

    fn fresh() -> Delivery {
        event_for(&["a"]).destinations.remove("a").unwrap()
    }

    /// A call began this many seconds ago, and its lease has expired.
    fn called(seconds: i64) -> Delivery {
        let (called_at, lease_until) = (Some(at(NOW - seconds * SECOND)), Some(at(NOW - 1)));
        Delivery { fence: 2, called_at, lease_until, ..fresh() }
    }

    /// Whether the invocation never had the time, or has no longer.
    #[tokio::test(start_paused = true)]
    async fn g7_a_call_without_time_is_no_attempt() {
        let (begun, needs) = (Instant::now(), Duration::from_secs(5));
        let deadlines = |seconds| Deadlines { begun, start_by: begun, end_by: begun + seconds * needs / 5 };
        assert!(!never_had(needs, deadlines(5)) && fits(needs, deadlines(5)).is_ok());
        assert!(!never_had(needs, deadlines(60)) && fits(needs, deadlines(60)).is_ok());
        assert!(never_had(needs, deadlines(4)));
        assert!(matches!(fits(needs, deadlines(4)), Err(NotCompleted::OutOfTime)));
        let later = Deadlines { begun: begun - needs, ..deadlines(1) };
        assert!(!never_had(needs, later));
        assert!(matches!(fits(needs, later), Err(NotCompleted::OutOfTime)));
        assert_eq!(NotCompleted::OutOfTime.severity(), Severity::Uncounted);
    }

    #[test]
    fn a_new_delivery_is_called() {
        let call = NextStep::Call { fence: 1, called_at: at(NOW), asks: false };
        assert_eq!(next_step(None, OnUnknown::Escalate, SignedDuration::ZERO, at(NOW)), call);
        assert_eq!(decided_for(&fresh(), OnUnknown::Ask), call);
    }

    #[test]
    fn g5_an_unknown_outcome_is_handled_as_declared() {
        let again = |asks| NextStep::Call { fence: 3, called_at: at(NOW - 30 * SECOND), asks };
        assert_eq!(decided_for(&called(30), RETRY), again(false));
        assert_eq!(decided_for(&called(30), OnUnknown::Ask), again(true));
        assert_eq!(
            decided_for(&called(30), OnUnknown::Escalate),
            NextStep::Escalate { fence: 2, why: UNKNOWN_OUTCOME }
        );
    }

    #[test]
    fn g5_a_key_is_not_used_after_its_life() {
        assert!(matches!(decided_for(&called(44), RETRY), NextStep::Call { .. }));
        assert_eq!(decided_for(&called(45), RETRY), NextStep::Escalate { fence: 2, why: KEY_EXPIRED });
    }

    #[test]
    fn a_time_out_that_never_fits_is_found_before_the_first_call() {
        let second = Duration::from_secs(1);
        let after = |apart, timeout, on_unknown, work_time| {
            never_works(timeout * second, on_unknown, work_time * second, apart * second)
        };
        let problem = |timeout, on_unknown, work_time| after(18, timeout, on_unknown, work_time);
        assert_eq!(problem(8, OnUnknown::Escalate, 12), None);
        assert!(problem(9, OnUnknown::Escalate, 12).unwrap().starts_with("9s for a call do not fit"));
        assert!(problem(8, OnUnknown::Ask, 12).unwrap().starts_with("16s for a call, and to ask"));
        let retry = |seconds| OnUnknown::Retry { key_lives: seconds * second };
        assert_eq!(problem(8, retry(37), 12), None);
        assert!(problem(8, retry(36), 12).unwrap().contains("36s is gone"));
        assert_eq!(after(60, 8, retry(79), 12), None);
        assert!(after(60, 8, retry(78), 12).unwrap().contains("RETRY_WAITS"), "the wait outlasts the key");
    }

    #[test]
    fn a_key_may_live_forever() {
        let forever = OnUnknown::Retry { key_lives: Duration::MAX };
        assert!(matches!(decided_for(&called(1), forever), NextStep::Call { .. }));
    }

    #[test]
    fn g5_nobody_starts_a_call_during_a_lease() {
        let held = Delivery { lease_until: Some(at(NOW + 1)), ..called(1) };
        for unknown in [RETRY, OnUnknown::Ask, OnUnknown::Escalate] {
            assert_eq!(decided_for(&held, unknown), NextStep::Wait);
        }
        let expired = Delivery { lease_until: Some(at(NOW)), ..held };
        assert!(matches!(decided_for(&expired, RETRY), NextStep::Call { fence: 3, .. }));
    }

    #[test]
    fn a_settled_call_is_not_repeated() {
        let settled = Delivery { settled: Some(Settled::Done), ..called(30) };
        assert_eq!(decided_for(&settled, OnUnknown::Escalate), NextStep::Done { fence: 2 });
        let later = Delivery { settled: Some(Settled::Unknown), ..called(30) };
        assert_eq!(decided_for(&later, RETRY), NextStep::Wait);
        let closed = Delivery { state: State::Closed, ..settled };
        assert_eq!(
            decided_for(&closed, OnUnknown::Ask),
            NextStep::Completed(TransitionOutcome::AlreadyApplied(State::Closed))
        );
    }
}
