//! The wire shape: a CloudEvents 1.0 event in JSON, structured mode.
//!
//! Specification: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
//! `kind`, `traceparent`, `partitionkey` and `sequence` are extension attributes. The reader refuses any
//! other attribute that is not null: Handover would not carry it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::json::{self, Json};
use super::kind::Kind;
use super::notification::Notification;
use super::refusal::Refusal;
use super::rfc3339;

#[derive(Serialize)]
pub(crate) struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    r#type: &'a str,
    kind: Kind,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<Sequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(serialize_with = "json::verbatim")]
    data: &'a Json,
}

/// `sequence` is a number inside of the stack. An integer of CloudEvents ends at 2^31 - 1: above it the event that is
/// sent has a string of digits.
#[derive(Serialize)]
#[serde(untagged)]
enum Sequence {
    Number(u64),
    Digits(String),
}

/// The event as it is inside of the stack.
impl<'a> From<&'a Notification> for Event<'a> {
    fn from(notification: &'a Notification) -> Self {
        Event {
            specversion: "1.0",
            id: &notification.id,
            r#type: &notification.r#type,
            kind: notification.kind,
            source: &notification.source,
            subject: notification.subject.as_deref(),
            time: notification.time,
            partitionkey: notification.partitionkey.as_deref(),
            sequence: notification.sequence.map(Sequence::Number),
            traceparent: notification.traceparent.as_deref(),
            data: &notification.data,
        }
    }
}

impl<'a> Event<'a> {
    fn to_send(notification: &'a Notification) -> Event<'a> {
        let sequence = notification.sequence.map(|sequence| match i32::try_from(sequence) {
            Ok(_) => Sequence::Number(sequence),
            Err(_) => Sequence::Digits(sequence.to_string()),
        });
        Event { sequence, ..Event::from(notification) }
    }
}

/// The event as it is sent over the wire.
pub fn encode(notification: &Notification) -> Vec<u8> {
    serde_json::to_vec(&Event::to_send(notification)).expect("text and canonical JSON always serialise")
}

/// How many bytes [`encode`] gives, without keeping them.
pub(crate) fn encoded_bytes(notification: &Notification) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, &Event::to_send(notification))
        .expect("text and canonical JSON always serialise");
    count.0
}

/// Reads an event strictly, and whether it says its kind; otherwise it is read as a command. Its attributes are not
/// yet checked against their limits.
///
/// # Errors
/// The first reason found. The same bytes always give the same reason.
pub(crate) fn read(bytes: &[u8]) -> Result<(Notification, bool), Refusal> {
    let event = utf8(bytes)?;
    let mut attributes = attributes(event)?;
    let from = &mut attributes;
    if text(from, "specversion")? != "1.0" {
        return Err(Refusal::Invalid { field: "specversion", problem: "is not `1.0`; send CloudEvents 1.0" });
    }
    if from.contains_key("data_base64") {
        let problem = "holds binary data; send JSON in `data`";
        return Err(Refusal::Invalid { field: "data_base64", problem });
    }
    if optional_text(from, "datacontenttype")?.is_some_and(|media_type| !is_json(&media_type)) {
        let problem = "is no media type of JSON, such as `application/json`; send JSON data";
        return Err(Refusal::Invalid { field: "datacontenttype", problem });
    }
    let kind = match optional_text(from, "kind")?.as_deref() {
        Some("command") => Some(Kind::Command),
        Some("event") => Some(Kind::Event),
        Some(_) => return Err(Refusal::UnknownKind),
        None => None,
    };
    let notification = Notification {
        id: text(from, "id")?,
        kind: kind.unwrap_or(Kind::Command),
        r#type: text(from, "type")?,
        source: text(from, "source")?,
        subject: optional_text(from, "subject")?,
        time: optional_time(from, "time")?,
        partitionkey: optional_text(from, "partitionkey")?,
        sequence: sequence(from, event)?,
        traceparent: from.remove("traceparent").map(|value| value.as_str().unwrap_or_default().to_owned()),
        data: Json::canonical(&from.remove("data").ok_or(Refusal::Missing { field: "data" })?),
    };
    match attributes.into_iter().next() {
        Some((name, _)) => Err(Refusal::UnknownAttribute { name: json::shown(&name) }),
        None => Ok((notification, kind.is_some())),
    }
}

/// The text of an event, without a byte-order mark.
fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    let text = str::from_utf8(bytes).map_err(|error| Refusal::NotUtf8 { at: error.valid_up_to() })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The attributes of an event, by name. CloudEvents: one that is null is absent.
fn attributes(event: &str) -> Result<Map<String, Value>, Refusal> {
    match json::parse(event)? {
        Value::Object(mut attributes) => {
            attributes.retain(|name, value| name == "data" || !value.is_null());
            Ok(attributes)
        }
        _ => Err(Refusal::NotAnObject),
    }
}

/// Whether CloudEvents takes the data for JSON: `*/json` and `*/*+json`. Ignores parameters, such as a character set:
/// JSON text is UTF-8.
fn is_json(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name.split_once('/').is_some_and(|(family, subtype)| {
        !family.is_empty() && (subtype == "json" || subtype.ends_with("+json"))
    })
}

fn text(from: &mut Map<String, Value>, field: &'static str) -> Result<String, Refusal> {
    optional_text(from, field)?.ok_or(Refusal::Missing { field })
}

fn optional_text(from: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, Refusal> {
    match from.remove(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::WrongType { field, expected: "a string" }),
    }
}

/// The parser reads numbers as doubles, so that only the event's text shows how an integer is written.
fn sequence(from: &mut Map<String, Value>, event: &str) -> Result<Option<u64>, Refusal> {
    #[derive(Deserialize)]
    struct AsWritten<'a> {
        #[serde(borrow)]
        sequence: &'a RawValue,
    }
    let number = match from.remove("sequence") {
        None => return Ok(None),
        Some(Value::String(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        Some(Value::Number(_)) => {
            let written = serde_json::from_str(event).ok();
            let integer = written.and_then(|AsWritten { sequence }| sequence.get().parse::<i32>().ok());
            integer.and_then(|integer| integer.try_into().ok())
        }
        Some(_) => None,
    };
    let expected =
        "an integer up to 2^31 - 1 without fraction and exponent, or a string of digits up to 2^53 - 1";
    number.map(Some).ok_or(Refusal::WrongType { field: "sequence", expected })
}

fn optional_time(from: &mut Map<String, Value>, field: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let problem = "is not a time of RFC 3339, like 2026-11-22T08:15:00Z";
    let Some(text) = optional_text(from, field)? else {
        return Ok(None);
    };
    // The record keeps milliseconds.
    let time = rfc3339::parse(&text).and_then(|time| Timestamp::from_millisecond(time.as_millisecond()).ok());
    time.map(Some).ok_or(Refusal::Invalid { field, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Checked, Draft, EVENT_BYTES_MAX};
    use proptest::prelude::*;

    const EVENT: &str = r#"{"specversion":"1.0","id":"r-1","type":"refund.requested","kind":"command","source":"orders","data":{"amount":5}}"#;

    /// The event with one attribute set to the given JSON, or removed where that is empty.
    fn with(name: &str, value: &str) -> Result<Notification, Refusal> {
        let mut event: Map<String, Value> = serde_json::from_str(EVENT).unwrap();
        match value {
            "" => drop(event.remove(name)),
            value => drop(event.insert(name.into(), serde_json::from_str(value).unwrap())),
        }
        Checked::decode(&serde_json::to_vec(&event).unwrap()).map(Notification::from)
    }

    #[test]
    fn decodes_an_event() {
        let notification = Checked::decode(EVENT.as_bytes()).unwrap();
        assert_eq!(notification.id, "r-1");
        assert_eq!(notification.kind, Kind::Command);
        assert_eq!(notification.data.as_str(), r#"{"amount":5}"#);
        assert_eq!(encode(&notification), EVENT.as_bytes());
        assert_eq!(encoded_bytes(&notification), EVENT.len());
    }

    #[test]
    fn each_mistake_has_its_own_reason() {
        for field in ["specversion", "id", "type", "kind", "source", "data"] {
            assert_eq!(with(field, ""), Err(Refusal::Missing { field }));
        }
        for field in ["specversion", "id", "type", "kind", "source", "subject", "time", "partitionkey"] {
            assert_eq!(with(field, "7"), Err(Refusal::WrongType { field, expected: "a string" }));
        }
        for wrong in ["1.5", "1.0", "1e0", "-1", "2147483648", "\"\"", "\"+1\"", "\"1.0\"", "[1]"] {
            assert_eq!(with("sequence", wrong).unwrap_err().code(), "wrong-type", "{wrong}");
        }
        assert_eq!(with("kind", "\"query\""), Err(Refusal::UnknownKind));
        assert_eq!(with("specversion", "\"0.3\"").unwrap_err().code(), "invalid");
        for other in ["text/xml", "text/plain", "application/octet-stream", "json", "/json", ""] {
            assert_eq!(with("datacontenttype", &format!("\"{other}\"")).unwrap_err().code(), "invalid");
        }
        for json in ["application/JSON; charset=utf-8", "text/json", "application/vnd.api+json"] {
            assert!(with("datacontenttype", &format!("\"{json}\"")).is_ok(), "{json}");
        }
        assert_eq!(with("id", "null"), Err(Refusal::Missing { field: "id" }));
        assert_eq!(with("subject", "null").unwrap().subject, None);
        assert_eq!(with("data", "null").unwrap().data.as_str(), "null");
        assert_eq!(with("time", "\"yesterday\"").unwrap_err().code(), "invalid");
        assert_eq!(with("colour", "\"red\""), Err(Refusal::UnknownAttribute { name: "colour".into() }));
        assert_eq!(Checked::decode(b"[]"), Err(Refusal::NotAnObject));
        assert_eq!(Checked::decode(b"{\xff}"), Err(Refusal::NotUtf8 { at: 1 }));
        assert_eq!(Checked::decode(b"{\"id\":1,\"id\":1}").unwrap_err().code(), "duplicate-key");
        let large = EVENT.replace('5', &format!("\"{}\"", "5".repeat(EVENT_BYTES_MAX)));
        assert_eq!(Checked::decode(large.as_bytes()).unwrap_err().code(), "too-large");
    }

    #[test]
    fn an_attribute_that_is_null_is_absent() {
        for name in ["subject", "time", "dataschema", "data_base64", "traceparent", "unsetextension"] {
            assert_eq!(encode_of(with(name, "null")), EVENT, "{name}");
        }
    }

    #[test]
    fn a_sequence_is_an_integer_or_digits() {
        let numbered = |sequence: &str| {
            let text =
                EVENT.replace(r#","data""#, &format!(r#","partitionkey":"k","sequence":{sequence},"data""#));
            Checked::decode(text.as_bytes()).map(|event| event.sequence)
        };
        for one in ["1", "\"1\"", "\"0000000001\""] {
            assert_eq!(numbered(one), Ok(Some(1)), "{one}");
        }
        assert_eq!(numbered("2147483647"), Ok(Some(2_147_483_647)));
        assert_eq!(numbered("\"9007199254740991\""), Ok(Some((1 << 53) - 1)));
        assert_eq!(numbered("\"9007199254740992\"").unwrap_err().code(), "invalid");
        assert_eq!(numbered("0").unwrap_err().code(), "invalid");
    }

    #[test]
    fn a_trace_that_does_not_parse_is_left_out() {
        for odd in ["7", "\"\"", "\"123\"", "{}"] {
            assert_eq!(encode_of(with("traceparent", odd)), EVENT, "{odd}");
        }
    }

    #[test]
    fn a_time_is_kept_to_the_millisecond() {
        for (text, kept) in [
            ("2026-11-22T08:15:00.1239Z", "2026-11-22T08:15:00.123Z"),
            ("0000-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-30T22:00:00Z"),
        ] {
            let time = with("time", &format!("\"{text}\"")).unwrap().time;
            assert_eq!(time, Some(kept.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(encode_of(Checked::decode(format!("\u{feff}{EVENT}").as_bytes()).map(Into::into)), EVENT);
    }

    fn encode_of(notification: Result<Notification, Refusal>) -> String {
        String::from_utf8(encode(&notification.unwrap())).unwrap()
    }

    #[test]
    fn no_reason_quotes_a_value() {
        let secret = "s3cr3t-of-the-sender";
        for field in ["specversion", "kind", "time", "datacontenttype", "sequence", "data_base64"] {
            let reason = with(field, &format!("\"{secret}\"")).unwrap_err().to_string();
            assert!(!reason.contains(secret), "{reason}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(
            id in "[!-~]{1,128}",
            command: bool,
            subject in proptest::option::of("[a-zA-Z0-9 é€😀]{1,40}"),
            millis in proptest::option::of(0i64..4_102_444_800_000),
            key in proptest::option::of(("[a-z]{1,20}", proptest::option::of(1u64..=(1 << 53) - 1))),
            data in any::<(String, f64, bool)>().prop_filter("finite", |(_, n, _)| n.is_finite()),
        ) {
            let draft = if command { Draft::command("t", "s", &data) } else { Draft::event("t", "s", &data) };
            let mut notification = Notification::from(draft.build(id).unwrap());
            notification.subject = subject;
            notification.time = millis.map(|millis| Timestamp::from_millisecond(millis).unwrap());
            if let Some((key, sequence)) = key {
                notification.partitionkey = Some(key);
                notification.sequence = sequence;
            }
            prop_assert_eq!(Notification::from(Checked::decode(&encode(&notification)).unwrap()), notification);
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Checked::decode(&bytes);
        }
    }
}
