//! Transactional messaging for AWS serverless.
//!
//! A queue and a database do not share a transaction, so a message between two services can be lost or applied
//! twice. Handover closes that gap on DynamoDB, DynamoDB Streams, Kinesis, SQS and Lambda: a message is
//! accepted once, carried to every destination at least once, and its effect is applied exactly once.
//!
//! ```text
//! upstream queue ─► accept ─► notifications ──stream──► relay ─► Kinesis ─► destination ─► DONE
//! producer's own transaction ────▲  (DynamoDB)                                │ effect and mark,
//!                                └ reconcile dispatches late ones again       │ one transaction
//!                                                        retry queue, dead-letter queue
//! ```
//!
//! A [`Notification`] is a command, which its one owner may reject, or an event, which nobody may reject. Its
//! record in the `notifications` table is the source of truth. Copies in streams and queues only say which
//! record to look at; they may be lost or doubled. `docs/design.md` numbers the guarantees (G1, G2, …).
//!
//! # Guide: a destination
//!
//! A [`Destination`] decides, and Handover commits what it returns together with the mark that completes the
//! notification. A repeat of the notification meets the mark.
//!
//! ```no_run
//! use handover::dynamodb::types::{AttributeValue, Update};
//! use handover::{Destination, Effect, Error, Failure, Notification, lambda, run};
//!
//! #[derive(serde::Deserialize)]
//! struct Refund {
//!     account: String,
//!     amount: u32,
//! }
//!
//! struct Refunds {
//!     accounts: String,
//! }
//!
//! impl Destination for Refunds {
//!     type Data = Refund;
//!
//!     async fn apply(&self, refund: &Notification<Refund>) -> Result<Effect, Failure> {
//!         if refund.data.amount == 0 {
//!             return Ok(Effect::reject("a refund of nothing"));
//!         }
//!         let credit = Update::builder()
//!             .table_name(&self.accounts)
//!             .key("account", AttributeValue::S(refund.data.account.clone()))
//!             .update_expression("ADD balance :amount")
//!             .expression_attribute_values(":amount", AttributeValue::N(refund.data.amount.to_string()))
//!             .build()?;
//!         Ok(Effect::new().write(credit))
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Error> {
//!     run(Refunds { accounts: lambda::variable("ACCOUNTS_TABLE")? }).await
//! }
//! ```
//!
//! An error that you return with `?` counts as a failed attempt. After six attempts, or at once after a
//! [permanent failure](Failure::permanent), the notification is dead and waits in the dead-letter queue for an
//! operator: `handover redrive` or `handover close`. Who deploys it may set other waits, a time-out of the handler, and how
//! many run at once, by the variables that [`run`] names.
//!
//! Where another system is only [throttled](Failure::throttled), or refuses everything until somebody corrects the
//! [set-up](Failure::misconfigured), say so: the notification waits, and no attempt is counted.
//!
//! # Guide: conditions
//!
//! A read before a decision may be stale; the condition of a write is not. Each [`Write`] says what follows when its
//! condition fails: the command is rejected, another effect is applied, or `apply` is called again, to read and decide
//! anew.
//!
//! ```
//! use handover::dynamodb::types::{AttributeValue, Update};
//! use handover::{Draft, Effect, Failure, Write};
//!
//! fn reserve(customer: &str, amount: u32) -> Result<Effect, Failure> {
//!     let take = Update::builder()
//!         .table_name("customers")
//!         .key("customer", AttributeValue::S(customer.into()))
//!         .update_expression("SET credit = credit - :amount")
//!         .condition_expression("credit >= :amount")
//!         .expression_attribute_values(":amount", AttributeValue::N(amount.to_string()))
//!         .build()?;
//!     let refused = Draft::event("credit.refused", "customers", &customer);
//!     let rejected = Effect::reject("insufficient credit").emit("refused", refused);
//!     Ok(Effect::new().write(Write::from(take).or_else(rejected)))
//! }
//! ```
//!
//! This condition fails, too, where there is no such customer. If several conditions fail at once,
//! [`or_retry`](Write::or_retry) comes first and [`or_else`](Write::or_else) last: so a handler that reads before it
//! decides puts `or_retry` on a condition that what it read is unchanged, and rejects nothing on a stale read.
//!
//! # Guide: commands, events, and their outcome
//!
//! A route says whether a type is a command or an event, and which sources may send it. A sender that wants to know how
//! its command ended asks for its [outcome](record::Outcome): an event of a type that it names, at each end, whether that
//! is done, rejected, dead or closed by an operator.
//!
//! ```
//! use handover::record::{Outcome, Status};
//! use handover::{Destination, Draft, Effect, Failure, Notification, Routes};
//!
//! let routes: Routes = r#"{
//!     "credit.reserve":  { "kind": "command", "destinations": ["customers"] },
//!     "credit.answered": { "kind": "event", "destinations": ["orders"], "sources": ["handover"] }
//! }"#.parse()?;
//! let reserve = Draft::command("credit.reserve", "orders", &50).outcome_to("credit.answered");
//! # routes.of(&reserve.build("order-1")?)?;
//!
//! struct Orders;
//!
//! impl Destination for Orders {
//!     type Data = Outcome;
//!
//!     async fn apply(&self, outcome: &Notification<Outcome>) -> Result<Effect, Failure> {
//!         let ended = &outcome.data;
//!         let answer = match ended.status {
//!             Status::Done => format!("{} is paid", ended.id),
//!             _ => format!("{} is not paid: {:?}", ended.id, ended.reason),
//!         };
//!         Ok(Effect::new().result(&answer))
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What an effect emits has the notification as its cause: `causationid` is its id, and `correlationid` the id of the
//! first of all. `handover trace ID` shows the tree, and who has custody of what is open in it.
//!
//! # Guide: an external effect
//!
//! No transaction spans a call to another system. An [`External`] makes such a call, and declares what follows
//! when its outcome is unknown.
//!
//! ```
//! use std::time::Duration;
//! use handover::{CallFailure, Effect, External, Notification, OnUnknown};
//!
//! struct Payments;
//!
//! impl External for Payments {
//!     type Data = u32;
//!
//!     fn timeout(&self) -> Duration {
//!         Duration::from_secs(10)
//!     }
//!
//!     fn on_unknown(&self) -> OnUnknown {
//!         OnUnknown::Retry { key_lives: Duration::from_secs(24 * 3_600) }
//!     }
//!
//!     async fn call(&self, payment: &Notification<u32>) -> Result<Effect, CallFailure> {
//!         let receipt = pay(payment.data, &payment.key().idempotency_key("payments")).await?;
//!         Ok(Effect::new().result(&receipt))
//!     }
//! }
//!
//! async fn pay(amount: u32, idempotency_key: &str) -> std::io::Result<String> {
//!     // The request to the provider.
//! #   Ok(format!("{amount} {idempotency_key}"))
//! }
//! ```
//!
//! An error that you return with `?` leaves the outcome unknown. [`CallFailure::not_done`] says that the call took no
//! effect. Both take a [`Failure`], which says whether an attempt is counted, and how long to wait:
//!
//! ```
//! use std::time::Duration;
//! use handover::{CallFailure, Failure};
//!
//! # let _ =
//! CallFailure::not_done(Failure::throttled("the provider answered 429").retry_after(Duration::from_secs(30)))
//! # ;
//! ```
//!
//! # Guide: order
//!
//! Nothing orders notifications by itself. A producer numbers those of a `partitionkey` from 1. The events of an entity
//! go by a channel, whose subscribers get all of them. It names those that apply them in order:
//!
//! ```
//! use handover::{Draft, Routes};
//!
//! let routes: Routes = r#"{
//!     "account":         { "kind": "channel", "destinations": ["search", "mail"], "sequenced": ["search"] },
//!     "account.opened":  { "kind": "event", "channel": "account" },
//!     "account.changed": { "kind": "event", "channel": "account" }
//! }"#.parse()?;
//! assert!(routes.is_sequenced("search"));
//! let change = Draft::event("account.changed", "accounts", &7).partitionkey("account/1").sequence(1);
//! # change.build("account-1-change-1")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A subscriber says which types it takes ([`Destination::takes`]); the others are marked done, and keep their place in
//! the sequence. An early notification waits without an attempt. A dead one blocks its own key until an operator
//! redrives or closes it.
//!
//! # Guide: the outbox
//!
//! A producer in the same account and Region needs no queue: an [`Outbox`] makes the accept part of the producer's own
//! transaction. Its crate depends on `handover` with `default-features = false`, and brings its own configuration of
//! AWS.
//!
//! ```no_run
//! use handover::{Clock, Draft, Ledger, Outbox, Routes};
//!
//! # async fn example(
//! #     dynamodb: handover::dynamodb::Client, routes: Routes,
//! #     order: handover::dynamodb::types::TransactWriteItem,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = Ledger::new(dynamodb.clone(), "handover-notifications");
//! let outbox = Outbox::new(ledger, routes, Clock::system());
//! let refund = Draft::command("refund.requested", "orders", &500).build("order-7-refund")?;
//! let message = outbox.accept(refund)?;
//! dynamodb.transact_write_items().transact_items(order).transact_items(message.action()).send().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guide: emitting
//!
//! An effect can emit further notifications. They are accepted in the transaction of the mark: all or nothing. Their
//! ids derive from the parent, the destination and the name, so that a repeat emits the same ones. They begin with
//! `emit:`, and no other id may.
//!
//! ```
//! use handover::{Draft, Effect};
//!
//! let credited = Draft::event("refund.credited", "refunds", &5).subject("account-7");
//! let effect = Effect::new().emit("credited", credited);
//! ```
//!
//! # Guide: testing
//!
//! `handover-sim` runs a destination as it is deployed, over an AWS in memory and on virtual time, while
//! functions die, answers are lost, batches are redelivered and tables are contended. Its documentation has an example,
//! and so has the README.
//!
//! # Guide: deploying
//!
//! A function's `main` only wires. [`run`] and [`run_external`] run a destination; [`run_accept`], [`run_relay`] and
//! [`run_reconcile`] run the stages of the pipeline. `infra/core.yaml` deploys those, and `infra/destination.yaml` what
//! belongs to a destination; `make deploy STAGE=dev` builds and deploys.
//!
//! ```no_run
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), handover::Error> {
//!     handover::run_relay().await
//! }
//! ```
//!
//! # Reading the code
//!
//! The modules are layers, from the top: [`lambda`] has what a function needs; [`pipeline`] and [`destination`] are the
//! stages; [`store`] makes every call that keeps something; [`record`] has the stored shapes and every decision
//! about them; [`aws`] and [`notification`] are at the bottom. Imports point downwards only.

#![cfg_attr(
    not(feature = "lambda"),
    allow(dead_code, unused_imports, reason = "a producer's outbox uses a part of what the stages share")
)]

#[cfg(not(feature = "lambda"))]
mod aws;
#[cfg(feature = "lambda")]
pub mod aws;
#[cfg(feature = "client")]
pub mod client;
mod clock;
mod code;
pub mod destination;
mod error;
#[cfg(feature = "lambda")]
pub mod http;
#[cfg(feature = "lambda")]
pub mod lambda;
mod metrics;
pub mod notification;
pub mod pipeline;
pub mod record;
#[cfg(feature = "lambda")]
mod run;
pub mod store;
pub mod templates;

/// The SDK's client for DynamoDB, in the version whose types an [`Effect`] takes.
pub use aws_sdk_dynamodb as dynamodb;
/// The SDK's client for SQS, in the version that [`ToQueue`] takes.
#[cfg(feature = "lambda")]
pub use aws_sdk_sqs as sqs;

pub use aws::fault::Fault;
pub use clock::Clock;
pub use code::Code;
pub use destination::destination::Destination;
pub use destination::effect::{Effect, Write};
pub use destination::external::{Asked, CallFailure, External, OnUnknown};
pub use destination::failure::Failure;
#[cfg(feature = "lambda")]
pub use destination::to_queue::ToQueue;
pub use error::Error;
pub use notification::checked::Checked;
pub use notification::draft::Draft;
pub use notification::extension::Extension;
pub use notification::json::Json;
pub use notification::key::NotificationKey;
pub use notification::kind::Kind;
pub use notification::notification::Notification;
pub use notification::refusal::Refusal;
pub use notification::routes::Routes;
pub use pipeline::outbox::Outbox;
#[cfg(feature = "lambda")]
pub use run::stages::{run_accept, run_api, run_reconcile, run_relay};
#[cfg(feature = "lambda")]
pub use run::{Destinations, run, run_external};
pub use store::ledger::Ledger;
pub use store::positions::Positions;

// The code that the README shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
