//! The dead-letter queues of the stack's destinations.
//!
//! They, and not the records, say what is dead: a queue also has what SQS moved there itself, bytes that are not a
//! dispatch, and dead letters of notifications that are open elsewhere. To receive is to hide, so everything that is
//! not deleted is released.

use std::collections::HashMap;

use anyhow::{Context, anyhow};
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, Message, QueueAttributeName};
use futures_util::StreamExt;
use futures_util::stream;
use handover::record::Dispatch;
use handover::store::ERROR;
use handover::{Fault, NotificationKey};

use crate::cause::cause;
use crate::interrupt::Interrupt;
use crate::output::say_error;
use crate::stack::{NoSettings, Stack};

/// How long received dead letters are hidden from other consumers, in seconds.
const HIDDEN_SECONDS: i32 = 120;
/// How long a receive waits for messages, in seconds. A long poll asks all servers of SQS.
const WAIT_SECONDS: i32 = 1;
/// Most dead letters of one call.
const BATCH_MAX: usize = 10;
/// Most calls that release dead letters concurrently.
const RELEASES_MAX: usize = 8;

/// The dead-letter queues.
pub struct DeadLetterQueues<'a> {
    sqs: aws_sdk_sqs::Client,
    stack: &'a Stack,
    interrupt: &'a Interrupt,
}

/// A dead letter, hidden from other consumers until it is deleted or released.
pub struct DeadLetter {
    pub destination: String,
    /// The notification; `None` if the body is not a dispatch.
    pub key: Option<NotificationKey>,
    pub error: String,
    message_id: String,
    queue_url: String,
    receipt_handle: String,
}

impl DeadLetter {
    /// Whether its error, or the cause that stands for it in a list, contains this text.
    pub fn has_error(&self, text: &str) -> bool {
        self.error.contains(text) || cause(&self.error).contains(text)
    }
}

impl<'a> DeadLetterQueues<'a> {
    pub fn new(stack: &'a Stack, interrupt: &'a Interrupt) -> DeadLetterQueues<'a> {
        DeadLetterQueues { sqs: aws_sdk_sqs::Client::new(stack.aws()), stack, interrupt }
    }

    /// Receives the dead letters of this destination, or of all. Says what it cannot see.
    ///
    /// # Errors
    /// When one fails or at Ctrl-C, after everything was released.
    pub async fn receive(&self, destination: Option<&str>) -> anyhow::Result<Vec<DeadLetter>> {
        let mut received = HashMap::new();
        let result = self.receive_into(&mut received, destination).await;
        let mut received: Vec<DeadLetter> = received.into_values().collect();
        received.sort_by(|one, next| (&one.destination, &one.key).cmp(&(&next.destination, &next.key)));
        if let Err(error) = result {
            self.release(&received).await;
            return Err(error);
        }
        Ok(received)
    }

    /// By message: while many are received, the first ones may come again.
    async fn receive_into(
        &self,
        received: &mut HashMap<String, DeadLetter>,
        destination: Option<&str>,
    ) -> anyhow::Result<()> {
        for (destination, url) in self.queues(destination).await? {
            self.say_hidden(&destination, &url).await;
            loop {
                anyhow::ensure!(!self.interrupt.has_come(), "interrupted while dead letters were received");
                let receive = self.sqs.receive_message().queue_url(&url);
                let receive = receive.max_number_of_messages(BATCH_MAX as i32);
                let receive = receive.visibility_timeout(HIDDEN_SECONDS).wait_time_seconds(WAIT_SECONDS);
                let answer = receive.message_attribute_names("All").send().await;
                let answer =
                    answer.map_err(|error| self.explained(Fault::from_sdk("ReceiveMessage", &error)))?;
                let before = received.len();
                for message in answer.messages.unwrap_or_default() {
                    let dead_letter = dead_letter(&destination, &url, message);
                    received.insert(dead_letter.message_id.clone(), dead_letter);
                }
                if received.len() == before {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The URL of each queue, by destination. In a list of all, a destination without a queue is left out.
    async fn queues(&self, destination: Option<&str>) -> anyhow::Result<Vec<(String, String)>> {
        if let Some(name) = destination {
            let url = self.queue(name).await?;
            return match url {
                Some(url) => Ok(vec![(name.to_owned(), url)]),
                None => Err(self.no_queue(name).await),
            };
        }
        let mut queues = Vec::new();
        let routes = self.stack.routes().await.map_err(|error| match error {
            unread @ (NoSettings::Forbidden(_) | NoSettings::Packaged(_)) => {
                anyhow!(
                    "the stack's routes cannot be read ({unread}); without them, name a destination with --destination"
                )
            }
            NoSettings::Error(error) => error,
        })?;
        for name in routes.destinations() {
            match self.queue(name).await? {
                Some(url) => queues.push((name.to_owned(), url)),
                None => say_error!(
                    "note: the destination `{name}` has no queue {}, so that nothing of it is found",
                    self.queue_name(name)
                ),
            }
        }
        Ok(queues)
    }

    fn queue_name(&self, destination: &str) -> String {
        format!("{}-{destination}-dead-letters", self.stack.name())
    }

    async fn queue(&self, destination: &str) -> anyhow::Result<Option<String>> {
        let found = self.sqs.get_queue_url().queue_name(self.queue_name(destination)).send().await;
        match found.map_err(|error| Fault::from_sdk("GetQueueUrl", &error)) {
            Ok(found) => found.queue_url.context("SQS named no URL for a queue").map(Some),
            Err(fault) if fault.is_missing_resource() => Ok(None),
            Err(fault) => Err(self.explained(fault)),
        }
    }

    /// Why a destination that was named has no queue.
    async fn no_queue(&self, destination: &str) -> anyhow::Error {
        let (stack, queue) = (self.stack.name(), self.queue_name(destination));
        let routes = match self.stack.routes().await {
            Ok(routes) => routes,
            Err(NoSettings::Forbidden(_) | NoSettings::Packaged(_)) => {
                return anyhow!("there is no queue {queue}; is `{destination}` a destination of `{stack}`?");
            }
            Err(NoSettings::Error(error)) => return error,
        };
        let unknown = self.stack.check_destination(destination, &routes).err();
        unknown.unwrap_or_else(|| anyhow!("the destination `{destination}` has no queue {queue}"))
    }

    /// Says how many dead letters another consumer holds.
    async fn say_hidden(&self, destination: &str, url: &str) {
        let hidden = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let attributes = self.sqs.get_queue_attributes().queue_url(url).attribute_names(hidden.clone());
        // The list is right without it, and so needs no further permission.
        let attributes = attributes.send().await.ok().and_then(|answer| answer.attributes);
        let count = attributes.and_then(|attributes| attributes.get(&hidden)?.parse::<u64>().ok());
        if let Some(count @ 1..) = count {
            say_error!(
                "note: about {count} more dead letters of {destination} are hidden, because another consumer has received them; if that is another `handover`, try again in {HIDDEN_SECONDS} s"
            );
        }
    }

    /// Makes dead letters visible to other consumers again.
    pub async fn release(&self, dead_letters: &[DeadLetter]) {
        let of_one_queue = dead_letters.chunk_by(|one, next| one.queue_url == next.queue_url);
        let batches = stream::iter(of_one_queue.flat_map(|of_one_queue| of_one_queue.chunks(BATCH_MAX)));
        let failed = batches.map(|batch| self.release_batch(batch)).buffer_unordered(RELEASES_MAX);
        let failed = failed.fold(0, async |sum, failed| sum + failed).await;
        if failed > 0 {
            say_error!("note: {failed} dead letters stay hidden for up to {HIDDEN_SECONDS} s");
        }
    }

    /// Returns how many were not released.
    async fn release_batch(&self, batch: &[DeadLetter]) -> usize {
        let entries = batch.iter().enumerate().map(|(at, dead_letter)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
            let entry = entry.receipt_handle(&dead_letter.receipt_handle).visibility_timeout(0);
            entry.build().expect("id and receipt handle are set")
        });
        let release = self.sqs.change_message_visibility_batch().queue_url(&batch[0].queue_url);
        let released = release.set_entries(Some(entries.collect())).send().await;
        released.map_or(batch.len(), |released| released.failed().len())
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
        self.stack.explained(fault)
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
        message_id: message.message_id.unwrap_or_default(),
        queue_url: queue_url.to_owned(),
        receipt_handle: message.receipt_handle.unwrap_or_default(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A dead letter of this notification at the destination `a`.
    pub fn dead_letter_of(id: &str, error: &str) -> DeadLetter {
        DeadLetter {
            destination: "a".into(),
            key: Some(NotificationKey::new(id, "s")),
            error: error.into(),
            message_id: id.into(),
            queue_url: "q".into(),
            receipt_handle: id.into(),
        }
    }

    #[test]
    fn an_error_is_found_as_it_is_and_as_its_cause() {
        let dead_letter = dead_letter_of("1", "no JSON at byte 36");
        for text in ["no JSON", "byte 36", "no JSON at byte …"] {
            assert!(dead_letter.has_error(text), "{text}");
        }
        assert!(!dead_letter.has_error("byte 13"));
    }
}
