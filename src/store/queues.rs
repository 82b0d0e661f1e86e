//! The queues of a destination: the retry queue, and the dead-letter queue.
//!
//! A copy in the retry queue and a dead letter have the same body, the dispatch. Therefore moving a dead letter
//! to the retry queue, for example in the SQS console, grants the notification one more attempt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::aws::Fault;
use crate::aws::queue::{NamedQueue, delay_messages};
use crate::aws::sqs::{self, MESSAGE_BYTES_MAX, escaped, takes};
use crate::record::{Dispatch, ERROR_BYTES_MAX, shortened};

/// The message attribute of a dead letter with the reason.
pub const ERROR: &str = "error";
/// The message attribute with the number of failed attempts.
pub const ATTEMPTS: &str = "attempts";
/// The message attribute of a dead letter with the destination.
pub const DESTINATION: &str = "destination";
/// The message attribute of a dead letter whose body is not what was read from the stream, since SQS does not
/// take that. Its value is `base64`; or `empty`, where the record had no bytes.
pub const ENCODING: &str = "encoding";
/// The message attribute of a dead letter that has a part of a record which is too large for one message, like
/// `2/3`.
pub const PART: &str = "part";
/// Most bytes of a body that is sent as it was read. The rest of a message is for attributes.
const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 4 * 1024;
/// Most bytes that are sent in base64, which makes four bytes of three.
const PART_BYTES_MAX: usize = BODY_BYTES_MAX / 4 * 3;
/// Longest delay of a message, in seconds. A copy that has to wait longer is delayed again when it is
/// received.
const DELAY_SECONDS_MAX: u64 = 900;

/// How the name of a retry queue ends.
const RETRY: &str = "-retry";

/// The destination whose retry queue this ARN or name is of. No name of a destination has a hyphen.
pub(crate) fn destination_of_retry_queue(queue: &str) -> Option<&str> {
    queue.strip_suffix(RETRY)?.rsplit('-').next()
}

/// The retry queue and the dead-letter queue of a destination.
#[derive(Clone, Debug)]
pub struct DestinationQueues {
    retry: NamedQueue,
    dead_letters: DeadLetters,
}

/// The dead-letter queue of a destination.
#[derive(Clone, Debug)]
pub struct DeadLetters(NamedQueue);

/// The dead-letter queues of all destinations of a stack.
#[derive(Clone, Debug)]
pub struct AllDeadLetters {
    client: Client,
    prefix: String,
    /// Those that were needed.
    known: Arc<Mutex<BTreeMap<String, DeadLetters>>>,
}

impl AllDeadLetters {
    /// Those of the stack with this prefix.
    pub fn new(client: Client, prefix: impl Into<String>) -> AllDeadLetters {
        AllDeadLetters { client, prefix: prefix.into(), known: Arc::default() }
    }

    /// The same, of which this one of a destination is known.
    pub fn with(self, destination: &str, dead_letters: DeadLetters) -> AllDeadLetters {
        self.known().insert(destination.to_owned(), dead_letters);
        self
    }

    /// That of a destination, whether it is deployed or not.
    pub(crate) fn of(&self, destination: &str) -> DeadLetters {
        let by_name = || DeadLetters::new(self.client.clone(), &self.prefix, destination);
        self.known().entry(destination.to_owned()).or_insert_with(by_name).clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, DeadLetters>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DestinationQueues {
    /// The queues of a destination of the stack with this prefix: `PREFIX-DESTINATION-retry` and
    /// `PREFIX-DESTINATION-dead-letters`.
    pub fn new(client: Client, prefix: &str, destination: &str) -> DestinationQueues {
        let retry = NamedQueue::new(client.clone(), format!("{prefix}-{destination}{RETRY}"));
        DestinationQueues { retry, dead_letters: DeadLetters::new(client, prefix, destination) }
    }

    /// The queues of these URLs.
    pub fn at(client: Client, retry_queue_url: String, dead_letters: DeadLetters) -> DestinationQueues {
        DestinationQueues { retry: NamedQueue::at(client, retry_queue_url), dead_letters }
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
        let send = self.retry.message().await?.delay_seconds(delay);
        let send = send.message_body(body(dispatch)).message_attributes(ATTEMPTS, number(attempts));
        send.send().await.map(drop).map_err(|error| Fault::from_sdk("SendMessage", &error))
    }

    /// Delays messages of the retry queue, each for its time. If this fails they are redelivered after the queue's own
    /// visibility time-out.
    pub(crate) async fn delay(&self, waits: &[(&SqsMessage, Duration)]) {
        let waits: Vec<_> = waits.iter().map(|(message, wait)| (*message, wait.as_secs() as i32)).collect();
        match self.retry.url().await {
            Ok(url) => delay_messages(self.retry.client(), url, &waits).await,
            Err(fault) => {
                tracing::warn!(%fault, "messages are redelivered after the queue's own visibility time-out");
            }
        }
    }
}

impl DeadLetters {
    /// The queue of this URL.
    pub fn at(client: Client, url: String) -> DeadLetters {
        DeadLetters(NamedQueue::at(client, url))
    }

    /// That of a destination of the stack with this prefix.
    pub fn new(client: Client, prefix: &str, destination: &str) -> DeadLetters {
        DeadLetters(NamedQueue::new(client, format!("{prefix}-{destination}-dead-letters")))
    }

    /// Sends a dead letter: the dispatch, the error and the number of attempts.
    pub(crate) async fn send(
        &self,
        dispatch: &Dispatch,
        destination: &str,
        attempts: u32,
        error: &str,
    ) -> Result<(), Fault> {
        let send = self.0.message().await?.message_body(body(dispatch));
        let send = send.message_attributes(ATTEMPTS, number(attempts));
        let send =
            send.message_attributes(DESTINATION, text(destination)).message_attributes(ERROR, text(error));
        send.send().await.map(drop).map_err(|error| Fault::from_sdk("SendMessage", &error))
    }

    /// Sends a message that is not a dispatch as a dead letter, as it was received. It may be a dead letter of
    /// such bytes that somebody moved to the retry queue.
    pub(crate) async fn send_back(
        &self,
        message: &SqsMessage,
        destination: &str,
        error: &str,
    ) -> Result<(), Fault> {
        let send = self.0.message().await?.message_body(sqs::body(message));
        let send = send.set_message_attributes(Some(sqs::attributes(message)));
        let send =
            send.message_attributes(DESTINATION, text(destination)).message_attributes(ERROR, text(error));
        send.send().await.map(drop).map_err(|error| Fault::from_sdk("SendMessage", &error))
    }

    /// Sends bytes that are not a dispatch as a dead letter, from which they can be restored.
    pub(crate) async fn send_raw(&self, bytes: &[u8], destination: &str, error: &str) -> Result<(), Fault> {
        for RawBody { body, attributes } in raw_bodies(bytes) {
            let send = self.0.message().await?.message_body(body);
            let send = send.message_attributes(DESTINATION, text(destination));
            let send = send.message_attributes(ERROR, text(error));
            let send = attributes
                .into_iter()
                .fold(send, |send, (name, value)| send.message_attributes(name, text(&value)));
            send.send().await.map_err(|error| Fault::from_sdk("SendMessage", &error))?;
        }
        Ok(())
    }
}

/// The body of a copy and of a dead letter: the dispatch as JSON.
fn body(dispatch: &Dispatch) -> String {
    escaped(String::from_utf8(dispatch.encode()).expect("JSON is UTF-8"))
}

/// A body for bytes that are not a dispatch, and the attributes that say how to read it.
#[derive(Debug, PartialEq)]
struct RawBody {
    body: String,
    attributes: Vec<(&'static str, String)>,
}

/// Bodies that SQS takes, for any bytes.
fn raw_bodies(bytes: &[u8]) -> Vec<RawBody> {
    let encoding = |value: &str| (ENCODING, value.to_owned());
    match str::from_utf8(bytes) {
        Ok("") => vec![RawBody { body: "(no bytes)".into(), attributes: vec![encoding("empty")] }],
        Ok(body) if body.len() <= BODY_BYTES_MAX && body.chars().all(takes) => {
            vec![RawBody { body: body.into(), attributes: vec![] }]
        }
        _ => {
            let parts = bytes.len().div_ceil(PART_BYTES_MAX);
            let raw_body = |(at, part): (usize, &[u8])| {
                let number = (PART, format!("{}/{parts}", at + 1));
                let attributes = [encoding("base64")].into_iter().chain((parts > 1).then_some(number));
                RawBody { body: BASE64_STANDARD.encode(part), attributes: attributes.collect() }
            };
            bytes.chunks(PART_BYTES_MAX).enumerate().map(raw_body).collect()
        }
    }
}

fn text(value: &str) -> MessageAttributeValue {
    let value = shortened(value, ERROR_BYTES_MAX);
    let value = if value.is_empty() { "none given".to_owned() } else { value };
    MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("the type is set")
}

fn number(value: u32) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder().data_type("Number").string_value(value.to_string());
    attribute.build().expect("the type is set")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::notification::{Draft, EVENT_BYTES_MAX};

    #[test]
    fn a_retry_queue_names_its_destination() {
        let of = destination_of_retry_queue;
        assert_eq!(of("arn:aws:sqs:eu-west-1:1:my-shop-books_2-retry"), Some("books_2"));
        assert_eq!(of("arn:aws:sqs:eu-west-1:1:my-shop-books-dead-letters"), None);
    }

    /// A dispatch whose data, subject and partition key have the characters that SQS does not take, and text
    /// that looks like their escapes.
    fn odd_dispatch(data: &str) -> Dispatch {
        let draft = Draft::command("t", "s", &data).subject("\u{fffe}").partitionkey("\u{ffff}\\uffff");
        let draft = draft.extension("tenant", "\u{ffff}");
        Dispatch {
            notification: draft.build("1").unwrap().into(),
            destinations: vec!["a".into()],
            sequenced: vec![],
            number: 1,
            redispatched: false,
            version: Some(1),
            accepted_at: Timestamp::UNIX_EPOCH,
            relayed_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_copy_is_what_was_accepted_code_point_for_code_point() {
        for data in ["\u{ffff}", "a\u{fffe}b\u{7f}\u{85}😀\u{1ffff}", "\\uffff \\\u{ffff}", "plain"] {
            let dispatch = odd_dispatch(data);
            let body = body(&dispatch);
            assert!(body.chars().all(takes), "{body}");
            assert_eq!(Dispatch::decode(body.as_bytes()).unwrap(), dispatch);
        }
    }

    #[test]
    fn the_largest_dispatch_fits_into_a_message() {
        // Each character takes three bytes, and its escape six.
        let dispatch = odd_dispatch(&"\u{ffff}".repeat((EVENT_BYTES_MAX - 300) / 3));
        assert!(body(&dispatch).len() > EVENT_BYTES_MAX && body(&dispatch).len() <= BODY_BYTES_MAX);
    }

    #[test]
    fn any_bytes_are_restored_from_their_dead_letters() {
        let large = vec![b'x'; 2 * BODY_BYTES_MAX];
        for bytes in [&b""[..], b"text", b"\xff\x00", "\u{ffff}".as_bytes(), &large] {
            let mut restored = Vec::new();
            for RawBody { body, attributes } in raw_bodies(bytes) {
                assert!(!body.is_empty() && body.len() <= BODY_BYTES_MAX && body.chars().all(takes));
                match attributes.iter().find(|(name, _)| *name == ENCODING).map(|(_, value)| value.as_str()) {
                    None => restored.extend(body.bytes()),
                    Some("empty") => (),
                    Some(_) => restored.extend(BASE64_STANDARD.decode(body).unwrap()),
                }
            }
            assert_eq!(restored, bytes);
        }
        assert_eq!(raw_bodies(&large)[1].attributes[1], (PART, "2/3".to_owned()));
    }

    #[test]
    fn attributes_hold_what_sqs_takes() {
        let value = |given: &str| text(given).string_value.unwrap();
        assert_eq!(value("a\u{0}b\u{1b}[1m\n"), "a\u{fffd}b\u{fffd}[1m ");
        assert_eq!(value(""), "none given");
        assert!(value(&"é".repeat(ERROR_BYTES_MAX)).len() <= ERROR_BYTES_MAX);
    }
}
