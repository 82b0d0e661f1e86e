//! The upstream queue, and what becomes of a batch that is sent to it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use handover::{Code, Fault};

use super::batch::{Batch, Line, NotSent, Reason};
use crate::stack::Stack;

/// Most tries of a line that SQS refused through no fault of the line.
const TRIES_MAX: u32 = 8;
/// The pause before such a line is sent again, in milliseconds; it doubles with each try.
const PAUSE_MS: u64 = 100;

/// The outcome of a batch.
pub struct BatchSent {
    pub sent: usize,
    pub not_sent: Vec<NotSent>,
    /// The number of its last line.
    pub last_line: usize,
    /// Why nothing follows it.
    pub stopped: Option<Stopped>,
}

/// A request that failed as a whole.
pub struct Stopped {
    /// The first line that may not have been sent.
    pub line: usize,
    pub error: anyhow::Error,
}

/// The upstream queue.
pub struct Queue<'a> {
    client: aws_sdk_sqs::Client,
    url: String,
    stack: &'a Stack,
}

impl<'a> Queue<'a> {
    pub async fn find(stack: &'a Stack) -> anyhow::Result<Queue<'a>> {
        let client = aws_sdk_sqs::Client::new(stack.aws());
        let found = client.get_queue_url().queue_name(format!("{}-upstream", stack.name())).send().await;
        let found = found.map_err(|error| stack.explained(Fault::from_sdk("GetQueueUrl", &error)))?;
        let url = found.queue_url.context("SQS named no URL for the upstream queue")?;
        Ok(Queue { client, url, stack })
    }

    /// Sends a batch, and retries the lines that SQS refused, until every line is sent or given up, or a request fails.
    pub async fn send(&self, batch: Batch) -> BatchSent {
        let Batch { mut lines, mut not_sent, last_line } = batch;
        let (count, invalid) = (lines.len(), not_sent.len());
        let mut stopped = None;
        for tries in 1.. {
            let Some(first) = lines.first() else { break };
            let failures = match self.send_once(&lines).await {
                Ok(failures) => failures,
                Err(fault) => {
                    stopped = Some(Stopped { line: first.number, error: self.stack.explained(fault) });
                    break;
                }
            };
            let (again, refused) = sort_out(lines, &failures, tries == TRIES_MAX);
            not_sent.extend(refused);
            lines = again;
            if !lines.is_empty() {
                tokio::time::sleep(Duration::from_millis(PAUSE_MS << tries.min(6))).await;
            }
        }
        let sent = count - lines.len() - (not_sent.len() - invalid);
        BatchSent { sent, not_sent, last_line, stopped }
    }

    async fn send_once(&self, lines: &[Line]) -> Result<HashMap<usize, EntryFailure>, Fault> {
        let entries = lines.iter().enumerate().map(|(at, line)| {
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(&line.text);
            entry.build().expect("id and body are set")
        });
        let call = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        let sent = call.send().await.map_err(|error| Fault::from_sdk("SendMessageBatch", &error))?;
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
                not_sent.push(NotSent { number: line.number, reason: reason(failure, &line.text) });
            }
            Some(_) => again.push(line),
        }
    }
    (again, not_sent)
}

/// SQS's own text is not shown: it may quote the message.
fn reason(failure: &EntryFailure, text: &str) -> Reason {
    let code = failure.code.as_str();
    let text = match code.trim_end_matches("Exception") {
        // A queue refuses so what is over its limit.
        "InvalidParameterValue" => format!(
            "{code}; the line takes {} bytes, and the stack's parameter UpstreamMessageBytes is the most that its queue takes",
            text.len()
        ),
        "InvalidMessageContents" => format!(
            "{code}; the line has a character that SQS does not take (a control character, U+FFFE or U+FFFF); write it as a JSON escape"
        ),
        _ => code.to_owned(),
    };
    Reason { code: Code::Sqs, text }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_reason_says_what_to_do() {
        let reason = |code: &str| {
            reason(&EntryFailure { is_sender_fault: true, code: code.into() }, "text").to_string()
        };
        for (code, advice) in [
            ("InvalidParameterValue", "UpstreamMessageBytes"),
            ("InvalidMessageContents", "write it as a JSON escape"),
        ] {
            assert!(reason(code).contains(advice), "{}", reason(code));
        }
        assert_eq!(reason("InternalError"), "sqs: InternalError");
    }
}
