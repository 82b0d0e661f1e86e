//! What an external effect over HTTP needs beside the provider's own contract. A destination that implements
//! [`External`](handover::External) makes a request by [`post`] or [`get`], and sends it by [`send`]. Its own code says
//! which answers complete the call. [`Answer::call_failure`] says what all the others leave behind.
//!
//! ```
//! use std::time::Duration;
//!
//! use handover::{CallFailure, Effect, External, Notification, OnUnknown};
//! use handover_external_http::{Answer, SharedHttpConnector, Token, post, send};
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//!
//! #[derive(Deserialize, Serialize)]
//! struct Parcel {
//!     to: String,
//! }
//!
//! /// Orders labels from a carrier.
//! struct Labels {
//!     http: SharedHttpConnector,
//!     url: String,
//!     token: Option<Token>,
//! }
//!
//! impl External for Labels {
//!     type Data = Parcel;
//!
//!     fn timeout(&self) -> Duration {
//!         Duration::from_secs(10)
//!     }
//!
//!     fn on_unknown(&self) -> OnUnknown {
//!         OnUnknown::Retry { key_lives: Duration::from_secs(24 * 3_600) }
//!     }
//!
//!     async fn call(&self, parcel: &Notification<Parcel>) -> Result<Effect, CallFailure> {
//!         let key = parcel.key().idempotency_key("labels");
//!         let request = post(format!("{}/labels", self.url), key, &parcel.data)?;
//!         ordered(&send(&self.http, self.token.as_ref(), request).await?)
//!     }
//! }
//!
//! /// The carrier's contract: 201 with a label, or an error in the field `message`.
//! fn ordered(answer: &Answer) -> Result<Effect, CallFailure> {
//!     match (answer.status, answer.id("label")) {
//!         (201, Some(label)) => Ok(Effect::new().result(&json!({ "label": label }))),
//!         _ => Err(answer.call_failure(answer.has("message"))),
//!     }
//! }
//! ```
//!
//! The function's `main` takes what these need from its environment, and passes the destination to
//! [`run_external`](handover::run_external). [`Provider`] has it all, under names of its own:
//!
//! ```no_run
//! use handover::Error;
//! use handover::lambda::{start, variable};
//! use handover_external_http::secretsmanager::Client;
//! use handover_external_http::{SharedHttpConnector, Token, connector, url};
//!
//! # async fn example() -> Result<(), Error> {
//! let http: SharedHttpConnector = connector();
//! let url: String = url::checked("CARRIER_URL", variable("CARRIER_URL")?)?;
//! let (name, secrets) = ("CARRIER_TOKEN_SECRET", Client::new(&start()?));
//! let token: Option<Token> = Token::read(secrets, name, variable(name)?).await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod provider;
mod request;
mod token;
pub mod url;

/// The SDK's client for Secrets Manager, in the version that [`Token::read`] takes.
pub use aws_sdk_secretsmanager as secretsmanager;
pub use aws_smithy_runtime_api::client::http::SharedHttpConnector;

pub use crate::answer::Answer;
pub use crate::provider::Provider;
pub use crate::request::{NoAnswer, answering, connector, get, post, send};
pub use crate::token::Token;
