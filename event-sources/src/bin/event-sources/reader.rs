//! Reading one shard, record after record, whatever fails on the way.

use std::time::Duration;

use anyhow::{Context, Result};
use event_sources::{Record, backoff};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::stream::{Page, Stream};

/// Where one shard has been read to.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    shard_id: String,
    poll_interval: Duration,
    next_read: Instant,
    iterator: Option<String>,
    /// The sequence number of the last record read: a new iterator begins behind it.
    last_read: Option<String>,
}

impl Reader {
    pub fn new(stream: Stream, shard_id: String, poll_interval: Duration) -> Self {
        Self { stream, shard_id, poll_interval, next_read: Instant::now(), iterator: None, last_read: None }
    }

    /// What follows in the shard, perhaps nothing yet, and whether that was its end. Errors are
    /// logged and the read is tried again, until it succeeds.
    pub async fn read(&mut self) -> (Vec<Record>, bool) {
        sleep_until(self.next_read).await;
        let mut failures = 0;
        let page = loop {
            match self.try_read().await {
                Ok(page) => break page,
                Err(error) => {
                    // Whatever is wrong with the iterator, most often its age, a new one mends.
                    self.iterator = None;
                    failures += 1;
                    let shard = &self.shard_id;
                    warn!(shard, failures, error = format!("{error:#}"), "cannot read");
                    sleep(backoff(failures)).await;
                }
            }
        };
        let pause = match page.records.last() {
            // There may be more at once.
            Some(record) => {
                self.last_read = Some(record.sequence_number().to_owned());
                Duration::ZERO
            }
            None => self.poll_interval,
        };
        self.next_read = Instant::now() + pause;
        let closed = page.next_iterator.is_none();
        self.iterator = page.next_iterator;
        (page.records, closed)
    }

    async fn try_read(&mut self) -> Result<Page> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => {
                let last = self.last_read.as_deref();
                let iterator = self.stream.iterator(&self.shard_id, last).await?;
                iterator.context("the stream gave no iterator")?
            }
        };
        self.stream.records(&self.shard_id, &iterator).await
    }
}
