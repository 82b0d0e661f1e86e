//! How far a shard has been processed.

use std::collections::VecDeque;

/// The records that were read and not yet checkpointed, in the order of the shard.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    open: VecDeque<Entry>,
    /// The position of the first of `open`, counted from the first record read.
    first: u64,
}

#[derive(Debug)]
struct Entry {
    sequence_number: String,
    settled: bool,
}

impl Progress {
    /// Adds the next record of the shard, and returns its position.
    pub fn add(&mut self, sequence_number: String) -> u64 {
        self.open.push_back(Entry { sequence_number, settled: false });
        self.first + self.open.len() as u64 - 1
    }

    /// The record was filtered out, or the function has succeeded with it.
    pub fn settle(&mut self, position: u64) {
        self.open[(position - self.first) as usize].settled = true;
    }

    /// Moves the checkpoint over all that is settled without a gap. Returns the sequence number
    /// of the last record that it passed, if it moved.
    pub fn advance(&mut self) -> Option<String> {
        let mut checkpoint = None;
        while self.open.front().is_some_and(|entry| entry.settled) {
            checkpoint = self.open.pop_front().map(|entry| entry.sequence_number);
            self.first += 1;
        }
        checkpoint
    }

    /// How many records are behind the checkpoint.
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // With several batches of a shard in flight, one that ends early must not carry the
    // checkpoint over one that has not ended: what is before the checkpoint is never read again.
    #[test]
    fn the_checkpoint_does_not_pass_what_is_not_settled() {
        let mut progress = Progress::default();
        let positions = ["1", "2", "3"].map(|n| progress.add(n.into()));
        progress.settle(positions[1]);
        assert_eq!(progress.advance(), None);
        progress.settle(positions[0]);
        assert_eq!(progress.advance().as_deref(), Some("2"));
        assert_eq!(progress.advance(), None);
        assert_eq!(progress.len(), 1);

        let fourth = progress.add("4".into());
        progress.settle(fourth);
        progress.settle(positions[2]);
        assert_eq!(progress.advance().as_deref(), Some("4"));
    }
}
