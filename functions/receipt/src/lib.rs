//! The destination `receipt`: mails a receipt for a refund, through a provider over HTTP.
//!
//! The data of its notifications is `{"account", "amount", "email"}`, with the amount in cents; other fields are
//! ignored. Data without an address is a permanent failure: no later attempt could send anything, and the dead letter
//! shows it.
//!
//! `POST URL/emails` sends a receipt, as `{"to", "subject", "text", "reference"}`. Its `Idempotency-Key` is derived from
//! the notification's source and id, and its `reference` is the id, so that a person finds it. The provider's answers
//! mean:
//!
//! | status | body | meaning |
//! |---|---|---|
//! | 2xx | `{"id": ID}` | sent; the id is kept as the result |
//! | 429 | `{"error": …}` | not sent: too many requests |
//! | 401, 403, 404 | `{"error": …}` | not sent: the token, its rights or the URL are wrong |
//! | other 4xx, except 408 and 409 | `{"error": …}` | not sent: the request is wrong; at 425 not yet |
//! | 503 with `Retry-After` | | unknown: too many requests |
//! | anything else, or no answer | | unknown |
//!
//! Where the request is wrong, the receipt is dead-lettered at once; the other destinations of the notification go on.
//! At 401, 403, 404 and 429, and at 503 with `Retry-After`, it waits without an attempt, whoever answered so.
//! `Retry-After` is added to the usual wait, up to a quarter of an hour in all. A token that cannot be read holds
//! receipts up in the same way, and none is sent. One exception: where the answer leaves the outcome unknown and
//! `ReceiptUnknown` is `escalate`, the receipt is dead-lettered at once.
//!
//! What is in front of a provider answers too, such as a proxy with a page of its own. So a status alone never sends a
//! receipt.

use std::time::Duration;

use handover::{CallFailure, Effect, External, Failure, Notification, OnUnknown};
use handover_external_http::{Answer, Provider};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The data of a refund. It has no `Debug`, so that no log shows the address.
#[derive(Deserialize)]
pub struct Receipt {
    /// The customer's account.
    pub account: String,
    /// In cents.
    pub amount: u32,
    /// The customer's address.
    pub email: String,
}

/// Mails receipts through a provider.
pub struct Receipts(pub Provider);

impl External for Receipts {
    type Data = Receipt;

    fn timeout(&self) -> Duration {
        self.0.timeout
    }

    fn on_unknown(&self) -> OnUnknown {
        self.0.on_unknown
    }

    async fn call(&self, receipt: &Notification<Receipt>) -> Result<Effect, CallFailure> {
        outcome(&self.0.post("/emails", receipt, &Email::of(receipt)).await?)
    }
}

/// A receipt as the provider is asked for it. It depends on the notification alone: a repeat is the same request.
#[derive(Serialize)]
struct Email<'a> {
    to: &'a str,
    subject: &'a str,
    text: String,
    /// The notification's id.
    reference: &'a str,
}

impl Email<'_> {
    fn of(receipt: &Notification<Receipt>) -> Email<'_> {
        let Receipt { account, amount, email } = &receipt.data;
        let (units, cents) = (amount / 100, amount % 100);
        Email {
            to: email,
            subject: "Your refund",
            text: format!("We refund {units}.{cents:02} to your account {account}.\n"),
            reference: &receipt.id,
        }
    }
}

/// What became of a receipt that the provider was asked to send.
fn outcome(answer: &Answer) -> Result<Effect, CallFailure> {
    match (answer.status, answer.id("id")) {
        (200..300, Some(id)) => Ok(Effect::new().result(&json!({ "receipt": id }))),
        (503, _) if !answer.retry_after.is_zero() => {
            let busy = Failure::throttled(answer.to_string()).retry_after(answer.retry_after);
            Err(CallFailure::unknown(busy))
        }
        _ => Err(answer.call_failure(answer.has("error"))),
    }
}

#[cfg(test)]
mod tests {
    use handover::Draft;
    use serde_json::Value;

    use super::*;

    const WAIT: Duration = Duration::from_secs(7);
    const ERROR: &str = r#"{"error":{"message":"ann@example.com is no address"}}"#;

    fn notification(data: &Value) -> Notification {
        Draft::event("refund.credited", "refunds", data).build("refund-1").unwrap().into()
    }

    fn answered(status: u16, retry_after: Duration, body: &str) -> Result<Effect, CallFailure> {
        let body = serde_json::from_str(body).unwrap_or_default();
        outcome(&Answer { status, retry_after, body })
    }

    #[test]
    fn an_email_says_what_is_refunded() {
        let data = json!({ "account": "account-7", "amount": 1205, "email": "ann@example.com", "more": 1 });
        let notification = notification(&data).typed().unwrap();
        let email = serde_json::to_value(Email::of(&notification)).unwrap();
        let text = "We refund 12.05 to your account account-7.\n";
        let sent = json!({
            "to": "ann@example.com", "subject": "Your refund", "text": text, "reference": "refund-1",
        });
        assert_eq!(email, sent);
    }

    #[test]
    fn data_without_an_address_is_an_error_that_quotes_nothing() {
        for email in [Value::Null, json!(["ann@example.com"])] {
            let data = json!({ "account": "account-7", "amount": 5, "email": email });
            let error = notification(&data).typed::<Receipt>().err().expect("no address").to_string();
            assert!(!error.contains("ann") && !error.contains("account-7"), "{error}");
        }
        assert!(notification(&json!({ "account": "account-7", "amount": 5 })).typed::<Receipt>().is_err());
    }

    #[test]
    fn a_receipt_is_sent_where_the_provider_gives_it_an_id() {
        let kept = |status, body| format!("{:?}", answered(status, WAIT, body).unwrap());
        assert!(kept(200, r#"{"id":"e-1"}"#).contains(r#"{\"receipt\":\"e-1\"}"#));
        let page = "the provider answered 202 without the body that belongs to it";
        let unknown = CallFailure::unknown(Failure::transient(page).retry_after(WAIT));
        for body in ["", "{}", "<html>", r#"{"id":7}"#, r#"{"id":"a\nb"}"#] {
            assert_eq!(answered(202, WAIT, body).unwrap_err(), unknown, "{body}");
        }
    }

    #[test]
    fn only_the_providers_own_error_ends_a_receipt_and_the_failure_does_not_quote_it() {
        for status in [400, 402, 413, 422] {
            let permanent = Failure::permanent(format!("the provider answered {status}"));
            assert_eq!(answered(status, WAIT, ERROR).unwrap_err(), CallFailure::not_done(permanent));
            let page = format!("the provider answered {status} without the body that belongs to it");
            let unknown = CallFailure::unknown(Failure::transient(page).retry_after(WAIT));
            assert_eq!(answered(status, WAIT, "<html>").unwrap_err(), unknown);
        }
    }

    #[test]
    fn a_busy_provider_counts_no_attempt_and_says_how_long_to_wait() {
        let failure = |status, wait, body| answered(status, wait, body).unwrap_err();
        let throttled =
            |status| Failure::throttled(format!("the provider answered {status}")).retry_after(WAIT);
        assert_eq!(failure(429, WAIT, ERROR), CallFailure::not_done(throttled(429)));
        for body in [ERROR, "<html>"] {
            assert_eq!(failure(503, WAIT, body), CallFailure::unknown(throttled(503)));
        }
        let transient = Failure::transient("the provider answered 503");
        assert_eq!(failure(503, Duration::ZERO, ERROR), CallFailure::unknown(transient));
    }
}
