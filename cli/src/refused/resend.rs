//! Sends refused messages to the upstream queue, several concurrently.
//!
//! A message is sent before its dead letter is deleted. If the command ends in between, the dead letter is sent once
//! more: accept finds that it is a repeat, or refuses it again.

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use futures_util::StreamExt;
use handover::Fault;
use serde::Serialize;

use super::letter::Letter;
use super::queue::{RefusedQueue, Wanted};
use crate::ask::{check_can_ask, is_confirmed};
use crate::held::Held;
use crate::interrupt::exit_code;
use crate::many::each;
use crate::output::{self, counter, say_error};

/// Most messages that are sent concurrently. Each takes two calls of SQS.
const SENDS_MAX: usize = 16;

/// How to send them again.
pub struct Resend {
    pub dry_run: bool,
    pub yes: bool,
    pub json: bool,
}

/// What came of it, as JSON.
#[derive(Serialize)]
struct View {
    sent: usize,
    left: usize,
}

pub async fn resend(
    queue: &RefusedQueue<'_>,
    wanted: &Wanted,
    Resend { dry_run, yes, json }: Resend,
) -> anyhow::Result<ExitCode> {
    let is_one = wanted.message_id.is_some();
    check_can_ask("refused --resend of many", yes || dry_run || is_one)?;
    let interrupt = queue.holder.interrupt;
    let upstream = queue.upstream_url().await?;
    let received = queue.receive(wanted, !dry_run).await?;
    let found = found(received.len(), wanted);
    if dry_run {
        queue.holder.release(&received).await;
        output::did(json, &View { sent: 0, left: received.len() }, format_args!("would send {found} again"))?;
        return Ok(ExitCode::SUCCESS);
    }
    say_error!("found {found}");
    let is_sure = yes || is_one || received.is_empty();
    if !is_sure && !is_confirmed("Send them again?", interrupt).await {
        queue.holder.release(&received).await;
        did(json, 0, received.len())?;
        return Ok(exit_code(false));
    }
    let left = send_all(queue, &upstream, received, json).await?;
    Ok(exit_code(left == 0))
}

/// Returns how many are left. Those are visible again.
///
/// # Errors
/// The first one. After it, and after Ctrl-C, it begins with no further message.
async fn send_all(
    queue: &RefusedQueue<'_>,
    upstream: &str,
    received: Vec<Held<Letter>>,
    json: bool,
) -> anyhow::Result<usize> {
    let progress = counter(received.len(), "sent again");
    let send = async |held: &Held<Letter>| send(queue, upstream, held).await;
    let mut sends = pin!(each(received, SENDS_MAX, queue.holder.interrupt, send));
    let (mut sent, mut left, mut first_error) = (0, Vec::new(), None);
    while let Some((held, is_sent)) = sends.next().await {
        progress.inc(u64::from(is_sent.is_some()));
        match is_sent {
            Some(Ok(true)) => sent += 1,
            Some(Ok(false)) | None => left.push(held),
            Some(Err(error)) => {
                first_error.get_or_insert(error);
                left.push(held);
            }
        }
    }
    progress.finish_and_clear();
    queue.holder.release(&left).await;
    did(json, sent, left.len())?;
    first_error.map_or(Ok(left.len()), Err)
}

/// Sends one, and says whether SQS took it. What is too large for the upstream queue must not hold up the others.
async fn send(queue: &RefusedQueue<'_>, upstream: &str, held: &Held<Letter>) -> anyhow::Result<bool> {
    let holder = &queue.holder;
    let body = held.body.as_deref().context("SQS gave a message without its body")?;
    let send = holder.sqs.send_message().queue_url(upstream).message_body(body);
    let attributes = Some(held.attributes.clone()).filter(|attributes| !attributes.is_empty());
    let sent = send.set_message_attributes(attributes).send().await;
    if let Err(error) = sent {
        let fault = Fault::from_sdk("SendMessage", &error);
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
        if code.trim_end_matches("Exception") != "InvalidParameterValue" {
            return Err(holder.stack.explained(fault));
        }
        say_error!("{}: {fault}; its size may be above UpstreamMessageBytes", held.message_id);
        return Ok(false);
    }
    holder
        .delete(held)
        .await
        .context("it was sent, and its dead letter is kept; it is safe to send it again")?;
    Ok(true)
}

fn did(json: bool, sent: usize, left: usize) -> serde_json::Result<()> {
    output::did(json, &View { sent, left }, format_args!("{sent} sent again, {left} left"))
}

/// How many messages there are of what is wanted.
fn found(count: usize, wanted: &Wanted) -> String {
    let messages = if count == 1 { "refused message" } else { "refused messages" };
    let with = wanted.error.as_ref().map_or_else(String::new, |text| format!(" with the error `{text}`"));
    format!("{count} {messages}{with}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_first() {
        let wanted =
            |error: Option<&str>| Wanted { message_id: None, error: error.map(str::to_owned), resends: true };
        assert_eq!(found(2, &wanted(None)), "2 refused messages");
        assert_eq!(
            found(1, &wanted(Some("unknown-type"))),
            "1 refused message with the error `unknown-type`"
        );
    }
}
