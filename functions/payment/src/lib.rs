//! The destination `payment`: takes a payment at a provider.
//!
//! `POST URL/payments`, with the notification's id as `Idempotency-Key`, takes one; `GET
//! URL/payments/ID` tells what became of it. Answers: 2xx, taken (`{"payment": …}`); 402, refused for
//! good (`{"reason": …}`); other 4xx, and the GET's 404, not taken. Everything else, no answer among it,
//! leaves open whether it was.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use handover::{Asked, CallFailure, External, Unknown};
use handover::{Effect, Failure, Notification};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a payment says.
#[derive(Deserialize, Serialize)]
pub struct Payment {
    /// Of the customer.
    pub account: String,
    /// In cents.
    pub amount: u32,
}

/// Takes payments at a provider.
pub struct Payments {
    /// The SDK's HTTP client: no other one is needed.
    pub http: SharedHttpConnector,
    /// Where the provider is.
    pub url: String,
    /// What it knows us by; may be empty.
    pub token: String,
    /// How long it may take.
    pub timeout: Duration,
    /// What follows when it does not say what it did.
    pub on_unknown: Unknown,
}

/// What the provider says.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    payment: String,
    #[serde(default)]
    reason: String,
}

/// Its answer: a status of HTTP, and what it says there.
struct Answer(u16, Said);

impl External for Payments {
    type Data = Payment;

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn on_unknown(&self) -> Unknown {
        self.on_unknown
    }

    async fn call(&self, payment: &Notification<Payment>) -> Result<Effect, CallFailure> {
        let mut post = HttpRequest::new(SdkBody::from(json!(payment.data).to_string()));
        post.set_method("POST")?;
        post.set_uri(format!("{}/payments", self.url))?;
        post.headers_mut().insert("content-type", "application/json");
        post.headers_mut().insert("idempotency-key", payment.id.clone());
        let answer = match self.send(post).await {
            Err(error) if was_refused(&*error) => {
                return Err(CallFailure::not_done(Failure::transient("the provider takes no connections")));
            }
            answer => answer.map_err(|error| CallFailure::unknown(said(&*error)))?,
        };
        match answer.effect() {
            Some(effect) => Ok(effect),
            None => Err(match answer.0 {
                425 | 429 => CallFailure::not_done(Failure::transient(answer.status())),
                // The first call of this key is still at work, perhaps.
                408 | 409 => CallFailure::unknown(answer.status()),
                400..500 => CallFailure::not_done(Failure::permanent(answer.status())),
                _ => CallFailure::unknown(answer.status()),
            }),
        }
    }

    async fn ask(&self, payment: &Notification<Payment>) -> Result<Asked, Failure> {
        let mut get = HttpRequest::new(SdkBody::empty());
        get.set_uri(format!("{}/payments/{}", self.url, utf8_percent_encode(&payment.id, NON_ALPHANUMERIC)))?;
        let answer = self.send(get).await.map_err(|error| Failure::transient(said(&*error)))?;
        match answer.effect() {
            Some(effect) => Ok(Asked::Made(effect)),
            None if answer.0 == 404 => Ok(Asked::NotMade),
            None => Err(Failure::transient(answer.status())),
        }
    }
}

impl Payments {
    async fn send(&self, mut request: HttpRequest) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        if !self.token.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {}", self.token));
        }
        let response = self.http.call(request).await?;
        let status = response.status().as_u16();
        let body = ByteStream::new(response.into_body()).collect().await?.into_bytes();
        Ok(Answer(status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

impl Answer {
    /// What follows from it, where that is for good.
    fn effect(&self) -> Option<Effect> {
        match self {
            Answer(200..300, said) => Some(Effect::new().result(&json!({ "payment": said.payment }))),
            Answer(402, said) if said.reason.is_empty() => Some(Effect::reject("refused by the provider")),
            Answer(402, said) => Some(Effect::reject(&said.reason)),
            _ => None,
        }
    }

    fn status(&self) -> String {
        format!("the provider answered {}", self.0)
    }
}

/// The text of an error that came on the way; it names no address with a secret in it.
fn said(error: &(dyn Error + Send + Sync)) -> String {
    format!("the provider did not answer: {error}")
}

/// Whether it came to no connection, so that nothing was sent.
fn was_refused(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = error.source();
    }
    false
}
