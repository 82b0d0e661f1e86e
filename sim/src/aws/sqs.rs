//! Queues of SQS: visibility, receive counts, delays, redrive.

mod limits;

use std::collections::BTreeMap;
use std::time::Duration;

use handover::NotificationKey;
use serde_json::{Map, Value, json};

use crate::aws::dynamodb::Answer;
use crate::aws::sqs::limits::{BATCH_TOO_LONG, is_too_long, not_taken};
use crate::names::queue_url;

/// Most messages of a queue in flight.
const IN_FLIGHT_MAX: usize = 120_000;

/// Longest time from the receive of a message to the end of its visibility time-out, in milliseconds: 12 hours.
const INVISIBLE_MS_MAX: u64 = 12 * 3_600_000;

/// The code of a queue that does not exist.
const NO_QUEUE: &str = "com.amazonaws.sqs#QueueDoesNotExist";

/// The code of a service in trouble.
const UNAVAILABLE: &str = "com.amazonaws.sqs#ServiceUnavailable";

/// Who sends what the functions send.
const FUNCTION: &str = "AROAFUNCTION:function";

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub body: String,
    /// The unique id of the role that sent it, and the session's name.
    sender: String,
    /// As it was sent with.
    attributes: Value,
    /// When it was sent. It stays the same when SQS moves the message to a dead-letter queue.
    sent_ms: u64,
    visible_ms: u64,
    /// How many times it was received.
    pub receives: u32,
    /// The receipt of the last receive; earlier ones are no longer valid.
    receipt: String,
    /// When it was received last.
    received_ms: u64,
}

/// A queue.
#[derive(Debug)]
pub struct Queue {
    pub messages: Vec<Message>,
    visibility_ms: u64,
    /// How long it keeps a message.
    retention_ms: u64,
    /// Most messages that are received and not deleted, nor visible again.
    in_flight_max: usize,
    /// After this many receives a message moves to this queue.
    redrive: Option<(u32, String)>,
}

/// All queues, by URL.
#[derive(Debug, Default)]
pub struct Queues {
    pub queues: BTreeMap<String, Queue>,
    /// Requests that SQS refused for what they say.
    pub refused: Vec<String>,
    next: u64,
    /// Until when a queue takes nothing, by its URL.
    broken: BTreeMap<String, u64>,
    /// Calls that such a queue did not take.
    pub not_taken: i64,
    /// Whether a message was received so often that it was moved to a dead-letter queue.
    pub gave_up: bool,
}

impl Queues {
    pub fn create(
        &mut self,
        url: &str,
        visibility_ms: u64,
        retention: Duration,
        redrive: Option<(u32, &str)>,
    ) {
        let queue = Queue {
            messages: Vec::new(),
            visibility_ms,
            retention_ms: retention.as_millis() as u64,
            in_flight_max: IN_FLIGHT_MAX,
            redrive: redrive.map(|(receives, url)| (receives, url.to_owned())),
        };
        self.queues.insert(url.to_owned(), queue);
    }

    /// Has every call of a queue fail until then.
    pub fn break_until(&mut self, url: &str, until_ms: u64) {
        self.broken.insert(url.to_owned(), until_ms);
    }

    /// Lowers the limit of the messages in flight, so that a few reach it.
    pub fn limit_in_flight(&mut self, url: &str, most: usize) {
        self.queue(url).in_flight_max = most;
    }

    /// How many more messages may be received.
    fn room(&self, url: &str, now_ms: u64) -> usize {
        let queue = &self.queues[url];
        let in_flight =
            queue.messages.iter().filter(|message| message.receives > 0 && message.visible_ms > now_ms);
        queue.in_flight_max.saturating_sub(in_flight.count())
    }

    /// Whether as many messages are in flight as may be.
    pub fn is_full(&self, url: &str, now_ms: u64) -> bool {
        self.room(url, now_ms) == 0
    }

    fn id(&mut self) -> String {
        self.next += 1;
        format!("message-{}", self.next)
    }

    /// Sends a message from outside of the stack.
    pub fn send_as(&mut self, sender: &str, url: &str, body: &str, now_ms: u64) {
        let id = self.send(url, body, json!({}), 0, now_ms);
        let sent = self.queue(url).messages.iter_mut().find(|message| message.id == id);
        sent.into_iter().for_each(|message| message.sender = sender.to_owned());
    }

    pub fn send(&mut self, url: &str, body: &str, attributes: Value, delay_ms: u64, now_ms: u64) -> String {
        let id = self.id();
        let message = Message {
            id: id.clone(),
            body: body.to_owned(),
            sender: FUNCTION.to_owned(),
            attributes,
            sent_ms: now_ms,
            visible_ms: now_ms + delay_ms,
            receives: 0,
            receipt: String::new(),
            received_ms: 0,
        };
        self.queue(url).messages.push(message);
        id
    }

    /// Deletes the messages that are older than their queue keeps them.
    pub fn expire(&mut self, now_ms: u64) {
        for queue in self.queues.values_mut() {
            queue.messages.retain(|message| now_ms < message.sent_ms + queue.retention_ms);
        }
    }

    /// Whether a message is invisible, since somebody received it.
    pub fn has_invisible(&self, url: &str, now_ms: u64) -> bool {
        self.queues[url].messages.iter().any(|message| message.visible_ms > now_ms)
    }

    fn queue(&mut self, url: &str) -> &mut Queue {
        self.queues.get_mut(url).unwrap_or_else(|| panic!("no queue {url}"))
    }

    /// Answers a request of the protocol; it refuses the entries of a batch at some indices.
    pub fn call(
        &mut self,
        operation: &str,
        request: &Value,
        now_ms: u64,
        refused: impl Fn(usize) -> bool,
    ) -> Answer {
        if operation == "GetQueueUrl" {
            let url = queue_url(request["QueueName"].as_str().expect("QueueName"));
            return match self.queues.contains_key(&url) {
                true => (200, json!({ "QueueUrl": url }).to_string()),
                false => (400, json!({ "__type": NO_QUEUE, "message": "there is none" }).to_string()),
            };
        }
        let url = request["QueueUrl"].as_str().expect("QueueUrl");
        if self.broken.get(url).is_some_and(|until_ms| now_ms < *until_ms) {
            self.not_taken += 1;
            return (503, json!({ "__type": UNAVAILABLE, "message": "try again" }).to_string());
        }
        let not_taken =
            |entry: &Value| not_taken(entry).or_else(|| self.is_hidden_too_long(url, entry, now_ms));
        let entries = request["Entries"].as_array();
        if entries.is_some_and(|entries| is_too_long(entries)) {
            self.refused.push(format!("SQS refuses a {operation}: {BATCH_TOO_LONG}"));
            return (400, json!({ "__type": BATCH_TOO_LONG, "message": "not taken" }).to_string());
        }
        let codes: Vec<_> =
            entries.map_or(vec![not_taken(request)], |all| all.iter().map(not_taken).collect());
        self.refused.extend(codes.iter().flatten().map(|code| format!("SQS refuses a {operation}: {code}")));
        let mut one = |entry: &Value| match operation.trim_end_matches("Batch") {
            "SendMessage" => {
                let delay_ms = entry["DelaySeconds"].as_u64().unwrap_or(0) * 1_000;
                let body = entry["MessageBody"].as_str().expect("MessageBody");
                let id = self.send(url, body, entry["MessageAttributes"].clone(), delay_ms, now_ms);
                json!({ "MessageId": id, "MD5OfMessageBody": "" })
            }
            "ChangeMessageVisibility" => {
                let receipt = entry["ReceiptHandle"].as_str().expect("ReceiptHandle");
                let wait_ms = entry["VisibilityTimeout"].as_u64().expect("VisibilityTimeout") * 1_000;
                let messages = self.queue(url).messages.iter_mut();
                // A message that is visible again, or was deleted, is not in flight.
                for message in
                    messages.filter(|message| message.receipt == receipt && message.visible_ms > now_ms)
                {
                    message.visible_ms = now_ms + wait_ms;
                }
                json!({})
            }
            _ => panic!("the simulated SQS has no {operation}"),
        };
        let Some(entries) = entries else {
            return match codes[0] {
                Some(code) => (400, json!({ "__type": code, "message": "not taken" }).to_string()),
                None => (200, one(request).to_string()),
            };
        };
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            if refused(at) {
                failed.push(json!({ "Id": entry["Id"], "Code": "InternalError", "SenderFault": false }));
            } else if let Some(code) = codes[at] {
                failed.push(json!({ "Id": entry["Id"], "Code": code, "SenderFault": true }));
            } else {
                let mut answer = one(entry);
                answer["Id"] = entry["Id"].clone();
                successful.push(answer);
            }
        }
        (200, json!({ "Successful": successful, "Failed": failed }).to_string())
    }

    /// Whether a visibility time-out is longer than SQS takes: of one message, by its receipt.
    fn is_hidden_too_long(&self, url: &str, entry: &Value, now_ms: u64) -> Option<&'static str> {
        let until_ms = now_ms + entry["VisibilityTimeout"].as_u64()? * 1_000;
        let message =
            self.queues[url].messages.iter().find(|message| entry["ReceiptHandle"] == message.receipt)?;
        (until_ms > message.received_ms + INVISIBLE_MS_MAX)
            .then_some("com.amazonaws.sqs#InvalidParameterValue")
    }

    /// Receives up to `most` messages in the order in which they were sent, but for those that are
    /// overtaken by the ones behind them.
    pub fn receive(
        &mut self,
        url: &str,
        now_ms: u64,
        most: usize,
        mut overtaken: impl FnMut(&Message) -> bool,
    ) -> Vec<Message> {
        self.expire(now_ms);
        let most = most.min(self.room(url, now_ms));
        let queue = self.queue(url);
        let visibility_ms = queue.visibility_ms;
        if let Some((receives_max, to)) = queue.redrive.clone() {
            let (dead, left): (Vec<_>, Vec<_>) = std::mem::take(&mut queue.messages)
                .into_iter()
                .partition(|message| message.receives >= receives_max && message.visible_ms <= now_ms);
            queue.messages = left;
            self.gave_up |= !dead.is_empty();
            self.queue(&to).messages.extend(dead);
        }
        let messages = self.queue(url).messages.iter_mut();
        let mut visible: Vec<&mut Message> =
            messages.filter(|message| message.visible_ms <= now_ms).collect();
        // Nothing is behind the last one.
        let last = visible.pop();
        let (behind, before): (Vec<_>, Vec<_>) = visible.into_iter().partition(|message| overtaken(message));
        let received = before.into_iter().chain(last).chain(behind).take(most).map(|message| {
            message.receives += 1;
            message.received_ms = now_ms;
            message.visible_ms = now_ms + visibility_ms;
            message.receipt = format!("{}#{}", message.id, message.receives);
            message.clone()
        });
        received.collect()
    }

    /// The message of a queue that is visible next, and when, in milliseconds since the epoch.
    pub fn next_visible(&mut self, url: &str) -> Option<(u64, &Message)> {
        let first = self.queue(url).messages.iter().min_by_key(|message| message.visible_ms)?;
        Some((first.visible_ms, first))
    }

    /// Moves the message with this receipt to another queue, as the console's redrive does.
    pub fn move_to(&mut self, url: &str, receipt: &str, to: &str, now_ms: u64) {
        let moved = self.queue(url).messages.iter().find(|message| message.receipt == receipt).cloned();
        self.delete(url, receipt);
        if let Some(message) = moved {
            self.send(to, &message.body, message.attributes, 0, now_ms);
        }
    }

    /// Deletes the message with this receipt.
    pub fn delete(&mut self, url: &str, receipt: &str) {
        self.queue(url).messages.retain(|message| message.receipt != receipt);
    }
}

impl Message {
    /// The receipt of its last receive.
    pub fn receipt(&self) -> &str {
        &self.receipt
    }

    /// The notification of which it is a copy.
    pub fn notification(&self) -> Option<NotificationKey> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        Some(NotificationKey::new(body["id"].as_str()?, body["source"].as_str()?))
    }

    /// The text of an attribute; nothing if there is none of that name.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes[name]["StringValue"].as_str().unwrap_or_default()
    }

    /// Its record in an event of Lambda.
    pub fn event(&self, queue: &str) -> Value {
        let attributes: Map<String, Value> = self.attributes.as_object().cloned().unwrap_or_default();
        let attributes = attributes.into_iter().map(|(name, attribute)| {
            let value = json!({
                "stringValue": attribute["StringValue"], "dataType": attribute["DataType"],
                "stringListValues": [], "binaryListValues": [],
            });
            (name, value)
        });
        json!({
            "messageId": self.id, "receiptHandle": self.receipt, "body": self.body, "md5OfBody": "",
            "eventSource": "aws:sqs", "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{queue}"),
            "awsRegion": "us-east-1", "messageAttributes": attributes.collect::<Map<_, _>>(),
            "attributes": {
                "ApproximateReceiveCount": self.receives.to_string(), "SentTimestamp": self.sent_ms.to_string(),
                "SenderId": self.sender,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_sqs_moves_to_a_dead_letter_queue_is_kept_from_its_first_enqueue_on() {
        let day = |days: u64| days * 24 * 3_600_000;
        let mut queues = Queues::default();
        queues.create("dead", 1, Duration::from_millis(day(14)), None);
        queues.create("queue", 1, Duration::from_millis(day(4)), Some((1, "dead")));
        queues.send("queue", "killer", json!({}), 0, 0);
        queues.send("queue", "late", json!({}), day(5), 0);
        queues.receive("queue", day(3), 1, |_| false);
        let left = |queues: &Queues, url: &str| queues.queues[url].messages.len();
        queues.receive("queue", day(3) + 1, 1, |_| false);
        assert_eq!((left(&queues, "queue"), left(&queues, "dead")), (1, 1));
        queues.expire(day(4));
        assert_eq!((left(&queues, "queue"), left(&queues, "dead")), (0, 1));
        queues.expire(day(14) - 1);
        assert_eq!(left(&queues, "dead"), 1);
        queues.expire(day(14));
        assert_eq!(left(&queues, "dead"), 0);
    }
}
