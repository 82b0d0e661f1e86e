//! What a provider answers, and what its status says.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use handover::{CallFailure, Failure};
use serde_json::{Map, Value};

/// Longest id that a provider gives what it made, in bytes.
const ID_BYTES_MAX: usize = 256;

/// An answer of the provider, or of something in front of it, such as a proxy with a page of its own and any status. So
/// its status alone never says what became of a call. But it says whether to count an attempt, whoever sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// How long it asks to wait by `Retry-After`; zero where it does not.
    pub retry_after: Duration,
    /// The fields of its JSON object; none where it is not one.
    pub body: Map<String, Value>,
}

impl Answer {
    /// What a call leaves behind that this answer does not complete. `is_error` says whether its body is that of an
    /// error by the provider's contract, so that the provider itself answers.
    ///
    /// | status | with the body of an error | without |
    /// |---|---|---|
    /// | 429 | not done; throttled | unknown; throttled |
    /// | 401, 403, 404 | not done; misconfigured: the token, its rights or the URL | unknown; misconfigured |
    /// | 425 | not done; transient | unknown; transient |
    /// | 408, 409: the first call with this key may still be running | unknown; transient | unknown; transient |
    /// | other 4xx: the request is wrong | not done; permanent | unknown; transient |
    /// | anything else | unknown; transient | unknown; transient |
    pub fn call_failure(&self, is_error: bool) -> CallFailure {
        match self.status {
            408 | 409 => CallFailure::unknown(self.failure(is_error)),
            401 | 403 | 404 | 425 | 429 if is_error => CallFailure::not_done(self.failure(is_error)),
            400..500 if is_error => CallFailure::not_done(Failure::permanent(self.text(is_error))),
            _ => CallFailure::unknown(self.failure(is_error)),
        }
    }

    /// The failure, by its status alone, with the wait that it asks for.
    pub fn failure(&self, is_error: bool) -> Failure {
        let text = self.text(is_error);
        let failure = match self.status {
            429 => Failure::throttled(text),
            401 | 403 => Failure::misconfigured(format!("{text}: check the token and what it may do")),
            404 => Failure::misconfigured(format!("{text}: check the URL")),
            _ => Failure::transient(text),
        };
        failure.retry_after(self.retry_after)
    }

    /// Whether its body has this field, with a value.
    pub fn has(&self, field: &str) -> bool {
        self.body.get(field).is_some_and(|value| !value.is_null())
    }

    /// The id in this field of its body: a text of at most 256 bytes without control characters.
    pub fn id(&self, field: &str) -> Option<&str> {
        let is_id = |id: &&str| (1..=ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
        self.body.get(field)?.as_str().filter(is_id)
    }

    fn text(&self, is_error: bool) -> String {
        match is_error {
            true => self.to_string(),
            false => format!("{self} without the body that belongs to it"),
        }
    }
}

/// Its status alone: the body is the provider's, and may quote what it was sent.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the provider answered {}", self.status)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(7);

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: WAIT, body: serde_json::from_str(body).unwrap_or_default() }
    }

    #[test]
    fn a_status_is_the_providers_own_only_with_the_body_of_its_error() {
        let failure = |status, is_error| answer(status, "").call_failure(is_error);
        let not_done = |failure: Failure| CallFailure::not_done(failure.retry_after(WAIT));
        let unknown = |failure: Failure| CallFailure::unknown(failure.retry_after(WAIT));
        let token = "the provider answered 403: check the token and what it may do";
        let url = "the provider answered 404: check the URL";
        assert_eq!(failure(429, true), not_done(Failure::throttled("the provider answered 429")));
        assert_eq!(failure(403, true), not_done(Failure::misconfigured(token)));
        assert_eq!(failure(404, true), not_done(Failure::misconfigured(url)));
        assert_eq!(failure(425, true), not_done(Failure::transient("the provider answered 425")));
        for status in [400, 402, 422] {
            let permanent = Failure::permanent(format!("the provider answered {status}"));
            assert_eq!(failure(status, true), CallFailure::not_done(permanent));
        }
        for status in [200, 304, 408, 409, 500, 503] {
            let transient = Failure::transient(format!("the provider answered {status}"));
            assert_eq!(failure(status, true), unknown(transient));
        }
        let page = "the provider answered 429 without the body that belongs to it";
        assert_eq!(failure(429, false), unknown(Failure::throttled(page)));
        for status in [200, 304, 400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 503] {
            let by_status = answer(status, "").failure(false);
            assert_eq!(failure(status, false), CallFailure::unknown(by_status));
        }
    }

    #[test]
    fn an_id_is_a_short_line() {
        let is_id = |id: Value| answer(200, &serde_json::json!({ "id": id }).to_string()).id("id").is_some();
        assert!(is_id("p-1".into()) && is_id("p".repeat(ID_BYTES_MAX).into()));
        let long = "p".repeat(ID_BYTES_MAX + 1);
        for other in [Value::Null, 7.into(), "".into(), "a\nb".into(), long.into()] {
            assert!(!is_id(other.clone()), "{other}");
        }
        assert_eq!(answer(200, "<html>").id("id"), None);
    }

    #[test]
    fn an_answer_has_what_is_not_null() {
        let has = |body| answer(400, body).has("error");
        assert!(has(r#"{"error":"no"}"#) && has(r#"{"error":{}}"#) && has(r#"{"error":false}"#));
        assert!(!has(r#"{"error":null}"#) && !has("{}") && !has("<html>") && !has(r#"["error"]"#));
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
