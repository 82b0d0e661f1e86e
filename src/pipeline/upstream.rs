//! The upstream queue: accepts its messages, sends refused ones to its dead-letter queue, and spreads the
//! receives of messages that met a fault.

use std::collections::HashMap;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::accept::{Accept, AcceptOutcome, Envelope};
use crate::aws::queue::{NewMessage, delay_messages, send_messages};
use crate::aws::sqs::{ATTRIBUTES_MAX, attributes, body, id, receives, sender, sent_at};
use crate::aws::{Fault, HeldUp};
use crate::code::Code;
use crate::record::shortened;
use crate::store::{Acceptance, PUT_ITEM};

/// Most messages accepted concurrently.
const CONCURRENCY_MAX: usize = 64;
/// Longest reason in the attribute of a dead letter, in bytes. The dead-letter queue takes messages that are
/// larger than the upstream queue's by more than this.
const REASON_BYTES_MAX: usize = 1024;
/// The message attribute of a dead letter with the reason of the refusal.
pub const REASON: &str = "reason";
/// Longest visibility time-out, in seconds. SQS refuses one that ends more than 12 hours after the message was
/// received, and an invocation may have had it for 15 minutes.
const VISIBILITY_SECONDS_MAX: u64 = (12 * 60 - 15) * 60;
/// The queue's `maxReceiveCount`: SQS moves a message to the dead-letter queue instead of delivering it more
/// often than this. These are not the attempts of a destination, which the record counts.
const RECEIVES_MAX: u32 = 6;

/// Accept behind the upstream queue.
#[derive(Clone, Debug)]
pub struct Upstream {
    accept: Accept,
    queue: UpstreamQueue,
}

/// The upstream queue.
#[derive(Clone, Debug)]
pub struct UpstreamQueue {
    client: Client,
    url: String,
    dead_letters_url: String,
    backoff_seconds: u64,
}

impl Upstream {
    /// Accepts from this queue.
    pub fn new(accept: Accept, queue: UpstreamQueue) -> Upstream {
        Upstream { accept, queue }
    }

    /// Handles a batch. A message is acknowledged when it is stored or in the dead-letter queue. Every other
    /// message is a batch item failure, and is redelivered. Half of the time until `until` is for storing, so
    /// that there is time for the dead letters and the back-off.
    pub async fn receive(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        let messages = &event.records;
        let now = Instant::now();
        let stored_by = now + until.saturating_duration_since(now) / 2;
        let accepts = messages.iter().map(|message| self.accept(message, stored_by));
        let outcomes: Vec<_> = futures_util::stream::iter(accepts).buffered(CONCURRENCY_MAX).collect().await;
        let (mut refused, mut faulted) = (Vec::new(), Vec::new());
        let mut stored = 0;
        for (message, outcome) in messages.iter().zip(&outcomes) {
            match outcome {
                Ok(outcome) => {
                    stored += usize::from(matches!(outcome, AcceptOutcome::Decided(Acceptance::Stored)));
                    refused.extend(outcome.refusal().map(|reason| (message, reason)));
                }
                Err(fault) => {
                    tracing::warn!(message_id = id(message), %fault, "the message will be redelivered");
                    faulted.push(message);
                }
            }
        }
        tracing::info!(
            stored,
            duplicate = messages.len() - stored - refused.len() - faulted.len(),
            refused = refused.len(),
            faulted = faulted.len(),
            "accepted"
        );
        HeldUp::count(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(HeldUp::by));
        let unsent = match timeout_at(until, self.queue.send_dead_letters(&refused)).await {
            Ok(unsent) => unsent,
            Err(_) => refused.iter().map(|(message, _)| *message).collect(),
        };
        faulted.extend(unsent);
        self.queue.give_back(faulted, until).await
    }

    async fn accept(&self, message: &SqsMessage, stored_by: Instant) -> Result<AcceptOutcome, Fault> {
        let envelope = Envelope { sent_at: sent_at(message), sender: sender(message), id: None };
        let accept = self.accept.accept(body(message).as_bytes(), envelope);
        timeout_at(stored_by, accept).await.unwrap_or_else(|_| Err(Fault::out_of_time(PUT_ITEM)))
    }
}

impl UpstreamQueue {
    /// This queue, with its dead-letter queue. After a fault a message is redelivered in `backoff_seconds`, then in four
    /// times that, and so on.
    pub fn new(
        client: Client,
        url: impl Into<String>,
        dead_letters_url: impl Into<String>,
        backoff_seconds: u64,
    ) -> UpstreamQueue {
        let (url, dead_letters_url) = (url.into(), dead_letters_url.into());
        UpstreamQueue { client, url, dead_letters_url, backoff_seconds }
    }

    /// Accepts nothing of a batch while the routes cannot be used. If the function did not run, the messages would come back
    /// sooner, and be dead-lettered within minutes.
    pub async fn hold(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        let messages: Vec<_> = event.records.iter().collect();
        HeldUp::count(messages.iter().map(|_| HeldUp { cause: Code::Routes, lasts: true }));
        self.give_back(messages, until).await
    }

    /// The answer for a batch of which these messages are redelivered, once they are delayed.
    async fn give_back(&self, messages: Vec<&SqsMessage>, until: Instant) -> SqsBatchResponse {
        // If this fails they are redelivered all the same, only sooner.
        let _ = timeout_at(until, self.back_off(&messages)).await;
        let mut response = SqsBatchResponse::default();
        response.set_failures(messages.into_iter().map(id));
        response
    }

    /// Sends refused messages to the dead-letter queue. Returns those that it did not take.
    async fn send_dead_letters<'a>(&self, refused: &[(&'a SqsMessage, String)]) -> Vec<&'a SqsMessage> {
        let dead_letters = refused.iter().map(|(message, reason)| NewMessage {
            body: body(message).to_owned(),
            attributes: with_reason(message, reason),
        });
        let unsent = send_messages(&self.client, &self.dead_letters_url, dead_letters.collect()).await;
        unsent.into_iter().map(|place| refused[place].0).collect()
    }

    /// Delays messages longer with each receive.
    async fn back_off(&self, faulted: &[&SqsMessage]) {
        let wait = |message| (message, visibility_seconds(self.backoff_seconds, receives(message)));
        let delayed: Vec<_> = faulted.iter().map(|message| wait(*message)).collect();
        delay_messages(&self.client, &self.url, &delayed).await;
    }
}

/// The attributes of a refused message, and the reason. A message that has as many as SQS takes keeps them, and the
/// reason is in the log alone.
fn with_reason(message: &SqsMessage, reason: &str) -> HashMap<String, MessageAttributeValue> {
    let mut attributes = attributes(message);
    if attributes.len() >= ATTRIBUTES_MAX && !attributes.contains_key(REASON) {
        tracing::warn!(message_id = id(message), error = reason, "refused; there is no room for the reason");
        return attributes;
    }
    let reason = shortened(reason, REASON_BYTES_MAX);
    let reason = MessageAttributeValue::builder().data_type("String").string_value(reason);
    attributes.insert(REASON.to_owned(), reason.build().expect("the type is set"));
    attributes
}

/// How long a message waits after its nth receive met a fault. With the default of 40 s the five waits between
/// six receives add up to nearly four hours, longer than most outages. After the last receive there is no
/// wait: SQS moves the message to the dead-letter queue.
fn visibility_seconds(base: u64, receives: u32) -> i32 {
    if receives >= RECEIVES_MAX {
        return 0;
    }
    let seconds = base.saturating_mul(4u64.saturating_pow(receives.saturating_sub(1)));
    seconds.min(VISIBILITY_SECONDS_MAX) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::sqs::MESSAGE_BYTES_MAX;
    use crate::notification::{EVENT_BYTES_MAX, ROUTE_BYTES_MAX};

    #[test]
    fn g1_a_refused_message_keeps_its_attributes() {
        let names = |count: usize, more: &[&str]| {
            let names =
                (0..count).map(|at| format!("ce-{at}")).chain(more.iter().map(|name| name.to_string()));
            let value = serde_json::json!({ "dataType": "String", "stringValue": "1" });
            let all: serde_json::Map<_, _> = names.map(|name| (name, value.clone())).collect();
            let message: SqsMessage =
                serde_json::from_value(serde_json::json!({ "messageAttributes": all })).unwrap();
            with_reason(&message, "no")
        };
        let nine = names(9, &[]);
        assert_eq!((nine.len(), nine[REASON].string_value()), (10, Some("no")));
        let ten = names(10, &[]);
        assert!(ten.len() == 10 && !ten.contains_key(REASON), "SQS takes no more");
        let refused_before = names(9, &[REASON]);
        assert_eq!((refused_before.len(), refused_before[REASON].string_value()), (10, Some("no")));
    }

    /// The sizes in `infra/core.yaml`.
    #[test]
    fn the_queue_takes_what_a_route_takes_and_its_dead_letters_have_room_for_the_reason() {
        let template = crate::templates::CORE;
        let (_, parameter) = template.split_once("\n  UpstreamMessageBytes:").unwrap();
        let number = |name: &str| -> usize {
            let (_, rest) = parameter.split_once(&format!("{name}: ")).unwrap();
            rest[..rest.find('\n').unwrap()].parse().unwrap()
        };
        assert!(number("Default") > ROUTE_BYTES_MAX && number("MaxValue") > EVENT_BYTES_MAX);
        assert!(number("MaxValue") + REASON.len() + REASON_BYTES_MAX <= MESSAGE_BYTES_MAX);
    }

    #[test]
    fn six_receives_are_spread_over_about_four_hours() {
        let waits: Vec<_> = (1..=5).map(|receives| visibility_seconds(40, receives)).collect();
        assert_eq!(waits, [40, 160, 640, 2_560, 10_240]);
        assert_eq!(waits.iter().sum::<i32>(), 13_640);
        assert_eq!(visibility_seconds(40, 6), 0);
        assert_eq!(visibility_seconds(1_000, 5), 42_300);
        assert_eq!(visibility_seconds(0, 3), 0);
    }
}
