//! One of the concurrent batches of a shard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::answer::{Answer, succeeded};
use crate::batch::{Gathered, Item, gather};
use crate::retry::after_failure;
use crate::settings::Settings;

/// The records of some of the shard's ordering keys. A lane has at most one batch at a time,
/// and takes the next one when all of it has succeeded: so the order of a key is kept.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    waiting: VecDeque<Item>,
    /// Since when records are gathered for the next batch.
    window_began: Duration,
    current: Option<Current>,
}

/// A batch that was begun, less the records of it that have succeeded.
#[derive(Debug)]
struct Current {
    items: Vec<Item>,
    failures: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    InFlight,
    RetryAt(Duration),
}

impl Current {
    fn in_flight(&self) -> bool {
        matches!(self.state, State::InFlight)
    }
}

/// A batch to be invoked.
#[derive(Debug)]
pub(crate) struct Try<'a> {
    pub items: &'a [Item],
    pub attempt: u32,
}

impl Lane {
    pub fn add(&mut self, item: Item, settings: &Settings, now: Duration) {
        // A window in which nothing came is over; the next begins with its first record.
        if self.waiting.is_empty() && self.window_began + settings.maximum_batching_window < now {
            self.window_began = now;
        }
        self.waiting.push_back(item);
    }

    /// When the lane has a batch to invoke, as far as it knows without an answer or new records.
    pub fn due_at(&self, settings: &Settings) -> Option<Duration> {
        match &self.current {
            Some(current) => match current.state {
                State::InFlight => None,
                State::RetryAt(at) => Some(at),
            },
            None if self.waiting.is_empty() => None,
            None if self.gathered(settings).full => Some(Duration::ZERO),
            None => Some(self.window_began + settings.maximum_batching_window),
        }
    }

    /// The batch that is due, from now on in flight.
    pub fn begin(&mut self, settings: &Settings, now: Duration) -> Option<Try<'_>> {
        if self.due_at(settings)? > now {
            return None;
        }
        if self.current.is_none() {
            let count = self.gathered(settings).count;
            self.current = Some(Current {
                items: self.waiting.drain(..count).collect(),
                failures: 0,
                state: State::InFlight,
            });
        }
        let current = self.current.as_mut()?;
        current.state = State::InFlight;
        Some(Try { items: &current.items, attempt: current.failures + 1 })
    }

    /// Takes the answer of the batch in flight, and returns the records that have succeeded.
    /// Those that have not stay one batch: new records do not join it.
    pub fn answered(&mut self, answer: &Answer, settings: &Settings, now: Duration) -> Vec<Item> {
        let Some(current) = self.current.as_mut().filter(|c| c.in_flight()) else {
            return Vec::new();
        };
        let numbers: Vec<&str> = current.items.iter().map(|item| item.sequence_number.as_str()).collect();
        let count = succeeded(answer, &numbers, settings.report_batch_item_failures);
        let done = current.items.drain(..count).collect();
        if current.items.is_empty() {
            self.current = None;
            self.window_began = now;
        } else {
            current.failures += 1;
            current.state = State::RetryAt(after_failure(current.failures, now));
        }
        done
    }

    fn gathered(&self, settings: &Settings) -> Gathered {
        let sizes = self.waiting.iter().map(|item| item.json.len());
        gather(sizes, settings.batch_size)
    }
}
