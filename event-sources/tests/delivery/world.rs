//! A shard's surroundings, and what the rules say of each record. The rules are told once more
//! here, record by record, as the engine tells them batch by batch.

use std::collections::BTreeMap;
use std::time::Duration;

use event_sources::{Action, Answer, Batch, Discard, Event, PAYLOAD_MAX_BYTES, Reason, Record, Shard};
use serde_json::json;

use crate::scenario::{Given, Poison, Scenario, Script};

/// When the first record may have arrived.
const BEGINNING: Duration = Duration::from_secs(1_000_000);

/// What is known of a record.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub end: Option<End>,
    /// How often the function ran with nothing else.
    pub alone: u32,
    /// In an invocation or a discard that has not ended.
    under_way: bool,
    /// How often the function ran with it.
    invocations: u32,
    /// Its failures that count against MaximumRetryAttempts.
    counted: u32,
    /// Whether the last of them was an error.
    by_error: bool,
    /// The batch it was first delivered in: others never join it.
    batch: Option<usize>,
    /// After splits, the most records that it may be delivered with.
    split_to: Option<usize>,
    given_up: Option<Reason>,
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

pub struct World {
    pub scenario: Scenario,
    pub seen: Vec<Seen>,
    pub history: Vec<Action>,
    shard: Shard,
    now: Duration,
    read: usize,
    checkpoint: usize,
    batches: usize,
    calls: Vec<Call>,
    wake_at: Option<Duration>,
    drained: bool,
}

impl World {
    pub fn new(scenario: Scenario) -> Self {
        Self {
            shard: Shard::new(scenario.settings()),
            seen: vec![Seen::default(); scenario.records.len()],
            scenario,
            history: Vec::new(),
            // In the middle of the arrivals: clocks differ.
            now: BEGINNING + Duration::from_secs(150),
            read: 0,
            checkpoint: 0,
            batches: 0,
            calls: Vec::new(),
            wake_at: None,
            drained: false,
        }
    }

    pub fn run(mut self) -> Self {
        self.step(Event::TimePassed);
        while !self.drained {
            let event = self.next_event();
            self.step(event);
        }
        for (record, seen) in self.scenario.records.iter().zip(&self.seen) {
            assert_eq!(record.passes, seen.end.is_some(), "done with, and only if it passes");
        }
        assert_eq!(self.checkpoint, self.scenario.records.len());
        self
    }

    /// Ends one of the calls under way, or lets time pass to where the shard asked for it.
    fn next_event(&mut self) -> Event {
        self.now += Duration::from_secs(self.scenario.steps_s.pop().unwrap_or(0));
        let choices = self.calls.len() + usize::from(self.wake_at.is_some());
        assert!(choices > 0, "a shard that waits for nothing is stuck");
        let chosen = self.scenario.order.pop().unwrap_or(0) % choices;
        if chosen == self.calls.len() {
            self.now = self.now.max(self.wake_at.unwrap());
            return Event::TimePassed;
        }
        match self.calls.remove(chosen) {
            Call::Invocation(batch) => self.answer(&batch),
            Call::Discard(discard) => self.discarded(&discard),
            Call::Fetch => self.fetch(),
        }
    }

    fn fetch(&mut self) -> Event {
        let left = self.scenario.records.len() - self.read;
        let count = self.scenario.fetches.pop().unwrap_or(1).min(left);
        let records = (self.read..self.read + count).map(|position| {
            let given = &self.scenario.records[position];
            let size = if position % 5 == 0 { self.scenario.size } else { 0 };
            let event = json!({"passes": given.passes, "data": "x".repeat(size)});
            Record::new(number(position), given.key.to_string(), event).arrived_at(Some(arrival(given)))
        });
        let records = records.collect();
        self.read += count;
        let closed = self.read == self.scenario.records.len();
        Event::Fetched { records, closed }
    }

    fn answer(&mut self, batch: &Batch) -> Event {
        let positions: Vec<usize> = positions(&batch.sequence_numbers);
        let script = self.scenario.answers.pop().unwrap_or_else(|| self.by_content(&positions));
        let (all, reports) = (positions.len(), self.scenario.report_batch_item_failures);
        let (answer, succeeded) = match script {
            Script::Succeed => (Answer::Returned("{}".into()), all),
            Script::Error => (Answer::FunctionError, 0),
            Script::Throttle => (Answer::NotInvoked, 0),
            Script::FailFrom(place) => {
                let failed = &batch.sequence_numbers[place % all];
                let failures = json!({"batchItemFailures": [{"itemIdentifier": failed}]});
                (Answer::Returned(failures.to_string()), if reports { place % all } else { all })
            }
            Script::Garbage => (Answer::Returned("<html>".into()), if reports { 0 } else { all }),
        };
        self.judge(&positions, succeeded, &answer);
        Event::Answered { batch: batch.id, answer }
    }

    fn by_content(&self, positions: &[usize]) -> Script {
        let bad = positions.iter().position(|position| self.scenario.records[*position].bad);
        match (self.scenario.poison, bad) {
            (Poison::Fails, Some(_)) => Script::Error,
            (Poison::IsReported, Some(place)) => Script::FailFrom(place),
            _ => Script::Succeed,
        }
    }

    /// What an answer means for each record.
    fn judge(&mut self, positions: &[usize], succeeded: usize, answer: &Answer) {
        let left = positions.len() - succeeded;
        let error = *answer == Answer::FunctionError;
        let throttled = *answer == Answer::NotInvoked;
        let bisect = self.scenario.bisect_batch_on_function_error;
        let halved = bisect && error && left > 1;
        let split_by_report = bisect && !error && succeeded > 0;
        for (place, position) in positions.iter().enumerate() {
            let seen = &mut self.seen[*position];
            seen.under_way = false;
            seen.invocations += u32::from(!throttled);
            seen.alone += u32::from(!throttled && positions.len() == 1);
            if place < succeeded {
                seen.end = Some(End::Succeeded);
            } else if halved {
                seen.split_to = Some(left.div_ceil(2));
            } else if !throttled && !split_by_report {
                seen.counted += 1;
                seen.by_error = error;
            }
        }
    }

    fn discarded(&mut self, discard: &Discard) -> Event {
        let written = self.scenario.writes.pop().unwrap_or(true);
        for position in positions(&discard.sequence_numbers) {
            self.seen[position].under_way = false;
            self.seen[position].end = written.then_some(End::Discarded);
        }
        Event::Discarded { batch: discard.id, written }
    }

    fn step(&mut self, event: Event) {
        self.wake_at = None;
        for action in self.shard.handle(event, self.now) {
            self.history.push(action.clone());
            match action {
                Action::Checkpoint(number) => self.moved_to(position(&number) + 1),
                Action::Invoke(batch) => self.invoked(batch),
                Action::Discard(discard) => self.given_up(discard),
                Action::Fetch => {
                    let fetching = self.calls.iter().any(|call| matches!(call, Call::Fetch));
                    assert!(!fetching, "one fetch at a time");
                    self.calls.push(Call::Fetch);
                }
                Action::WaitUntil(time) => {
                    assert!(time > self.now, "what is due is done, not waited for");
                    self.wake_at = Some(time);
                }
                Action::Drained => self.drained = true,
            }
        }
    }

    fn moved_to(&mut self, checkpoint: usize) {
        assert!(checkpoint > self.checkpoint, "the checkpoint moves forward");
        for passed in self.checkpoint..checkpoint {
            let filtered_out = !self.scenario.records[passed].passes;
            assert!(filtered_out || self.seen[passed].end.is_some(), "skipped {passed}");
        }
        self.checkpoint = checkpoint;
    }

    fn invoked(&mut self, batch: Batch) {
        let positions = positions(&batch.sequence_numbers);
        assert!(positions.len() <= self.scenario.batch_size);
        assert!(positions.len() == 1 || batch.payload.len() <= PAYLOAD_MAX_BYTES);
        self.under_way(&positions);

        let first = self.seen[positions[0]].clone();
        assert_eq!(batch.attempt, first.invocations + 1);
        let own = first.batch.unwrap_or(self.batches);
        self.batches = self.batches.max(own + 1);
        for position in positions.iter().copied() {
            assert!(!self.too_old(position), "delivered though too old");
            let seen = &mut self.seen[position];
            assert_eq!(seen.given_up, None, "delivered though given up");
            let most = self.scenario.maximum_retry_attempts.unwrap_or(u32::MAX);
            assert!(seen.counted <= most, "more than its attempts");
            assert!(seen.split_to.is_none_or(|most| positions.len() <= most), "not split");
            assert!(seen.batch == first.batch, "{position} joined a batch that was begun");
            seen.batch = Some(own);
        }
        self.calls.push(Call::Invocation(batch));
    }

    fn given_up(&mut self, discard: Discard) {
        let positions = positions(&discard.sequence_numbers);
        self.under_way(&positions);
        let ends = [positions[0], positions[positions.len() - 1]];
        let arrivals = ends.map(|position| arrival(&self.scenario.records[position]));
        assert_eq!([discard.first_arrived_at, discard.last_arrived_at], arrivals);
        assert_eq!(discard.invocations, self.seen[positions[0]].invocations);

        for position in positions {
            let seen = &self.seen[position];
            assert!(seen.given_up.is_none_or(|reason| reason == discard.reason));
            match discard.reason {
                Reason::RecordAgeExceeded => assert!(self.too_old(position), "given up though young"),
                Reason::RetryAttemptsExhausted { function_error } => {
                    let most = self.scenario.maximum_retry_attempts.expect("unlimited, yet given up");
                    assert_eq!(seen.counted, most + 1, "given up with attempts left");
                    assert_eq!(seen.by_error, function_error);
                }
            }
            self.seen[position].given_up = Some(discard.reason);
        }
        self.calls.push(Call::Discard(discard));
    }

    /// Of each key, these are the first records that are not done with, in their order.
    fn under_way(&mut self, positions: &[usize]) {
        let mut last_of_key = BTreeMap::new();
        for position in positions.iter().copied() {
            let record = &self.scenario.records[position];
            assert!(record.passes, "filtered out, yet delivered");
            assert!(position >= self.checkpoint, "behind the checkpoint");
            assert_eq!(self.seen[position].end, None, "done with, yet delivered");
            assert!(!self.seen[position].under_way, "under way twice");
            let from = last_of_key.insert(record.key, position).map_or(0, |last| last + 1);
            for before in from..position {
                let earlier = &self.scenario.records[before];
                let open = earlier.passes && self.seen[before].end.is_none();
                assert!(earlier.key != record.key || !open, "{position} overtook {before}");
            }
            self.seen[position].under_way = true;
        }
    }

    fn too_old(&self, position: usize) -> bool {
        let arrived_at = arrival(&self.scenario.records[position]);
        self.now.saturating_sub(arrived_at) > self.scenario.age_max()
    }
}

fn arrival(given: &Given) -> Duration {
    BEGINNING + Duration::from_secs(given.arrived_s)
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
