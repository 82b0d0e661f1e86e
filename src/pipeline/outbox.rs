//! The transactional outbox at the source: a producer in the same account and Region commits a notification
//! together with its own business write, and needs no queue.

use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};

use crate::aws::Fault;
use crate::clock::Clock;
use crate::notification::{Checked, Refusal, Routes};
use crate::record::Record;
use crate::store::{Acceptance, Ledger};

/// Makes notifications part of a producer's own transactions.
///
/// ```no_run
/// # async fn example(
/// #     outbox: handover::Outbox, dynamodb: aws_sdk_dynamodb::Client,
/// #     order: aws_sdk_dynamodb::types::TransactWriteItem,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use handover::Draft;
///
/// let refund = Draft::command("refund.requested", "orders", &serde_json::json!({ "amount": 500 }));
/// let message = outbox.accept(refund.build("order-7-refund")?)?;
/// dynamodb.transact_write_items().transact_items(order).transact_items(message.action()).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    ledger: Ledger,
    routes: Routes,
    clock: Clock,
}

/// A notification that a producer's transaction will accept.
#[derive(Clone, Debug)]
pub struct OutboxMessage {
    ledger: Ledger,
    record: Record,
    clock: Clock,
}

impl Outbox {
    /// Accepts into this ledger what these routes take.
    pub fn new(ledger: Ledger, routes: Routes, clock: Clock) -> Outbox {
        Outbox { ledger, routes, clock }
    }

    /// Prepares the accept of a notification for a transaction. It stores nothing.
    ///
    /// # Errors
    /// When no route takes the notification, or it is over the limit of its route.
    pub fn accept(&self, notification: Checked) -> Result<OutboxMessage, Refusal> {
        let record = Record::accept(notification, &self.routes, self.clock.now())?;
        Ok(OutboxMessage { ledger: self.ledger.clone(), record, clock: self.clock.clone() })
    }
}

impl OutboxMessage {
    /// The action: a put with the condition that the id is new. If the condition fails, the whole transaction
    /// is cancelled, so that a business write never commits beside a refused message.
    ///
    /// The action contains the time, so two actions of a message differ. A `ClientRequestToken` is for equal
    /// actions: DynamoDB refuses it with others (`IdempotentParameterMismatch`). So send what you made again with
    /// its token, within the ten minutes for which DynamoDB knows it. For a later try take a new action, and a new
    /// token or none: if the first try did commit, [`outcome`](Self::outcome) says `Duplicate`.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     message: handover::pipeline::OutboxMessage, dynamodb: aws_sdk_dynamodb::Client,
    /// #     order: aws_sdk_dynamodb::types::TransactWriteItem,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let actions = vec![order, message.action()];
    /// let call = dynamodb.transact_write_items().client_request_token("order-7").set_transact_items(Some(actions));
    /// if call.clone().send().await.is_err() {
    ///     call.send().await?; // the same actions: no harm if only the answer was lost
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn action(&self) -> TransactWriteItem {
        self.ledger.accept_action(&self.record.accepted_at(self.clock.now()))
    }

    /// What a cancelled transaction says of this message, by the reason at the place of its action: `None`
    /// where another action cancelled the transaction, or contention did (try again);
    /// [`Duplicate`](Acceptance::Duplicate) where the message was accepted before, as a repeat finds it after
    /// a transaction whose answer was lost; [`Conflict`](Acceptance::Conflict) where its id is stored with
    /// other content.
    ///
    /// # Errors
    /// A [`Fault`] where the reason cannot be read.
    pub fn outcome(&self, reason: &CancellationReason) -> Result<Option<Acceptance>, Fault> {
        self.ledger.acceptance(&self.record, reason)
    }
}
