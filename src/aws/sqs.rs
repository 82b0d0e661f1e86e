//! What SQS takes, the attributes of a message as Lambda passes it, and when one is redelivered.

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue};
use futures_util::future::join_all;
use jiff::Timestamp;

use super::fault::Fault;

/// Most bytes of a message, body and attributes together.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Most attributes of a message.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>.
pub const ATTRIBUTES_MAX: usize = 10;

/// Most messages of a batch request.
pub(crate) const BATCH_MAX: usize = 10;

/// Whether a body or an attribute may have this character: the characters of XML 1.0.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
pub(crate) fn takes(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
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

/// The bytes of a message, as SQS counts them: those of its body, and of name, type and value of each attribute.
pub(crate) fn size(message: &SqsMessage) -> usize {
    let attributes = message.message_attributes.iter().map(|(name, attribute)| {
        let text = [&attribute.data_type, &attribute.string_value];
        let text: usize = text.into_iter().flatten().map(String::len).sum();
        name.len() + text + attribute.binary_value.as_ref().map_or(0, |bytes| bytes.0.len())
    });
    body(message).len() + attributes.sum::<usize>()
}

/// Lets messages that are received be redelivered after these waits, if they are not deleted. If this fails they are
/// redelivered after their queue's own visibility time-out.
pub(crate) async fn delay(client: &Client, queue_url: &str, waits: &[(&SqsMessage, Duration)]) {
    let batches = waits.chunks(BATCH_MAX).map(|batch| {
        let entries = batch.iter().enumerate().map(|(at, (message, wait))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(message.receipt_handle.as_deref().unwrap_or_default())
                .visibility_timeout(wait.as_secs() as i32)
                .build()
                .expect("id and receipt handle are set")
        });
        let change = client.change_message_visibility_batch().queue_url(queue_url);
        change.set_entries(Some(entries.collect())).send()
    });
    for result in join_all(batches).await {
        if let Err(error) = result {
            let fault = Fault::from_sdk("ChangeMessageVisibilityBatch", &error);
            tracing::warn!(%fault, "messages are redelivered after the queue's own visibility time-out");
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_their_types_and_count() {
        let message = serde_json::json!({ "body": "four", "messageAttributes": {
            "ce-id": { "dataType": "String", "stringValue": "7" },
            "raw": { "dataType": "Binary.gzip", "binaryValue": "AAEC" },
        } });
        let message: SqsMessage = serde_json::from_value(message).unwrap();
        let kept = attributes(&message);
        assert_eq!((kept["ce-id"].data_type(), kept["ce-id"].string_value()), ("String", Some("7")));
        assert_eq!(kept["raw"].data_type(), "Binary.gzip");
        assert_eq!(kept["raw"].binary_value().unwrap().as_ref(), [0, 1, 2]);
        assert_eq!(size(&message), "four".len() + "ce-idString7".len() + "rawBinary.gzip".len() + 3);
    }
}
