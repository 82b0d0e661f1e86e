//! A destination that hands notifications over to a queue of SQS.
//!
//! The message is sent, then the notification is marked done. If the answer is lost, or the function dies between the
//! two, it is sent again: at least once.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use serde_json::value::RawValue;

use super::effect::Effect;
use super::external::{CallFailure, External, OnUnknown};
use super::failure::Failure;
use crate::aws::Fault;
use crate::aws::sqs::escaped;
use crate::notification::{Json, Notification, NotificationKey, encode};

/// Longest time of a call: more than one try of the SDK, whose time-out comes first and counts no attempt.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of an emit and of what is forwarded alone they are a cause. Elsewhere whoever sent it said so.
const CAUSES: [&str; 2] = ["causationid", "correlationid"];

/// Sends each notification to a queue of SQS, standard or FIFO, at least once. Run it with
/// [`run_external`](crate::run_external), as `functions/queue` does.
///
/// The body is the CloudEvent, in JSON, as `handover send` takes it. It leaves out `outcometo`, since this stack tells the
/// outcome, and a `causationid` and `correlationid` that a sender wrote. A consumer knows a repeat by `source` and `id`. A FIFO queue gets a hash of the two as deduplication id, by which it drops
/// a repeat within five minutes, and one of `source` and `partitionkey`, or of the id where there is none, as its group. It
/// orders by arrival, so make this destination sequenced if the order matters.
///
/// An event that the queue does not take, such as one over its limit of size, is dead-lettered at once. The queue is in
/// the function's own Region: the SDK calls no other one, whatever the URL says.
///
/// ```no_run
/// # fn example(aws: &aws_config::SdkConfig) {
/// let queue = handover::ToQueue::new(handover::sqs::Client::new(aws), "https://sqs.eu-west-1.amazonaws.com/1/parcels");
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
        // Handover repeats a call, by what its answer says.
        let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        ToQueue { client: Client::from_conf(once), url: url.into() }
    }

    /// The name of the queue.
    fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
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
        send.send().await.map_err(|error| failed(self.name(), &Fault::from_sdk("SendMessage", &error)))?;
        Ok(Effect::new())
    }
}

fn body(notification: &Notification<Box<RawValue>>) -> String {
    let mut event = notification.with_data(Json::of_copy(&notification.data));
    event.outcometo = None;
    event.extensions.retain(|name, _| !CAUSES.contains(&name.as_str()));
    escaped(String::from_utf8(encode(&event)).expect("JSON is UTF-8"))
}

/// What has to keep its order in a FIFO queue, as far as its group can: it takes up to 128 characters.
fn group<D>(notification: &Notification<D>) -> String {
    let of = notification.partitionkey.as_deref().unwrap_or(&notification.id);
    NotificationKey::new(of, &notification.source).idempotency_key("group")
}

/// The failure that a fault of this queue is. Only what SQS does not take is the event's own fault, and for good; all else
/// counts no attempt.
fn failed(queue: &str, fault: &Fault) -> CallFailure {
    let text = format!("the queue {queue}: {fault}");
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
    fn a_cause_that_a_sender_wrote_is_not_passed_on() {
        let draft = Draft::event("t", "s", &1).extension("causationid", "said").extension("tenant", "x");
        let read = |notification: &_| serde_json::from_str::<serde_json::Value>(&body(notification)).unwrap();
        let mut event = raw(draft);
        assert_eq!(
            (read(&event)["causationid"].as_str(), read(&event)["tenant"].as_str()),
            (None, Some("x"))
        );
        event.causationid = Some("parent".into());
        assert_eq!(read(&event)["causationid"], "parent");
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
