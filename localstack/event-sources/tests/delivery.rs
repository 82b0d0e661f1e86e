//! Whatever the records, the batch sizes and the answers: every record that passes the filter is
//! delivered until it is answered as succeeded, none is skipped, none is delivered behind the
//! checkpoint, the order of a key is kept, and the checkpoint never moves back.

use std::collections::BTreeMap;
use std::time::Duration;

use event_sources::{
    Action, Answer, Batch, Event, Filters, PAYLOAD_MAX_BYTES, Record, Settings, Shard, Source,
};
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone)]
struct Given {
    key: u8,
    passes: bool,
    size: usize,
}

/// How the function answers one invocation.
#[derive(Debug, Clone)]
enum Script {
    Succeed,
    Error,
    Throttle,
    /// It names the record at this place of the batch, counted round.
    FailFrom(usize),
    Garbage,
}

#[derive(Debug, Clone)]
struct Scenario {
    records: Vec<Given>,
    batch_size: usize,
    window_s: u64,
    parallelization_factor: usize,
    report_batch_item_failures: bool,
    /// How many records each fetch finds; then one each.
    fetches: Vec<usize>,
    /// When the script is at its end, the function succeeds.
    answers: Vec<Script>,
    /// Which of what is under way ends next; then the oldest.
    order: Vec<usize>,
}

/// The shard's surroundings, and what is known of each record.
struct World {
    shard: Shard,
    scenario: Scenario,
    now: Duration,
    read: usize,
    succeeded: Vec<bool>,
    checkpoint: usize,
    in_flight: Vec<Batch>,
    fetching: bool,
    wake_at: Option<Duration>,
    drained: bool,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let filter = [r#"{"passes":[true]}"#];
        let settings = Settings {
            batch_size: scenario.batch_size,
            maximum_batching_window: Duration::from_secs(scenario.window_s),
            parallelization_factor: scenario.parallelization_factor,
            report_batch_item_failures: scenario.report_batch_item_failures,
            filters: Filters::parse(Source::DynamoDb, filter).unwrap(),
        };
        Self {
            shard: Shard::new(settings),
            now: Duration::ZERO,
            read: 0,
            succeeded: vec![false; scenario.records.len()],
            checkpoint: 0,
            in_flight: Vec::new(),
            fetching: false,
            wake_at: None,
            drained: false,
            scenario,
        }
    }

    fn run(mut self) {
        self.step(Event::TimePassed);
        while !self.drained {
            let event = self.next_event();
            self.step(event);
        }
        for (record, succeeded) in self.scenario.records.iter().zip(&self.succeeded) {
            assert_eq!(record.passes, *succeeded, "delivered, and only if it passes");
        }
        assert_eq!(self.checkpoint, self.scenario.records.len());
    }

    /// Ends one of the calls under way, or else lets time pass to where the shard asked for it.
    fn next_event(&mut self) -> Event {
        let calls = self.in_flight.len() + usize::from(self.fetching);
        if calls == 0 {
            self.now = self.wake_at.expect("a shard that waits for nothing is stuck");
            return Event::TimePassed;
        }
        let chosen = self.scenario.order.pop().unwrap_or(0) % calls;
        if chosen < self.in_flight.len() {
            let batch = self.in_flight.remove(chosen);
            self.answer(&batch)
        } else {
            self.fetch()
        }
    }

    fn fetch(&mut self) -> Event {
        self.fetching = false;
        let left = self.scenario.records.len() - self.read;
        let count = self.scenario.fetches.pop().unwrap_or(1).min(left);
        let records = (self.read..self.read + count).map(|position| {
            let given = &self.scenario.records[position];
            let event = json!({"passes": given.passes, "data": "x".repeat(given.size)});
            Record::new(number(position), given.key.to_string(), event)
        });
        let records = records.collect();
        self.read += count;
        let closed = self.read == self.scenario.records.len();
        Event::Fetched { records, closed }
    }

    fn answer(&mut self, batch: &Batch) -> Event {
        let reports = self.scenario.report_batch_item_failures;
        let script = self.scenario.answers.pop().unwrap_or(Script::Succeed);
        let all = batch.sequence_numbers.len();
        let (answer, succeeded) = match script {
            Script::Succeed => (Answer::Returned("{}".into()), all),
            Script::Error => (Answer::FunctionError, 0),
            Script::Throttle => (Answer::NotInvoked, 0),
            Script::FailFrom(place) => {
                let failed = &batch.sequence_numbers[place % all];
                let failures = json!({"batchItemFailures": [{"itemIdentifier": failed}]});
                let succeeded = if reports { place % all } else { all };
                (Answer::Returned(failures.to_string()), succeeded)
            }
            Script::Garbage => {
                let succeeded = if reports { 0 } else { all };
                (Answer::Returned("<html>".into()), succeeded)
            }
        };
        for number in &batch.sequence_numbers[..succeeded] {
            self.succeeded[position(number)] = true;
        }
        let batch = batch.id;
        Event::Answered { batch, answer }
    }

    fn step(&mut self, event: Event) {
        self.wake_at = None;
        for action in self.shard.handle(event, self.now) {
            match action {
                Action::Checkpoint(number) => self.moved_to(position(&number) + 1),
                Action::Invoke(batch) => self.invoked(batch),
                Action::Fetch => {
                    assert!(!self.fetching, "one fetch at a time");
                    self.fetching = true;
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
            assert!(filtered_out || self.succeeded[passed], "skipped {passed}");
        }
        self.checkpoint = checkpoint;
    }

    fn invoked(&mut self, batch: Batch) {
        assert!(batch.sequence_numbers.len() <= self.scenario.batch_size);
        let alone = batch.sequence_numbers.len() == 1;
        assert!(alone || batch.payload.len() <= PAYLOAD_MAX_BYTES);

        let mut last_of_key = BTreeMap::new();
        for number in &batch.sequence_numbers {
            let position = position(number);
            let record = &self.scenario.records[position];
            assert!(record.passes, "filtered out, yet delivered");
            assert!(position >= self.checkpoint, "behind the checkpoint");
            assert!(!self.succeeded[position], "delivered after its success");
            let from = last_of_key.insert(record.key, position).map_or(0, |last| last + 1);
            for before in from..position {
                let earlier = &self.scenario.records[before];
                let open = earlier.passes && !self.succeeded[before];
                assert!(earlier.key != record.key || !open, "{position} overtook {before}");
            }
        }
        self.in_flight.push(batch);
    }
}

fn number(position: usize) -> String {
    (position + 1000).to_string()
}

fn position(sequence_number: &str) -> usize {
    sequence_number.parse::<usize>().unwrap() - 1000
}

fn given() -> impl Strategy<Value = Given> {
    let size = prop_oneof![9 => 0_usize..100, 1 => Just(PAYLOAD_MAX_BYTES / 3)];
    (0_u8..5, prop::bool::weighted(0.8), size).prop_map(|(key, passes, size)| Given { key, passes, size })
}

fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        Just(Script::Succeed),
        Just(Script::Error),
        Just(Script::Throttle),
        Just(Script::Garbage),
        (0_usize..10).prop_map(Script::FailFrom),
    ]
}

prop_compose! {
    fn scenario()(
        records in prop::collection::vec(given(), 0..40),
        batch_size in 1_usize..12,
        window_s in prop_oneof![Just(0_u64), 1_u64..300],
        parallelization_factor in 1_usize..=10,
        report_batch_item_failures: bool,
        fetches in prop::collection::vec(0_usize..12, 0..20),
        answers in prop::collection::vec(script(), 0..40),
        order in prop::collection::vec(0_usize..20, 0..80),
    ) -> Scenario {
        Scenario {
            records,
            batch_size,
            window_s,
            parallelization_factor,
            report_batch_item_failures,
            fetches,
            answers,
            order,
        }
    }
}

proptest! {
    #[test]
    fn every_record_is_delivered_in_order_until_it_succeeds(scenario in scenario()) {
        World::new(scenario).run();
    }
}
