//! The headers that a request may have, each read strictly.

use std::time::Duration;

use super::problem::Problem;
use super::request::Request;
use super::token::VersionToken;
use crate::code::Code;
use crate::notification::{NotificationKey, is_json};

/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Longest that a request waits. A longer wait that is asked for is cut to it.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// The header of idempotency keys.
///
/// Source: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Checks that the body is JSON by its media type: `*/json` or `*/*+json`. `example` is what to send.
pub(super) fn json_body(request: &Request, example: &str) -> Result<(), Problem> {
    let unsupported = |problem: &str| {
        Err(Problem::new(Code::UnsupportedMediaType, format!("`Content-Type` {problem}; send `{example}`")))
    };
    let Some(value) = request.header("content-type") else { return unsupported("is missing") };
    if value.contains(',') {
        return Err(duplicate("Content-Type"));
    }
    let mut parameters = value.split(';').skip(1).map(|part| part.trim().to_ascii_lowercase());
    let charset =
        parameters.find_map(|part| Some(part.strip_prefix("charset=")?.trim_matches('"').to_owned()));
    match (is_json(value), charset.as_deref()) {
        (false, _) => unsupported("is not of JSON"),
        (true, None | Some("utf-8" | "utf8")) => Ok(()),
        (true, Some(_)) => unsupported("names another character set than UTF-8"),
    }
}

/// The `Idempotency-Key`, quoted or bare.
pub(super) fn idempotency_key(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.header(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = match value.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None if value.contains(',') => return Err(duplicate("Idempotency-Key")),
        None => value.to_owned(),
    };
    if key.is_empty() {
        return Err(invalid_key("is empty; send a text of your own choice, such as a UUID"));
    }
    if key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        let bytes = key.len();
        let problem =
            format!("takes {bytes} bytes, over the limit of {IDEMPOTENCY_KEY_BYTES_MAX}; shorten it");
        return Err(invalid_key(&problem));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid_key(
            "has characters other than visible ASCII; use letters, digits and punctuation",
        ));
    }
    Ok(Some(key))
}

/// A string of RFC 9651 behind its first quote.
fn unquoted(quoted: &str) -> Result<String, Problem> {
    let mut key = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next() {
            Some('"') => break,
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(invalid_key("has a backslash that escapes neither a quote nor a backslash")),
            },
            Some(character) => key.push(character),
            None => {
                return Err(invalid_key(
                    "begins with a quote and does not end with one; quote all of it or nothing",
                ));
            }
        }
    }
    match characters.as_str().trim() {
        "" => Ok(key),
        rest if rest.starts_with(',') => Err(duplicate("Idempotency-Key")),
        _ => Err(invalid_key("goes on behind its last quote; quote all of it")),
    }
}

fn invalid_key(problem: &str) -> Problem {
    Problem::new(Code::InvalidKey, format!("`Idempotency-Key` {problem}"))
}

fn duplicate(name: &str) -> Problem {
    Problem::new(
        Code::DuplicateHeader,
        format!("`{name}` has a comma, as if it was sent twice; send it once"),
    )
}

/// How long the caller wishes to wait: `Prefer: wait=SECONDS`, at most [`WAIT_MAX`]. Other preferences are ignored.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc7240>.
pub(super) fn wait(request: &Request) -> Result<Option<Duration>, Problem> {
    let preferences = request.header("prefer").unwrap_or_default().split(',');
    // Of the same preference twice the first counts.
    let wait = preferences.map(|preference| preference.split(';').next().unwrap_or_default()).find_map(
        |preference| {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
        },
    );
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = wait.map(|text| Some(text).filter(digits).map(|text| text.parse().unwrap_or(u32::MAX)));
    match wait {
        None => Ok(None),
        Some(Some(seconds)) => Ok(Some(Duration::from_secs(seconds.into()).min(WAIT_MAX))),
        Some(None) => {
            let detail =
                "`Prefer` has a `wait` that is not a whole number of seconds; send it like `wait=10`";
            Err(Problem::new(Code::InvalidHeader, detail))
        }
    }
}

/// The version that the caller has seen: `If-None-Match`.
pub(super) fn seen(request: &Request, key: &NotificationKey) -> Result<Option<VersionToken>, Problem> {
    let Some(etag) = request.header("if-none-match") else { return Ok(None) };
    // What is between may have weakened it, as where it compresses.
    match VersionToken::read(etag.strip_prefix("W/").unwrap_or(etag), key) {
        Some(token) => Ok(Some(token)),
        None => Err(Problem::new(
            Code::InvalidToken,
            "`If-None-Match` is no `ETag` of this notification; send one `ETag` as it was received, quotes included",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::request::tests::event;
    use super::*;

    fn with(name: &str, value: &str) -> Request {
        Request::read(event("POST", "/", json!({ "headers": { name: value } }))).unwrap()
    }

    #[test]
    fn a_body_is_json_by_its_media_type() {
        let read =
            |value: &str| json_body(&with("content-type", value), "application/json").map_err(|no| no.code());
        for json in [
            "application/json",
            "application/cloudevents+json; charset=UTF-8",
            "Application/JSON",
            "text/json;charset=\"utf-8\"",
        ] {
            assert_eq!(read(json), Ok(()), "{json}");
        }
        for other in [
            "text/plain",
            "",
            "/json",
            "application/x-www-form-urlencoded",
            "application/json;charset=latin1",
        ] {
            assert_eq!(read(other), Err(Code::UnsupportedMediaType), "{other}");
        }
        assert_eq!(read("application/json, application/json"), Err(Code::DuplicateHeader));
        let missing = json_body(&with("a", "b"), "application/json").unwrap_err();
        assert_eq!(missing.code(), Code::UnsupportedMediaType);
    }

    #[test]
    fn a_key_is_read_quoted_or_bare() {
        let read = |value: &str| idempotency_key(&with("idempotency-key", value)).map_err(|no| no.code());
        for (value, key) in [("a-1", "a-1"), ("\"a-1\"", "a-1"), (r#""a\"b\\c,d""#, r#"a"b\c,d"#)] {
            assert_eq!(read(value), Ok(Some(key.to_owned())), "{value}");
        }
        assert_eq!(read(&"x".repeat(IDEMPOTENCY_KEY_BYTES_MAX)).map(|key| key.unwrap().len()), Ok(255));
        let long = "x".repeat(IDEMPOTENCY_KEY_BYTES_MAX + 1);
        for invalid in
            ["", "\"\"", "\"a", "a b", "\"a b\"", "é", r#""a\b""#, "\"a\";b=1", "\"a\"b", long.as_str()]
        {
            assert_eq!(read(invalid), Err(Code::InvalidKey), "{invalid}");
        }
        for twice in ["a,b", "a, a", "\"a\", \"b\""] {
            assert_eq!(read(twice), Err(Code::DuplicateHeader), "{twice}");
        }
        assert_eq!(idempotency_key(&with("a", "b")), Ok(None));
    }

    #[test]
    fn a_wait_is_one_preference_among_others() {
        let read = |value: &str| wait(&with("prefer", value)).map_err(|no| no.code());
        let seconds = |seconds| Ok(Some(Duration::from_secs(seconds)));
        assert_eq!(read("wait=10"), seconds(10));
        assert_eq!(read("respond-async, Wait = \"7\"; x=1, wait=9"), seconds(7));
        assert_eq!(read("wait=99999999999999999999"), seconds(20));
        assert_eq!(read("return=minimal, waiting=1"), Ok(None));
        for invalid in ["wait", "wait=", "wait=1.5", "wait=-1", "wait=ten"] {
            assert_eq!(read(invalid), Err(Code::InvalidHeader), "{invalid}");
        }
    }
}
