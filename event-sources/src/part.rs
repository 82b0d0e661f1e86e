//! A batch that was started, or what a split or a partial success has left of it.

use std::time::Duration;

use crate::batch::{Batch, BatchId, PendingRecord, payload};
use crate::discard::{Discard, DiscardReason};
use crate::invocation::{BatchFailure, BatchOutcome, InvocationOutcome};
use crate::protocol::Action;
use crate::retry::{RetryDecision, after_failure, backoff};
use crate::settings::MappingSettings;

/// Records that are delivered together and discarded together.
#[derive(Debug)]
pub(crate) struct Part {
    records: Vec<PendingRecord>,
    /// How often the function has run with the first of the records.
    invocations: u32,
    /// The failures to which MaximumRetryAttempts applies.
    counted_failures: u32,
    /// Failed calls in a row, of the function or the on-failure destination. They set the pause
    /// before the next call.
    consecutive_failures: u32,
    state: PartState,
}

#[derive(Debug, Clone, Copy)]
enum PartState {
    InvokeAt(Duration),
    InFlight,
    DiscardAt(Duration, DiscardReason),
    BeingDiscarded(DiscardReason),
}

/// What an invocation has left of a part.
#[derive(Debug)]
pub(crate) struct PartOutcome {
    pub succeeded: Vec<PendingRecord>,
    /// The second half, if the failed records were split.
    pub second_half: Option<Part>,
}

impl Part {
    pub fn new(records: Vec<PendingRecord>) -> Self {
        let state = PartState::InvokeAt(Duration::ZERO);
        Self { records, invocations: 0, counted_failures: 0, consecutive_failures: 0, state }
    }

    pub fn into_records(self) -> Vec<PendingRecord> {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When the part's next call is due. `None` while a call is in flight.
    pub fn due_at(&self) -> Option<Duration> {
        match self.state {
            PartState::InvokeAt(due_at) | PartState::DiscardAt(due_at, _) => Some(due_at),
            PartState::InFlight | PartState::BeingDiscarded(_) => None,
        }
    }

    pub fn is_in_flight(&self) -> bool {
        matches!(self.state, PartState::InFlight)
    }

    pub fn is_being_discarded(&self) -> bool {
        matches!(self.state, PartState::BeingDiscarded(_))
    }

    /// Keeps the records at the front that are all too old or all young enough, and returns the
    /// rest. Arrival times mostly rise within a shard, so usually only the front is too old.
    pub fn split_by_age(&mut self, settings: &MappingSettings, now: Duration) -> Option<Part> {
        if !matches!(self.state, PartState::InvokeAt(_)) {
            return None;
        }
        let is_too_old = |record: &PendingRecord| settings.is_too_old(record.arrived_at, now);
        let first = self.records.first().map(is_too_old);
        let alike = self.records.iter().take_while(|record| Some(is_too_old(record)) == first).count();
        (alike < self.records.len()).then(|| self.split_off(alike))
    }

    /// Starts the call that is due. Call [`Self::split_by_age`] before.
    pub fn start(&mut self, id: BatchId, settings: &MappingSettings, now: Duration) -> Action {
        let reason = match self.state {
            PartState::DiscardAt(_, reason) | PartState::BeingDiscarded(reason) => Some(reason),
            PartState::InvokeAt(_) | PartState::InFlight => settings
                .is_too_old(self.records[0].arrived_at, now)
                .then_some(DiscardReason::RecordAgeExceeded),
        };
        match reason {
            Some(reason) => {
                self.state = PartState::BeingDiscarded(reason);
                Action::Discard(self.discard(id, reason))
            }
            None => {
                self.state = PartState::InFlight;
                Action::Invoke(self.batch(id))
            }
        }
    }

    /// Applies the outcome of the invocation in flight.
    pub fn invoked(
        &mut self,
        outcome: &InvocationOutcome,
        settings: &MappingSettings,
        now: Duration,
    ) -> PartOutcome {
        match outcome {
            InvocationOutcome::Returned(_) | InvocationOutcome::FunctionError => self.invocations += 1,
            InvocationOutcome::NotInvoked => {}
        }
        let numbers: Vec<&str> = self.records.iter().map(|record| record.sequence_number.as_str()).collect();
        match outcome.for_batch(&numbers, settings.report_batch_item_failures) {
            BatchOutcome::Succeeded => {
                PartOutcome { succeeded: std::mem::take(&mut self.records), second_half: None }
            }
            BatchOutcome::FailedFrom { index, failure } => {
                let succeeded = self.records.drain(..index).collect();
                PartOutcome { succeeded, second_half: self.failed(failure, settings, now) }
            }
        }
    }

    /// Decides what happens to the records, which have failed. Returns the second half if they are
    /// split.
    fn failed(&mut self, failure: BatchFailure, settings: &MappingSettings, now: Duration) -> Option<Part> {
        match after_failure(failure, self.records.len(), self.counted_failures, settings) {
            RetryDecision::RetryAtOnce => self.state = PartState::InvokeAt(now),
            RetryDecision::Retry { counted } => {
                self.counted_failures += u32::from(counted);
                self.consecutive_failures += 1;
                self.state = PartState::InvokeAt(now + backoff(self.consecutive_failures));
            }
            RetryDecision::Split => {
                let second_half = self.split_off(self.records.len() / 2);
                self.consecutive_failures = 0;
                self.state = PartState::InvokeAt(now);
                return Some(second_half);
            }
            RetryDecision::Discard(reason) => {
                self.consecutive_failures = 0;
                self.state = PartState::DiscardAt(now, reason);
            }
        }
        None
    }

    /// The on-failure destination could not be written. The records are kept, and the discard is
    /// due again after a pause.
    pub fn not_discarded(&mut self, now: Duration) {
        if let PartState::BeingDiscarded(reason) = self.state {
            self.consecutive_failures += 1;
            self.state = PartState::DiscardAt(now + backoff(self.consecutive_failures), reason);
        }
    }

    /// The records from this index on, with the attempts that the part has used.
    fn split_off(&mut self, index: usize) -> Part {
        let (invocations, counted_failures) = (self.invocations, self.counted_failures);
        Part { invocations, counted_failures, ..Part::new(self.records.split_off(index)) }
    }

    fn batch(&self, id: BatchId) -> Batch {
        Batch {
            id,
            attempt: self.invocations + 1,
            sequence_numbers: self.sequence_numbers(),
            payload: payload(&self.records),
        }
    }

    fn discard(&self, id: BatchId, reason: DiscardReason) -> Discard {
        let arrivals = || self.records.iter().map(|record| record.arrived_at);
        Discard {
            id,
            reason,
            invocations: self.invocations,
            sequence_numbers: self.sequence_numbers(),
            first_arrived_at: arrivals().next().unwrap_or_default(),
            last_arrived_at: arrivals().next_back().unwrap_or_default(),
        }
    }

    fn sequence_numbers(&self) -> Vec<String> {
        self.records.iter().map(|record| record.sequence_number.clone()).collect()
    }
}
