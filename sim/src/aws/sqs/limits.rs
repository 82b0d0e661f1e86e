//! What SQS takes in one message and in one request.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// Most bytes of a message with its attributes, and of all messages of a request.
const BYTES_MAX: usize = 1024 * 1024;

/// Longest delay of a message that is sent, in seconds.
const DELAY_S_MAX: u64 = 900;

/// The code of a request that is over the limit of all its messages.
pub const BATCH_TOO_LONG: &str = "com.amazonaws.sqs#BatchRequestTooLong";

/// Why SQS does not take what a call sends: characters that XML 1.0 does not have, no body, its size, or its delay.
pub fn not_taken(entry: &Value) -> Option<&'static str> {
    // The value of a binary attribute is no text.
    let values = attributes(entry).map(|(_, value)| value).filter(|value| value["BinaryValue"].is_null());
    let values = values.map(|value| text(&value["StringValue"]));
    let texts: Vec<&str> = entry["MessageBody"].as_str().into_iter().chain(values).collect();
    let is_taken = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if texts.contains(&"") {
        return Some("com.amazonaws.sqs#InvalidParameterValue");
    }
    if !texts.iter().all(|text| text.chars().all(is_taken)) {
        return Some("com.amazonaws.sqs#InvalidMessageContents");
    }
    let is_late = entry["DelaySeconds"].as_u64().is_some_and(|delay_s| delay_s > DELAY_S_MAX);
    (is_late || size(entry) > BYTES_MAX).then_some("com.amazonaws.sqs#InvalidParameterValue")
}

/// Whether the messages of a batch are together more than SQS takes.
pub fn is_too_long(entries: &[Value]) -> bool {
    entries.iter().map(size).sum::<usize>() > BYTES_MAX
}

/// The bytes of a message as SQS counts them: those of its body, and of name, type and value of each attribute.
fn size(entry: &Value) -> usize {
    let of_attribute = |(name, value): (&String, &Value)| {
        let bytes = BASE64_STANDARD.decode(text(&value["BinaryValue"])).map_or(0, |bytes| bytes.len());
        name.len() + text(&value["DataType"]).len() + text(&value["StringValue"]).len() + bytes
    };
    text(&entry["MessageBody"]).len() + attributes(entry).map(of_attribute).sum::<usize>()
}

fn attributes(entry: &Value) -> impl Iterator<Item = (&String, &Value)> {
    entry["MessageAttributes"].as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(body_bytes: usize) -> Value {
        let attributes = json!({
            "error": { "DataType": "String", "StringValue": "no" },
            "raw": { "DataType": "Binary.gzip", "BinaryValue": BASE64_STANDARD.encode([0, 1, 2]) },
        });
        json!({ "MessageBody": "x".repeat(body_bytes), "MessageAttributes": attributes })
    }

    #[test]
    fn a_message_has_the_bytes_of_its_body_and_of_its_attributes() {
        let attributes = "errorStringno".len() + "rawBinary.gzip".len() + 3;
        assert_eq!(size(&message(4)), 4 + attributes);
        let most = BYTES_MAX - attributes;
        assert_eq!(not_taken(&message(most)), None);
        assert_eq!(not_taken(&message(most + 1)), Some("com.amazonaws.sqs#InvalidParameterValue"));
    }

    #[test]
    fn the_messages_of_a_batch_share_one_limit() {
        let half = |more| message(BYTES_MAX / 2 - size(&message(0)) + more);
        assert!(!is_too_long(&[half(0), half(0)]));
        assert!(is_too_long(&[half(0), half(1)]));
        assert_eq!(not_taken(&half(1)), None);
    }
}
