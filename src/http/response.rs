//! The answer to a request, in the form that a function URL takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// The answer to a request.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-response-payload>.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status_code: u16,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<&'static str, String>,
    /// The body, a text.
    pub body: String,
}

impl Response {
    /// An answer of JSON. What it says of a caller's notifications is kept by nobody on the way.
    pub(super) fn json(status_code: u16, body: &impl Serialize) -> Response {
        let body = serde_json::to_string(body).expect("names are text, and values are JSON");
        Response::text(status_code, "application/json", body)
    }

    /// An answer of another media type.
    pub(super) fn text(status_code: u16, media_type: &'static str, body: impl Into<String>) -> Response {
        let headers = [("content-type", media_type), ("cache-control", "private, no-cache")];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).into();
        Response { status_code, headers, body: body.into() }
    }

    /// The same, which says how long its caller was ready to wait, if that was heeded.
    pub(super) fn waited(self, applied: Option<Duration>) -> Response {
        match applied {
            Some(wait) => self.with("preference-applied", format!("wait={}", wait.as_secs())),
            None => self,
        }
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.insert(name, value.into());
        self
    }
}
