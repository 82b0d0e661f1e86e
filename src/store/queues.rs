//! The queues of a destination: the retry queue, and the dead-letter queue.
//!
//! A copy in the retry queue and a dead letter have the same body, the dispatch. Therefore moving a dead letter
//! to the retry queue, for example in the SQS console, grants the notification one more attempt.

use std::time::Duration;

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::aws::Fault;
use crate::record::{Dispatch, ERROR_BYTES_MAX, shortened};

/// The message attribute of a dead letter with the reason.
pub const ERROR: &str = "error";
/// The message attribute with the number of failed attempts.
pub const ATTEMPTS: &str = "attempts";
/// The message attribute of a dead letter with the destination.
pub const DESTINATION: &str = "destination";
/// The message attribute of a dead letter whose body is not text. Its value is `base64`.
pub const ENCODING: &str = "encoding";
/// Longest delay of a message, in seconds. A copy that has to wait longer is delayed again when it is
/// received.
const DELAY_SECONDS_MAX: u64 = 900;

/// The retry queue and the dead-letter queue of a destination.
#[derive(Clone, Debug)]
pub struct DestinationQueues {
    client: Client,
    retry_queue_url: String,
    dead_letters: DeadLetters,
}

/// The dead-letter queue of a destination.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    client: Client,
    url: String,
}

impl DestinationQueues {
    /// The queues of these URLs.
    pub fn new(
        client: Client,
        retry_queue_url: impl Into<String>,
        dead_letter_queue_url: impl Into<String>,
    ) -> DestinationQueues {
        let dead_letters = DeadLetters::new(client.clone(), dead_letter_queue_url);
        DestinationQueues { client, retry_queue_url: retry_queue_url.into(), dead_letters }
    }

    /// The dead-letter queue.
    pub(crate) fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    /// Sends a copy to the retry queue, to be received after `wait`.
    pub(crate) async fn enqueue_retry(
        &self,
        dispatch: &Dispatch,
        attempts: u32,
        wait: Duration,
    ) -> Result<(), Fault> {
        let delay = wait.as_secs().min(DELAY_SECONDS_MAX) as i32;
        let send = self.client.send_message().queue_url(&self.retry_queue_url).delay_seconds(delay);
        let send = send.message_body(body(dispatch)).message_attributes(ATTEMPTS, number(attempts));
        send.send().await.map(drop).map_err(|error| Fault::from_sdk("SendMessage", &error))
    }

    /// Delays a message of the retry queue. If this fails, the message is redelivered after the queue's own
    /// visibility time-out.
    pub(crate) async fn delay(&self, message: &SqsMessage, wait: Duration) {
        let change = self.client.change_message_visibility().queue_url(&self.retry_queue_url);
        let change = change.receipt_handle(message.receipt_handle.as_deref().unwrap_or_default());
        if let Err(error) = change.visibility_timeout(wait.as_secs() as i32).send().await {
            let fault = Fault::from_sdk("ChangeMessageVisibility", &error);
            tracing::warn!(%fault, "a copy is redelivered after the queue's own visibility time-out");
        }
    }
}

impl DeadLetters {
    /// The queue of this URL.
    pub fn new(client: Client, url: impl Into<String>) -> DeadLetters {
        DeadLetters { client, url: url.into() }
    }

    /// Sends a dead letter: the dispatch, the error and the number of attempts.
    pub(crate) async fn send(
        &self,
        dispatch: &Dispatch,
        destination: &str,
        attempts: u32,
        error: &str,
    ) -> Result<(), Fault> {
        let send = self.client.send_message().queue_url(&self.url).message_body(body(dispatch));
        let send = send.message_attributes(ATTEMPTS, number(attempts));
        let send =
            send.message_attributes(DESTINATION, text(destination)).message_attributes(ERROR, text(error));
        send.send().await.map(drop).map_err(|error| Fault::from_sdk("SendMessage", &error))
    }

    /// Sends bytes that are not a dispatch as a dead letter, unchanged.
    pub(crate) async fn send_raw(&self, bytes: &[u8], destination: &str, error: &str) -> Result<(), Fault> {
        let send = self.client.send_message().queue_url(&self.url);
        let send =
            send.message_attributes(DESTINATION, text(destination)).message_attributes(ERROR, text(error));
        let send = match str::from_utf8(bytes) {
            Ok(body) if !body.is_empty() && plain(body) == body => send.message_body(body),
            _ => {
                send.message_body(BASE64_STANDARD.encode(bytes)).message_attributes(ENCODING, text("base64"))
            }
        };
        send.send().await.map(drop).map_err(|error| Fault::from_sdk("SendMessage", &error))
    }
}

fn body(dispatch: &Dispatch) -> String {
    String::from_utf8(dispatch.encode()).expect("JSON is UTF-8")
}

fn text(value: &str) -> MessageAttributeValue {
    let value = shortened(&plain(value), ERROR_BYTES_MAX);
    let value = if value.is_empty() { "none given".to_owned() } else { value };
    MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("the type is set")
}

fn number(value: u32) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder().data_type("Number").string_value(value.to_string());
    attribute.build().expect("the type is set")
}

/// The text, with U+FFFD for the characters that SQS does not take.
fn plain(text: &str) -> String {
    let is_taken = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_taken(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_hold_what_sqs_takes() {
        let value = |given: &str| text(given).string_value.unwrap();
        assert_eq!(value("a\u{0}b\u{1b}[1m\n"), "a\u{fffd}b\u{fffd}[1m\n");
        assert_eq!(value(""), "none given");
        assert!(value(&"é".repeat(ERROR_BYTES_MAX)).len() <= ERROR_BYTES_MAX);
    }
}
