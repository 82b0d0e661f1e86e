//! `handover send`: sends JSON Lines to the upstream queue in batches, and reports every line that it does not
//! send. Ctrl-C ends it in order: it sends what it has read.

mod batch;
mod lines;
mod queue;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use futures_util::StreamExt;
use indicatif::ProgressBar;

use self::batch::{Check, NotSent, batches};
use self::queue::Queue;
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output::{self, say, say_error};
use crate::stack::{NoSettings, Stack};

/// Most batches that are sent concurrently.
const BATCHES_MAX: usize = 8;

#[derive(clap::Args)]
pub struct Arguments {
    /// The file, or `-` for standard input.
    file: PathBuf,
    /// Also sends lines that accept will refuse; they go to the upstream's dead-letter queue.
    #[arg(long)]
    unchecked: bool,
}

pub async fn send(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (input, length) = open(&arguments.file)?;
    let queue = Queue::find(stack).await?;
    let routes = match arguments.unchecked {
        true => None,
        false => match stack.routes().await {
            Ok(routes) => Some(routes),
            Err(unread @ (NoSettings::Forbidden(_) | NoSettings::Packaged(_))) => {
                say_error!(
                    "note: the routes cannot be read, so types are not checked before sending ({unread})"
                );
                None
            }
            Err(NoSettings::Error(error)) => return Err(error),
        },
    };
    let check = Check { unchecked: arguments.unchecked, routes };
    let interrupt = Interrupt::default();
    interrupt.run(send_all(&queue, input, check, &progress(length), &interrupt)).await
}

async fn send_all(
    queue: &Queue<'_>,
    input: Box<dyn Read + Send>,
    check: Check,
    progress: &ProgressBar,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let lines = std::pin::pin!(lines::read(input).take_until(interrupt.wait()));
    let batches = batches(lines, check, progress);
    let sent = batches.map(|batch| queue.send(batch)).buffer_unordered(BATCHES_MAX);
    let (mut total_sent, mut total_not_sent, mut last_line) = (0, 0, 0);
    let mut sent = std::pin::pin!(sent);
    while let Some(batch) = sent.next().await {
        let batch = batch?;
        total_sent += batch.sent;
        last_line = batch.last_line.max(last_line);
        for NotSent { number, reason } in batch.not_sent {
            total_not_sent += 1;
            progress.suspend(|| say_error!("line {number}: {reason}"));
        }
    }
    progress.finish_and_clear();
    if interrupt.has_come() {
        match last_line {
            0 => say_error!("no line was sent"),
            _ => say_error!("no line after line {last_line} was sent"),
        }
    }
    say!("{total_sent} sent, {total_not_sent} not sent");
    Ok(match (interrupt.has_come(), total_not_sent) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::FAILURE,
    })
}

fn open(file: &PathBuf) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if file.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let length = opened.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(opened), length))
}

/// A bar over the bytes of a file, or a count for a stream; nothing when stderr is not a terminal.
fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {binary_bytes} of {binary_total_bytes}, {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes}, {msg}"),
    };
    output::progress(bar, template)
}
