//! How far it has come: a bar on a terminal, and elsewhere a line now and then.

use std::fmt::Display;
use std::time::{Duration, Instant};

use handover::record::Status;
use indicatif::{ProgressBar, ProgressStyle};
use refunds::summary::grouped;
use refunds::world::World;

/// How often the stack is asked, at the most: it counts its records one by one.
const LOOK: Duration = Duration::from_secs(3);
/// How often there is a line where there is no bar.
const LINE: Duration = Duration::from_secs(30);

/// The notifications that are DONE, of those that are to be.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    looked: Option<Instant>,
    said: Instant,
}

impl Progress {
    /// Of so many.
    pub fn new(count: u64) -> Progress {
        let bar = ProgressBar::new(count);
        bar.set_style(ProgressStyle::with_template("{bar:20} {pos} of {len} done; {msg}").expect("valid"));
        Progress { bar, begun: Instant::now(), looked: None, said: Instant::now() }
    }

    /// Shows how it stands, unless it just did.
    pub async fn show(&mut self, world: &World, message: impl Display) -> anyhow::Result<()> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        let (_, done) = world.count(Status::Done).await?;
        self.looked = Some(Instant::now());
        self.tell(done, message);
        Ok(())
    }

    /// Shows that so many are done.
    pub fn tell(&mut self, done: u64, message: impl Display) {
        self.bar.set_position(done);
        self.bar.set_message(message.to_string());
        if self.bar.is_hidden() && self.said.elapsed() >= LINE {
            self.said = Instant::now();
            let (seconds, count) = (self.begun.elapsed().as_secs(), self.bar.length().unwrap_or_default());
            println!("{seconds} s: {} of {} done; {message}", grouped(done), grouped(count));
        }
    }

    /// Does what prints, with the bar out of its way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
