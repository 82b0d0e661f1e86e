//! Sends and delays the messages of a queue, in as few requests as SQS allows.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, SendMessageBatchRequestEntry,
    SendMessageBatchResultEntry,
};
use futures_util::future::join_all;

use super::fault::{Cause, Fault};
use super::held_up::HeldUp;
use super::packing::pack;
use super::sqs::MESSAGE_BYTES_MAX;

/// Most messages of one request.
const BATCH_MAX: usize = 10;
/// Most bytes of one request.
const BATCH_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// A queue that is known by its name. Its URL, which differs by local AWS, is asked for when it is first needed.
#[derive(Clone, Debug)]
pub(crate) struct NamedQueue {
    client: Client,
    name: String,
    url: Arc<OnceLock<String>>,
}

impl NamedQueue {
    pub(crate) fn new(client: Client, name: String) -> NamedQueue {
        NamedQueue { client, name, url: Arc::default() }
    }

    /// A queue whose URL is known.
    pub(crate) fn at(client: Client, url: String) -> NamedQueue {
        NamedQueue { client, name: String::new(), url: Arc::new(OnceLock::from(url)) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A message to send to the queue.
    pub(crate) async fn message(&self) -> Result<SendMessageFluentBuilder, Fault> {
        Ok(self.client.send_message().queue_url(self.url().await?))
    }

    /// The queue's URL. Calls that need it at once may each ask for it.
    pub(crate) async fn url(&self) -> Result<&str, Fault> {
        if let Some(url) = self.url.get() {
            return Ok(url);
        }
        let answer = self.client.get_queue_url().queue_name(&self.name).send().await;
        let answer = answer.map_err(|error| Fault::from_sdk("GetQueueUrl", &error))?;
        let none = || Fault::new("GetQueueUrl", Cause::Unreadable("the answer has no URL".into()));
        let url = answer.queue_url.ok_or_else(none)?;
        Ok(self.url.get_or_init(|| url))
    }
}

/// A message to send.
#[derive(Debug, Default)]
pub(crate) struct NewMessage {
    pub(crate) body: String,
    pub(crate) attributes: HashMap<String, MessageAttributeValue>,
}

impl NewMessage {
    /// Its bytes, as SQS counts them: those of its body, and of name, type and value of each attribute.
    fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let text = attribute.string_value().map_or(0, str::len);
            let binary = attribute.binary_value().map_or(0, |bytes| bytes.as_ref().len());
            name.len() + attribute.data_type().len() + text + binary
        });
        self.body.len() + attributes.sum::<usize>()
    }
}

/// Sends messages. Returns the places of those that the queue did not take.
pub(crate) async fn send_messages(client: &Client, url: &str, messages: Vec<NewMessage>) -> Vec<usize> {
    let sizes: Vec<usize> = messages.iter().map(NewMessage::size).collect();
    let mut rest = messages.into_iter();
    let batches = pack(&sizes, BATCH_MAX, BATCH_BYTES_MAX).into_iter().map(|places| {
        let batch: Vec<NewMessage> = rest.by_ref().take(places.len()).collect();
        send_batch(client, url, places, batch)
    });
    join_all(batches).await.concat()
}

async fn send_batch(
    client: &Client,
    url: &str,
    places: Range<usize>,
    messages: Vec<NewMessage>,
) -> Vec<usize> {
    let entries = places.clone().zip(messages).map(|(place, message)| {
        SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .message_body(message.body)
            .set_message_attributes(Some(message.attributes))
            .build()
            .expect("id and body are set")
    });
    match client.send_message_batch().queue_url(url).set_entries(Some(entries.collect())).send().await {
        Ok(sent) => unsent(places, sent.successful()),
        Err(error) => {
            let fault = Fault::from_sdk("SendMessageBatch", &error);
            tracing::warn!(%fault, "messages are not sent");
            HeldUp::count(std::iter::repeat_n(HeldUp::by(&fault), places.len()));
            places.collect()
        }
    }
}

/// The places of the messages that the queue did not take: it took only those that it names.
fn unsent(places: Range<usize>, successful: &[SendMessageBatchResultEntry]) -> Vec<usize> {
    let taken: HashSet<&str> = successful.iter().map(|entry| entry.id()).collect();
    places.filter(|place| !taken.contains(place.to_string().as_str())).collect()
}

/// Delays messages that were received, each by its seconds. If this fails they are redelivered after the
/// queue's own visibility time-out.
pub(crate) async fn delay_messages(client: &Client, url: &str, messages: &[(&SqsMessage, i32)]) {
    let batches = messages.chunks(BATCH_MAX).map(|batch| {
        let entries = batch.iter().enumerate().map(|(at, (message, seconds))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(message.receipt_handle.as_deref().unwrap_or_default())
                .visibility_timeout(*seconds)
                .build()
                .expect("id and receipt handle are set")
        });
        let change = client.change_message_visibility_batch().queue_url(url);
        change.set_entries(Some(entries.collect())).send()
    });
    for result in join_all(batches).await {
        if let Err(error) = result {
            let fault = Fault::from_sdk("ChangeMessageVisibilityBatch", &error);
            tracing::warn!(%fault, "messages are redelivered after the queue's own visibility time-out");
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::primitives::Blob;

    use super::*;

    #[test]
    fn a_message_that_the_queue_does_not_name_is_not_sent() {
        let taken = SendMessageBatchResultEntry::builder().id("8").message_id("m").md5_of_message_body("d");
        assert_eq!(unsent(7..10, &[taken.build().unwrap()]), [7, 9]);
    }

    #[test]
    fn the_size_of_a_message_is_that_of_its_body_and_of_its_attributes() {
        let text = MessageAttributeValue::builder().data_type("String").string_value("7");
        let raw =
            MessageAttributeValue::builder().data_type("Binary.gzip").binary_value(Blob::new([0, 1, 2]));
        let attributes = [("ce-id", text), ("raw", raw)];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.build().unwrap()));
        let message = NewMessage { body: "four".into(), attributes: attributes.into() };
        assert_eq!(message.size(), "four".len() + "ce-idString7".len() + "rawBinary.gzip".len() + 3);
    }
}
