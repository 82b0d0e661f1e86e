//! The transactional outbox at the source: a producer in the same account and Region commits
//! a notification together with its own business write, and needs no queue.

use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};

use crate::accept::Outcome;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::ledger::{Ledger, held};
use crate::notification::Notification;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::route::Routes;

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
/// let message = outbox.accept(refund.with_id("order-7-refund")?)?;
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

/// A notification, ready to be accepted by somebody's transaction.
#[derive(Clone, Debug)]
pub struct Message {
    ledger: Ledger,
    record: Record,
    clock: Clock,
}

impl Outbox {
    /// Accepts into this ledger what these routes take.
    pub fn new(ledger: Ledger, routes: Routes, clock: Clock) -> Outbox {
        Outbox { ledger, routes, clock }
    }

    /// The accept of a notification, to go into a transaction. Nothing is stored yet.
    ///
    /// # Errors
    /// When the notification is over a limit, or no route takes it.
    pub fn accept(&self, notification: Notification) -> Result<Message, Refusal> {
        let record = Record::accept(notification, &self.routes, self.clock.now())?;
        Ok(Message { ledger: self.ledger.clone(), record, clock: self.clock.clone() })
    }
}

impl Message {
    /// The action: a put, under the condition that the id is new. Its failure cancels the
    /// whole transaction, so a business write never commits beside a message that was
    /// refused. A transaction that is tried again takes a new action: it holds the time.
    pub fn action(&self) -> TransactWriteItem {
        self.ledger.accept_action(&self.record.accepted_at(self.clock.now()))
    }

    /// What a cancelled transaction says of this message, from the reason at its place:
    /// `None` where it was not the message's condition that cancelled it (another write, or
    /// contention: try again),
    /// [`Duplicate`](Outcome::Duplicate) where it was accepted before (if the transaction
    /// had committed, and its answer was lost, this is what a repeat finds), and
    /// [`Conflict`](Outcome::Conflict) where its id is held by other content.
    ///
    /// # Errors
    /// A [`Fault`], where the reason cannot be read.
    pub fn outcome(&self, reason: &CancellationReason) -> Result<Option<Outcome>, Fault> {
        match reason.code() {
            Some("ConditionalCheckFailed") => {
                held(crate::transaction::CALL, &self.record, reason.item().cloned()).map(Some)
            }
            _ => Ok(None),
        }
    }
}
