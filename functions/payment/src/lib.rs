//! The destination `payment`: takes a payment at a provider over HTTP.
//!
//! `POST URL/payments` takes a payment; its `Idempotency-Key` is derived from the notification's source and id,
//! and its `reference` is the id, so that a person finds it. `GET URL/payments/KEY` returns what became of it. The provider's answers mean:
//!
//! | status | meaning |
//! |---|---|
//! | 2xx with the body `{"payment": …}` | taken |
//! | 402 with the body `{"reason": …}` | refused for good |
//! | other 4xx, except 408 and 409; of the GET only 404 | not taken |
//! | anything else, or no answer | unknown |
//!
//! What is in front of a provider answers too, such as a proxy with a page of its own and the status 200. So a status
//! alone never takes a payment, or refuses it for good as the customer's matter. That it was not taken is believed by its
//! status.

use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use handover::{Asked, CallFailure, Effect, External, Failure, Notification, OnUnknown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The data of a payment.
#[derive(Deserialize, Serialize)]
pub struct Payment {
    /// The customer's account.
    pub account: String,
    /// In cents.
    pub amount: u32,
}

/// Takes payments at a provider.
pub struct Payments {
    /// The SDK's HTTP client, so that the function needs no second one.
    pub http: SharedHttpConnector,
    /// The provider's URL, without `/payments`.
    pub url: String,
    /// What its idempotency keys are derived from, beside the notification: the stack and the destination, so
    /// that two of them can have one account at the provider.
    pub scope: String,
    /// The bearer token; may be empty.
    pub token: String,
    /// Longest time of a call.
    pub timeout: Duration,
    /// What follows when the outcome of a call is unknown.
    pub on_unknown: OnUnknown,
}

/// A payment as the provider is asked for it.
#[derive(Serialize)]
struct Request<'a> {
    #[serde(flatten)]
    payment: &'a Payment,
    /// The notification's id.
    reference: &'a str,
}

/// A response of the provider: its HTTP status and its body.
struct ProviderAnswer {
    status: u16,
    /// The fields of its JSON object; none where it is not one.
    body: Map<String, Value>,
}

/// Longest body of an answer, in bytes: a function has many of them at once.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest id that the provider gives a payment, in bytes.
const PAYMENT_BYTES_MAX: usize = 256;

/// A request without a response. Its cause names no URL, which may hold a secret.
#[derive(Debug)]
struct NoAnswer(Box<dyn Error + Send + Sync>);

impl External for Payments {
    type Data = Payment;

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn on_unknown(&self) -> OnUnknown {
        self.on_unknown
    }

    async fn call(&self, payment: &Notification<Payment>) -> Result<Effect, CallFailure> {
        let request = Request { payment: &payment.data, reference: &payment.id };
        let mut post = HttpRequest::new(SdkBody::from(serde_json::to_vec(&request)?));
        post.set_method("POST")?;
        post.set_uri(format!("{}/payments", self.url))?;
        post.headers_mut().insert("content-type", "application/json");
        post.headers_mut().insert("idempotency-key", payment.key().idempotency_key(&self.scope));
        let answer = match self.send(post).await {
            Err(no_answer) if no_answer.is_refused() => return Err(CallFailure::not_done(no_answer.into())),
            answer => answer?,
        };
        answer.effect().ok_or_else(|| match answer.status {
            425 | 429 => CallFailure::not_done(Failure::transient(answer.to_string())),
            // The first call with this key may still be running.
            408 | 409 => CallFailure::unknown(answer.to_string()),
            400..500 if answer.status != 402 => CallFailure::not_done(Failure::permanent(answer.to_string())),
            _ => CallFailure::unknown(answer.to_string()),
        })
    }

    async fn ask(&self, payment: &Notification<Payment>) -> Result<Asked, Failure> {
        let mut get = HttpRequest::new(SdkBody::empty());
        get.set_uri(format!("{}/payments/{}", self.url, payment.key().idempotency_key(&self.scope)))?;
        let answer = self.send(get).await?;
        match answer.effect() {
            Some(effect) => Ok(Asked::Made(effect)),
            None if answer.status == 404 => Ok(Asked::NotMade),
            None => Err(Failure::transient(answer.to_string())),
        }
    }
}

impl Payments {
    async fn send(&self, mut request: HttpRequest) -> Result<ProviderAnswer, NoAnswer> {
        if !self.token.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {}", self.token));
        }
        let response = self.http.call(request).await.map_err(|error| NoAnswer(error.into()))?;
        let status = response.status().as_u16();
        let (mut stream, mut body) = (ByteStream::new(response.into_body()), Vec::new());
        while let Some(part) = stream.try_next().await.map_err(|error| NoAnswer(error.into()))? {
            body.extend_from_slice(&part);
            if body.len() > BODY_BYTES_MAX {
                return Ok(ProviderAnswer { status, body: Map::new() });
            }
        }
        Ok(ProviderAnswer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }
}

impl ProviderAnswer {
    /// The effect, if the answer is final: its status and its body are what the contract says.
    fn effect(&self) -> Option<Effect> {
        let field = |name: &str| self.body.get(name).and_then(Value::as_str);
        match (self.status, field("payment"), field("reason")) {
            (200..300, Some(payment), _) if is_id(payment) => {
                Some(Effect::new().result(&json!({ "payment": payment })))
            }
            (402, _, Some("")) => Some(Effect::reject("refused by the provider")),
            (402, _, Some(reason)) => Some(Effect::reject(reason)),
            _ => None,
        }
    }
}

fn is_id(payment: &str) -> bool {
    (1..=PAYMENT_BYTES_MAX).contains(&payment.len()) && !payment.chars().any(char::is_control)
}

impl fmt::Display for ProviderAnswer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the provider answered {}", self.status)?;
        match self.status {
            200..300 | 402 => f.write_str(" without the body that belongs to it"),
            _ => Ok(()),
        }
    }
}

impl NoAnswer {
    /// Whether the connection was refused, so that nothing was sent.
    fn is_refused(&self) -> bool {
        let begin: &(dyn Error + 'static) = self;
        let causes = std::iter::successors(Some(begin), |error| (*error).source());
        let mut causes = causes.filter_map(|error| error.downcast_ref::<io::Error>());
        causes.any(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the provider did not answer")
    }
}

impl Error for NoAnswer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(status: u16, body: &str) -> bool {
        let body = serde_json::from_str(body).unwrap_or_default();
        ProviderAnswer { status, body }.effect().is_some()
    }

    #[test]
    fn only_what_the_contract_promises_ends_a_payment() {
        assert!(ends(200, r#"{"payment":"p-1","more":1}"#) && ends(201, r#"{"payment":"p-1"}"#));
        assert!(ends(402, r#"{"reason":""}"#) && ends(200, r#"{"payment":"p-1","reason":7}"#));
        let long = format!(r#"{{"payment":"{}"}}"#, "p".repeat(PAYMENT_BYTES_MAX + 1));
        let array = r#"["Service","unavailable"]"#;
        for other in [
            array,
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"payment":""}"#,
            r#"{"payment":7}"#,
            r#"{"payment":"a\nb"}"#,
            &long,
        ] {
            assert!(!ends(200, other) && !ends(402, other), "{other}");
        }
        assert!(!ends(400, r#"{"payment":"p-1"}"#) && !ends(304, r#"{"payment":"p-1"}"#));
    }
}
