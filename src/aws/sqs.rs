//! What SQS takes, and the attributes of a message as Lambda passes it.

use std::collections::HashMap;
use std::fmt::Write;

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use jiff::Timestamp;

use super::unique_id::unique_id;

/// Most bytes of a message, body and attributes together.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Most attributes of a message.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>.
pub const ATTRIBUTES_MAX: usize = 10;

/// Whether a body or an attribute may have this character: the characters of XML 1.0.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
pub(crate) fn takes(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// JSON with an escape for each character that SQS does not take. Such a character is inside a string there,
/// since JSON has no other place for it.
pub(crate) fn escaped(json: String) -> String {
    if json.chars().all(takes) {
        return json;
    }
    let mut body = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match takes(c) {
            true => body.push(c),
            false => write!(body, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail"),
        }
    }
    body
}

/// The attributes that a message was sent with.
pub(crate) fn attributes(message: &SqsMessage) -> HashMap<String, MessageAttributeValue> {
    let attributes = message.message_attributes.iter().filter_map(|(name, attribute)| {
        let binary = attribute.binary_value.as_ref().map(|bytes| Blob::new(bytes.0.clone()));
        let value = MessageAttributeValue::builder()
            .data_type(attribute.data_type.clone()?)
            .set_string_value(attribute.string_value.clone())
            .set_binary_value(binary);
        Some((name.clone(), value.build().ok()?))
    });
    attributes.collect()
}

pub(crate) fn id(message: &SqsMessage) -> &str {
    message.message_id.as_deref().unwrap_or_default()
}

pub(crate) fn body(message: &SqsMessage) -> &str {
    message.body.as_deref().unwrap_or_default()
}

/// How often SQS delivered it, this time included.
pub(crate) fn receives(message: &SqsMessage) -> u32 {
    message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

pub(crate) fn sent_at(message: &SqsMessage) -> Option<Timestamp> {
    Timestamp::from_millisecond(message.attributes.get("SentTimestamp")?.parse().ok()?).ok()
}

/// The unique id of the user or role that sent it, without the name of the role's session.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>.
pub(crate) fn sender(message: &SqsMessage) -> Option<&str> {
    message.attributes.get("SenderId").map(|sender| unique_id(sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_a_user_or_a_role_whatever_its_session() {
        let sent_by = |attributes: serde_json::Value| {
            let message = serde_json::json!({ "attributes": attributes });
            let message: SqsMessage = serde_json::from_value(message).unwrap();
            sender(&message).map(str::to_owned)
        };
        assert_eq!(sent_by(serde_json::json!({ "SenderId": "AROA7:refunds" })), Some("AROA7".into()));
        assert_eq!(sent_by(serde_json::json!({ "SenderId": "AIDA7" })), Some("AIDA7".into()));
        assert_eq!(sent_by(serde_json::json!({})), None);
    }

    #[test]
    fn attributes_keep_their_types() {
        let message = serde_json::json!({ "messageAttributes": {
            "ce-id": { "dataType": "String", "stringValue": "7" },
            "raw": { "dataType": "Binary.gzip", "binaryValue": "AAEC" },
        } });
        let message: SqsMessage = serde_json::from_value(message).unwrap();
        let kept = attributes(&message);
        assert_eq!((kept["ce-id"].data_type(), kept["ce-id"].string_value()), ("String", Some("7")));
        assert_eq!(kept["raw"].data_type(), "Binary.gzip");
        assert_eq!(kept["raw"].binary_value().unwrap().as_ref(), [0, 1, 2]);
    }
}
