//! A destination, as a user writes it.

use serde::de::DeserializeOwned;

use super::effect::Effect;
use super::failure::Failure;
use crate::notification::Notification;

/// A downstream service that applies notifications. Run it with [`run`](crate::run).
///
/// `apply` decides, and Handover commits. Handover calls it at least once for each notification, and again
/// after a crash or a lost answer. It must not change anything by itself: what it returns is applied exactly
/// once (G4).
///
/// ```
/// use handover::{Destination, Effect, Failure, Notification};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Refund { amount: u64 }
///
/// struct Audit;
///
/// impl Destination for Audit {
///     type Data = Refund;
///
///     async fn apply(&self, refund: &Notification<Refund>) -> Result<Effect, Failure> {
///         Ok(Effect::new().result(&refund.data.amount))
///     }
/// }
/// ```
pub trait Destination: Send + Sync + 'static {
    /// The data of its notifications, `serde_json::Value` for any. Data of another form is a permanent failure.
    type Data: DeserializeOwned + Send + Sync;

    /// Whether it applies notifications of this type: of any, unless you say otherwise. A subscriber of a channel gets
    /// every event of it. An event that it does not take is marked done without a call, and takes its turn in a sequence;
    /// a command that it does not take is a permanent failure.
    fn takes(&self, r#type: &str) -> bool {
        let _ = r#type;
        true
    }

    /// Decides the effect of a notification. An operator may set how long that may take (`HANDLER_TIMEOUT_SECONDS`); else
    /// it is what the function's time-out leaves.
    fn apply(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Effect, Failure>> + Send;
}
