//! What the provider answers, and what its contract says that it means.

use handover::{Asked, CallFailure, Effect, Failure};
use handover_external_http::Answer;
use serde_json::{Value, json};

/// What became of a payment that the provider was asked to take.
pub(crate) fn of_post(answer: &Answer) -> Result<Effect, CallFailure> {
    effect(answer).ok_or_else(|| answer.call_failure(is_error(answer)))
}

/// What the provider knows of a payment.
pub(crate) fn of_get(answer: &Answer) -> Result<Asked, Failure> {
    let is_unknown_payment = answer.status == 404 && answer.body.get("payment") == Some(&Value::Null);
    match effect(answer) {
        Some(effect) => Ok(Asked::Made(effect)),
        None if is_unknown_payment => Ok(Asked::NotMade),
        None => Err(answer.failure(is_error(answer))),
    }
}

/// The effect, if the answer is final: its status and its body are what the contract says.
fn effect(answer: &Answer) -> Option<Effect> {
    let reason = answer.body.get("reason").and_then(Value::as_str);
    match (answer.status, answer.id("payment"), reason) {
        (200..300, Some(payment), _) => Some(Effect::new().result(&json!({ "payment": payment }))),
        (402, _, Some("")) => Some(Effect::reject("refused by the provider")),
        (402, _, Some(reason)) => Some(Effect::reject(reason)),
        _ => None,
    }
}

/// Whether its body is that of an error by the contract. 2xx and 402 have another.
fn is_error(answer: &Answer) -> bool {
    !matches!(answer.status, 200..300 | 402) && answer.has("error")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let body = serde_json::from_str(body).unwrap_or_default();
        Answer { status, retry_after: Duration::from_secs(7), body }
    }

    #[test]
    fn only_what_the_contract_promises_ends_a_payment() {
        let ends = |status, body: &str| of_post(&answer(status, body)).is_ok();
        assert!(ends(200, r#"{"payment":"p-1","more":1}"#) && ends(201, r#"{"payment":"p-1"}"#));
        assert!(ends(402, r#"{"reason":""}"#) && ends(200, r#"{"payment":"p-1","reason":7}"#));
        let long = format!(r#"{{"payment":"{}"}}"#, "p".repeat(257));
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
        let failure = |status, body| of_post(&answer(status, body)).unwrap_err();
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
                let unknown = CallFailure::unknown(answer(status, page).failure(false));
                assert_eq!(failure(status, page), unknown, "{status} {page}");
            }
        }
    }

    #[test]
    fn only_the_provider_says_that_it_knows_of_no_payment() {
        let is_not_made = |status, body| matches!(of_get(&answer(status, body)), Ok(Asked::NotMade));
        assert!(is_not_made(404, r#"{"payment":null}"#));
        for (status, body) in
            [(404, "<html>"), (404, "{}"), (404, r#"{"error":"no route"}"#), (200, r#"{"payment":null}"#)]
        {
            assert!(of_get(&answer(status, body)).is_err(), "{status} {body}");
        }
        assert!(matches!(of_get(&answer(200, r#"{"payment":"p-1"}"#)), Ok(Asked::Made(_))));
    }
}
