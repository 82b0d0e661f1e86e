//! The state machine of one shard under one event source mapping.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::batch::{BatchId, PendingRecord};
use crate::checkpoint::CheckpointTracker;
use crate::key_group::KeyGroup;
use crate::protocol::{Action, Input};
use crate::record::Record;
use crate::settings::MappingSettings;

/// The engine fetches no more while it holds this many records that the checkpoint has not passed.
/// It exceeds the largest BatchSize (10,000), so that a batch can always fill.
pub const HELD_RECORDS_MAX: usize = 20_000;

/// The engine fetches no more while this many bytes of records wait for the function.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One shard of a stream, as one event source mapping processes it.
#[derive(Debug)]
pub struct Shard {
    settings: MappingSettings,
    checkpoint: CheckpointTracker,
    key_groups: Vec<KeyGroup>,
    held_bytes: usize,
    fetching: bool,
    closed: bool,
}

impl Shard {
    /// A shard from which nothing has been read. Its first input is [`Input::TimePassed`].
    pub fn new(settings: MappingSettings) -> Self {
        let key_groups = 0..settings.parallelization_factor.max(1);
        Self {
            settings,
            checkpoint: CheckpointTracker::default(),
            key_groups: key_groups.map(|key_group| KeyGroup::new(BatchId { key_group })).collect(),
            held_bytes: 0,
            fetching: false,
            closed: false,
        }
    }

    /// Applies an input and returns the actions to carry out. `now` is the time since the moment
    /// from which the records' arrival is counted as well, and must never decrease.
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Action> {
        match input {
            Input::TimePassed => {}
            Input::Fetched { records, closed } => {
                self.fetching = false;
                self.closed = closed;
                for record in records {
                    self.add(record, now);
                }
            }
            Input::Invoked { batch, outcome } => {
                let succeeded = self.key_groups[batch.key_group].invoked(&outcome, &self.settings, now);
                self.complete(succeeded);
            }
            Input::Discarded { batch, written } => {
                let discarded = self.key_groups[batch.key_group].discarded(written, now);
                self.complete(discarded);
            }
        }
        self.actions(now)
    }

    fn add(&mut self, record: Record, now: Duration) {
        let key_group = self.key_group_of(&record.ordering_key);
        let position = self.checkpoint.track(record.sequence_number.clone());
        if !self.settings.filters.pass(&record.event) {
            return self.checkpoint.complete(position);
        }
        let pending = PendingRecord {
            position,
            sequence_number: record.sequence_number,
            arrived_at: record.arrived_at.unwrap_or(now),
            json: record.event.to_string(),
        };
        self.held_bytes += pending.json.len();
        self.key_groups[key_group].add(pending, &self.settings, now);
    }

    fn complete(&mut self, records: Vec<PendingRecord>) {
        for record in records {
            self.held_bytes -= record.json.len();
            self.checkpoint.complete(record.position);
        }
    }

    fn actions(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        actions.extend(self.checkpoint.advance().map(Action::Checkpoint));
        actions.extend(self.key_groups.iter_mut().filter_map(|group| group.start(&self.settings, now)));
        if !self.fetching && !self.closed && self.has_room() {
            self.fetching = true;
            actions.push(Action::Fetch);
        }
        let due_at = self.key_groups.iter().filter_map(|group| group.due_at(&self.settings));
        actions.extend(due_at.min().map(Action::WaitUntil));
        if self.closed && self.checkpoint.len() == 0 {
            actions.push(Action::Drained);
        }
        actions
    }

    fn has_room(&self) -> bool {
        self.checkpoint.len() < HELD_RECORDS_MAX && self.held_bytes < HELD_BYTES_MAX
    }

    fn key_group_of(&self, ordering_key: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        ordering_key.hash(&mut hasher);
        (hasher.finish() % self.key_groups.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests;
