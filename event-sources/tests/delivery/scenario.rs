//! What a shard and its surroundings may be like.

use std::time::Duration;

use event_sources::{Filters, PAYLOAD_MAX_BYTES, Settings, Source};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub struct Given {
    pub key: u8,
    pub passes: bool,
    /// The function cannot take it: see [`Poison`].
    pub bad: bool,
    /// After the beginning of time. The shard's own order is another.
    pub arrived_s: u64,
}

/// How the function answers one invocation.
#[derive(Debug, Clone)]
pub enum Script {
    Succeed,
    Error,
    Throttle,
    /// It names the record at this place of the batch, counted round.
    FailFrom(usize),
    Garbage,
}

/// What a batch with a bad record does to the function, when the script is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    Harmless,
    Fails,
    IsReported,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub records: Vec<Given>,
    /// Of every fifth record, in bytes.
    pub size: usize,
    pub batch_size: usize,
    pub window_s: u64,
    pub parallelization_factor: usize,
    pub maximum_retry_attempts: Option<u32>,
    pub maximum_record_age_s: Option<u64>,
    pub retention_s: u64,
    pub bisect_batch_on_function_error: bool,
    pub report_batch_item_failures: bool,
    /// How many records each fetch finds; then one each.
    pub fetches: Vec<usize>,
    /// When the script is at its end, only bad records fail.
    pub answers: Vec<Script>,
    pub poison: Poison,
    /// Whether the on-failure destination can be written; then it can.
    pub writes: Vec<bool>,
    /// Which of what is under way ends next, or whether time passes; then the oldest.
    pub order: Vec<usize>,
    /// How long each step takes; then nothing.
    pub steps_s: Vec<u64>,
}

impl Scenario {
    pub fn settings(&self) -> Settings {
        Settings {
            batch_size: self.batch_size,
            maximum_batching_window: Duration::from_secs(self.window_s),
            parallelization_factor: self.parallelization_factor,
            maximum_retry_attempts: self.maximum_retry_attempts,
            maximum_record_age: self.maximum_record_age_s.map(Duration::from_secs),
            bisect_batch_on_function_error: self.bisect_batch_on_function_error,
            report_batch_item_failures: self.report_batch_item_failures,
            filters: Filters::parse(Source::DynamoDb, [r#"{"passes":[true]}"#]).unwrap(),
            retention: Duration::from_secs(self.retention_s),
        }
    }

    pub fn age_max(&self) -> Duration {
        let age_s = self.maximum_record_age_s.unwrap_or(self.retention_s);
        Duration::from_secs(age_s.min(self.retention_s))
    }

    /// A bad record that nothing gives up is retried for a day, which takes too long here.
    fn poisoned_only_if_bounded(self) -> Self {
        let bounded = self.maximum_retry_attempts.is_some() || self.age_max() < Duration::from_secs(1_000);
        let poison = if bounded { self.poison } else { Poison::Harmless };
        Self { poison, ..self }
    }
}

fn given() -> impl Strategy<Value = Given> {
    (0_u8..5, prop::bool::weighted(0.8), prop::bool::weighted(0.2), 0_u64..300)
        .prop_map(|(key, passes, bad, arrived_s)| Given { key, passes, bad, arrived_s })
}

fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        1 => Just(Script::Succeed),
        2 => Just(Script::Error),
        1 => Just(Script::Throttle),
        1 => Just(Script::Garbage),
        2 => (0_usize..10).prop_map(Script::FailFrom),
    ]
}

fn poison() -> impl Strategy<Value = Poison> {
    prop_oneof![Just(Poison::Harmless), Just(Poison::Fails), Just(Poison::IsReported)]
}

prop_compose! {
    fn limits()(
        maximum_retry_attempts in prop::option::of(0_u32..4),
        maximum_record_age_s in prop::option::of(60_u64..400),
        retention_s in prop_oneof![Just(24 * 60 * 60_u64), 100_u64..500],
    ) -> (Option<u32>, Option<u64>, u64) {
        (maximum_retry_attempts, maximum_record_age_s, retention_s)
    }
}

prop_compose! {
    pub fn scenario()(
        records in prop::collection::vec(given(), 0..40),
        size in prop_oneof![19 => 0_usize..100, 1 => Just(PAYLOAD_MAX_BYTES / 2)],
        batch_size in 1_usize..12,
        window_s in prop_oneof![Just(0_u64), 1_u64..300],
        parallelization_factor in 1_usize..=10,
        (maximum_retry_attempts, maximum_record_age_s, retention_s) in limits(),
        (bisect_batch_on_function_error, report_batch_item_failures) in any::<(bool, bool)>(),
        fetches in prop::collection::vec(0_usize..12, 0..20),
        answers in prop::collection::vec(script(), 0..40),
        poison in poison(),
        writes in prop::collection::vec(any::<bool>(), 0..10),
        order in prop::collection::vec(0_usize..20, 0..80),
        steps_s in prop::collection::vec(prop_oneof![3 => Just(0_u64), 1 => 0_u64..60], 0..40),
    ) -> Scenario {
        let scenario = Scenario {
            records,
            size,
            batch_size,
            window_s,
            parallelization_factor,
            maximum_retry_attempts,
            maximum_record_age_s,
            retention_s,
            bisect_batch_on_function_error,
            report_batch_item_failures,
            fetches,
            answers,
            poison,
            writes,
            order,
            steps_s,
        };
        scenario.poisoned_only_if_bounded()
    }
}
