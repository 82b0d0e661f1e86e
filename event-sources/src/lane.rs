//! One of the concurrent batches of a shard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::answer::Answer;
use crate::batch::{Gathered, Item, gather};
use crate::part::{Part, Step};
use crate::settings::Settings;

/// The records of some of the shard's ordering keys. A lane has at most one batch at a time, and
/// takes the next one when all of it has succeeded or been discarded: so the order of a key is
/// kept. New records never join a batch that was begun.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    waiting: VecDeque<Item>,
    /// Since when records are gathered for the next batch.
    window_began: Duration,
    /// What is left of the batch that was begun: one part, or after splits several, of which the
    /// first is done with before the second begins.
    parts: VecDeque<Part>,
}

impl Lane {
    pub fn add(&mut self, item: Item, settings: &Settings, now: Duration) {
        // A window in which nothing came is over; the next begins with its first record.
        if self.waiting.is_empty() && self.window_began + settings.maximum_batching_window < now {
            self.window_began = now;
        }
        self.waiting.push_back(item);
    }

    /// When the lane has something to do, as far as it knows without an answer or new records.
    pub fn due_at(&self, settings: &Settings) -> Option<Duration> {
        match self.parts.front() {
            Some(part) => part.due_at(),
            None if self.waiting.is_empty() => None,
            None if self.gathered(settings).full => Some(Duration::ZERO),
            None => Some(self.window_began + settings.maximum_batching_window),
        }
    }

    /// What is due, from now on under way.
    pub fn begin(&mut self, settings: &Settings, now: Duration) -> Option<Step<'_>> {
        if self.due_at(settings)? > now {
            return None;
        }
        let mut part = self.parts.pop_front().unwrap_or_else(|| {
            let count = self.gathered(settings).count;
            Part::new(self.waiting.drain(..count).collect())
        });
        if let Some(rest) = part.split_by_age(settings, now) {
            self.parts.push_front(rest);
        }
        self.parts.push_front(part);
        self.parts.front_mut().map(|part| part.begin(settings, now))
    }

    /// Takes the answer of the batch in flight, and returns the records that have succeeded.
    pub fn answered(&mut self, answer: &Answer, settings: &Settings, now: Duration) -> Vec<Item> {
        let Some(part) = self.parts.front_mut().filter(|part| part.in_flight()) else {
            return Vec::new();
        };
        let (done, rest) = part.answered(answer, settings, now);
        if part.is_empty() {
            self.end_part(now);
        }
        if let Some(rest) = rest {
            self.parts.insert(1, rest);
        }
        done
    }

    /// Takes whether the on-failure destination knows of the records that are being discarded,
    /// and returns them if it does.
    pub fn discarded(&mut self, written: bool, now: Duration) -> Vec<Item> {
        let Some(part) = self.parts.front_mut().filter(|part| part.being_discarded()) else {
            return Vec::new();
        };
        if !written {
            part.not_discarded(now);
            return Vec::new();
        }
        self.end_part(now).map_or_else(Vec::new, Part::into_items)
    }

    fn end_part(&mut self, now: Duration) -> Option<Part> {
        let part = self.parts.pop_front();
        if self.parts.is_empty() {
            self.window_began = now;
        }
        part
    }

    fn gathered(&self, settings: &Settings) -> Gathered {
        let sizes = self.waiting.iter().map(|item| item.json.len());
        gather(sizes, settings.batch_size)
    }
}
