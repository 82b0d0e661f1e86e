//! What the provider answers, and what its contract says that it means.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use handover::{Asked, CallFailure, Effect, Failure};
use serde_json::{Map, Value, json};

/// Longest id that the provider gives a payment, in bytes.
const PAYMENT_BYTES_MAX: usize = 256;

/// An answer of the provider, or of something in front of it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long it asks to wait.
    pub(crate) retry_after: Duration,
    /// The fields of its JSON object; none where it is not one.
    pub(crate) body: Map<String, Value>,
}

impl Answer {
    /// What became of a payment that the provider was asked to take.
    pub(crate) fn of_post(&self) -> Result<Effect, CallFailure> {
        self.effect().ok_or_else(|| match self.status {
            // Of 402 that was an effect. At 408 and 409 the first call with this key may still be running.
            402 | 408 | 409 => CallFailure::unknown(self.failure()),
            401 | 403 | 404 | 425 | 429 if self.is_error() => CallFailure::not_done(self.failure()),
            400..500 if self.is_error() => CallFailure::not_done(Failure::permanent(self.to_string())),
            _ => CallFailure::unknown(self.failure()),
        })
    }

    /// What the provider knows of a payment.
    pub(crate) fn of_get(&self) -> Result<Asked, Failure> {
        let is_unknown_payment = self.status == 404 && self.body.get("payment") == Some(&Value::Null);
        match self.effect() {
            Some(effect) => Ok(Asked::Made(effect)),
            None if is_unknown_payment => Ok(Asked::NotMade),
            None => Err(self.failure()),
        }
    }

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

    /// Whether its body is that of an error by the contract.
    fn is_error(&self) -> bool {
        self.body.get("error").is_some_and(|error| !error.is_null())
    }

    /// The failure, by its status alone: what is in front of the provider may throttle or refuse, too.
    fn failure(&self) -> Failure {
        let failure = match self.status {
            429 => Failure::throttled(self.to_string()),
            401 | 403 => Failure::misconfigured(format!("{self}: check the token and what it may do")),
            404 => Failure::misconfigured(format!("{self}: check the URL")),
            _ => Failure::transient(self.to_string()),
        };
        failure.retry_after(self.retry_after)
    }
}

fn is_id(payment: &str) -> bool {
    (1..=PAYMENT_BYTES_MAX).contains(&payment.len()) && !payment.chars().any(char::is_control)
}

/// The time that the header `Retry-After` asks for: seconds, or a date, which the answer's own `Date` is compared
/// with, so that no clock has to be right.
pub(crate) fn retry_after(headers: &Headers) -> Duration {
    let asked = headers.get("retry-after").unwrap_or_default().trim();
    let date = |text: &str| DateTime::from_str(text, Format::HttpDate).ok().map(|date| date.secs());
    let until = || Some(date(asked)? - date(headers.get("date")?)?);
    let seconds = asked.parse().ok().or_else(|| until()?.try_into().ok());
    Duration::from_secs(seconds.unwrap_or_default())
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the provider answered {}", self.status)?;
        match self.status {
            300..=401 | 403.. if self.is_error() => Ok(()),
            _ => f.write_str(" without the body that belongs to it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let body = serde_json::from_str(body).unwrap_or_default();
        Answer { status, retry_after: Duration::from_secs(7), body }
    }

    #[test]
    fn only_what_the_contract_promises_ends_a_payment() {
        let ends = |status, body: &str| answer(status, body).of_post().is_ok();
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

    #[test]
    fn only_what_the_contract_promises_says_that_nothing_was_taken() {
        const ERROR: &str = r#"{"error":"no"}"#;
        let failure = |status, body| answer(status, body).of_post().unwrap_err();
        let wait = |failure: Failure| failure.retry_after(Duration::from_secs(7));
        let not_taken = |failure| CallFailure::not_done(wait(failure));
        assert_eq!(failure(429, ERROR), not_taken(Failure::throttled("the provider answered 429")));
        assert_eq!(failure(425, ERROR), not_taken(Failure::transient("the provider answered 425")));
        let token = "the provider answered 401: check the token and what it may do";
        assert_eq!(failure(401, ERROR), not_taken(Failure::misconfigured(token)));
        let url = "the provider answered 404: check the URL";
        assert_eq!(failure(404, ERROR), not_taken(Failure::misconfigured(url)));
        let permanent = Failure::permanent("the provider answered 422");
        assert_eq!(failure(422, ERROR), CallFailure::not_done(permanent));
        for status in [408, 409, 500, 503] {
            let transient = Failure::transient(format!("the provider answered {status}"));
            assert_eq!(failure(status, ERROR), CallFailure::unknown(wait(transient)));
        }
        let without = Failure::transient("the provider answered 402 without the body that belongs to it");
        assert_eq!(failure(402, ERROR), CallFailure::unknown(wait(without)));
        for status in [400, 401, 403, 404, 422, 425, 429] {
            for page in ["<html>", "", r#"["error"]"#] {
                let unknown = CallFailure::unknown(answer(status, page).failure());
                assert_eq!(failure(status, page), unknown, "{status} {page}");
            }
        }
    }

    #[test]
    fn only_the_provider_says_that_it_knows_of_no_payment() {
        let is_not_made = |status, body| matches!(answer(status, body).of_get(), Ok(Asked::NotMade));
        assert!(is_not_made(404, r#"{"payment":null}"#));
        for (status, body) in
            [(404, "<html>"), (404, "{}"), (404, r#"{"error":"no route"}"#), (200, r#"{"payment":null}"#)]
        {
            assert!(answer(status, body).of_get().is_err(), "{status} {body}");
        }
        assert!(matches!(answer(200, r#"{"payment":"p-1"}"#).of_get(), Ok(Asked::Made(_))));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asks = |retry_after: &str, date: &str| {
            let mut headers = Headers::new();
            headers.insert("retry-after", retry_after.to_owned());
            headers.insert("date", date.to_owned());
            super::retry_after(&headers).as_secs()
        };
        let date = "Fri, 27 Nov 2026 09:00:00 GMT";
        assert_eq!((asks("120", date), asks("", date), asks("-1", date), asks("soon", date)), (120, 0, 0, 0));
        assert_eq!(asks("Fri, 27 Nov 2026 09:01:30 GMT", date), 90);
        assert_eq!(asks("Fri, 27 Nov 2026 08:00:00 GMT", date), 0, "it is over");
        assert_eq!(asks("Fri, 27 Nov 2026 09:01:30 GMT", "today"), 0);
        assert_eq!(super::retry_after(&Headers::new()), Duration::ZERO);
    }
}
