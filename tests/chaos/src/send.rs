//! Sends lines: to the upstream queue with the command `handover`, and some by HTTP.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use refunds::stack::Stack;
use refunds::summary::grouped;

use crate::damage::Damage;
use crate::http::Http;
use crate::lines::Text;
use crate::progress::Progress;

/// Lines of one command.
const LINES: usize = 50;
/// Most messages in the upstream queue while more are sent. It is enough to keep accept busy while the
/// messages of killed functions are hidden.
const WAITING_MAX: u64 = 200;
/// Time between two looks at the queue, in milliseconds.
const LOOK_MS: u64 = 300;
/// Most requests of HTTP at once.
const CONCURRENCY_MAX: usize = 8;
/// Most tries of lines that may or may not have been sent.
const TRIES_MAX: u32 = 5;

/// Sends all lines, no faster than they are accepted. Returns those that were refused by HTTP, each with its reason.
pub async fn send_all(
    stack: &Stack,
    http: &Http,
    texts: &[Text],
    damage: &Damage,
    progress: &mut Progress,
) -> anyhow::Result<Vec<(String, String)>> {
    let (mut sent, mut refused) = (0, Vec::new());
    for texts in texts.chunks(LINES) {
        while stack.left("upstream").await? > WAITING_MAX {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        let (by_http, by_queue): (Vec<&Text>, Vec<&Text>) = texts.iter().partition(|text| text.by_http);
        send(stack, &by_queue.iter().map(|text| text.text.as_str()).collect::<Vec<_>>())?;
        let requests =
            by_http.into_iter().map(async |text| anyhow::Ok((&text.text, http.send(&text.text).await?)));
        let answers: Vec<_> = stream::iter(requests).buffered(CONCURRENCY_MAX).try_collect().await?;
        refused.extend(answers.into_iter().filter_map(|(text, reason)| Some((text.clone(), reason?))));
        sent += texts.len() as u64;
        progress.show(stack, format_args!("{} sent; {}", grouped(sent), damage.tally())).await?;
    }
    Ok(refused)
}

/// Sends these lines to the queue. Where an answer is lost, some are sent twice, which is harmless.
pub fn send(stack: &Stack, texts: &[&str]) -> anyhow::Result<()> {
    for _ in 0..TRIES_MAX {
        if send_once(stack, texts)? {
            return Ok(());
        }
    }
    bail!("some lines could not be sent in {TRIES_MAX} tries")
}

fn send_once(stack: &Stack, texts: &[&str]) -> anyhow::Result<bool> {
    let mut command = stack.handover(&["send", "--unchecked", "-"])?;
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut sending = command.spawn().context("cannot run handover")?;
    // `take` drops the pipe after the write, which ends the input.
    sending
        .stdin
        .take()
        .context("the command has no standard input")?
        .write_all(texts.join("\n").as_bytes())?;
    let sent = sending.wait_with_output()?;
    eprint!("{}", String::from_utf8_lossy(&sent.stderr));
    Ok(sent.status.success())
}
