//! The state machine of one shard under one event source mapping.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::answer::Answer;
use crate::batch::{Batch, BatchId, Item, Record, payload};
use crate::discard::{Discard, Reason};
use crate::lane::Lane;
use crate::part::{Part, Step};
use crate::progress::Progress;
use crate::settings::Settings;

/// No more is fetched while this many records are behind the checkpoint. Above the largest
/// BatchSize (10,000), so that a batch can always fill.
pub const HELD_RECORDS_MAX: usize = 20_000;

/// No more is fetched while this many bytes of records wait for the function.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Nothing but that time has passed. Also starts a new shard.
    TimePassed,
    /// The answer to [`Action::Fetch`].
    Fetched {
        /// What follows in the shard after the records fetched before; may be none.
        records: Vec<Record>,
        /// The shard is closed, and these were its last records.
        closed: bool,
    },
    /// The answer to [`Action::Invoke`].
    Answered {
        /// The batch's [`Batch::id`]. An answer to a batch that is not in flight is ignored.
        batch: BatchId,
        /// How its invocation ended.
        answer: Answer,
    },
    /// The answer to [`Action::Discard`].
    Discarded {
        /// The [`Discard::id`].
        batch: BatchId,
        /// Whether the on-failure destination has been told, or there is none. If it could not
        /// be told, the records are kept, and discarded again later.
        written: bool,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Every record up to this sequence number has been processed, filtered out or discarded:
    /// whoever starts again may start behind it.
    Checkpoint(String),
    /// Invoke the function with this batch, and say how that ended.
    Invoke(Batch),
    /// Tell the mapping's on-failure destination, if it has one, that these records are given up,
    /// and say how that ended.
    Discard(Discard),
    /// Fetch the records that follow, and say what came. Asked once, until it is answered.
    Fetch,
    /// Come back at this time, unless something happens before. Replaces what was said before.
    WaitUntil(Duration),
    /// The shard is closed and every record of it is done with: its children may begin.
    Drained,
}

/// One shard of a stream, as one event source mapping processes it.
#[derive(Debug)]
pub struct Shard {
    settings: Settings,
    progress: Progress,
    lanes: Vec<Lane>,
    held_bytes: usize,
    fetching: bool,
    closed: bool,
}

impl Shard {
    /// A shard of which nothing has been read. It begins with [`Event::TimePassed`].
    pub fn new(settings: Settings) -> Self {
        let lanes = settings.parallelization_factor.max(1);
        Self {
            settings,
            progress: Progress::default(),
            lanes: std::iter::repeat_with(Lane::default).take(lanes).collect(),
            held_bytes: 0,
            fetching: false,
            closed: false,
        }
    }

    /// Takes what has happened, and says what is to be done. `now` is the time since a fixed
    /// moment, the same as for the arrival of the records, and never runs back.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::TimePassed => {}
            Event::Fetched { records, closed } => {
                self.fetching = false;
                self.closed = closed;
                for record in records {
                    self.take_in(record, now);
                }
            }
            Event::Answered { batch, answer } => {
                let done = self.lanes[batch.lane].answered(&answer, &self.settings, now);
                self.settle(done);
            }
            Event::Discarded { batch, written } => {
                let done = self.lanes[batch.lane].discarded(written, now);
                self.settle(done);
            }
        }
        self.actions(now)
    }

    fn take_in(&mut self, record: Record, now: Duration) {
        let lane = self.lane_of(&record.ordering_key);
        let position = self.progress.add(record.sequence_number.clone());
        if !self.settings.filters.pass(&record.event) {
            return self.progress.settle(position);
        }
        let item = Item {
            position,
            sequence_number: record.sequence_number,
            arrived_at: record.arrived_at.unwrap_or(now),
            json: record.event.to_string(),
        };
        self.held_bytes += item.json.len();
        self.lanes[lane].add(item, &self.settings, now);
    }

    fn settle(&mut self, done: Vec<Item>) {
        for item in done {
            self.held_bytes -= item.json.len();
            self.progress.settle(item.position);
        }
    }

    fn actions(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        actions.extend(self.progress.advance().map(Action::Checkpoint));
        for (lane, state) in self.lanes.iter_mut().enumerate() {
            let id = BatchId { lane };
            actions.extend(state.begin(&self.settings, now).map(|step| match step {
                Step::Invoke(part) => Action::Invoke(batch(id, part)),
                Step::Discard(part, reason) => Action::Discard(discard(id, part, reason)),
            }));
        }
        if !self.fetching && !self.closed && self.has_room() {
            self.fetching = true;
            actions.push(Action::Fetch);
        }
        let due_at = self.lanes.iter().filter_map(|lane| lane.due_at(&self.settings));
        actions.extend(due_at.min().map(Action::WaitUntil));
        if self.closed && self.progress.len() == 0 {
            actions.push(Action::Drained);
        }
        actions
    }

    fn has_room(&self) -> bool {
        self.progress.len() < HELD_RECORDS_MAX && self.held_bytes < HELD_BYTES_MAX
    }

    fn lane_of(&self, ordering_key: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        ordering_key.hash(&mut hasher);
        (hasher.finish() % self.lanes.len() as u64) as usize
    }
}

fn batch(id: BatchId, part: &Part) -> Batch {
    Batch {
        id,
        attempt: part.invocations() + 1,
        sequence_numbers: sequence_numbers(part),
        payload: payload(part.items()),
    }
}

fn discard(id: BatchId, part: &Part, reason: Reason) -> Discard {
    let arrivals = || part.items().iter().map(|item| item.arrived_at);
    Discard {
        id,
        reason,
        invocations: part.invocations(),
        sequence_numbers: sequence_numbers(part),
        first_arrived_at: arrivals().next().unwrap_or_default(),
        last_arrived_at: arrivals().next_back().unwrap_or_default(),
    }
}

fn sequence_numbers(part: &Part) -> Vec<String> {
    part.items().iter().map(|item| item.sequence_number.clone()).collect()
}

#[cfg(test)]
mod tests;
