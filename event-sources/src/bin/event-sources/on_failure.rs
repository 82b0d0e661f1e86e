//! The on-failure destination of a mapping.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use event_sources::{Discard, DiscardOrigin, invocation_record};
use tracing::{info, warn};

/// An SQS queue that gets the invocation records of discards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnFailureQueue {
    account: String,
    name: String,
}

impl OnFailureQueue {
    /// Parses `arn:aws:sqs:REGION:ACCOUNT:NAME`.
    pub fn parse(arn: &str) -> Result<Self> {
        let parts: Vec<&str> = arn.split(':').collect();
        let [_, _, "sqs", _, account, name] = parts[..] else {
            bail!("the on-failure destination \"{arn}\" is not an SQS queue: no other kind is supported");
        };
        Ok(Self { account: account.to_owned(), name: name.to_owned() })
    }

    async fn send(
        &self,
        sqs: &Client,
        discard: &Discard,
        origin: &DiscardOrigin,
        now: Duration,
    ) -> Result<()> {
        let queue = sqs.get_queue_url().queue_name(&self.name).queue_owner_aws_account_id(&self.account);
        let queue = queue.send().await.with_context(|| format!("cannot find the queue {}", self.name))?;
        let message = invocation_record(discard, origin, &new_request_id(), now).to_string();
        let request = sqs.send_message().set_queue_url(queue.queue_url).message_body(message);
        request.send().await.with_context(|| format!("cannot send to the queue {}", self.name))?;
        Ok(())
    }
}

/// Sends the invocation record of a discard to the mapping's destination, if it has one, and logs the
/// discard. Returns `false` if the destination could not be written: the engine decides when to retry.
pub async fn write(
    queue: Option<&OnFailureQueue>,
    sqs: &Client,
    discard: &Discard,
    origin: &DiscardOrigin,
    now: Duration,
) -> bool {
    let sent = match queue {
        Some(queue) => queue.send(sqs, discard, origin, now).await,
        None => Ok(()),
    };
    let (function, shard) = (&origin.function_arn, &origin.shard_id);
    let (condition, records) = (discard.reason.condition(), discard.sequence_numbers.len());
    let (first, last) = (discard.sequence_numbers.first(), discard.sequence_numbers.last());
    match sent {
        Ok(()) => {
            let has_destination = queue.is_some();
            info!(function, shard, condition, records, first, last, has_destination, "discarded");
            true
        }
        Err(error) => {
            let error = format!("{error:#}");
            warn!(function, shard, condition, records, first, last, error, "cannot discard yet");
            false
        }
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
        let queue = OnFailureQueue::parse("arn:aws:sqs:us-east-2:123456789012:dlq").unwrap();
        assert_eq!(queue, OnFailureQueue { account: "123456789012".into(), name: "dlq".into() });
        for other in ["arn:aws:sns:us-east-2:123456789012:topic", "arn:aws:s3:::bucket", "dlq"] {
            assert!(OnFailureQueue::parse(other).unwrap_err().to_string().contains(other));
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
