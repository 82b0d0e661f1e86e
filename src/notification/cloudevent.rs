//! The wire shape: a CloudEvents 1.0 event in JSON, structured mode.
//!
//! Specification: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
//! `kind`, `traceparent`, `tracestate`, `partitionkey`, `sequence` and `outcometo` are extension attributes that Handover
//! knows. Others are carried. Of an emitted notification it writes `causationid` and `correlationid`, as CloudEvents names
//! them:
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/correlation.md>.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::extension::{Extension, check_name};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcometo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataschema: Option<&'a str>,
    /// Inside the stack they have a place of their own, so that their names can be those of later releases, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a BTreeMap<String, Extension>>,
    #[serde(serialize_with = "json::verbatim")]
    data: &'a Json,
}

/// `sequence` is a number inside the stack. An integer of CloudEvents ends at 2^31 - 1: above it the event that is
/// sent has a string of digits.
#[derive(Serialize)]
#[serde(untagged)]
enum Sequence {
    Number(u64),
    Digits(String),
}

/// The event as it is inside the stack.
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
            tracestate: notification.tracestate.as_deref(),
            causationid: notification.causationid.as_deref(),
            correlationid: notification.correlationid.as_deref(),
            outcometo: notification.outcometo.as_deref(),
            dataschema: notification.dataschema.as_deref(),
            extensions: Some(&notification.extensions).filter(|extensions| !extensions.is_empty()),
            data: &notification.data,
        }
    }
}

/// The event as it is sent.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(flatten)]
    event: Event<'a>,
    #[serde(flatten)]
    extensions: &'a BTreeMap<String, Extension>,
}

impl<'a> From<&'a Notification> for Sent<'a> {
    fn from(notification: &'a Notification) -> Self {
        let sequence = notification.sequence.map(|sequence| match i32::try_from(sequence) {
            Ok(_) => Sequence::Number(sequence),
            Err(_) => Sequence::Digits(sequence.to_string()),
        });
        let event = Event { sequence, extensions: None, ..Event::from(notification) };
        Sent { event, extensions: &notification.extensions }
    }
}

/// The event as it is sent over the wire.
pub fn encode(notification: &Notification) -> Vec<u8> {
    serde_json::to_vec(&Sent::from(notification)).expect("text and canonical JSON always serialise")
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
    serde_json::to_writer(&mut count, &Sent::from(notification))
        .expect("text and canonical JSON always serialise");
    count.0
}

/// Reads an event strictly, and whether it says its kind; otherwise it is read as a command. One without an id has this
/// one, if there is one. Its attributes are not yet checked against their limits.
///
/// # Errors
/// The first reason found. The same bytes always give the same reason.
pub(crate) fn read(bytes: &[u8], id: Option<&str>) -> Result<(Notification, bool), Refusal> {
    let event = utf8(bytes)?;
    let mut attributes = attributes(event)?;
    let from = &mut attributes;
    if text(from, "specversion")? != "1.0" {
        return Err(Refusal::Invalid {
            field: "specversion".into(),
            problem: "is not `1.0`; send CloudEvents 1.0",
        });
    }
    if from.contains_key("data_base64") {
        let problem = "holds binary data; send JSON in `data`";
        return Err(Refusal::Invalid { field: "data_base64".into(), problem });
    }
    if optional_text(from, "datacontenttype")?.is_some_and(|media_type| !is_json(&media_type)) {
        let problem = "is no media type of JSON, such as `application/json`; send JSON data";
        return Err(Refusal::Invalid { field: "datacontenttype".into(), problem });
    }
    let kind = match optional_text(from, "kind")?.as_deref() {
        Some("command") => Some(Kind::Command),
        Some("event") => Some(Kind::Event),
        Some(_) => return Err(Refusal::UnknownKind),
        None => None,
    };
    let integers = match from.values().any(Value::is_number) {
        true => integers(event),
        false => BTreeMap::new(),
    };
    let notification = Notification {
        id: optional_text(from, "id")?.or(id.map(str::to_owned)).ok_or(Refusal::Missing { field: "id" })?,
        kind: kind.unwrap_or(Kind::Command),
        r#type: text(from, "type")?,
        source: text(from, "source")?,
        subject: optional_text(from, "subject")?,
        time: optional_time(from, "time")?,
        partitionkey: optional_text(from, "partitionkey")?,
        sequence: sequence(from, &integers)?,
        traceparent: from.remove("traceparent").map(of_trace),
        tracestate: from.remove("tracestate").map(of_trace),
        // What a sender says of them is no cause. It is carried among the extension attributes.
        causationid: None,
        correlationid: None,
        outcometo: optional_text(from, "outcometo")?,
        dataschema: optional_text(from, "dataschema")?,
        data: Json::canonical(&from.remove("data").unwrap_or_default()),
        extensions: extensions(attributes, &integers)?,
    };
    Ok((notification, kind.is_some()))
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
            // First of all: an attribute may be missing because its name is written in another way.
            attributes.keys().filter(|name| *name != "data_base64").try_for_each(|name| check_name(name))?;
            Ok(attributes)
        }
        _ => Err(Refusal::NotAnObject),
    }
}

/// Whether CloudEvents takes the data for JSON: `*/json` and `*/*+json`. Ignores parameters, such as a character set:
/// JSON text is UTF-8.
pub(crate) fn is_json(media_type: &str) -> bool {
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
        Some(_) => Err(Refusal::WrongType { field: field.into(), expected: "a string" }),
    }
}

/// A part of the trace. What is no text becomes one that is none, and is dropped later.
fn of_trace(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The attributes of an event that are written as integers of CloudEvents, without fraction and exponent. The parser
/// reads numbers as doubles, so that only the event's text shows that.
fn integers(event: &str) -> BTreeMap<String, i32> {
    let attributes: BTreeMap<String, &RawValue> = serde_json::from_str(event).unwrap_or_default();
    let integers = attributes.into_iter().map(|(name, written)| (name, written.get().parse()));
    integers.filter_map(|(name, integer)| Some((name, integer.ok()?))).collect()
}

fn sequence(from: &mut Map<String, Value>, integers: &BTreeMap<String, i32>) -> Result<Option<u64>, Refusal> {
    let number = match from.remove("sequence") {
        None => return Ok(None),
        Some(Value::String(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        Some(Value::Number(_)) => integers.get("sequence").and_then(|integer| (*integer).try_into().ok()),
        Some(_) => None,
    };
    let expected =
        "an integer up to 2^31 - 1 without fraction and exponent, or a string of digits up to 2^53 - 1";
    number.map(Some).ok_or(Refusal::WrongType { field: "sequence".into(), expected })
}

/// What is left of the attributes when those that Handover knows are taken out.
fn extensions(
    attributes: Map<String, Value>,
    integers: &BTreeMap<String, i32>,
) -> Result<BTreeMap<String, Extension>, Refusal> {
    let extension = |(name, value): (String, Value)| {
        let value = match value {
            Value::Bool(is) => Some(Extension::Boolean(is)),
            Value::Number(_) => integers.get(&name).copied().map(Extension::Integer),
            Value::String(text) => Some(Extension::Text(text)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let expected = "a string, a boolean, or an integer of 32 bits without fraction and exponent; send it as a string, or move it into `data`";
        match value {
            Some(value) => Ok((name, value)),
            None => Err(Refusal::WrongType { field: name.into(), expected }),
        }
    };
    attributes.into_iter().map(extension).collect()
}

fn optional_time(from: &mut Map<String, Value>, field: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let problem = "is not a time of RFC 3339, like 2026-11-22T08:15:00Z";
    let Some(text) = optional_text(from, field)? else {
        return Ok(None);
    };
    rfc3339::parse(&text).map(Some).ok_or(Refusal::Invalid { field: field.into(), problem })
}

#[cfg(test)]
mod tests;
