//! A key group: one of the concurrent batches of a shard, with the records that wait for it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::{BatchId, Gathered, PendingRecord, gather};
use crate::invocation::InvocationOutcome;
use crate::part::{Part, PartOutcome};
use crate::protocol::Action;
use crate::settings::MappingSettings;

/// The records of a fixed share of the shard's ordering keys. A shard has as many key groups as
/// ParallelizationFactor says.
///
/// A key group has one batch at a time, and starts the next when every record of it has succeeded
/// or been discarded. This keeps the order of each key. New records never join a batch that was
/// started.
#[derive(Debug)]
pub(crate) struct KeyGroup {
    id: BatchId,
    waiting: VecDeque<PendingRecord>,
    /// When the batching window of the next batch began.
    window_began: Duration,
    /// What is left of the batch that was started: one part, or several after splits. Each part is
    /// processed before the next starts.
    parts: VecDeque<Part>,
}

impl KeyGroup {
    pub fn new(id: BatchId) -> Self {
        Self { id, waiting: VecDeque::new(), window_began: Duration::ZERO, parts: VecDeque::new() }
    }

    pub fn add(&mut self, record: PendingRecord, settings: &MappingSettings, now: Duration) {
        // A window without records has ended. The next one begins with its first record.
        if self.waiting.is_empty() && self.window_began + settings.maximum_batching_window < now {
            self.window_began = now;
        }
        self.waiting.push_back(record);
    }

    /// When the next call is due. `None` while a call is in flight or there are no records.
    pub fn due_at(&self, settings: &MappingSettings) -> Option<Duration> {
        match self.parts.front() {
            Some(part) => part.due_at(),
            None if self.waiting.is_empty() => None,
            None if self.gathered(settings).full => Some(Duration::ZERO),
            None => Some(self.window_began + settings.maximum_batching_window),
        }
    }

    /// Starts the next call, if it is due.
    pub fn start(&mut self, settings: &MappingSettings, now: Duration) -> Option<Action> {
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
        let action = part.start(self.id, settings, now);
        self.parts.push_front(part);
        Some(action)
    }

    /// Applies the outcome of the batch in flight, and returns the records that have succeeded.
    pub fn invoked(
        &mut self,
        outcome: &InvocationOutcome,
        settings: &MappingSettings,
        now: Duration,
    ) -> Vec<PendingRecord> {
        let Some(part) = self.parts.front_mut().filter(|part| part.is_in_flight()) else {
            return Vec::new();
        };
        let PartOutcome { succeeded, second_half } = part.invoked(outcome, settings, now);
        if part.is_empty() {
            self.end_part(now);
        }
        if let Some(second_half) = second_half {
            self.parts.insert(1, second_half);
        }
        succeeded
    }

    /// Applies whether the on-failure destination could be written. Returns the discarded records
    /// if it was.
    pub fn discarded(&mut self, written: bool, now: Duration) -> Vec<PendingRecord> {
        let Some(part) = self.parts.front_mut().filter(|part| part.is_being_discarded()) else {
            return Vec::new();
        };
        if !written {
            part.not_discarded(now);
            return Vec::new();
        }
        self.end_part(now).map_or_else(Vec::new, Part::into_records)
    }

    fn end_part(&mut self, now: Duration) -> Option<Part> {
        let part = self.parts.pop_front();
        if self.parts.is_empty() {
            self.window_began = now;
        }
        part
    }

    fn gathered(&self, settings: &MappingSettings) -> Gathered {
        let sizes = self.waiting.iter().map(|record| record.json.len());
        gather(sizes, settings.batch_size)
    }
}
