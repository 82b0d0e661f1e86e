//! Lines become batches, each checked before it is sent.

use std::fmt;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use handover::{Checked, Code, Refusal, Routes};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::time::timeout;

use super::lines::{MESSAGE_BYTES_MAX, NumberedLine};

/// Most messages of one `SendMessageBatch`.
const BATCH_MAX: usize = 10;
/// How long a batch that is not full waits for one more line.
const NEXT_LINE_WITHIN: Duration = Duration::from_millis(20);

/// A line to send.
pub struct Line {
    pub number: usize,
    pub text: String,
}

/// A line that was not sent, and why.
#[derive(Serialize)]
pub struct NotSent {
    #[serde(rename = "line")]
    pub number: usize,
    #[serde(flatten)]
    pub reason: Reason,
}

/// Why a line is not sent.
#[derive(Debug, PartialEq, Serialize)]
pub struct Reason {
    /// That of the refusal, `too-large`, or `sqs` where SQS did not take it.
    pub code: Code,
    #[serde(rename = "reason")]
    pub text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}: {}", self.code, self.text)
    }
}

/// The check of a line before it is sent.
pub struct Check {
    pub unchecked: bool,
    pub routes: Option<Routes>,
}

impl Check {
    /// Returns the text of a line, or why it is not sent. What SQS cannot carry is not sent even unchecked.
    fn line(&self, bytes: Vec<u8>) -> Result<String, Reason> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(too_large());
        }
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
        let text = String::from_utf8(bytes)
            .map_err(|error| reason(&Refusal::NotUtf8 { at: error.utf8_error().valid_up_to() }))?;
        if self.unchecked { Ok(text) } else { Ok(escaped(text)) }
    }
}

/// The line was not read to its end, so that its size is not known.
fn too_large() -> Reason {
    let text = format!(
        "it takes more than {MESSAGE_BYTES_MAX} bytes; store the data elsewhere and send a reference"
    );
    Reason { code: Code::TooLarge, text }
}

/// An event with JSON escapes for the characters that SQS does not take, and JSON does: those can only be inside a
/// string there.
fn escaped(event: String) -> String {
    match event.contains(['\u{fffe}', '\u{ffff}']) {
        true => event.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff"),
        false => event,
    }
}

/// A refusal in the words of a file, which has a message on each line.
fn reason(refusal: &Refusal) -> Reason {
    let text = refusal.to_string();
    let text = match refusal {
        Refusal::MalformedJson { .. } => text.replacen("line 1, column", "column", 1),
        _ => text,
    };
    let text = text
        .replace("send one JSON object per message", "write each message on one line, as one JSON object");
    Reason { code: refusal.code(), text }
}

/// The lines of one request, and the lines before its end that are not sent.
#[derive(Default)]
pub struct Batch {
    pub lines: Vec<Line>,
    pub not_sent: Vec<NotSent>,
    /// The number of the last line in it.
    pub last_line: usize,
}

/// Groups lines into batches. A batch ends when it is full, or when no further line is there.
pub fn batches(
    lines: impl Stream<Item = NumberedLine> + Unpin,
    check: Check,
    progress: &ProgressBar,
) -> impl Stream<Item = std::io::Result<Batch>> {
    let batches = Batches { lines, check, next: None, unread: None, progress };
    stream::unfold(batches, |mut batches| async { Some((batches.next().await?, batches)) })
}

struct Batches<'a, L> {
    lines: L,
    check: Check,
    /// A line that did not fit into the previous batch.
    next: Option<Line>,
    /// Why the input cannot be read on after the previous batch.
    unread: Option<std::io::Error>,
    progress: &'a ProgressBar,
}

impl<L: Stream<Item = NumberedLine> + Unpin> Batches<'_, L> {
    async fn next(&mut self) -> Option<std::io::Result<Batch>> {
        if let Some(error) = self.unread.take() {
            return Some(Err(error));
        }
        let mut batch = Batch::default();
        let mut bytes = 0;
        if let Some(line) = self.next.take() {
            bytes += line.text.len();
            batch.last_line = line.number;
            batch.lines.push(line);
        }
        while batch.lines.len() < BATCH_MAX {
            let line = match batch.last_line {
                0 => self.lines.next().await,
                _ => timeout(NEXT_LINE_WITHIN, self.lines.next()).await.unwrap_or_default(),
            };
            let (number, line) = match line {
                None => break,
                Some(Err(error)) if batch.last_line == 0 => return Some(Err(error)),
                Some(Err(error)) => {
                    self.unread = Some(error);
                    break;
                }
                Some(Ok(line)) => line,
            };
            self.progress.inc(line.len() as u64 + 1);
            self.progress.set_message(format!("line {number}"));
            match self.check.line(line) {
                Ok(text) if bytes + text.len() > MESSAGE_BYTES_MAX => {
                    self.next = Some(Line { number, text });
                    break;
                }
                Ok(text) => {
                    bytes += text.len();
                    batch.lines.push(Line { number, text });
                }
                Err(reason) => batch.not_sent.push(NotSent { number, reason }),
            }
            batch.last_line = number;
        }
        (batch.last_line > 0).then_some(Ok(batch))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::send::lines;

    fn check(unchecked: bool) -> Check {
        let routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        Check { unchecked, routes: Some(routes) }
    }

    async fn batches_of(input: &[u8], unchecked: bool) -> Vec<Batch> {
        let lines = lines::read(Box::new(std::io::Cursor::new(input.to_vec())));
        batches(lines, check(unchecked), &ProgressBar::hidden()).map(Result::unwrap).collect().await
    }

    fn event(id: usize) -> String {
        format!(r#"{{"specversion":"1.0","id":"{id}","type":"t","kind":"event","source":"s","data":0}}"#)
    }

    #[tokio::test]
    async fn lines_are_sent_in_batches_of_ten_and_blank_lines_are_skipped() {
        let input: String = (0..23).map(|id| format!("{}\r\n\n", event(id))).collect();
        let batches = batches_of(input.as_bytes(), false).await;
        let sizes: Vec<_> = batches.iter().map(|batch| batch.lines.len()).collect();
        assert_eq!(sizes, [10, 10, 3]);
        assert_eq!(batches[2].lines[2].number, 45);
        assert_eq!(batches[0].lines[1].text, event(1));
    }

    #[tokio::test]
    async fn a_batch_stays_below_the_byte_limit_of_a_request() {
        let line = "x".repeat(400 * 1024);
        let sizes: Vec<_> = batches_of(format!("{line}\n{line}\n{line}\n").as_bytes(), true)
            .await
            .iter()
            .map(|batch| batch.lines.len())
            .collect();
        assert_eq!(sizes, [2, 1]);
    }

    #[tokio::test]
    async fn each_invalid_line_is_reported_with_its_reason_and_the_others_are_sent() {
        let mut input =
            format!("{}\nnot json\n{}\n", event(1), event(2).replace("\"t\"", "\"u\"")).into_bytes();
        input.extend(b"{\"id\":\"\xff\"}\n");
        input.extend(event(3).bytes());
        let batches = batches_of(&input, false).await;
        let reasons: Vec<_> =
            batches[0].not_sent.iter().map(|line| (line.number, line.reason.to_string())).collect();
        assert_eq!(batches[0].lines.len(), 2);
        assert!(matches!(
            &reasons[..],
            [(2, first), (3, second), (4, third)]
                if first.starts_with("malformed-json: column 2")
                    && second.starts_with("unknown-type:")
                    && third.starts_with("not-utf8: byte 7")
        ));
    }

    #[tokio::test]
    async fn unchecked_sends_every_line_that_sqs_can_carry() {
        let mut input = b"not json\n\xff\n".to_vec();
        input.extend(vec![b'x'; MESSAGE_BYTES_MAX + 1]);
        let batches = batches_of(&input, true).await;
        assert_eq!(batches[0].lines.len(), 1);
        let reasons: Vec<_> = batches[0].not_sent.iter().map(|line| line.reason.code).collect();
        assert_eq!(reasons, [Code::NotUtf8, Code::TooLarge]);
    }

    #[tokio::test]
    async fn a_line_that_is_not_read_to_its_end_has_no_size() {
        for unchecked in [false, true] {
            let batches = batches_of(&vec![b'x'; 3 * MESSAGE_BYTES_MAX], unchecked).await;
            let reason = batches[0].not_sent[0].reason.to_string();
            assert!(reason.starts_with("too-large: it takes more than 1044480 bytes; "), "{reason}");
        }
    }

    #[tokio::test]
    async fn an_event_is_sent_in_characters_that_sqs_takes() {
        let event = |data: &str| event(1).replace(r#""data":0"#, &format!(r#""data":"{data}""#));
        let odd = event("\u{ffff} \\\\\u{fffe} \u{1ffff}");
        let batches = batches_of(odd.as_bytes(), false).await;
        let sent = &batches[0].lines[0].text;
        assert_eq!(*sent, event("\\uffff \\\\\\ufffe \u{1ffff}"));
        let [read, given] =
            [sent, &odd].map(|event| serde_json::from_str::<serde_json::Value>(event).unwrap());
        assert_eq!(read, given);
        // What is not checked may be no JSON.
        assert_eq!(batches_of(odd.as_bytes(), true).await[0].lines[0].text, odd);
    }

    #[tokio::test]
    async fn lines_that_were_read_before_the_input_failed_are_a_batch() {
        let lines = [Ok((1, event(1).into_bytes())), Err(std::io::Error::other("gone"))];
        let progress = ProgressBar::hidden();
        let mut batches = std::pin::pin!(batches(stream::iter(lines), check(false), &progress));
        assert_eq!(batches.next().await.unwrap().unwrap().lines.len(), 1);
        assert_eq!(batches.next().await.unwrap().err().unwrap().to_string(), "gone");
        assert!(batches.next().await.is_none());
    }

    #[tokio::test]
    async fn a_line_does_not_wait_for_the_next_one() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let progress = ProgressBar::hidden();
        let mut batches = std::pin::pin!(batches(lines::read(Box::new(reader)), check(false), &progress));
        for id in 0..2 {
            writeln!(writer, "{}", event(id)).unwrap();
            let batch = batches.next().await.unwrap().unwrap();
            assert_eq!((batch.lines.len(), batch.last_line), (1, id + 1));
        }
        drop(writer);
        assert!(batches.next().await.is_none());
    }
}
