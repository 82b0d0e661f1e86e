//! Random scenarios: the records of a shard, the settings, and how every call goes.

use std::time::Duration;

use event_sources::{Filters, MappingSettings, PAYLOAD_MAX_BYTES, StreamKind};
use proptest::prelude::*;

/// The earliest arrival of a record.
pub const BEGINNING: Duration = Duration::from_secs(1_000_000);

/// A record of the shard.
#[derive(Debug, Clone)]
pub struct Given {
    pub key: u8,
    pub passes: bool,
    /// Whether the function fails because of this record: see [`Poison`].
    pub bad: bool,
    /// Seconds after [`BEGINNING`]. Not in the order of the shard.
    pub arrived_s: u64,
}

impl Given {
    pub fn arrived_at(&self) -> Duration {
        BEGINNING + Duration::from_secs(self.arrived_s)
    }
}

/// How one invocation goes.
#[derive(Debug, Clone)]
pub enum Script {
    Succeed,
    Error,
    Throttle,
    /// Reports the record at this index, modulo the size of the batch.
    FailFrom(usize),
    /// Returns a payload that is not JSON.
    Garbage,
}

/// What a batch with a bad record does to the function, after the scripted invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    Harmless,
    Fails,
    IsReported,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub records: Vec<Given>,
    /// The size of every fifth record, in bytes.
    pub size: usize,
    pub batch_size: usize,
    pub window_s: u64,
    pub parallelization_factor: usize,
    pub maximum_retry_attempts: Option<u32>,
    pub maximum_record_age_s: Option<u64>,
    pub retention_s: u64,
    pub bisect_batch_on_function_error: bool,
    pub report_batch_item_failures: bool,
    /// How many records each fetch returns. After these, one each.
    pub fetches: Vec<usize>,
    /// How each invocation goes. After these, only bad records fail.
    pub invocations: Vec<Script>,
    pub poison: Poison,
    /// Whether each write to the on-failure destination succeeds. After these, all do.
    pub writes: Vec<bool>,
    /// Which call in flight completes next, or whether time passes. After these, the oldest call.
    pub order: Vec<usize>,
    /// How long each step takes, in seconds. After these, no time.
    pub steps_s: Vec<u64>,
}

impl Scenario {
    pub fn settings(&self) -> MappingSettings {
        let mut settings = MappingSettings::default();
        settings.batch_size = self.batch_size;
        settings.maximum_batching_window = Duration::from_secs(self.window_s);
        settings.parallelization_factor = self.parallelization_factor;
        settings.maximum_retry_attempts = self.maximum_retry_attempts;
        settings.maximum_record_age = self.maximum_record_age_s.map(Duration::from_secs);
        settings.bisect_batch_on_function_error = self.bisect_batch_on_function_error;
        settings.report_batch_item_failures = self.report_batch_item_failures;
        settings.filters = Filters::parse(StreamKind::DynamoDb, [r#"{"passes":[true]}"#]).unwrap();
        settings.retention = Duration::from_secs(self.retention_s);
        settings
    }

    pub fn age_max(&self) -> Duration {
        let age_s = self.maximum_record_age_s.unwrap_or(self.retention_s);
        Duration::from_secs(age_s.min(self.retention_s))
    }

    /// Without a limit, a bad record is retried for a day, which takes too long in a test.
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
        invocations in prop::collection::vec(script(), 0..40),
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
            invocations,
            poison,
            writes,
            order,
            steps_s,
        };
        scenario.poisoned_only_if_bounded()
    }
}
