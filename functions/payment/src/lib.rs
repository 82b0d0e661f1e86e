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

use std::time::Duration;

use handover::{Asked, CallFailure, Effect, External, Failure, Notification, OnUnknown};
pub use handover_external_http::Provider;
use serde::{Deserialize, Serialize};

use crate::answer::{of_get, of_post};

/// The data of a payment.
#[derive(Deserialize, Serialize)]
pub struct Payment {
    /// The customer's account.
    pub account: String,
    /// In cents.
    pub amount: u32,
}

/// Takes payments at a provider.
pub struct Payments(pub Provider);

/// A payment as the provider is asked for it.
#[derive(Serialize)]
struct Request<'a> {
    #[serde(flatten)]
    payment: &'a Payment,
    /// The notification's id.
    reference: &'a str,
}

impl External for Payments {
    type Data = Payment;

    fn timeout(&self) -> Duration {
        self.0.timeout
    }

    fn on_unknown(&self) -> OnUnknown {
        self.0.on_unknown
    }

    async fn call(&self, payment: &Notification<Payment>) -> Result<Effect, CallFailure> {
        let request = Request { payment: &payment.data, reference: &payment.id };
        of_post(&self.0.post("/payments", payment, &request).await?)
    }

    async fn ask(&self, payment: &Notification<Payment>) -> Result<Asked, Failure> {
        of_get(&self.0.get(&format!("/payments/{}", self.0.key(payment))).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, http_client_fn};
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use handover::Draft;
    use handover_external_http::secretsmanager::config::{BehaviorVersion, Credentials, Region};
    use handover_external_http::secretsmanager::{Client, Config};
    use handover_external_http::{SharedHttpConnector, Token};

    use super::*;

    /// Answers every request with this status: how many it got.
    #[derive(Clone, Debug)]
    struct Server(u16, Arc<AtomicU32>);

    impl HttpConnector for Server {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            self.1.fetch_add(1, Ordering::Relaxed);
            let body = r#"{"payment":"p-1"}"#.into();
            HttpConnectorFuture::ready(Ok(HttpResponse::new(self.0.try_into().unwrap(), body)))
        }
    }

    impl Server {
        fn with(status: u16) -> (Arc<AtomicU32>, SharedHttpConnector) {
            let requests = Arc::new(AtomicU32::new(0));
            (requests.clone(), SharedHttpConnector::new(Server(status, requests)))
        }
    }

    /// A token that Secrets Manager does not give.
    async fn unreadable() -> Option<Token> {
        let (_, refuses) = Server::with(400);
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .http_client(http_client_fn(move |_, _| refuses.clone()));
        let client = Client::from_conf(config.build());
        Token::read(client, "PROVIDER_TOKEN_SECRET", "arn:the-secret".into()).await
    }

    #[tokio::test]
    async fn a_payment_waits_for_a_token_that_cannot_be_read() {
        let (requests, http) = Server::with(200);
        let mut payments = Payments(Provider {
            http,
            url: "https://provider.example".into(),
            scope: "scope".into(),
            token: unreadable().await,
            timeout: Duration::from_secs(1),
            on_unknown: OnUnknown::Ask,
        });
        let payment = Payment { account: "account-7".into(), amount: 5 };
        let payment = Draft::command("payment.requested", "orders", &payment).build("payment-1").unwrap();
        let payment = payment.typed::<Payment>().unwrap();
        let held_up = payments.ask(&payment).await.unwrap_err();
        assert!(
            format!("{held_up:?}").contains("the secret arn:the-secret, which cannot be read"),
            "{held_up:?}"
        );
        assert_eq!(payments.call(&payment).await.unwrap_err(), CallFailure::not_done(held_up));
        assert_eq!(requests.load(Ordering::Relaxed), 0, "nothing is sent");
        payments.0.token = None;
        assert!(payments.call(&payment).await.is_ok());
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }
}
