//! The lines of the input, as they come.

use std::io::{BufRead, BufReader, Read};
use std::thread;

use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;

/// Most bytes of one message, and of one `SendMessageBatch`: the largest `UpstreamMessageBytes`, 4 KiB below SQS's own
/// limit.
pub const MESSAGE_BYTES_MAX: usize = 1_044_480;
/// Most bytes that are read of a line: enough to see that it is too long.
const LINE_BYTES_MAX: u64 = MESSAGE_BYTES_MAX as u64 + 2;
/// Most lines that are read before they are wanted.
const LINES_AHEAD_MAX: usize = 16;

/// A line with its number.
pub type NumberedLine = std::io::Result<(usize, Vec<u8>)>;

/// Reads lines on a thread of its own: a read waits for input as long as it takes, and what came before it is sent
/// meanwhile.
pub fn read(input: Box<dyn Read + Send>) -> impl Stream<Item = NumberedLine> + Unpin {
    let (sender, mut receiver) = mpsc::channel(LINES_AHEAD_MAX);
    // It ends with the input or with the receiver. A read that waits for input does not hold up the end of the program.
    thread::spawn(move || Lines::new(input).try_for_each(|line| sender.blocking_send(line)));
    stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// The lines of the input with their numbers; blank lines are left out.
struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    number: usize,
}

impl Lines {
    fn new(input: Box<dyn Read + Send>) -> Lines {
        Lines { input: BufReader::new(input), number: 0 }
    }

    /// Reads a line without the blanks at its end, or its beginning where it is too long to send: then its size is
    /// not known. `None` at the end of the input.
    fn read_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let is_cut = line.len() as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n');
        if is_cut {
            self.input.skip_until(b'\n')?;
            return Ok(Some(line));
        }
        while line.last().is_some_and(u8::is_ascii_whitespace) {
            line.pop();
        }
        Ok(Some(line))
    }
}

impl Iterator for Lines {
    type Item = NumberedLine;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.number += 1;
            match self.read_line().transpose()? {
                Ok(line) if line.is_empty() => (),
                line => return Some(line.map(|line| (self.number, line))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_is_read() {
        let mut input = vec![b'x'; 3 * MESSAGE_BYTES_MAX];
        input.extend(b"\nshort\n");
        let lines: Vec<_> = Lines::new(Box::new(std::io::Cursor::new(input))).map(Result::unwrap).collect();
        assert_eq!((lines[0].1.len() as u64, &lines[1]), (LINE_BYTES_MAX, &(2, b"short".to_vec())));
    }

    #[test]
    fn a_line_that_is_cut_in_blanks_does_not_look_like_a_short_one() {
        let mut input = b"{}".to_vec();
        input.resize(2 * MESSAGE_BYTES_MAX, b' ');
        input.extend(b"more\n");
        let lines: Vec<_> = Lines::new(Box::new(std::io::Cursor::new(input))).map(Result::unwrap).collect();
        assert_eq!((lines.len(), lines[0].1.len() as u64), (1, LINE_BYTES_MAX));
    }
}
