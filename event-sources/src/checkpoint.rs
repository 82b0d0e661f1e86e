//! The checkpoint: how far a shard has been processed.

use std::collections::VecDeque;

/// The records that were fetched and that the checkpoint has not passed, in the order of the shard.
#[derive(Debug, Default)]
pub(crate) struct CheckpointTracker {
    open: VecDeque<TrackedRecord>,
    /// The position of the first of `open`, counted from the first record fetched.
    first: u64,
}

#[derive(Debug)]
struct TrackedRecord {
    sequence_number: String,
    completed: bool,
}

impl CheckpointTracker {
    /// Adds the next record of the shard and returns its position.
    pub fn track(&mut self, sequence_number: String) -> u64 {
        self.open.push_back(TrackedRecord { sequence_number, completed: false });
        self.first + self.open.len() as u64 - 1
    }

    /// The record was filtered out, succeeded or was discarded.
    pub fn complete(&mut self, position: u64) {
        self.open[(position - self.first) as usize].completed = true;
    }

    /// Moves the checkpoint past all completed records up to the first that is not. Returns the
    /// sequence number of the last record passed, if the checkpoint moved.
    pub fn advance(&mut self) -> Option<String> {
        let mut checkpoint = None;
        while self.open.front().is_some_and(|record| record.completed) {
            checkpoint = self.open.pop_front().map(|record| record.sequence_number);
            self.first += 1;
        }
        checkpoint
    }

    /// How many records the checkpoint has yet to pass.
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // With several batches of a shard in flight, one that completes early must not move the
    // checkpoint past one that has not: records before the checkpoint are never read again.
    #[test]
    fn the_checkpoint_does_not_pass_a_record_that_is_not_completed() {
        let mut tracker = CheckpointTracker::default();
        let positions = ["1", "2", "3"].map(|n| tracker.track(n.into()));
        tracker.complete(positions[1]);
        assert_eq!(tracker.advance(), None);
        tracker.complete(positions[0]);
        assert_eq!(tracker.advance().as_deref(), Some("2"));
        assert_eq!(tracker.advance(), None);
        assert_eq!(tracker.len(), 1);

        let fourth = tracker.track("4".into());
        tracker.complete(fourth);
        tracker.complete(positions[2]);
        assert_eq!(tracker.advance().as_deref(), Some("4"));
    }
}
