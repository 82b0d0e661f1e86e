//! Reads the attributes of an SQS message as Lambda passes it.

use aws_lambda_events::sqs::SqsMessage;
use jiff::Timestamp;

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
