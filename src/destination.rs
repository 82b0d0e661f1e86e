//! What a user writes.

use serde::de::DeserializeOwned;

use crate::effect::{Effect, Failure};
use crate::notification::Notification;

/// A downstream that applies notifications.
///
/// `apply` decides; Handover commits. It is called at least once for each notification, and
/// again after a crash or a lost answer, so it must not do anything to the outside by
/// itself: what it returns is applied exactly once (G4).
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
    /// The data of the notifications that it takes. Data of another form is a permanent
    /// failure.
    type Data: DeserializeOwned + Send + Sync;

    /// Decides what a notification does here.
    fn apply(
        &self,
        notification: &Notification<Self::Data>,
    ) -> impl Future<Output = Result<Effect, Failure>> + Send;
}
