//! Dead letters that the command holds. To receive one is to hide it, so everything that is not deleted is released.

use std::collections::HashMap;
use std::ops::Deref;
use std::time::Instant;

use anyhow::Context;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageError;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use futures_util::StreamExt;
use futures_util::stream;
use handover::Fault;

use crate::interrupt::Interrupt;
use crate::output::say_error;
use crate::stack::Stack;

/// How long received dead letters are hidden from other consumers, in seconds.
pub const HIDDEN_SECONDS: i32 = 120;
/// How long a receive waits for messages, in seconds. A long poll asks all servers of SQS.
const WAIT_SECONDS: i32 = 1;
/// How many messages of a queue can be hidden at once, about: SQS gives no more until some are deleted or released. It
/// documents 120,000.
const ALL_HIDDEN: u64 = 100_000;
/// Most dead letters of one call.
const BATCH_MAX: usize = 10;
/// Most calls that release dead letters concurrently.
const RELEASES_MAX: usize = 8;

/// A dead letter, hidden from other consumers until it is deleted or released.
pub struct Held<T> {
    /// What was read of it.
    pub letter: T,
    /// The id that SQS gave it.
    pub message_id: String,
    queue_url: String,
    receipt_handle: String,
    received_at: Instant,
}

impl<T> Held<T> {
    /// Whether other consumers do not see it yet.
    fn is_hidden(&self) -> bool {
        self.received_at.elapsed().as_secs() < HIDDEN_SECONDS as u64
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.letter
    }
}

/// A queue of dead letters.
pub struct Queue {
    /// What its dead letters are of, such as a destination.
    pub of: String,
    pub url: String,
}

/// Receives dead letters, and releases or deletes them.
pub struct Holder<'a> {
    pub sqs: aws_sdk_sqs::Client,
    pub stack: &'a Stack,
    pub interrupt: &'a Interrupt,
}

impl<'a> Holder<'a> {
    pub fn new(stack: &'a Stack, interrupt: &'a Interrupt) -> Holder<'a> {
        Holder { sqs: aws_sdk_sqs::Client::new(stack.aws()), stack, interrupt }
    }

    /// The URL of the queue with this name, if there is one.
    pub async fn queue_url(&self, name: &str) -> anyhow::Result<Option<String>> {
        let found = self.sqs.get_queue_url().queue_name(name).send().await;
        match found.map_err(|error| Fault::from_sdk("GetQueueUrl", &error)) {
            Ok(found) => found.queue_url.context("SQS named no URL for a queue").map(Some),
            Err(fault) if fault.is_missing_resource() => Ok(None),
            Err(fault) => Err(self.stack.explained(fault)),
        }
    }

    /// Receives everything that is in these queues, and says what it cannot see.
    ///
    /// # Errors
    /// When one fails or at Ctrl-C, after everything was released.
    pub async fn receive<T>(
        &self,
        queues: &[Queue],
        read: impl Fn(&Queue, Message) -> T,
    ) -> anyhow::Result<Vec<Held<T>>> {
        let mut received = HashMap::new();
        let result = self.receive_into(&mut received, queues, read).await;
        let received: Vec<Held<T>> = received.into_values().collect();
        if let Err(error) = result {
            self.release(&received).await;
            return Err(error);
        }
        Ok(received)
    }

    /// By message: while many are received, the first ones may come again.
    async fn receive_into<T>(
        &self,
        received: &mut HashMap<String, Held<T>>,
        queues: &[Queue],
        read: impl Fn(&Queue, Message) -> T,
    ) -> anyhow::Result<()> {
        for queue in queues {
            let hidden = self.say_hidden(queue).await;
            let others = received.len();
            let is_at_end = self.receive_queue(received, queue, &read).await?;
            let held = (received.len() - others) as u64;
            if !is_at_end || held + hidden >= ALL_HIDDEN {
                self.say_incomplete(queue, held).await;
            }
        }
        Ok(())
    }

    /// Receives what is in a queue. Says whether it came to the end, and not to what it had received before: the first
    /// ones are visible again after a time, and then hide the others.
    async fn receive_queue<T>(
        &self,
        received: &mut HashMap<String, Held<T>>,
        queue: &Queue,
        read: impl Fn(&Queue, Message) -> T,
    ) -> anyhow::Result<bool> {
        loop {
            anyhow::ensure!(!self.interrupt.has_come(), "interrupted while dead letters were received");
            let received_at = Instant::now();
            let receive = self.sqs.receive_message().queue_url(&queue.url);
            let receive = receive.max_number_of_messages(BATCH_MAX as i32);
            let receive = receive.visibility_timeout(HIDDEN_SECONDS).wait_time_seconds(WAIT_SECONDS);
            let receive = receive.message_attribute_names("All");
            let receive = receive.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
            let answer = match receive.send().await {
                Err(error) if error.as_service_error().is_some_and(ReceiveMessageError::is_over_limit) => {
                    return Ok(false);
                }
                answer => answer.map_err(|error| Fault::from_sdk("ReceiveMessage", &error)),
            };
            let messages = answer.map_err(|fault| self.stack.explained(fault))?.messages.unwrap_or_default();
            let (before, is_at_end) = (received.len(), messages.is_empty());
            for mut message in messages {
                let message_id = message.message_id.take().unwrap_or_default();
                let receipt_handle = message.receipt_handle.take().unwrap_or_default();
                let letter = read(queue, message);
                let queue_url = queue.url.clone();
                let held =
                    Held { letter, message_id: message_id.clone(), queue_url, receipt_handle, received_at };
                received.insert(message_id, held);
            }
            if received.len() == before {
                return Ok(is_at_end);
            }
        }
    }

    /// About how many dead letters a queue has, also those that a consumer has received; none where that is not known.
    pub async fn depth(&self, queue: &Queue) -> Option<u64> {
        let visible = QueueAttributeName::ApproximateNumberOfMessages;
        let hidden = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        self.count(queue, &[visible, hidden]).await
    }

    /// Says how many dead letters another consumer holds, and returns that.
    async fn say_hidden(&self, queue: &Queue) -> u64 {
        let hidden = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let count = self.count(queue, &[hidden]).await.unwrap_or_default();
        if count > 0 {
            say_error!(
                "note: about {count} more dead letters of {} are hidden, because another consumer has received them; if that is another `handover`, try again in {HIDDEN_SECONDS} s",
                queue.of
            );
        }
        count
    }

    /// Says that a queue has more dead letters than these.
    async fn say_incomplete(&self, queue: &Queue, held: u64) {
        let count = match self.depth(queue).await {
            Some(count) if count <= held => return,
            Some(count) => format!("about {count}"),
            None => "an unknown number".to_owned(),
        };
        say_error!(
            "note: this is not complete: {held} dead letters of {} were received, of {count} that the queue reports; SQS gives no more at once: redrive, resend or close these first, then run the command again",
            queue.of
        );
    }

    /// The sum of these attributes of a queue. Everything is right without it, and so needs no further permission.
    async fn count(&self, queue: &Queue, names: &[QueueAttributeName]) -> Option<u64> {
        let get = self.sqs.get_queue_attributes().queue_url(&queue.url);
        let answer = get.set_attribute_names(Some(names.to_vec())).send().await.ok()?;
        let attributes = answer.attributes?;
        names.iter().map(|name| attributes.get(name)?.parse::<u64>().ok()).sum()
    }

    /// Makes dead letters visible to other consumers again.
    pub async fn release<T>(&self, held: &[Held<T>]) {
        let mut held: Vec<&Held<T>> = held.iter().filter(|held| held.is_hidden()).collect();
        held.sort_by_key(|held| &held.queue_url);
        let of_one_queue = held.chunk_by(|one, next| one.queue_url == next.queue_url);
        let batches = stream::iter(of_one_queue.flat_map(|of_one_queue| of_one_queue.chunks(BATCH_MAX)));
        let failed = batches.map(|batch| self.release_batch(batch)).buffer_unordered(RELEASES_MAX);
        let failed = failed.fold(0, async |sum, failed| sum + failed).await;
        if failed > 0 {
            say_error!("note: {failed} dead letters stay hidden for up to {HIDDEN_SECONDS} s");
        }
    }

    /// Returns how many were not released.
    async fn release_batch<T>(&self, batch: &[&Held<T>]) -> usize {
        let entries = batch.iter().enumerate().map(|(at, held)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
            let entry = entry.receipt_handle(&held.receipt_handle).visibility_timeout(0);
            entry.build().expect("id and receipt handle are set")
        });
        let release = self.sqs.change_message_visibility_batch().queue_url(&batch[0].queue_url);
        let released = release.set_entries(Some(entries.collect())).send().await;
        released.map_or(batch.len(), |released| released.failed().len())
    }

    pub async fn delete<T>(&self, held: &Held<T>) -> anyhow::Result<()> {
        let delete = self.sqs.delete_message().queue_url(&held.queue_url);
        let deleted = delete.receipt_handle(&held.receipt_handle).send().await;
        deleted.map(drop).map_err(|error| self.stack.explained(Fault::from_sdk("DeleteMessage", &error)))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// This, as if it were held.
    pub fn held<T>(message_id: &str, letter: T) -> Held<T> {
        let [message_id, queue_url, receipt_handle] = [message_id, "q", "r"].map(str::to_owned);
        Held { letter, message_id, queue_url, receipt_handle, received_at: Instant::now() }
    }
}
