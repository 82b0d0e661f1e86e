//! What a caller is told where a request is not carried out: problem details, RFC 9457.

use std::time::Duration;

use serde::Serialize;

use super::response::Response;
use crate::aws::{Fault, HeldUp};
use crate::code::Code;
use crate::notification::Refusal;

/// After how long a caller is asked to repeat what failed for want of capacity, or of an answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);

const REPEAT: &str = "the request may have taken effect or not; repeat it as it is, which is safe";

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    sources: Vec<String>,
}

/// The body.
#[derive(Serialize)]
pub(super) struct Details<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: Code,
    detail: &'a str,
    /// The sources that have used the id.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    sources: &'a [String],
}

impl Problem {
    /// A problem with this code. The detail names the field, the limit and what to do, and quotes no value.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), retry_after: None, allow: None, sources: vec![] }
    }

    /// A path that does not take the method, but these.
    pub(super) fn method(allow: &'static str) -> Problem {
        let detail = format!("this path does not take the method; it takes {allow}");
        Problem { allow: Some(allow), ..Problem::new(Code::MethodNotAllowed, detail) }
    }

    /// An id that several sources have used.
    pub(super) fn several_sources(sources: Vec<String>) -> Problem {
        let detail = "several sources have used this id; name one of them in the parameter `source`";
        Problem { sources, ..Problem::new(Code::SeveralSources, detail) }
    }

    /// The invocation ended before the request was carried out.
    pub(super) fn out_of_time() -> Problem {
        HeldUp::count([HeldUp { cause: Code::OutOfTime, lasts: false }]);
        Problem::new(Code::Unavailable, REPEAT).retry_after(RETRY_AFTER)
    }

    /// The same, to be repeated after a while.
    pub(super) fn retry_after(self, wait: Duration) -> Problem {
        Problem { retry_after: Some(wait), ..self }
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// The body.
    pub(super) fn details(&self) -> Details<'_> {
        Details {
            r#type: format!("/errors/{}", self.code),
            title: self.code.title(),
            status: self.status(),
            code: self.code,
            detail: &self.detail,
            sources: &self.sources,
        }
    }

    fn status(&self) -> u16 {
        self.code.http_status().unwrap_or(500)
    }

    pub(super) fn response(&self) -> Response {
        let response =
            Response::json(self.status(), &self.details()).with("content-type", "application/problem+json");
        let response = match self.retry_after {
            Some(wait) => response.with("retry-after", wait.as_secs().to_string()),
            None => response,
        };
        match self.allow {
            Some(allow) => response.with("allow", allow),
            None => response,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        Problem::new(refusal.code(), refusal.to_string())
    }
}

/// A call to AWS failed. What it was to do may have taken effect; every call may be repeated.
impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        tracing::warn!(%fault, "a request was not carried out");
        HeldUp::count([HeldUp::by(&fault)]);
        match fault.is_retryable() {
            true => Problem::new(fault.code(), REPEAT).retry_after(RETRY_AFTER),
            // The text of the fault is for the operator, not for the caller: it names tables and roles.
            false => Problem::new(
                Code::Unexpected,
                "the service cannot carry it out until its operator corrects the set-up; its log says why",
            ),
        }
    }
}
