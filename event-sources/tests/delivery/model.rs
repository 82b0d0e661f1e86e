//! A driver in memory that checks every action against the rules. It states the rules record by
//! record, while the engine states them batch by batch.

use std::collections::BTreeMap;
use std::time::Duration;

use event_sources::{
    Action, Batch, Discard, DiscardReason, Input, InvocationOutcome, PAYLOAD_MAX_BYTES, Record, Shard,
};
use serde_json::json;

use crate::scenario::{BEGINNING, Poison, Scenario, Script};

/// What the model knows of a record.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub end: Option<End>,
    /// How often the function ran with this record and no other.
    pub alone: u32,
    /// In an invocation or a discard that has not completed.
    in_flight: bool,
    /// How often the function ran with it.
    invocations: u32,
    /// Its failures to which MaximumRetryAttempts applies.
    counted_failures: u32,
    /// Whether the last of these was a function error.
    by_error: bool,
    /// The batch in which it was first delivered. Other records never join that batch.
    batch: Option<usize>,
    /// After splits, the most records with which it may be delivered.
    split_to: Option<usize>,
    discard_reason: Option<DiscardReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Succeeded,
    Discarded,
}

enum Call {
    Invocation(Batch),
    Discard(Discard),
    Fetch,
}

pub struct Model {
    pub scenario: Scenario,
    pub seen: Vec<Seen>,
    pub history: Vec<Action>,
    shard: Shard,
    now: Duration,
    fetched: usize,
    checkpoint: usize,
    batches: usize,
    calls: Vec<Call>,
    wake_at: Option<Duration>,
    drained: bool,
}

impl Model {
    pub fn new(scenario: Scenario) -> Self {
        Self {
            shard: Shard::new(scenario.settings()),
            seen: vec![Seen::default(); scenario.records.len()],
            scenario,
            history: Vec::new(),
            // Records arrive before and after this time, as they do when clocks differ.
            now: BEGINNING + Duration::from_secs(150),
            fetched: 0,
            checkpoint: 0,
            batches: 0,
            calls: Vec::new(),
            wake_at: None,
            drained: false,
        }
    }

    pub fn run(mut self) -> Self {
        self.step(Input::TimePassed);
        while !self.drained {
            let input = self.next_input();
            self.step(input);
        }
        for (record, seen) in self.scenario.records.iter().zip(&self.seen) {
            assert_eq!(record.passes, seen.end.is_some(), "processed if, and only if, it passes");
        }
        assert_eq!(self.checkpoint, self.scenario.records.len());
        self
    }

    /// Completes one of the calls in flight, or lets time pass until the shard asked to be woken.
    fn next_input(&mut self) -> Input {
        self.now += Duration::from_secs(self.scenario.steps_s.pop().unwrap_or(0));
        let choices = self.calls.len() + usize::from(self.wake_at.is_some());
        assert!(choices > 0, "a shard that waits for nothing is stuck");
        let chosen = self.scenario.order.pop().unwrap_or(0) % choices;
        if chosen == self.calls.len() {
            self.now = self.now.max(self.wake_at.unwrap());
            return Input::TimePassed;
        }
        match self.calls.remove(chosen) {
            Call::Invocation(batch) => self.invoked(&batch),
            Call::Discard(discard) => self.discarded(&discard),
            Call::Fetch => self.fetched(),
        }
    }

    fn fetched(&mut self) -> Input {
        let remaining = self.scenario.records.len() - self.fetched;
        let count = self.scenario.fetches.pop().unwrap_or(1).min(remaining);
        let records = (self.fetched..self.fetched + count).map(|position| {
            let given = &self.scenario.records[position];
            let size = if position % 5 == 0 { self.scenario.size } else { 0 };
            let event = json!({"passes": given.passes, "data": "x".repeat(size)});
            Record::new(number(position), given.key.to_string(), event).arrived_at(Some(given.arrived_at()))
        });
        let records = records.collect();
        self.fetched += count;
        Input::Fetched { records, closed: self.fetched == self.scenario.records.len() }
    }

    fn invoked(&mut self, batch: &Batch) -> Input {
        let positions: Vec<usize> = positions(&batch.sequence_numbers);
        let script = self.scenario.invocations.pop().unwrap_or_else(|| self.by_content(&positions));
        let (all, reports) = (positions.len(), self.scenario.report_batch_item_failures);
        let (outcome, succeeded) = match script {
            Script::Succeed => (InvocationOutcome::Returned("{}".into()), all),
            Script::Error => (InvocationOutcome::FunctionError, 0),
            Script::Throttle => (InvocationOutcome::NotInvoked, 0),
            Script::FailFrom(index) => {
                let failed = &batch.sequence_numbers[index % all];
                let failures = json!({"batchItemFailures": [{"itemIdentifier": failed}]});
                let succeeded = if reports { index % all } else { all };
                (InvocationOutcome::Returned(failures.to_string()), succeeded)
            }
            Script::Garbage => (InvocationOutcome::Returned("<html>".into()), if reports { 0 } else { all }),
        };
        self.apply(&positions, succeeded, &outcome);
        Input::Invoked { batch: batch.id, outcome }
    }

    fn by_content(&self, positions: &[usize]) -> Script {
        let bad = positions.iter().position(|position| self.scenario.records[*position].bad);
        match (self.scenario.poison, bad) {
            (Poison::Fails, Some(_)) => Script::Error,
            (Poison::IsReported, Some(index)) => Script::FailFrom(index),
            _ => Script::Succeed,
        }
    }

    /// Applies an outcome to each record.
    fn apply(&mut self, positions: &[usize], succeeded: usize, outcome: &InvocationOutcome) {
        let remaining = positions.len() - succeeded;
        let error = *outcome == InvocationOutcome::FunctionError;
        let throttled = *outcome == InvocationOutcome::NotInvoked;
        let bisect = self.scenario.bisect_batch_on_function_error;
        let halved = bisect && error && remaining > 1;
        let split_by_report = bisect && !error && succeeded > 0;
        for (index, position) in positions.iter().enumerate() {
            let seen = &mut self.seen[*position];
            seen.in_flight = false;
            seen.invocations += u32::from(!throttled);
            seen.alone += u32::from(!throttled && positions.len() == 1);
            if index < succeeded {
                seen.end = Some(End::Succeeded);
            } else if halved {
                seen.split_to = Some(remaining.div_ceil(2));
            } else if !throttled && !split_by_report {
                seen.counted_failures += 1;
                seen.by_error = error;
            }
        }
    }

    fn discarded(&mut self, discard: &Discard) -> Input {
        let written = self.scenario.writes.pop().unwrap_or(true);
        for position in positions(&discard.sequence_numbers) {
            self.seen[position].in_flight = false;
            self.seen[position].end = written.then_some(End::Discarded);
        }
        Input::Discarded { batch: discard.id, written }
    }

    fn step(&mut self, input: Input) {
        self.wake_at = None;
        for action in self.shard.handle(input, self.now) {
            self.history.push(action.clone());
            match action {
                Action::Checkpoint(number) => self.check_checkpoint(position(&number) + 1),
                Action::Invoke(batch) => self.check_invocation(batch),
                Action::Discard(discard) => self.check_discard(discard),
                Action::Fetch => {
                    let fetching = self.calls.iter().any(|call| matches!(call, Call::Fetch));
                    assert!(!fetching, "one fetch at a time");
                    self.calls.push(Call::Fetch);
                }
                Action::WaitUntil(time) => {
                    assert!(time > self.now, "a call that is due is started, not waited for");
                    self.wake_at = Some(time);
                }
                Action::Drained => self.drained = true,
            }
        }
    }

    fn check_checkpoint(&mut self, checkpoint: usize) {
        assert!(checkpoint > self.checkpoint, "the checkpoint moves forward");
        for passed in self.checkpoint..checkpoint {
            let filtered_out = !self.scenario.records[passed].passes;
            assert!(filtered_out || self.seen[passed].end.is_some(), "skipped {passed}");
        }
        self.checkpoint = checkpoint;
    }

    fn check_invocation(&mut self, batch: Batch) {
        let positions = positions(&batch.sequence_numbers);
        assert!(positions.len() <= self.scenario.batch_size);
        assert!(positions.len() == 1 || batch.payload.len() <= PAYLOAD_MAX_BYTES);
        self.check_order(&positions);

        let first = self.seen[positions[0]].clone();
        assert_eq!(batch.attempt, first.invocations + 1);
        let own = first.batch.unwrap_or(self.batches);
        self.batches = self.batches.max(own + 1);
        let failures_max = self.scenario.maximum_retry_attempts.unwrap_or(u32::MAX);
        for position in positions.iter().copied() {
            assert!(!self.is_too_old(position), "delivered though too old");
            let seen = &mut self.seen[position];
            assert_eq!(seen.discard_reason, None, "delivered though discarded");
            assert!(seen.counted_failures <= failures_max, "more than its attempts");
            assert!(seen.split_to.is_none_or(|size_max| positions.len() <= size_max), "not split");
            assert!(seen.batch == first.batch, "{position} joined a batch that was started");
            seen.batch = Some(own);
        }
        self.calls.push(Call::Invocation(batch));
    }

    fn check_discard(&mut self, discard: Discard) {
        let positions = positions(&discard.sequence_numbers);
        self.check_order(&positions);
        let ends = [positions[0], positions[positions.len() - 1]];
        let arrivals = ends.map(|position| self.scenario.records[position].arrived_at());
        assert_eq!([discard.first_arrived_at, discard.last_arrived_at], arrivals);
        assert_eq!(discard.invocations, self.seen[positions[0]].invocations);

        for position in positions {
            let seen = &self.seen[position];
            assert!(seen.discard_reason.is_none_or(|reason| reason == discard.reason));
            match discard.reason {
                DiscardReason::RecordAgeExceeded => {
                    assert!(self.is_too_old(position), "discarded though young enough");
                }
                DiscardReason::RetryAttemptsExhausted { function_error } => {
                    let attempts = self.scenario.maximum_retry_attempts;
                    let attempts_max = attempts.expect("unlimited, yet discarded");
                    assert_eq!(seen.counted_failures, attempts_max + 1, "discarded with attempts left");
                    assert_eq!(seen.by_error, function_error);
                }
                reason => panic!("no rule for {reason:?}"),
            }
            self.seen[position].discard_reason = Some(discard.reason);
        }
        self.calls.push(Call::Discard(discard));
    }

    /// Checks that these are, for each key, the first records that are not processed, in order.
    fn check_order(&mut self, positions: &[usize]) {
        let mut last_of_key = BTreeMap::new();
        for position in positions.iter().copied() {
            let record = &self.scenario.records[position];
            assert!(record.passes, "filtered out, yet delivered");
            assert!(position >= self.checkpoint, "behind the checkpoint");
            assert_eq!(self.seen[position].end, None, "processed, yet delivered");
            assert!(!self.seen[position].in_flight, "in flight twice");
            let from = last_of_key.insert(record.key, position).map_or(0, |last| last + 1);
            for before in from..position {
                let earlier = &self.scenario.records[before];
                let is_open = earlier.passes && self.seen[before].end.is_none();
                assert!(earlier.key != record.key || !is_open, "{position} overtook {before}");
            }
            self.seen[position].in_flight = true;
        }
    }

    fn is_too_old(&self, position: usize) -> bool {
        let arrived_at = self.scenario.records[position].arrived_at();
        self.now.saturating_sub(arrived_at) > self.scenario.age_max()
    }
}

fn number(position: usize) -> String {
    (position + 1000).to_string()
}

fn position(sequence_number: &str) -> usize {
    sequence_number.parse::<usize>().unwrap() - 1000
}

fn positions(sequence_numbers: &[String]) -> Vec<usize> {
    sequence_numbers.iter().map(|number| position(number)).collect()
}
