//! `handover send`: sends JSON Lines to the upstream queue in batches, and reports every line that it does not
//! send.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::{StreamExt, stream};
use handover::{Checked, Fault, Refusal, Routes};
use indicatif::{ProgressBar, ProgressStyle};

use crate::aws::{NoSettings, connect, explained, routes};
use crate::output::{say, say_error};

/// Most messages of one `SendMessageBatch`.
const BATCH_MAX: usize = 10;
/// Most bytes of one `SendMessageBatch`, and of one message: the upstream queue's `MaximumMessageSize`, 4 KiB
/// below SQS's own limit.
const BATCH_BYTES_MAX: usize = 1_044_480;
/// Most bytes that are read of a line: enough to see that it is too long.
const LINE_BYTES_MAX: u64 = BATCH_BYTES_MAX as u64 + 2;
/// Most batches that are sent concurrently.
const BATCHES_MAX: usize = 8;
/// Most tries of a line that SQS refused through no fault of the line.
const TRIES_MAX: u32 = 8;
/// The pause before such a line is sent again, in milliseconds; it doubles with each try.
const PAUSE_MS: u64 = 100;

#[derive(clap::Args)]
pub struct Arguments {
    /// The file, or `-` for standard input.
    file: PathBuf,
    /// Also sends lines that accept will refuse; they go to the upstream's dead-letter queue.
    #[arg(long)]
    unchecked: bool,
}

/// A line to send.
struct Line {
    number: usize,
    text: String,
}

/// Why a line was not sent.
struct NotSent {
    number: usize,
    reason: String,
}

pub async fn send(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (input, length) = open(&arguments.file)?;
    let aws = connect().await?;
    let queue = Queue::find(&aws, stack).await?;
    let routes = match arguments.unchecked {
        true => None,
        false => match routes(&aws, stack).await {
            Ok(routes) => Some(routes),
            Err(NoSettings::Forbidden(fault)) => {
                say_error!(
                    "note: the routes cannot be read, so types are not checked before sending ({fault})"
                );
                None
            }
            Err(NoSettings::Error(error)) => return Err(error),
        },
    };
    let check = Check { unchecked: arguments.unchecked, routes };

    let progress = progress(length);
    let batches = stream::iter(Batches { lines: Lines::new(input), check, next: None, progress: &progress });
    let sent = batches.map(|batch| queue.send(batch)).buffer_unordered(BATCHES_MAX);
    let mut total = Sent::default();
    let mut sent = std::pin::pin!(sent);
    while let Some(batch) = sent.next().await {
        let batch = batch?;
        total.sent += batch.sent;
        for NotSent { number, reason } in batch.not_sent {
            total.refused += 1;
            progress.suspend(|| say_error!("line {number}: {reason}"));
        }
    }
    progress.finish_and_clear();
    say!("{} sent, {} not sent", total.sent, total.refused);
    Ok(if total.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Sent {
    sent: usize,
    refused: usize,
}

fn open(file: &PathBuf) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if file.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let length = opened.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(opened), length))
}

/// A bar over the bytes of a file, or a count for a stream; nothing when stderr is not a terminal.
fn progress(length: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {binary_bytes} of {binary_total_bytes}, {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes}, {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is valid"))
}

/// The check of a line before it is sent.
struct Check {
    unchecked: bool,
    routes: Option<Routes>,
}

impl Check {
    /// Returns the text of a line, or why it is not sent. What SQS cannot carry is not sent even unchecked.
    fn line(&self, bytes: Vec<u8>) -> Result<String, String> {
        if !self.unchecked {
            let checked = match &self.routes {
                Some(routes) => routes.decode(&bytes).and_then(|it| routes.of(&it).map(|_| ())),
                None => Checked::decode(&bytes).map(|_| ()),
            };
            match checked {
                // A route may say it.
                Err(Refusal::Missing { field: "kind" }) => (),
                checked => checked.map_err(|refusal| reason(&refusal))?,
            }
        }
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(reason(&Refusal::TooLarge { bytes: bytes.len(), max: BATCH_BYTES_MAX }));
        }
        String::from_utf8(bytes)
            .map_err(|error| reason(&Refusal::NotUtf8 { at: error.utf8_error().valid_up_to() }))
    }
}

fn reason(refusal: &Refusal) -> String {
    format!("{}: {refusal}", refusal.code())
}

/// The lines of the input with their numbers; blank lines are left out.
struct Lines {
    input: BufReader<Box<dyn Read>>,
    number: usize,
}

impl Lines {
    fn new(input: Box<dyn Read>) -> Lines {
        Lines { input: BufReader::new(input), number: 0 }
    }

    /// Skips the rest of a line that is too long to send.
    fn skip_rest_of(&mut self, line: &[u8]) -> std::io::Result<()> {
        let is_cut = line.len() as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n');
        match is_cut {
            true => self.input.skip_until(b'\n').map(drop),
            false => Ok(()),
        }
    }
}

impl Iterator for Lines {
    type Item = std::io::Result<(usize, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            match self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {
                    if let Err(error) = self.skip_rest_of(&line) {
                        return Some(Err(error));
                    }
                    while line.last().is_some_and(u8::is_ascii_whitespace) {
                        line.pop();
                    }
                    if !line.is_empty() {
                        return Some(Ok((self.number, line)));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The lines of one request, and the lines before its end that are not sent.
#[derive(Default)]
struct Batch {
    lines: Vec<Line>,
    not_sent: Vec<NotSent>,
}

/// Groups lines into batches.
struct Batches<'a> {
    lines: Lines,
    check: Check,
    /// A line that did not fit into the previous batch.
    next: Option<Line>,
    progress: &'a ProgressBar,
}

impl Iterator for Batches<'_> {
    type Item = std::io::Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        if let Some(line) = self.next.take() {
            bytes += line.text.len();
            batch.lines.push(line);
        }
        while batch.lines.len() < BATCH_MAX {
            let (number, line) = match self.lines.next() {
                None => break,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(line)) => line,
            };
            self.progress.inc(line.len() as u64 + 1);
            self.progress.set_message(format!("line {number}"));
            match self.check.line(line) {
                Err(reason) => batch.not_sent.push(NotSent { number, reason }),
                Ok(text) if bytes + text.len() > BATCH_BYTES_MAX => {
                    self.next = Some(Line { number, text });
                    break;
                }
                Ok(text) => {
                    bytes += text.len();
                    batch.lines.push(Line { number, text });
                }
            }
        }
        (!batch.lines.is_empty() || !batch.not_sent.is_empty()).then_some(Ok(batch))
    }
}

/// The outcome of a batch.
struct BatchSent {
    sent: usize,
    not_sent: Vec<NotSent>,
}

/// The upstream queue.
struct Queue<'a> {
    client: aws_sdk_sqs::Client,
    url: String,
    stack: &'a str,
    aws: &'a SdkConfig,
}

impl<'a> Queue<'a> {
    async fn find(aws: &'a SdkConfig, stack: &'a str) -> anyhow::Result<Queue<'a>> {
        let client = aws_sdk_sqs::Client::new(aws);
        let found = client.get_queue_url().queue_name(format!("{stack}-upstream")).send().await;
        let found = found.map_err(|error| explained(Fault::from_sdk("GetQueueUrl", &error), stack, aws))?;
        let url = found.queue_url.context("SQS named no URL for the upstream queue")?;
        Ok(Queue { client, url, stack, aws })
    }

    /// Sends a batch, and retries the lines that SQS refused, until every line is sent or given up.
    async fn send(&self, batch: std::io::Result<Batch>) -> anyhow::Result<BatchSent> {
        let Batch { mut lines, mut not_sent } = batch.context("cannot read the rest of the input")?;
        let (count, invalid) = (lines.len(), not_sent.len());
        for tries in 1.. {
            if lines.is_empty() {
                break;
            }
            let failures = self.send_once(&lines).await?;
            let (again, refused) = sort_out(lines, &failures, tries == TRIES_MAX);
            not_sent.extend(refused);
            lines = again;
            if !lines.is_empty() {
                tokio::time::sleep(Duration::from_millis(PAUSE_MS << tries.min(6))).await;
            }
        }
        Ok(BatchSent { sent: count - (not_sent.len() - invalid), not_sent })
    }

    async fn send_once(&self, lines: &[Line]) -> anyhow::Result<HashMap<usize, EntryFailure>> {
        let entries = lines.iter().enumerate().map(|(at, line)| {
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(&line.text);
            entry.build().expect("id and body are set")
        });
        let call = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        let sent = call.send().await.map_err(|error| {
            let first = lines.first().map_or(0, |line| line.number);
            let fault = Fault::from_sdk("SendMessageBatch", &error);
            explained(fault, self.stack, self.aws).context(format!(
                "stopped at line {first}; this line and later ones may or may not have been sent; it is safe to send them again"
            ))
        })?;
        let failure = |entry: &aws_sdk_sqs::types::BatchResultErrorEntry| {
            let failure =
                EntryFailure { is_sender_fault: entry.sender_fault(), code: entry.code().to_owned() };
            Some((entry.id().parse().ok()?, failure))
        };
        Ok(sent.failed().iter().filter_map(failure).collect())
    }
}

/// Why SQS refused an entry.
struct EntryFailure {
    /// The message itself is at fault and would be refused again.
    is_sender_fault: bool,
    code: String,
}

/// Splits the lines of a request into those to send again and those to give up; the others are sent.
fn sort_out(
    lines: Vec<Line>,
    failures: &HashMap<usize, EntryFailure>,
    is_last_try: bool,
) -> (Vec<Line>, Vec<NotSent>) {
    let (mut again, mut not_sent) = (Vec::new(), Vec::new());
    for (at, line) in lines.into_iter().enumerate() {
        match failures.get(&at) {
            None => (),
            Some(failure) if failure.is_sender_fault || is_last_try => {
                not_sent.push(NotSent { number: line.number, reason: format!("sqs: {}", failure.code) });
            }
            Some(_) => again.push(line),
        }
    }
    (again, not_sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(input: &[u8], unchecked: bool) -> Vec<Batch> {
        let input: Box<dyn Read> = Box::new(std::io::Cursor::new(input.to_vec()));
        let routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        let check = Check { unchecked, routes: Some(routes) };
        let progress = ProgressBar::hidden();
        let batches = Batches { lines: Lines::new(input), check, next: None, progress: &progress };
        batches.map(Result::unwrap).collect()
    }

    fn event(id: usize) -> String {
        format!(r#"{{"specversion":"1.0","id":"{id}","type":"t","kind":"event","source":"s","data":0}}"#)
    }

    #[test]
    fn lines_are_sent_in_batches_of_ten_and_blank_lines_are_skipped() {
        let input: String = (0..23).map(|id| format!("{}\r\n\n", event(id))).collect();
        let batches = batches(input.as_bytes(), false);
        let sizes: Vec<_> = batches.iter().map(|batch| batch.lines.len()).collect();
        assert_eq!(sizes, [10, 10, 3]);
        assert_eq!(batches[2].lines[2].number, 45);
        assert_eq!(batches[0].lines[1].text, event(1));
    }

    #[test]
    fn a_batch_stays_below_the_byte_limit_of_a_request() {
        let line = "x".repeat(400 * 1024);
        let sizes: Vec<_> = batches(format!("{line}\n{line}\n{line}\n").as_bytes(), true)
            .iter()
            .map(|batch| batch.lines.len())
            .collect();
        assert_eq!(sizes, [2, 1]);
    }

    #[test]
    fn each_invalid_line_is_reported_with_its_reason_and_the_others_are_sent() {
        let mut input =
            format!("{}\nnot json\n{}\n", event(1), event(2).replace("\"t\"", "\"u\"")).into_bytes();
        input.extend(b"{\"id\":\"\xff\"}\n");
        input.extend(event(3).bytes());
        let batches = batches(&input, false);
        let reasons: Vec<_> =
            batches[0].not_sent.iter().map(|line| (line.number, line.reason.as_str())).collect();
        assert_eq!(batches[0].lines.len(), 2);
        assert!(matches!(
            reasons[..],
            [(2, first), (3, second), (4, third)]
                if first.starts_with("malformed-json: line 1, column 2")
                    && second.starts_with("unknown-type:")
                    && third.starts_with("not-utf8: byte 7")
        ));
    }

    #[test]
    fn a_line_that_sqs_refused_is_sent_again_unless_the_line_is_at_fault() {
        let lines = || (1..=3).map(|number| Line { number, text: String::new() }).collect();
        let failure = |is_sender_fault| EntryFailure { is_sender_fault, code: "code".into() };
        let failures = HashMap::from([(0, failure(false)), (2, failure(true))]);
        let numbers = |is_last_try| {
            let (again, not_sent) = sort_out(lines(), &failures, is_last_try);
            let again: Vec<_> = again.iter().map(|line| line.number).collect();
            (again, not_sent.iter().map(|line| line.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(false), (vec![1], vec![3]));
        assert_eq!(numbers(true), (vec![], vec![1, 3]));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_is_read() {
        let mut input = vec![b'x'; 3 * BATCH_BYTES_MAX];
        input.extend(b"\nshort\n");
        let lines: Vec<_> = Lines::new(Box::new(std::io::Cursor::new(input))).map(Result::unwrap).collect();
        assert_eq!((lines[0].1.len() as u64, &lines[1]), (LINE_BYTES_MAX, &(2, b"short".to_vec())));
    }

    #[test]
    fn unchecked_sends_every_line_that_sqs_can_carry() {
        let mut input = b"not json\n\xff\n".to_vec();
        input.extend(vec![b'x'; BATCH_BYTES_MAX + 1]);
        let batches = batches(&input, true);
        assert_eq!(batches[0].lines.len(), 1);
        let reasons: Vec<_> =
            batches[0].not_sent.iter().map(|line| line.reason.split(':').next().unwrap()).collect();
        assert_eq!(reasons, ["not-utf8", "too-large"]);
    }
}
