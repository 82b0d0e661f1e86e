//! `handover send`: sends JSON Lines to the upstream queue in batches, and reports every line that it does not
//! send. Ctrl-C ends it in order: it sends what it has read.

mod batch;
mod lines;
mod queue;

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use futures_util::{Stream, StreamExt};
use indicatif::ProgressBar;

use self::batch::{Batch, Check, NotSent, batches};
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
    let Input { name, input, length } = open(&arguments.file)?;
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
    let progress = progress(length);
    let lines = std::pin::pin!(lines::read(input).take_until(interrupt.wait()));
    let batches = batches(lines, check, &progress);
    let batches = batches.map(|batch| batch.with_context(|| format!("cannot read the rest of {name}")));
    interrupt.run(send_all(&queue, batches, &progress, &interrupt)).await
}

async fn send_all(
    queue: &Queue<'_>,
    batches: impl Stream<Item = anyhow::Result<Batch>>,
    progress: &ProgressBar,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let sent = batches.map(async |batch| queue.send(batch?).await).buffer_unordered(BATCHES_MAX);
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

/// What to send.
struct Input {
    name: String,
    input: Box<dyn Read + Send>,
    /// How many bytes, if that is known.
    length: Option<u64>,
}

fn open(file: &Path) -> anyhow::Result<Input> {
    if file.as_os_str() == "-" {
        return Ok(Input {
            name: "the standard input".into(),
            input: Box::new(std::io::stdin()),
            length: None,
        });
    }
    let name = file.display().to_string();
    let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
    let metadata = opened.metadata().ok();
    let is_folder = metadata.as_ref().is_some_and(Metadata::is_dir);
    anyhow::ensure!(
        !is_folder,
        "cannot read {name}: it is a directory; name a file, or - for standard input"
    );
    Ok(Input { name, input: Box::new(opened), length: metadata.map(|metadata| metadata.len()) })
}

/// A bar over the bytes of a file, or a count for a stream; nothing when stderr is not a terminal.
fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {binary_bytes} of {binary_total_bytes}, {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes}, {msg}"),
    };
    output::progress(bar, template)
}
