//! Reads one shard in order, and retries until each read succeeds.

use std::time::Duration;

use anyhow::Result;
use event_sources::{Input, backoff};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::stream::{Page, Stream};

/// How far one shard has been read.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    shard_id: String,
    poll_interval: Duration,
    next_read: Instant,
    iterator: Option<String>,
    /// The sequence number of the last record read, after which a new iterator starts.
    last_read: Option<String>,
}

impl Reader {
    pub fn new(stream: Stream, shard_id: String, poll_interval: Duration) -> Self {
        Self { stream, shard_id, poll_interval, next_read: Instant::now(), iterator: None, last_read: None }
    }

    /// Reads the records that follow, as [`Input::Fetched`]. There may be none yet.
    pub async fn read(&mut self) -> Input {
        sleep_until(self.next_read).await;
        let page = self.read_page().await;
        let pause = match page.records.last() {
            // More may follow at once.
            Some(record) => {
                self.last_read = Some(record.sequence_number().to_owned());
                Duration::ZERO
            }
            None => self.poll_interval,
        };
        self.next_read = Instant::now() + pause;
        let closed = page.next_iterator.is_none();
        self.iterator = page.next_iterator;
        Input::Fetched { records: page.records, closed }
    }

    async fn read_page(&mut self) -> Page {
        let mut failures = 0;
        loop {
            match self.try_read_page().await {
                Ok(page) => return page,
                Err(error) => {
                    // The iterator may have expired, or be invalid for another reason.
                    self.iterator = None;
                    failures += 1;
                    let shard = &self.shard_id;
                    warn!(shard, failures, error = format!("{error:#}"), "cannot read the shard");
                    sleep(backoff(failures)).await;
                }
            }
        }
    }

    async fn try_read_page(&mut self) -> Result<Page> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.stream.iterator(&self.shard_id, self.last_read.as_deref()).await?,
        };
        self.stream.page(&self.shard_id, &iterator).await
    }
}
