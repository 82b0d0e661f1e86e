//! A request as a function URL passes it, and what of it may be read.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::caller::Caller;
use super::problem::Problem;
use crate::code::Code;

/// Most bytes of the names and values of all headers.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of a body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The event of a function URL, as far as it is read: payload format 2.0.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionUrlEvent {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: RequestContext,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct RequestContext {
    http: Http,
    #[serde(default)]
    authorizer: Option<Authorizer>,
}

#[derive(Clone, Debug, Deserialize)]
struct Http {
    method: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Authorizer {
    #[serde(default)]
    iam: Option<Iam>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Iam {
    #[serde(default)]
    user_id: Option<String>,
}

/// A request that is within the limits of every request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it was sent, with its escapes.
    pub(super) path: String,
    /// The names are in lower case. AWS has joined headers of one name by a comma.
    headers: BTreeMap<String, String>,
    query: String,
    pub(super) body: Vec<u8>,
    /// Who calls, by AWS's word; `None` if nobody signed it.
    pub(super) caller: Option<Caller>,
}

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// When headers or body are over their limits.
    pub(super) fn read(event: FunctionUrlEvent) -> Result<Request, Problem> {
        let FunctionUrlEvent {
            raw_path,
            raw_query_string,
            headers,
            request_context,
            body,
            is_base64_encoded,
        } = event;
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > HEADERS_BYTES_MAX {
            let detail =
                format!("the headers take {bytes} bytes, over the limit of {HEADERS_BYTES_MAX}; send fewer");
            return Err(Problem::new(Code::HeaderTooLarge, detail));
        }
        let body = body.unwrap_or_default();
        let body = match is_base64_encoded {
            false => body.into_bytes(),
            // AWS encodes it, so that it is valid.
            true => STANDARD.decode(body).unwrap_or_default(),
        };
        if body.len() > BODY_BYTES_MAX {
            let bytes = body.len();
            let detail =
                format!("the body takes {bytes} bytes, over the limit of {BODY_BYTES_MAX}; send less");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        let user_id = request_context.authorizer.and_then(|authorizer| authorizer.iam?.user_id);
        Ok(Request {
            method: request_context.http.method,
            path: raw_path,
            headers: headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
            query: raw_query_string,
            body,
            caller: user_id.as_deref().and_then(Caller::of_user_id),
        })
    }

    /// The value of a header, by its name in lower case. Several headers of the name are one value with commas.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.trim())
    }

    /// The parameters of the query, all of which have to be among these, once each.
    ///
    /// # Errors
    /// The first that is not.
    pub(super) fn parameters(
        &self,
        known: &[&'static str],
    ) -> Result<BTreeMap<&'static str, String>, Problem> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            let Some(known) = known.iter().find(|known| **known == name) else {
                return Err(Problem::new(Code::UnknownParameter, unknown(known)));
            };
            if parameters.insert(*known, value.into_owned()).is_some() {
                let detail = format!("the query has `{known}` twice; send it once");
                return Err(Problem::new(Code::InvalidParameter, detail));
            }
        }
        Ok(parameters)
    }
}

/// It does not quote the query, which anybody may have written.
fn unknown(known: &[&str]) -> String {
    match known {
        [] => "the query has a parameter, and this call takes none; leave it out".to_owned(),
        known => format!(
            "the query has a parameter that this call does not take; it takes `{}`",
            known.join("`, `")
        ),
    }
}

/// What a part of a path says. An escape that is none stands for itself.
pub(super) fn unescaped(part: &str) -> Result<String, Problem> {
    let text = percent_encoding::percent_decode_str(part).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| {
        Problem::new(Code::UnknownPath, "the path has an escape that is not UTF-8; encode the id as UTF-8")
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A request, as AWS passes it, changed by `with`.
    pub(in crate::http) fn event(method: &str, path: &str, with: Value) -> FunctionUrlEvent {
        let mut event = json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "",
            "headers": { "content-type": "application/cloudevents+json" },
            "requestContext": {
                "http": { "method": method, "path": path },
                "authorizer": { "iam": { "userId": "AROA7:session", "userArn": "arn:aws:sts::1:assumed-role/a/session" } },
            },
            "isBase64Encoded": false,
        });
        event.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn code(read: Result<Request, Problem>) -> Code {
        read.unwrap_err().code()
    }

    #[test]
    fn a_caller_is_a_role_whatever_its_session() {
        let request = Request::read(event("GET", "/", json!({}))).unwrap();
        assert_eq!(request.caller, Caller::of_user_id("AROA7"));
        let nobody = json!({ "requestContext": { "http": { "method": "GET" } } });
        assert_eq!(Request::read(event("GET", "/", nobody)).unwrap().caller, None);
    }

    #[test]
    fn a_body_is_read_as_it_was_sent() {
        let encoded = json!({ "body": "e30=", "isBase64Encoded": true });
        assert_eq!(Request::read(event("POST", "/", encoded)).unwrap().body, b"{}");
        let plain = json!({ "body": "{}" });
        assert_eq!(Request::read(event("POST", "/", plain)).unwrap().body, b"{}");
        let large = json!({ "body": "x".repeat(BODY_BYTES_MAX + 1) });
        assert_eq!(code(Request::read(event("POST", "/", large))), Code::TooLarge);
    }

    #[test]
    fn headers_are_found_whatever_their_case_and_have_a_limit() {
        let request =
            Request::read(event("GET", "/", json!({ "headers": { "Prefer": " wait=1 " } }))).unwrap();
        assert_eq!((request.header("prefer"), request.header("accept")), (Some("wait=1"), None));
        let large = json!({ "headers": { "a": "x".repeat(HEADERS_BYTES_MAX) } });
        assert_eq!(code(Request::read(event("GET", "/", large))), Code::HeaderTooLarge);
    }

    #[test]
    fn a_parameter_that_a_call_does_not_take_is_not_ignored() {
        let parameters = |query: &str| {
            let request = Request::read(event("GET", "/", json!({ "rawQueryString": query }))).unwrap();
            request.parameters(&["source", "data"]).map_err(|problem| problem.code())
        };
        assert_eq!(parameters("").unwrap(), BTreeMap::new());
        assert_eq!(parameters("source=a%20b%2F&data=").unwrap()["source"], "a b/");
        assert_eq!(parameters("sources=a").unwrap_err(), Code::UnknownParameter);
        assert_eq!(parameters("source=a&source=a").unwrap_err(), Code::InvalidParameter);
    }

    #[test]
    fn a_part_of_a_path_is_unescaped_once() {
        assert_eq!(unescaped("a%2Fb%2520c").unwrap(), "a/b%20c");
        assert_eq!(unescaped("100%").unwrap(), "100%");
        assert!(unescaped("%ff").is_err());
    }
}
