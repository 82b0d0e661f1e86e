//! The wire shape: a CloudEvents 1.0 event in JSON, structured mode.
//!
//! Specification: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
//! `kind`, `traceparent`, `partitionkey` and `sequence` are extension attributes. The reader refuses any
//! other attribute: Handover would not carry it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::{self, Json};
use super::kind::Kind;
use super::notification::Notification;
use super::refusal::Refusal;

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
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(serialize_with = "json::verbatim")]
    data: &'a Json,
}

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
            sequence: notification.sequence,
            traceparent: notification.traceparent.as_deref(),
            data: &notification.data,
        }
    }
}

/// The event as it is sent over the wire.
pub fn encode(notification: &Notification) -> Vec<u8> {
    serde_json::to_vec(&Event::from(notification)).expect("text and canonical JSON always serialise")
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
    serde_json::to_writer(&mut count, &Event::from(notification))
        .expect("text and canonical JSON always serialise");
    count.0
}

/// Reads an event strictly. Its attributes are not yet checked against their limits.
///
/// # Errors
/// The first reason found. The same bytes always give the same reason.
pub(crate) fn read(bytes: &[u8]) -> Result<Notification, Refusal> {
    let mut attributes = attributes(bytes)?;
    let from = &mut attributes;
    if text(from, "specversion")? != "1.0" {
        return Err(Refusal::Invalid { field: "specversion", problem: "is not `1.0`; send CloudEvents 1.0" });
    }
    if optional_text(from, "datacontenttype")?.is_some_and(|kind| !is_json(&kind)) {
        let problem = "is not `application/json`; send JSON data";
        return Err(Refusal::Invalid { field: "datacontenttype", problem });
    }
    let notification = Notification {
        id: text(from, "id")?,
        kind: match text(from, "kind")?.as_str() {
            "command" => Kind::Command,
            "event" => Kind::Event,
            _ => return Err(Refusal::UnknownKind),
        },
        r#type: text(from, "type")?,
        source: text(from, "source")?,
        subject: optional_text(from, "subject")?,
        time: optional_time(from, "time")?,
        partitionkey: optional_text(from, "partitionkey")?,
        sequence: optional_integer(from, "sequence")?,
        traceparent: optional_text(from, "traceparent")?,
        data: Json::canonical(&from.remove("data").ok_or(Refusal::Missing { field: "data" })?),
    };
    match attributes.into_iter().next() {
        Some((name, _)) => Err(Refusal::UnknownAttribute { name: json::shown(&name) }),
        None => Ok(notification),
    }
}

/// The attributes of an event, by name.
fn attributes(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = str::from_utf8(bytes).map_err(|error| Refusal::NotUtf8 { at: error.valid_up_to() })?;
    match json::parse(text)? {
        Value::Object(attributes) => Ok(attributes),
        _ => Err(Refusal::NotAnObject),
    }
}

/// Ignores parameters, such as a character set: JSON text is UTF-8.
fn is_json(media_type: &str) -> bool {
    media_type.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
}

fn text(from: &mut Map<String, Value>, field: &'static str) -> Result<String, Refusal> {
    optional_text(from, field)?.ok_or(Refusal::Missing { field })
}

fn optional_text(from: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, Refusal> {
    match from.remove(field) {
        // CloudEvents: an attribute that is null is absent.
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::WrongType { field, expected: "a string" }),
    }
}

fn optional_integer(from: &mut Map<String, Value>, field: &'static str) -> Result<Option<u64>, Refusal> {
    let wrong = Refusal::WrongType { field, expected: "a whole number from 0 to 2^53 - 1" };
    match from.remove(field) {
        None | Some(Value::Null) => Ok(None),
        // The parser reads numbers as doubles. A whole one converts back without loss.
        Some(Value::Number(number)) => match number.as_f64() {
            Some(double) if double >= 0.0 && double < (1u64 << 53) as f64 && double.fract() == 0.0 => {
                Ok(Some(double as u64))
            }
            _ => Err(wrong),
        },
        Some(_) => Err(wrong),
    }
}

fn optional_time(from: &mut Map<String, Value>, field: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let problem = "is not a time of RFC 3339, like 2026-11-22T08:15:00Z";
    let Some(text) = optional_text(from, field)? else {
        return Ok(None);
    };
    let time: Timestamp = text.parse().map_err(|_| Refusal::Invalid { field, problem })?;
    // The record keeps milliseconds.
    Ok(Timestamp::from_millisecond(time.as_millisecond()).ok())
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
        for field in
            ["specversion", "id", "type", "kind", "source", "subject", "time", "partitionkey", "traceparent"]
        {
            assert_eq!(with(field, "7"), Err(Refusal::WrongType { field, expected: "a string" }));
        }
        for wrong in ["1.5", "-1", "\"1\"", "9007199254740992"] {
            assert_eq!(with("sequence", wrong).unwrap_err().code(), "wrong-type", "{wrong}");
        }
        assert_eq!(with("kind", "\"query\""), Err(Refusal::UnknownKind));
        assert_eq!(with("specversion", "\"0.3\"").unwrap_err().code(), "invalid");
        assert_eq!(with("datacontenttype", "\"text/xml\"").unwrap_err().code(), "invalid");
        assert!(with("datacontenttype", "\"application/JSON; charset=utf-8\"").is_ok());
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
    fn no_reason_quotes_a_value() {
        let secret = "s3cr3t-of-the-sender";
        for field in ["specversion", "kind", "time", "traceparent", "datacontenttype", "sequence"] {
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
