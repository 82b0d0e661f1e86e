//! An external effect, as a user writes it: a call to another system's API, which no transaction spans with
//! the record. `external_call.rs` runs it.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::effect::Effect;
use super::failure::Failure;
use crate::notification::Notification;

/// A downstream service whose effect is a call to another system's API. Run it with
/// [`run_external`](crate::run_external).
///
/// Handover records the start before it makes [`call`](External::call), lets nobody else start one meanwhile,
/// and records its outcome. A call without an answer may or may not have taken effect. What follows then is
/// what you declare with [`on_unknown`](External::on_unknown).
///
/// ```
/// use std::time::Duration;
/// use handover::{CallFailure, Effect, External, Notification, OnUnknown};
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
///     fn timeout(&self) -> Duration {
///         Duration::from_secs(10)
///     }
///
///     fn on_unknown(&self) -> OnUnknown {
///         OnUnknown::Retry { key_lives: Duration::from_secs(24 * 3_600) }
///     }
///
///     async fn call(&self, parcel: &Notification<Parcel>) -> Result<Effect, CallFailure> {
///         let label = book(&parcel.data.to, &parcel.key().idempotency_key("labels")).await?;
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
    /// The data of its notifications. Data of another form is a permanent failure.
    type Data: DeserializeOwned + Send + Sync;

    /// Longest time of a call, or of [`ask`](External::ask). Choose no less than the provider's own time-out. If
    /// the provider takes a request later than 5 s after this time, a second call may already be running.
    /// `HANDLER_TIMEOUT_SECONDS` is for a [`Destination`](crate::Destination) alone, and refused here.
    /// The function's time-out has to be at least twice as long, or three times with [`OnUnknown::Ask`].
    fn timeout(&self) -> Duration;

    /// Whether it applies notifications of this type: of any, unless you say otherwise. A subscriber of a channel gets
    /// every event of it. An event that it does not take is marked done without a call of the provider, and takes its turn
    /// in a sequence; a command that it does not take is a permanent failure.
    fn takes(&self, r#type: &str) -> bool {
        let _ = r#type;
        true
    }

    /// What follows when the outcome of a call is unknown.
    fn on_unknown(&self) -> OnUnknown;

    /// Makes the call. Give the provider [`idempotency_key`](crate::NotificationKey::idempotency_key) of
    /// `notification.key()`, with a scope of this destination's own: so every call for it has the same key, and no other
    /// notification's call has it. It returns an effect, which commits with the mark, or the provider's refusal as
    /// [`Effect::reject`]. An event cannot be rejected: complete it, and emit the fact.
    ///
    /// Do not retry inside `call`; Handover does.
    fn call(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Effect, CallFailure>> + Send;

    /// With [`OnUnknown::Ask`], asks the provider about an earlier call.
    fn ask(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Asked, Failure>> + Send {
        let _ = notification;
        async { Err(Failure::permanent("this destination cannot ask; implement `External::ask`")) }
    }

    /// Called after an operator confirms that a call took effect (`handover redrive --as done`). Returns its
    /// effect, for example what to emit.
    fn done(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Effect, Failure>> + Send {
        let _ = notification;
        async { Ok(Effect::new()) }
    }
}

/// What follows when the outcome of a call is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnknown {
    /// Handover makes the call again with the same key. The provider answers a repeated key as it answered the
    /// first call.
    Retry {
        /// How long the provider remembers a key, from the first call. After that an operator decides, so let the waits
        /// (`RETRY_WAITS`) end before.
        key_lives: Duration,
    },
    /// Handover asks the provider, by [`External::ask`], before it makes the call again.
    Ask,
    /// An operator decides: the notification is dead-lettered at once, and waits for
    /// `handover redrive --as done|again`.
    Escalate,
}

/// What the provider says of an earlier call.
#[derive(Clone, Debug)]
#[must_use]
pub enum Asked {
    /// The call was made. This is its effect, or its refusal, as [`External::call`] returns it.
    Made(Effect),
    /// The provider knows of no such call. Handover makes it again.
    NotMade,
}

/// Why a call has no outcome to record. An error that you return with `?` becomes one, with its causes in the text, and
/// means that the outcome is unknown. Do not put secrets or payloads into an error: the text is kept and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFailure {
    pub(crate) failure: Failure,
    pub(crate) is_unknown: bool,
}

impl CallFailure {
    /// The call may have taken effect, or may still do so. What follows is what the destination declares with
    /// [`External::on_unknown`]. The failure says whether it counts as an attempt.
    pub fn unknown(failure: Failure) -> CallFailure {
        CallFailure { failure, is_unknown: true }
    }

    /// The call has not taken effect and will not: the connection was refused, for example, or the provider
    /// says so. The failure says whether it counts as an attempt. Be sure of it: a status may come from something in
    /// front of the provider, and a 429 leaves nothing done only where the provider promises that.
    pub fn not_done(failure: Failure) -> CallFailure {
        CallFailure { failure, is_unknown: false }
    }
}

/// `CallFailure` itself does not implement `Error`, so that every error can become one.
impl<E: std::error::Error + 'static> From<E> for CallFailure {
    fn from(error: E) -> Self {
        CallFailure::unknown(Failure::from(error))
    }
}
