//! A dead letter of the upstream queue. Its body may be anything, so it is read as far as that goes.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use handover::pipeline::{ATTRIBUTES_MAX, REASON};
use jiff::Timestamp;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Most characters that are shown of an id or a source.
const NAME_CHARS_MAX: usize = 256;
/// Most characters that are shown of a reason.
const REASON_CHARS_MAX: usize = 1024;

/// A message that accept refused or could not store.
#[derive(Default)]
pub struct Letter {
    /// As `code: text` where accept gave it.
    pub reason: String,
    /// The id of the event, if it can be read.
    pub id: Option<String>,
    /// The source of the event, if it can be read.
    pub source: Option<String>,
    /// When it came into the dead-letter queue; where SQS moved it there, when it was sent.
    pub since: Option<Timestamp>,
    /// What was sent, if it is kept.
    pub body: Option<String>,
    /// The attributes that it was sent with.
    pub attributes: HashMap<String, MessageAttributeValue>,
}

impl Letter {
    /// Reads a message. Bodies are large, so they are kept only for whom needs them.
    pub fn read(message: Message, keeps_body: bool) -> Letter {
        let mut attributes = message.message_attributes.unwrap_or_default();
        let is_full = attributes.len() >= ATTRIBUTES_MAX;
        let reason = attributes.remove(REASON).and_then(|value| value.string_value);
        let reason = reason.map(|reason| on_one_line(&reason, REASON_CHARS_MAX));
        let Named { id, source } = Named::read(message.body.as_deref().unwrap_or_default());
        let times = message.attributes.unwrap_or_default();
        let sent = times.get(&MessageSystemAttributeName::SentTimestamp).and_then(|at| at.parse().ok());
        Letter {
            reason: reason.unwrap_or_else(|| without_reason(is_full).to_owned()),
            id,
            source,
            since: sent.and_then(|sent| Timestamp::from_millisecond(sent).ok()),
            body: message.body.filter(|_| keeps_body),
            attributes,
        }
    }

    /// The error code, if accept gave one.
    pub fn code(&self) -> Option<&str> {
        let (code, _) = self.reason.split_once(": ")?;
        let is_code =
            code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit());
        is_code.then_some(code)
    }
}

/// What is known of a message without a reason.
fn without_reason(is_full: bool) -> &'static str {
    match is_full {
        true => {
            "its ten attributes leave no room for a reason; the log of accept says whether it was refused or could not be stored"
        }
        false => "SQS moved it here after too many receives: accept could not store it each time",
    }
}

/// The id and the source of an event.
#[derive(Debug, Default, PartialEq)]
struct Named {
    id: Option<String>,
    source: Option<String>,
}

impl Named {
    /// Reads them up to the first mistake in the JSON.
    fn read(body: &str) -> Named {
        let mut named = Named::default();
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let _ = serde_json::Deserializer::from_str(body).deserialize_map(&mut named);
        named
    }
}

impl<'de> Visitor<'de> for &mut Named {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "id" if self.id.is_none() => self.id = text(map.next_value()?),
                "source" if self.source.is_none() => self.source = text(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

fn text(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(on_one_line(&text, NAME_CHARS_MAX))
}

/// The first `chars_max` characters of a text, without control characters. An ellipsis shows that more follow.
fn on_one_line(text: &str, chars_max: usize) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut chars = text.chars().map(plain);
    let mut line: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_source_are_read_up_to_the_first_mistake() {
        let named = |body: &str| {
            let Named { id, source } = Named::read(body);
            [id, source].map(Option::unwrap_or_default)
        };
        let deep = format!(r#"{{"id":"1","data":{}{},"source":"s"}}"#, "[".repeat(5_000), "]".repeat(5_000));
        for (body, expected) in [
            (r#"{"id":"1","source":"s","data":{}}"#, ["1", "s"]),
            ("\u{feff}{\"id\":\"1\",\"source\":\"s\"}", ["1", "s"]),
            (r#"{"id":7,"source":null,"amount":1e400}"#, ["7", ""]),
            (r#"{"source":"s","data":1e400,"id":"1"}"#, ["1", "s"]),
            (r#"{"id":"1","id":"2","source":"s""#, ["1", "s"]),
            (r#"{"id":"1","data":{"amount":"#, ["1", ""]),
            (deep.as_str(), ["1", "s"]),
            (r#"[{"id":"1"}]"#, ["", ""]),
            ("H4sIAAAAAAAA", ["", ""]),
            ("", ["", ""]),
            ("{\"id\":\"a\\u001b[2J\\nb\"}", ["a\u{fffd}[2J\u{fffd}b", ""]),
        ] {
            assert_eq!(named(body), expected, "{body:.80}");
        }
        let long = Named::read(&format!(r#"{{"id":"{}"}}"#, "9".repeat(1 << 20))).id.unwrap();
        assert_eq!((long.chars().count(), long.ends_with('…')), (NAME_CHARS_MAX + 1, true));
    }

    fn message(attributes: &[(&str, &str)]) -> Message {
        let value =
            |text: &str| MessageAttributeValue::builder().data_type("String").string_value(text).build();
        let attributes = attributes.iter().map(|(name, text)| (name.to_string(), value(text).unwrap()));
        let message = Message::builder().body("{}").set_message_attributes(Some(attributes.collect()));
        message.attributes(MessageSystemAttributeName::SentTimestamp, "1000").build()
    }

    #[test]
    fn the_reason_is_not_an_attribute_that_it_was_sent_with() {
        let letter =
            Letter::read(message(&[("ce-id", "7"), (REASON, "unknown-type: no route\nat all")]), false);
        assert_eq!(
            (letter.code(), &*letter.reason),
            (Some("unknown-type"), "unknown-type: no route\u{fffd}at all")
        );
        assert_eq!(letter.attributes.keys().collect::<Vec<_>>(), ["ce-id"]);
        assert_eq!((letter.since.unwrap().as_second(), letter.body), (1, None));
        assert_eq!(Letter::read(message(&[]), true).body.unwrap(), "{}");
    }

    #[test]
    fn a_message_without_a_reason_says_why_it_has_none() {
        let moved = Letter::read(message(&[]), false);
        assert!(moved.code().is_none() && moved.reason.starts_with("SQS moved it"), "{}", moved.reason);
        let names: Vec<String> = (0..ATTRIBUTES_MAX).map(|at| at.to_string()).collect();
        let full = Letter::read(message(&names.iter().map(|name| (&**name, "")).collect::<Vec<_>>()), false);
        assert!(full.code().is_none() && full.reason.starts_with("its ten attributes"), "{}", full.reason);
    }
}
