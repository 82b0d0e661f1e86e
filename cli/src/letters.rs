//! The dead letters of the stack's destinations.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_sqs::types::Message;
use handover::Fault;
use handover::record::Dispatch;
use handover::store::ERROR;

use crate::aws::{explained, routes};

/// How long letters are hidden from others while they are worked on, in seconds.
const HIDDEN_SECONDS: i32 = 120;
/// How long to wait for letters that other servers of SQS hold, in seconds.
const WAIT_SECONDS: i32 = 1;

/// The dead-letter queues.
pub struct Letters<'a> {
    sqs: aws_sdk_sqs::Client,
    aws: &'a SdkConfig,
    stack: &'a str,
}

/// A dead letter, hidden from others until it is deleted or released.
pub struct Letter {
    pub destination: String,
    /// The notification's id; nothing where the body is not a dispatch.
    pub id: Option<String>,
    pub error: String,
    queue_url: String,
    receipt_handle: String,
}

impl<'a> Letters<'a> {
    pub fn new(aws: &'a SdkConfig, stack: &'a str) -> Letters<'a> {
        Letters { sqs: aws_sdk_sqs::Client::new(aws), aws, stack }
    }

    /// The letters of this destination, or of all.
    pub async fn receive(&self, destination: Option<&str>) -> anyhow::Result<Vec<Letter>> {
        let destinations: Vec<String> = match destination {
            Some(name) => vec![name.to_owned()],
            None => {
                routes(self.aws, self.stack).await?.destinations().into_iter().map(str::to_owned).collect()
            }
        };
        let mut letters = Vec::new();
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
                letters.extend(messages.into_iter().map(|message| letter(&destination, &url, message)));
            }
        }
        Ok(letters)
    }

    /// Shows letters to others again. When this fails they show up after a while.
    pub async fn release(&self, letters: &[Letter]) {
        for letter in letters {
            let change = self.sqs.change_message_visibility().queue_url(&letter.queue_url);
            let _ = change.receipt_handle(&letter.receipt_handle).visibility_timeout(0).send().await;
        }
    }

    pub async fn delete(&self, letter: &Letter) -> anyhow::Result<()> {
        let delete = self.sqs.delete_message().queue_url(&letter.queue_url);
        let deleted = delete.receipt_handle(&letter.receipt_handle).send().await;
        deleted.map(drop).map_err(|error| self.explained(Fault::from_sdk("DeleteMessage", &error)))
    }

    /// The letters of this notification at this destination; others are released.
    pub async fn receive_of(&self, id: &str, destination: &str) -> anyhow::Result<Vec<Letter>> {
        let letters = self.receive(Some(destination)).await?;
        let (its, others): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|it| it.id.as_deref() == Some(id));
        self.release(&others).await;
        Ok(its)
    }

    fn explained(&self, fault: Fault) -> anyhow::Error {
        explained(fault, self.stack, self.aws)
    }
}

fn letter(destination: &str, queue_url: &str, message: Message) -> Letter {
    let attributes: HashMap<_, _> = message.message_attributes.unwrap_or_default();
    let text = |name: &str| attributes.get(name).and_then(|value| value.string_value.clone());
    let dispatch = Dispatch::decode(message.body.unwrap_or_default().as_bytes());
    Letter {
        destination: destination.to_owned(),
        id: dispatch.ok().map(|dispatch| dispatch.notification.id),
        error: text(ERROR).unwrap_or_else(|| "it killed the function, again and again".into()),
        queue_url: queue_url.to_owned(),
        receipt_handle: message.receipt_handle.unwrap_or_default(),
    }
}
