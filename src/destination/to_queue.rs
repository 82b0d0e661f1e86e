//! A destination that hands notifications over to a queue of SQS.
//!
//! The message is sent, then the notification is marked done. If the answer is lost, or the function dies between the
//! two, it is sent again: at least once.

use std::time::Duration;

use aws_sdk_sqs::Client;
use serde_json::value::RawValue;

use super::effect::Effect;
use super::external::{CallFailure, External, OnUnknown};
use super::failure::Failure;
use crate::aws::Fault;
use crate::aws::sqs::escaped;
use crate::notification::{Json, Notification, NotificationKey, encode};

/// Longest time of a call, with the repeats of the SDK.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends each notification to a queue of SQS, standard or FIFO, at least once. Run it with
/// [`run_external`](crate::run_external), as `functions/queue` does.
///
/// The body is the CloudEvent, in JSON, as `handover send` takes it, without `outcometo`: the outcome is told here. A
/// consumer knows a repeat by `source` and `id`. A FIFO queue gets a hash of the two as deduplication id, by which it drops
/// a repeat within five minutes, and one of `source` and `partitionkey`, or of the id where there is none, as its group. It
/// orders by arrival, so make this destination sequenced if the order matters.
///
/// An event that the queue does not take, such as one over its limit of size, is dead-lettered at once.
///
/// ```no_run
/// # fn example(aws: &aws_config::SdkConfig) {
/// let queue = handover::ToQueue::new(aws_sdk_sqs::Client::new(aws), "https://sqs.eu-west-1.amazonaws.com/1/parcels");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ToQueue {
    client: Client,
    url: String,
}

impl ToQueue {
    /// Sends to the queue of this URL. The function's role needs `sqs:SendMessage` on it.
    pub fn new(client: Client, url: impl Into<String>) -> ToQueue {
        ToQueue { client, url: url.into() }
    }
}

impl External for ToQueue {
    type Data = Box<RawValue>;

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    /// The queue takes a repeat for a message of its own, whenever it comes.
    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::Retry { key_lives: Duration::MAX }
    }

    async fn call(&self, notification: &Notification<Box<RawValue>>) -> Result<Effect, CallFailure> {
        let send = self.client.send_message().queue_url(&self.url).message_body(body(notification));
        let send = match self.url.ends_with(".fifo") {
            true => send
                .message_deduplication_id(notification.key().idempotency_key("message"))
                .message_group_id(group(notification)),
            false => send,
        };
        send.send().await.map_err(|error| failed(&Fault::from_sdk("SendMessage", &error)))?;
        Ok(Effect::new())
    }
}

fn body(notification: &Notification<Box<RawValue>>) -> String {
    let event = notification.with_data(Json::of_copy(&notification.data));
    let event = encode(&Notification { outcometo: None, ..event });
    escaped(String::from_utf8(event).expect("JSON is UTF-8"))
}

/// What has to keep its order in a FIFO queue, as far as its group can: it takes up to 128 characters.
fn group<D>(notification: &Notification<D>) -> String {
    let of = notification.partitionkey.as_deref().unwrap_or(&notification.id);
    NotificationKey::new(of, &notification.source).idempotency_key("group")
}

/// What a fault of the queue says of the notification. That of one call, which counts no attempt, is not that of the
/// message.
fn failed(fault: &Fault) -> CallFailure {
    let text = fault.to_string();
    match () {
        () if fault.is_invalid() => CallFailure::not_done(Failure::permanent(text)),
        () if fault.is_throttled() => CallFailure::not_done(Failure::throttled(text)),
        () if fault.could_have_taken_effect() => CallFailure::unknown(Failure::throttled(text)),
        () => CallFailure::not_done(Failure::misconfigured(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Draft, Routes};

    fn raw(draft: Draft) -> Notification<Box<RawValue>> {
        Notification::from(draft.build("1").unwrap()).typed().unwrap()
    }

    #[test]
    fn the_message_is_the_event() {
        let odd = serde_json::json!({ "text": "a\u{ffff}\u{e9}", "number": 0.5 });
        let draft = || Draft::event("t", "s", &odd).subject("odd \u{fffe}").partitionkey("k");
        let body = body(&raw(draft().outcome_to("told")));
        assert!(body.contains("\\uffff") && body.contains("\\ufffe"), "{body}");
        let routes: Routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        assert_eq!(routes.decode(body.as_bytes()).unwrap(), draft().build("1").unwrap());
    }

    #[test]
    fn a_fifo_queue_keeps_what_has_one_key_in_a_group() {
        let of = |key: &str, source: &str| group(&raw(Draft::event("t", source, &1).partitionkey(key)));
        assert_eq!(of("k", "s"), of("k", "s"));
        assert_ne!(of("k", "s"), of("k", "z"));
        assert!(of("\u{e9} k", "s").len() <= 128 && of("\u{e9} k", "s").is_ascii());
        let without_key = group(&raw(Draft::event("t", "s", &1)));
        assert_eq!(without_key, NotificationKey::new("1", "s").idempotency_key("group"));
    }
}
