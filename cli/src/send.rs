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
use serde::Serialize;
use tokio::sync::Notify;

use self::batch::{Batch, Check, NotSent, batches};
use self::queue::{BatchSent, Queue, Stopped};
use crate::interrupt::{Interrupt, exit_code};
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
    /// Prints JSON: how many were sent, and each line that was not.
    #[arg(long)]
    json: bool,
}

/// What came of the lines, as JSON.
#[derive(Default, Serialize)]
struct View {
    sent: usize,
    not_sent: Vec<NotSent>,
    /// Where it stopped: this line and later ones may or may not have been sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at: Option<usize>,
    /// Where it ended before the end of the input, though no request failed: no line after this one was sent, and 0 is
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_line: Option<usize>,
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
    let send = async |batch| queue.send(batch).await;
    interrupt.run(send_all(send, batches, &progress, &interrupt, arguments.json)).await
}

/// Sends the batches, several concurrently. After a fault it takes no further one, and ends those that are under way.
async fn send_all(
    send: impl AsyncFn(Batch) -> BatchSent,
    batches: impl Stream<Item = anyhow::Result<Batch>>,
    progress: &ProgressBar,
    interrupt: &Interrupt,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let stop = Notify::new();
    let batches = batches.take_until(stop.notified());
    let sent = batches.map(async |batch| Ok::<_, anyhow::Error>(send(batch?).await));
    let mut sent = std::pin::pin!(sent.buffer_unordered(BATCHES_MAX));
    let (mut view, mut total_not_sent, mut last_line) = (View::default(), 0, 0);
    let (mut stopped, mut unread): (Option<Stopped>, _) = (None, None);
    while let Some(batch) = sent.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                stop.notify_one();
                unread = Some(error);
                continue;
            }
        };
        view.sent += batch.sent;
        last_line = batch.last_line.max(last_line);
        for NotSent { number, reason } in &batch.not_sent {
            total_not_sent += 1;
            progress.suspend(|| say_error!("line {number}: {reason}"));
        }
        // The input may have no end, so that only what is asked for is kept.
        view.not_sent.extend(batch.not_sent.into_iter().filter(|_| json));
        if batch.stopped.is_some() {
            stop.notify_one();
        }
        stopped = stopped.into_iter().chain(batch.stopped).min_by_key(|stopped| stopped.line);
    }
    progress.finish_and_clear();
    let ended_early = stopped.is_none() && (unread.is_some() || interrupt.has_come());
    view.last_line = ended_early.then_some(last_line);
    match view.last_line {
        None => (),
        Some(0) => say_error!("no line was sent"),
        Some(line) => say_error!("no line after line {line} was sent"),
    }
    view.not_sent.sort_by_key(|not_sent| not_sent.number);
    view.stopped_at = stopped.as_ref().map(|stopped| stopped.line);
    match json {
        true => output::json(&view)?,
        false => say!("{} sent, {total_not_sent} not sent", view.sent),
    }
    stopped.map(not_sent_from).or(unread).map_or(Ok(exit_code(total_not_sent == 0)), Err)
}

fn not_sent_from(Stopped { line, error }: Stopped) -> anyhow::Error {
    error.context(format!(
        "stopped at line {line}; this line and later ones may or may not have been sent; it is safe to send them again"
    ))
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use anyhow::anyhow;
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    /// Batches of ten lines each.
    fn batches(count: usize) -> impl Stream<Item = anyhow::Result<Batch>> {
        let batch = |number: usize| Ok(Batch { last_line: 10 * number, ..Batch::default() });
        stream::iter((1..=count).map(batch))
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_fault_what_is_under_way_ends_and_the_first_line_that_is_not_sent_is_named() {
        let (taken, ended) = (Cell::new(0), Cell::new(0));
        let send = async |Batch { last_line, .. }| {
            taken.set(taken.get() + 1);
            // The third batch fails at once, the second one later; the first one takes longest.
            let takes = match last_line {
                30 => 0,
                20 => 1,
                _ => 2,
            };
            sleep(Duration::from_secs(takes)).await;
            ended.set(ended.get() + 1);
            let fails = [20, 30].contains(&last_line);
            let stopped = fails.then(|| Stopped { line: last_line - 9, error: anyhow!("denied") });
            BatchSent { sent: if fails { 0 } else { 10 }, not_sent: vec![], last_line, stopped }
        };
        let sent = send_all(send, batches(100), &ProgressBar::hidden(), &Interrupt::default(), false).await;
        let error = format!("{:#}", sent.unwrap_err());
        assert!(error.starts_with("stopped at line 11; ") && error.ends_with(": denied"), "{error}");
        assert_eq!((taken.get(), ended.get()), (BATCHES_MAX, BATCHES_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn batches_that_are_under_way_when_the_input_fails_are_sent() {
        let ended = Cell::new(0);
        let send = async |Batch { last_line, .. }| {
            sleep(Duration::from_secs(1)).await;
            ended.set(ended.get() + 1);
            BatchSent { sent: 10, not_sent: vec![], last_line, stopped: None }
        };
        let input = batches(3).chain(stream::once(async { Err(anyhow!("cannot read the rest of it")) }));
        let sent = send_all(send, input, &ProgressBar::hidden(), &Interrupt::default(), false).await;
        assert_eq!(sent.unwrap_err().to_string(), "cannot read the rest of it");
        assert_eq!(ended.get(), 3);
    }
}
