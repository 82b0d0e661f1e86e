//! The destination `payment`: takes a payment at a provider over HTTP.
//!
//! `POST URL/payments` takes a payment; its `Idempotency-Key` is derived from the notification's source and id, and its
//! `reference` is the id, so that a person finds it. `GET URL/payments/KEY` returns what became of it. The provider's
//! answers mean:
//!
//! | status | body | meaning |
//! |---|---|---|
//! | 2xx | `{"payment": ID}` | taken |
//! | 402 | `{"reason": TEXT}` | refused for good, as the customer's matter |
//! | 429 | `{"error": …}` | not taken: too many requests |
//! | 401, 403, 404 | `{"error": …}` | not taken: the token, its rights or the URL are wrong |
//! | other 4xx, except 408 and 409 | `{"error": …}` | not taken: the request is wrong; at 425 not yet |
//! | 404 of the GET | `{"payment": null}` | it knows of no such payment |
//! | anything else, or no answer | | unknown |
//!
//! What is in front of a provider answers too, such as a proxy with a page of its own and any status. So a status alone
//! never takes a payment, and never says that none was taken. But it says whether to count an attempt: at 429, 401, 403
//! and 404 the payment waits, whoever sent it. `Retry-After` is added to the usual wait, up to a quarter of an hour in
//! all. A token that cannot be read holds payments up in the same way, and none is sent. One exception: where the
//! answer leaves the outcome unknown and `PaymentUnknown` is `escalate`, the payment is dead-lettered at once.

mod answer;
mod token;
pub mod url;

use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use handover::{Asked, CallFailure, Effect, External, Failure, Notification, OnUnknown};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, retry_after};
pub use crate::token::Token;

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
    /// The provider's URL, without `/payments`; see [`url::checked`].
    pub url: String,
    /// What its idempotency keys are derived from, beside the notification: the stack and the destination, so
    /// that two of them can have one account at the provider.
    pub scope: String,
    /// The bearer token, if the provider takes one.
    pub token: Option<Token>,
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

/// Longest body of an answer, in bytes: a function has many of them at once.
const BODY_BYTES_MAX: usize = 64 * 1024;

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
        self.authorize(&mut post).await.map_err(CallFailure::not_done)?;
        match self.send(post).await {
            Err(no_answer) if no_answer.is_refused() => Err(CallFailure::not_done(no_answer.into())),
            answer => answer?.of_post(),
        }
    }

    async fn ask(&self, payment: &Notification<Payment>) -> Result<Asked, Failure> {
        let mut get = HttpRequest::new(SdkBody::empty());
        get.set_uri(format!("{}/payments/{}", self.url, payment.key().idempotency_key(&self.scope)))?;
        self.authorize(&mut get).await?;
        self.send(get).await?.of_get()
    }
}

impl Payments {
    /// Adds the token, where the provider takes one. Nothing is sent if it cannot be read.
    async fn authorize(&self, request: &mut HttpRequest) -> Result<(), Failure> {
        if let Some(token) = &self.token {
            request.headers_mut().insert("authorization", token.authorization().await?);
        }
        Ok(())
    }

    async fn send(&self, request: HttpRequest) -> Result<Answer, NoAnswer> {
        let response = self.http.call(request).await.map_err(|error| NoAnswer(error.into()))?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = read(response.into_body()).await?;
        if let (401 | 403, Some(token)) = (status, &self.token) {
            token.refused();
        }
        Ok(Answer { status, retry_after, body: serde_json::from_slice(&body).unwrap_or_default() })
    }
}

/// The body of an answer; none where it is longer than any of the contract.
async fn read(body: SdkBody) -> Result<Vec<u8>, NoAnswer> {
    let (mut stream, mut body) = (ByteStream::new(body), Vec::new());
    while let Some(part) = stream.try_next().await.map_err(|error| NoAnswer(error.into()))? {
        body.extend_from_slice(&part);
        if body.len() > BODY_BYTES_MAX {
            return Ok(Vec::new());
        }
    }
    Ok(body)
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use handover::Draft;

    use super::*;
    use crate::token::tests::Secrets;

    /// A provider that takes every payment: how many it took.
    #[derive(Clone, Debug, Default)]
    struct Provider(Arc<AtomicU32>);

    impl HttpConnector for Provider {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            self.0.fetch_add(1, Ordering::Relaxed);
            let body = SdkBody::from(r#"{"payment":"p-1"}"#);
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), body)))
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_longest() {
        let read = async |bytes: usize| super::read(SdkBody::from(vec![b' '; bytes])).await.unwrap().len();
        assert_eq!(read(BODY_BYTES_MAX).await, BODY_BYTES_MAX);
        assert_eq!(read(BODY_BYTES_MAX + 1).await, 0);
    }

    #[tokio::test]
    async fn a_payment_waits_for_a_token_that_cannot_be_read() {
        let (provider, secrets) = (Provider::default(), Secrets::with(""));
        let payments = Payments {
            http: SharedHttpConnector::new(provider.clone()),
            url: "https://provider.example".into(),
            scope: "scope".into(),
            token: Some(secrets.token().await),
            timeout: Duration::from_secs(1),
            on_unknown: OnUnknown::Ask,
        };
        let payment = Payment { account: "account-7".into(), amount: 5 };
        let payment = Draft::command("payment.requested", "orders", &payment).build("payment-1").unwrap();
        let payment = payment.typed::<Payment>().unwrap();
        let token = payments.token.as_ref().unwrap();
        let held_up = token.authorization().await.unwrap_err();
        assert_eq!(payments.call(&payment).await.unwrap_err(), CallFailure::not_done(held_up.clone()));
        assert_eq!(payments.ask(&payment).await.unwrap_err(), held_up);
        assert_eq!(provider.0.load(Ordering::Relaxed), 0, "nothing is sent");
        secrets.set("one");
        token.age();
        assert!(payments.call(&payment).await.is_ok());
        assert_eq!(provider.0.load(Ordering::Relaxed), 1);
    }
}
