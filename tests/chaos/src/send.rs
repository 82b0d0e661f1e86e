//! Sends lines to the upstream queue with the command `handover`.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use refunds::stack::Stack;
use refunds::summary::grouped;

use crate::damage::Damage;
use crate::progress::Progress;

/// Lines of one command.
const LINES: usize = 50;
/// Most messages in the upstream queue while more are sent. It is enough to keep accept busy while the
/// messages of killed functions are hidden.
const WAITING_MAX: u64 = 200;
/// Time between two looks at the queue, in milliseconds.
const LOOK_MS: u64 = 300;
/// Most tries of lines that may or may not have been sent.
const TRIES_MAX: u32 = 5;

/// Sends all lines, no faster than they are accepted.
pub async fn send_all(
    stack: &Stack,
    texts: &[String],
    damage: &Damage,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut sent = 0;
    for texts in texts.chunks(LINES) {
        while stack.left("upstream").await? > WAITING_MAX {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        send(stack, texts)?;
        sent += texts.len() as u64;
        progress.show(stack, format_args!("{} sent; {}", grouped(sent), damage.tally())).await?;
    }
    Ok(())
}

/// Sends these lines. Where an answer is lost, some are sent twice, which is harmless.
pub fn send(stack: &Stack, texts: &[String]) -> anyhow::Result<()> {
    for _ in 0..TRIES_MAX {
        if send_once(stack, texts)? {
            return Ok(());
        }
    }
    bail!("some lines could not be sent in {TRIES_MAX} tries")
}

fn send_once(stack: &Stack, texts: &[String]) -> anyhow::Result<bool> {
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
