//! Relay's own queue: dispatches that Kinesis throttled, each as it is put into Kinesis.

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::Client;

use crate::aws::queue::{NewMessage, delay_messages, send_messages};
use crate::aws::sqs::escaped;

/// The queue in which dispatches wait that Kinesis throttled.
#[derive(Clone, Debug)]
pub struct RelayQueue {
    client: Client,
    url: String,
}

impl RelayQueue {
    /// The queue of this URL.
    pub fn new(client: Client, url: impl Into<String>) -> RelayQueue {
        RelayQueue { client, url: url.into() }
    }

    /// Sends encoded dispatches. Returns the places of those that the queue did not take.
    pub(crate) async fn send(&self, dispatches: impl Iterator<Item = &[u8]>) -> Vec<usize> {
        let messages = dispatches.map(|dispatch| {
            let json = str::from_utf8(dispatch).expect("JSON is UTF-8").to_owned();
            NewMessage { body: escaped(json), ..NewMessage::default() }
        });
        send_messages(&self.client, &self.url, messages.collect()).await
    }

    /// Delays messages, each by its seconds. If this fails they are redelivered after the queue's own
    /// visibility time-out.
    pub(crate) async fn delay(&self, messages: &[(&SqsMessage, i32)]) {
        delay_messages(&self.client, &self.url, messages).await;
    }
}
