//! The dead-letter queues of the stack's destinations.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_sqs::types::Message;
use handover::record::Dispatch;
use handover::store::ERROR;
use handover::{Fault, NotificationKey};

use crate::aws::{explained, routes};

/// How long received dead letters are hidden from other consumers, in seconds.
const HIDDEN_SECONDS: i32 = 120;
/// How long a receive waits for messages, in seconds. A long poll asks all servers of SQS.
const WAIT_SECONDS: i32 = 1;

/// The dead-letter queues.
pub struct DeadLetterQueues<'a> {
    sqs: aws_sdk_sqs::Client,
    aws: &'a SdkConfig,
    stack: &'a str,
}

/// A dead letter, hidden from other consumers until it is deleted or released.
pub struct DeadLetter {
    pub destination: String,
    /// The notification; `None` if the body is not a dispatch.
    pub key: Option<NotificationKey>,
    pub error: String,
    queue_url: String,
    receipt_handle: String,
}

impl<'a> DeadLetterQueues<'a> {
    pub fn new(aws: &'a SdkConfig, stack: &'a str) -> DeadLetterQueues<'a> {
        DeadLetterQueues { sqs: aws_sdk_sqs::Client::new(aws), aws, stack }
    }

    /// Receives the dead letters of this destination, or of all.
    pub async fn receive(&self, destination: Option<&str>) -> anyhow::Result<Vec<DeadLetter>> {
        let destinations: Vec<String> = match destination {
            Some(name) => vec![name.to_owned()],
            None => {
                routes(self.aws, self.stack).await?.destinations().into_iter().map(str::to_owned).collect()
            }
        };
        let mut dead_letters = Vec::new();
        for destination in destinations {
            let name = format!("{}-{destination}-dead-letters", self.stack);
            let found = self.sqs.get_queue_url().queue_name(name).send().await;
            let found = found.map_err(|error| self.explained(Fault::from_sdk("GetQueueUrl", &error)))?;
            let url = found.queue_url.unwrap_or_default();
            loop {
                let receive = self.sqs.receive_message().queue_url(&url).max_number_of_messages(10);
                let receive = receive.visibility_timeout(HIDDEN_SECONDS).wait_time_seconds(WAIT_SECONDS);
                let received = receive.message_attribute_names("All").send().await;
                let received =
                    received.map_err(|error| self.explained(Fault::from_sdk("ReceiveMessage", &error)))?;
                let messages = received.messages.unwrap_or_default();
                if messages.is_empty() {
                    break;
                }
                dead_letters
                    .extend(messages.into_iter().map(|message| dead_letter(&destination, &url, message)));
            }
        }
        Ok(dead_letters)
    }

    /// Makes dead letters visible to other consumers again. If this fails, they become visible after
    /// [`HIDDEN_SECONDS`].
    pub async fn release(&self, dead_letters: &[DeadLetter]) {
        for dead_letter in dead_letters {
            let change = self.sqs.change_message_visibility().queue_url(&dead_letter.queue_url);
            let _ = change.receipt_handle(&dead_letter.receipt_handle).visibility_timeout(0).send().await;
        }
    }

    pub async fn delete(&self, dead_letter: &DeadLetter) -> anyhow::Result<()> {
        let delete = self.sqs.delete_message().queue_url(&dead_letter.queue_url);
        let deleted = delete.receipt_handle(&dead_letter.receipt_handle).send().await;
        deleted.map(drop).map_err(|error| self.explained(Fault::from_sdk("DeleteMessage", &error)))
    }

    /// Receives the dead letters of this notification at this destination, and releases all others.
    pub async fn receive_of(
        &self,
        key: &NotificationKey,
        destination: &str,
    ) -> anyhow::Result<Vec<DeadLetter>> {
        let received = self.receive(Some(destination)).await?;
        let (wanted, others): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|dead_letter| dead_letter.key.as_ref() == Some(key));
        self.release(&others).await;
        Ok(wanted)
    }

    fn explained(&self, fault: Fault) -> anyhow::Error {
        explained(fault, self.stack, self.aws)
    }
}

fn dead_letter(destination: &str, queue_url: &str, message: Message) -> DeadLetter {
    let attributes: HashMap<_, _> = message.message_attributes.unwrap_or_default();
    let text = |name: &str| attributes.get(name).and_then(|value| value.string_value.clone());
    let dispatch = Dispatch::decode(message.body.unwrap_or_default().as_bytes());
    DeadLetter {
        destination: destination.to_owned(),
        key: dispatch.ok().map(|dispatch| dispatch.notification.key()),
        // SQS moved the message itself: no attempt lived long enough to send a dead letter.
        error: text(ERROR).unwrap_or_else(|| {
            "SQS moved it here after too many receives: the function crashed or timed out each time".into()
        }),
        queue_url: queue_url.to_owned(),
        receipt_handle: message.receipt_handle.unwrap_or_default(),
    }
}
