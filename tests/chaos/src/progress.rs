//! Shows progress: a bar on a terminal, or else a line from time to time.

use std::fmt::Display;
use std::time::{Duration, Instant};

use handover::record::Status;
use indicatif::{ProgressBar, ProgressStyle};
use refunds::stack::Stack;
use refunds::summary::grouped;

/// Shortest time between two counts of the records. A count reads every record.
const LOOK: Duration = Duration::from_secs(3);
/// Time between two lines.
const LINE: Duration = Duration::from_secs(30);

/// The number of notifications that are DONE, of those that are expected to be.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    looked: Option<Instant>,
    printed: Instant,
}

impl Progress {
    /// Expects this number of notifications.
    pub fn new(count: u64) -> Progress {
        let bar = ProgressBar::new(count);
        bar.set_style(ProgressStyle::with_template("{bar:20} {pos} of {len} done; {msg}").expect("valid"));
        Progress { bar, begun: Instant::now(), looked: None, printed: Instant::now() }
    }

    /// Counts the notifications and shows progress, unless it did so just before.
    pub async fn show(&mut self, stack: &Stack, message: impl Display) -> anyhow::Result<()> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        let (_, done) = stack.count(Status::Done).await?;
        self.looked = Some(Instant::now());
        self.set(done, message);
        Ok(())
    }

    /// Shows that this number of notifications is DONE.
    pub fn set(&mut self, done: u64, message: impl Display) {
        self.bar.set_position(done);
        self.bar.set_message(message.to_string());
        if self.bar.is_hidden() && self.printed.elapsed() >= LINE {
            self.printed = Instant::now();
            let (seconds, count) = (self.begun.elapsed().as_secs(), self.bar.length().unwrap_or_default());
            println!("{seconds} s: {} of {} done; {message}", grouped(done), grouped(count));
        }
    }

    /// Hides the bar while this function prints.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
