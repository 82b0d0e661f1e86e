//! External effects: a call to somebody else's API, which no transaction spans with the record.
//!
//! First the start is recorded, under a lease with a fence; then the call is made, inside the lease; then
//! its outcome is recorded, if the fence is still the latest (G5). If the function dies anywhere after
//! the start, or no answer comes, the outcome is not known. That is written nowhere: it is what the
//! record says already, and [`Unknown`] says what follows. The lease of a call without an outcome runs
//! on, for the provider may still be about to take it.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use crate::attempt::NotEnded;
use crate::consume::{Applied, Handler, Settings, Times, Work, caught, decided, typed};
use crate::effect::{Effect, Failure};
use crate::fault::{Cause, Fault};
use crate::ledger::{Marked, NotMarked};
use crate::moves::{Called, Lost, Move};
use crate::notification::Notification;
use crate::record::{Delivery, Settled};

/// How long a lease outlasts the time-out of its call: for its own write, and for what [`CALL_MARGIN`]
/// is for.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(10);
/// How much of the lease is left after the time-out at least, when the call begins: for clocks that
/// differ, and for a request that the provider takes after we gave it up.
const CALL_MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// A downstream whose effect is a call to somebody else's API. Run it with
/// [`run_external`](crate::run_external).
///
/// Handover records the start before [`call`](External::call) is made, lets nobody else start one
/// meanwhile, and records what came of it. A call without an answer may have taken effect or not; what
/// then follows you declare as [`unknown`](External::unknown).
///
/// ```
/// use std::time::Duration;
/// use handover::external::{CallFailure, External, Unknown};
/// use handover::{Effect, Notification};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Parcel { to: String }
///
/// struct Parcels;
///
/// impl External for Parcels {
///     type Data = Parcel;
///
///     fn time_out(&self) -> Duration {
///         Duration::from_secs(10)
///     }
///
///     fn unknown(&self) -> Unknown {
///         Unknown::Retry { key_lives: Duration::from_secs(24 * 3_600) }
///     }
///
///     async fn call(&self, parcel: &Notification<Parcel>) -> Result<Effect, CallFailure> {
///         let label = book(&parcel.data.to, &parcel.id).await?;
///         Ok(Effect::new().result(&label))
///     }
/// }
///
/// async fn book(to: &str, idempotency_key: &str) -> std::io::Result<String> {
///     // The request to the carrier.
/// #   Ok(format!("{to} {idempotency_key}"))
/// }
/// ```
pub trait External: Send + Sync + 'static {
    /// The data of the notifications that it takes. Data of another form is a permanent
    /// failure.
    type Data: DeserializeOwned + Send + Sync;

    /// How long a call may take, and how long asking. No less than the provider itself takes at most:
    /// a request that it takes later than 5 s after this may meet the next one. The function's time-out
    /// has to be twice as long at least; three times with [`Unknown::Ask`].
    fn time_out(&self) -> Duration;

    /// What follows when the outcome of a call is not known.
    fn unknown(&self) -> Unknown;

    /// Makes the call, with the notification's id as idempotency key, so that every call for it has the
    /// same. What it returns is recorded: an effect, which commits with the mark, or its refusal by the
    /// provider, as [`Effect::reject`]. An event cannot be rejected: end it, and emit the fact.
    ///
    /// It must not retry by itself.
    fn call(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Effect, CallFailure>> + Send;

    /// With [`Unknown::Ask`], asks the provider what became of an earlier call: an effect, or its
    /// refusal, as `call` returns it; nothing when the provider knows of no such call, which is then made
    /// again.
    fn ask(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Option<Effect>, Failure>> + Send {
        let _ = notification;
        async { Err(Failure::permanent("this destination cannot ask; implement `External::ask`")) }
    }

    /// What follows from a call that took effect by the word of a person
    /// (`handover redrive --as done`): what to emit, most of all.
    fn done(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Effect, Failure>> + Send {
        let _ = notification;
        async { Ok(Effect::new()) }
    }
}

/// What follows when the outcome of a call is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The call is made again with the same key: the provider honours it, and answers a repeat as it
    /// answered the first.
    Retry {
        /// For how long it does so, since the first call. After that a person decides.
        key_lives: Duration,
    },
    /// The provider is asked, by [`External::ask`], before the call is made again.
    Ask,
    /// A person decides: it goes to the dead-letter queue at once, and waits for
    /// `handover redrive --as done|again`.
    Escalate,
}

/// Why a call has no outcome to record. Any error becomes one by `?`, and means that the outcome is not
/// known. Do not put secrets or payloads into the text; it is kept and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFailure {
    failure: Failure,
    is_unknown: bool,
}

impl CallFailure {
    /// The outcome is not known. It is a failed attempt, and what follows is declared.
    pub fn unknown(error: impl Into<String>) -> CallFailure {
        CallFailure { failure: Failure::passing(error), is_unknown: true }
    }

    /// The call has surely not taken effect, nor will it: the connection was refused, say, or the
    /// provider says so. A failed attempt.
    pub fn not_done(failure: Failure) -> CallFailure {
        CallFailure { failure, is_unknown: false }
    }

    /// What it says where the outcome of an earlier call is not known: of that it tells nothing.
    fn after(self, is_unknown: bool) -> CallFailure {
        CallFailure { is_unknown: self.is_unknown || is_unknown, ..self }
    }
}

/// `CallFailure` itself is no `Error`, so that every error can become one.
impl<E: std::error::Error> From<E> for CallFailure {
    fn from(error: E) -> Self {
        CallFailure::unknown(error.to_string())
    }
}

/// What is to be done for a notification.
#[derive(Debug, PartialEq)]
enum Next {
    /// Nothing: it has ended.
    Ended(Marked),
    /// To wait: another call may be under way.
    Wait,
    /// To apply what follows from the call, which took effect.
    Done { fence: u32 },
    /// To take this lease, to ask where that is to be done, and to make the call.
    Call { fence: u32, called_at: Timestamp, asks: bool },
    /// To leave it to a person.
    Escalate { fence: u32, why: &'static str },
}

const PERSON: &str = "the outcome of its call is not known; see what the provider did, then `handover redrive --as done` or `--as again`";
const KEY_ENDED: &str = "the outcome of its call is not known, and its idempotency key has ended; see what the provider did, then `handover redrive --as done` or `--as again`";

/// What is to be done where a destination stands so; where nothing is known, it is taken to be new. A
/// call takes up to `time_out`.
fn next(delivery: Option<&Delivery>, unknown: Unknown, time_out: SignedDuration, now: Timestamp) -> Next {
    let Some(it) = delivery else { return Next::Call { fence: 1, called_at: now, asks: false } };
    let (held, fence) = (it.lease_until.is_some_and(|until| until > now), it.fence + 1);
    match (it.called_at, unknown) {
        _ if it.state.is_final() => Next::Ended(Marked::Before(it.state)),
        _ if it.settled == Some(Settled::Done) => Next::Done { fence: it.fence },
        _ if held => Next::Wait,
        (None, _) => Next::Call { fence, called_at: now, asks: false },
        (Some(called_at), Unknown::Retry { key_lives }) => {
            let key_lives = SignedDuration::try_from(key_lives).unwrap_or(SignedDuration::MAX);
            let needs = time_out.saturating_add(LEASE_MARGIN);
            let has_key = now.duration_since(called_at).saturating_add(needs) < key_lives;
            match has_key {
                true => Next::Call { fence, called_at, asks: false },
                false => Next::Escalate { fence: it.fence, why: KEY_ENDED },
            }
        }
        (Some(called_at), Unknown::Ask) => Next::Call { fence, called_at, asks: true },
        (Some(_), Unknown::Escalate) => Next::Escalate { fence: it.fence, why: PERSON },
    }
}

/// A destination whose effect is a call.
pub(crate) struct Calls<E>(pub E);

impl<E: External> Handler for Calls<E> {
    fn handle<'a>(
        &'a self,
        settings: &'a Settings,
        work: &'a Work,
        times: Times,
    ) -> BoxFuture<'a, Result<Applied, NotEnded>> {
        self.run(settings, work, times).boxed()
    }
}

impl<E: External> Calls<E> {
    async fn run(&self, settings: &Settings, work: &Work, times: Times) -> Result<Applied, NotEnded> {
        let notification = typed(&work.offer.notification)?;
        let time_out = SignedDuration::try_from(self.0.time_out()).unwrap_or(SignedDuration::MAX);
        let mut delivery = work.delivery.clone();
        loop {
            let now = settings.clock.now();
            let (fence, called_at, asks) = match next(delivery.as_ref(), self.0.unknown(), time_out, now) {
                Next::Ended(marked) => return Ok(Applied::ended(marked)),
                Next::Wait => return Err(NotMarked::Lost(Lost::Held).into()),
                Next::Done { fence } => {
                    let effect = decided(self.0.done(&notification), times).await?;
                    return settings.apply(work, effect, Some(fence), times).await;
                }
                Next::Escalate { fence, why } => {
                    return Err(NotEnded::from(Failure::permanent(why)).of_call(Some(fence)));
                }
                Next::Call { fence, called_at, asks } => (fence, called_at, asks),
            };
            let needs = self.0.time_out().saturating_mul(if asks { 2 } else { 1 });
            fits(needs, times)?;
            let until = now + needs + LEASE_MARGIN;
            let holder = format!("{:016x}", fastrand::u64(..));
            let lease = Move::Lease { fence, until, holder, called_at };
            let lease = settings.ledger.make(settings.move_of(work, lease));
            match timeout_at(times.end_by, lease).await.map_err(|_| NotEnded::NoTime)? {
                Ok(Marked::Now) => {
                    // The write of the lease may have taken long.
                    let begins = settings.clock.now() + CALL_MARGIN + needs <= until;
                    let called = match begins && fits(needs, times).is_ok() {
                        true => self.ask_and_call(settings, &notification, asks).await,
                        false => {
                            Err(CallFailure::not_done(Failure::passing("no time was left for the call")))
                        }
                    };
                    let called = called.map_err(|it| it.after(called_at < now));
                    return self.record(settings, work, called, fence, times).await;
                }
                Ok(before) => return Ok(Applied::ended(before)),
                // It is not new, or another was faster.
                Err(NotMarked::Lost(Lost::Held)) => delivery = Some(self.read(settings, work).await?),
                Err(other) => return Err(other.into()),
            }
        }
    }

    async fn read(&self, settings: &Settings, work: &Work) -> Result<Delivery, NotEnded> {
        const CALL: &str = "GetItem";
        let record = settings.ledger.get(&work.offer.notification.id).await.map_err(NotMarked::from)?;
        let mut record = record.ok_or_else(|| NotMarked::from(Fault::new(CALL, Cause::Missing)))?;
        Ok(record.destinations.remove(&settings.name).ok_or(NotMarked::Lost(Lost::Unknown))?)
    }

    /// Makes the call under its lease, where asking does not make it needless.
    async fn ask_and_call(
        &self,
        settings: &Settings,
        notification: &Notification<E::Data>,
        asks: bool,
    ) -> Result<Effect, CallFailure> {
        if asks {
            let asked = self.within(settings, "`ask`", self.0.ask(notification)).await?;
            let unknown = |failure| CallFailure { failure, is_unknown: true };
            if let Some(effect) = asked.map_err(unknown)? {
                return Ok(effect);
            }
        }
        self.within(settings, "the call", self.0.call(notification)).await?
    }

    /// What the user's code came to within the time-out. It is not touched once that has passed: a function
    /// that stood still in between must not go on with a call that somebody else may have made again.
    async fn within<T>(
        &self,
        settings: &Settings,
        what: &str,
        call: impl Future<Output = T>,
    ) -> Result<T, CallFailure> {
        let time_out = self.0.time_out();
        let end = settings.clock.now() + time_out;
        let mut call = pin!(caught(call));
        let in_time = poll_fn(|context| match settings.clock.now() < end {
            true => call.as_mut().poll(context).map(Some),
            false => std::task::Poll::Ready(None),
        });
        match timeout(time_out, in_time).await {
            Ok(Some(Some(outcome))) => Ok(outcome),
            Ok(Some(None)) => Err(CallFailure::unknown(format!("{what} panicked"))),
            _ => Err(CallFailure::unknown(format!("{what} had no answer within {time_out:?}"))),
        }
    }

    /// Records what the call came to.
    async fn record(
        &self,
        settings: &Settings,
        work: &Work,
        called: Result<Effect, CallFailure>,
        fence: u32,
        times: Times,
    ) -> Result<Applied, NotEnded> {
        match called {
            Ok(effect) => {
                let applied = settings.apply(work, effect, Some(fence), times).await;
                applied.map_err(|error| error.of_call(Some(fence)))
            }
            Err(CallFailure { failure, is_unknown }) => {
                let failure = match is_unknown && self.0.unknown() == Unknown::Escalate {
                    true => Failure::permanent(format!("{}: {PERSON}", failure.error)),
                    false => failure,
                };
                let called = Called { fence, is_unknown };
                Err(NotEnded::Called { error: Box::new(failure.into()), called })
            }
        }
    }
}

/// Whether so much time is left. An invocation that never had it may have stood still before it began, so
/// that is no attempt, either; most likely its time-out is too short, and somebody should know.
fn fits(needs: Duration, times: Times) -> Result<(), NotEnded> {
    if needs > times.end_by.saturating_duration_since(times.begun) {
        tracing::error!(
            ?needs,
            "a call takes longer than this invocation had: raise the function's time-out"
        );
    }
    match needs > times.end_by.saturating_duration_since(Instant::now()) {
        true => Err(NotEnded::NoTime),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::State;
    use crate::record::tests::{at, event_for};

    const NOW: i64 = 1_000_000;
    const SECOND: i64 = 1_000;
    const RETRY: Unknown = Unknown::Retry { key_lives: Duration::from_secs(60) };

    fn decided(delivery: &Delivery, unknown: Unknown) -> Next {
        next(Some(delivery), unknown, SignedDuration::from_secs(5), at(NOW))
    }

    fn fresh() -> Delivery {
        event_for(&["a"]).destinations.remove("a").unwrap()
    }

    /// A call began so long ago, and its lease has ended.
    fn called(seconds: i64) -> Delivery {
        let (called_at, lease_until) = (Some(at(NOW - seconds * SECOND)), Some(at(NOW - 1)));
        Delivery { fence: 2, called_at, lease_until, ..fresh() }
    }

    #[test]
    fn what_was_never_called_is_called() {
        let call = Next::Call { fence: 1, called_at: at(NOW), asks: false };
        assert_eq!(next(None, Unknown::Escalate, SignedDuration::ZERO, at(NOW)), call);
        assert_eq!(decided(&fresh(), Unknown::Ask), call);
    }

    #[test]
    fn g5_an_unknown_outcome_is_handled_as_declared() {
        let again = |asks| Next::Call { fence: 3, called_at: at(NOW - 30 * SECOND), asks };
        assert_eq!(decided(&called(30), RETRY), again(false));
        assert_eq!(decided(&called(30), Unknown::Ask), again(true));
        assert_eq!(decided(&called(30), Unknown::Escalate), Next::Escalate { fence: 2, why: PERSON });
    }

    #[test]
    fn g5_a_key_is_not_used_after_its_life() {
        assert!(matches!(decided(&called(44), RETRY), Next::Call { .. }));
        assert_eq!(decided(&called(45), RETRY), Next::Escalate { fence: 2, why: KEY_ENDED });
    }

    #[test]
    fn a_key_may_live_for_ever() {
        let for_ever = Unknown::Retry { key_lives: Duration::MAX };
        assert!(matches!(decided(&called(1), for_ever), Next::Call { .. }));
    }

    #[test]
    fn g5_nobody_starts_while_a_lease_lives() {
        let held = Delivery { lease_until: Some(at(NOW + 1)), ..called(1) };
        for unknown in [RETRY, Unknown::Ask, Unknown::Escalate] {
            assert_eq!(decided(&held, unknown), Next::Wait);
        }
    }

    #[test]
    fn what_a_person_settled_is_not_called_again() {
        let settled = Delivery { settled: Some(Settled::Done), ..called(30) };
        assert_eq!(decided(&settled, Unknown::Escalate), Next::Done { fence: 2 });
        let ended = Delivery { state: State::Closed, ..settled };
        assert_eq!(decided(&ended, Unknown::Ask), Next::Ended(Marked::Before(State::Closed)));
    }
}
