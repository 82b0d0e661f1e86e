//! The on-failure destination of a mapping.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use event_sources::{Discard, Origin, metadata};

/// An SQS queue that is told of discarded records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    account: String,
    name: String,
}

impl Queue {
    /// From `arn:aws:sqs:REGION:ACCOUNT:NAME`.
    pub fn parse(arn: &str) -> Result<Self> {
        let parts: Vec<&str> = arn.split(':').collect();
        let [_, _, "sqs", _, account, name] = parts[..] else {
            bail!("its on-failure destination is \"{arn}\", and only SQS queues are served");
        };
        Ok(Self { account: account.to_owned(), name: name.to_owned() })
    }

    /// Sends the metadata of the discarded records, once: whether to try again is for the engine
    /// to say.
    pub async fn tell(&self, sqs: &Client, discard: &Discard, origin: &Origin, now: Duration) -> Result<()> {
        let queue = sqs.get_queue_url().queue_name(&self.name).queue_owner_aws_account_id(&self.account);
        let queue = queue.send().await.with_context(|| format!("cannot find the queue {}", self.name))?;
        let message = metadata(discard, origin, &new_request_id(), now).to_string();
        let request = sqs.send_message().set_queue_url(queue.queue_url).message_body(message);
        request.send().await.with_context(|| format!("cannot send to the queue {}", self.name))?;
        Ok(())
    }
}

/// A random UUID, version 4.
fn new_request_id() -> String {
    let bits = fastrand::u128(..);
    let time_high = bits >> 64 & 0x0fff | 0x4000;
    let clock = bits >> 48 & 0x3fff | 0x8000;
    let (time_low, time_mid, node) = (bits >> 96, bits >> 80 & 0xffff, bits & 0xffff_ffff_ffff);
    format!("{time_low:08x}-{time_mid:04x}-{time_high:04x}-{clock:04x}-{node:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_arn() {
        let queue = Queue::parse("arn:aws:sqs:us-east-2:123456789012:dlq").unwrap();
        assert_eq!(queue, Queue { account: "123456789012".into(), name: "dlq".into() });
        for other in ["arn:aws:sns:us-east-2:123456789012:topic", "arn:aws:s3:::bucket", "dlq"] {
            assert!(Queue::parse(other).unwrap_err().to_string().contains(other));
        }
    }

    #[test]
    fn request_ids_are_uuids() {
        let id = new_request_id();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert!(id.starts_with(|c: char| c.is_ascii_hexdigit()) && &id[14..15] == "4", "{id}");
        assert_ne!(id, new_request_id());
    }
}
