//! What the interface answers, as a caller of the client sees it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::signed::Answer;
use crate::error::BoxError;

/// A notification is in custody.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// The version that was seen: an `ETag`. A read with it never shows an older one.
    pub etag: Option<String>,
    /// How it has ended, if it has.
    pub end: Option<End>,
}

/// How a notification has ended over all its destinations.
#[must_use = "a notification may have been rejected, or be dead"]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum End {
    /// Every destination applied it.
    Done {
        /// What their effects answered, by destination.
        results: BTreeMap<String, Value>,
    },
    /// Its owner rejected it.
    Rejected {
        /// Why.
        reason: String,
    },
    /// A destination gave up. An operator may redrive it, so that this may change.
    Dead {
        /// Why.
        reason: String,
    },
    /// An operator closed it.
    Closed {
        /// Why.
        reason: String,
    },
}

/// Why the interface did not carry a request out: problem details, RFC 9457.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The status code.
    #[serde(default)]
    pub status: u16,
    /// The stable code; empty where the answer is not one of Handover.
    #[serde(default)]
    pub code: String,
    /// What is wrong, and what to do.
    #[serde(default)]
    pub detail: String,
}

/// Why a request of the client was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The interface refused it. The same request is refused again; correct it.
    #[error("refused ({} {}): {}", .0.status, .0.code, .0.detail)]
    Refused(Problem),
    /// The service is set up wrongly: its operator has to act. It may have taken effect. Send the same again later.
    #[error("the service cannot carry it out ({} {}): {}", .0.status, .0.code, .0.detail)]
    Unexpected(Problem),
    /// It was not sent: the request is none, or there are no credentials to sign it with.
    #[error("it was not sent")]
    NotSent(#[source] BoxError),
    /// No answer came in time, over all tries. It may have taken effect: send the same again, which is safe.
    #[error(
        "no answer in time, after {tries} tries; it may have taken effect, and it is safe to send it again"
    )]
    Unanswered {
        /// How often it was tried.
        tries: u32,
        /// Why the last try failed.
        #[source]
        last: BoxError,
    },
    /// The answer is not one of Handover: is this the URL of its interface?
    #[error("the answer with status {status} is not one of Handover; check the URL")]
    Unreadable {
        /// The status code.
        status: u16,
    },
}

/// A record, as far as it is read.
#[derive(Deserialize)]
struct Shown {
    id: String,
    source: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    destinations: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Delivery {
    name: String,
    state: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    result: Option<Value>,
}

impl Receipt {
    /// Reads an answer of 200 or 202.
    pub(super) fn read(answer: &Answer) -> Option<Receipt> {
        let shown: Shown = serde_json::from_slice(&answer.body).ok()?;
        let end = shown.end();
        let Shown { id, source, .. } = shown;
        Some(Receipt { id, source, etag: answer.header("etag").map(str::to_owned), end })
    }
}

impl Shown {
    fn end(&self) -> Option<End> {
        let reason = |state: &str| {
            let of = self.destinations.iter().filter(|delivery| delivery.state == state);
            of.filter_map(|delivery| delivery.reason.clone()).next().unwrap_or_default()
        };
        let results = || {
            let of = self.destinations.iter();
            of.filter_map(|delivery| Some((delivery.name.clone(), delivery.result.clone()?))).collect()
        };
        match self.status.as_str() {
            "DONE" => Some(End::Done { results: results() }),
            "REJECTED" => Some(End::Rejected { reason: reason("rejected") }),
            "DEAD" => Some(End::Dead { reason: reason("dead") }),
            "CLOSED" => Some(End::Closed { reason: reason("closed") }),
            _ => None,
        }
    }
}

impl Problem {
    /// Reads the body of an answer that is none of 200, 202 and 304.
    pub(super) fn read(answer: &Answer) -> Problem {
        let read: Problem = serde_json::from_slice(&answer.body).unwrap_or_default();
        Problem { status: answer.status, ..read }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receipt(body: Value) -> Option<Receipt> {
        let headers = vec![("etag".to_owned(), "\"1\"".to_owned())];
        Receipt::read(&Answer { status: 200, headers, body: body.to_string().into_bytes() })
    }

    #[test]
    fn an_end_has_its_reason_or_its_results() {
        let shown = |status: &str, deliveries: Value| {
            receipt(json!({ "id": "1", "source": "s", "status": status, "destinations": deliveries }))
                .unwrap()
                .end
        };
        let done =
            json!([{ "name": "a", "state": "done", "result": { "n": 1 } }, { "name": "b", "state": "done" }]);
        let results = [("a".to_owned(), json!({ "n": 1 }))].into();
        assert_eq!(shown("DONE", done.clone()), Some(End::Done { results }));
        let rejected = json!([{ "name": "a", "state": "rejected", "reason": "no credit" }]);
        assert_eq!(shown("REJECTED", rejected), Some(End::Rejected { reason: "no credit".into() }));
        let dead =
            json!([{ "name": "a", "state": "done" }, { "name": "b", "state": "dead", "reason": "no" }]);
        assert_eq!(shown("DEAD", dead), Some(End::Dead { reason: "no".into() }));
        assert_eq!(shown("INIT", done), None);
    }

    #[test]
    fn a_receipt_without_a_record_has_not_ended() {
        let receipt = receipt(json!({ "id": "1", "source": "s", "accepted_at": "…" })).unwrap();
        assert_eq!((receipt.id.as_str(), receipt.etag.as_deref(), receipt.end), ("1", Some("\"1\""), None));
        assert_eq!(super::tests::receipt(json!([])), None);
    }

    #[test]
    fn what_aws_refuses_itself_has_no_code() {
        let answer = Answer { status: 403, headers: vec![], body: br#"{"Message":"Forbidden"}"#.to_vec() };
        let problem = Problem::read(&answer);
        assert_eq!((problem.status, problem.code.as_str()), (403, ""));
    }
}
