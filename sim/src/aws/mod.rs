//! The simulated AWS: what its services keep, and the clients that reach it.

pub mod answer;
pub mod connector;
pub mod database;
pub mod dynamodb;
mod forged;
pub mod invocation;
pub mod lambda;
pub mod mortal;
pub mod provider;
pub mod queue_mapping;
mod release;
pub mod shard_mapping;
pub mod sqs;
pub mod stream;
pub mod time;

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use futures_util::FutureExt;
use handover::lambda::CALL_TIMEOUT_MS;
use tokio::sync::Notify;

use crate::aws::dynamodb::DynamoDb;
use crate::aws::invocation::INVOCATION;
use crate::aws::provider::Provider;
use crate::aws::sqs::Queues;
use crate::aws::stream::{Stream, StreamName};
use crate::aws::time::Time;
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::faults::plan::Plan;
use crate::faults::rng::{Purpose, happens, of_name};
use crate::history::History;
use crate::invariants::Invariants;
use crate::invariants::pause::Pauses;
use crate::names::{NOTIFICATIONS, POSITIONS, RECONCILE};

/// Everything that AWS keeps.
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    plan: Plan,
    time: Time,
    dynamodb: DynamoDb,
    /// How many milliseconds each call takes, where that is not drawn.
    call_ms: Option<u64>,
    state: Mutex<State>,
    /// A stream has a new record.
    streamed: Notify,
    /// A queue has changed.
    queued: Notify,
}

/// The part that changes.
#[derive(Default)]
pub struct State {
    /// The stream of the table of records.
    pub table_stream: Stream,
    /// The Kinesis stream.
    pub kinesis: Stream,
    pub queues: Queues,
    pub provider: Provider,
    pub invariants: Invariants,
    pub pauses: Pauses,
    pub history: History,
    /// What did not hold during the run.
    pub violations: Vec<String>,
    pub faults_enabled: bool,
    /// Functions whose leases need a clock that is nearly right.
    pub exact_clocks: BTreeSet<String>,
    /// Calls that have not taken effect yet, whatever became of their callers; and deliveries that a later release
    /// holds.
    pub under_way: usize,
    /// The time between two runs of a schedule while little happens.
    pub schedule_at_rest: Option<Duration>,
}

impl State {
    pub fn stream(&self, name: StreamName) -> &Stream {
        match name {
            StreamName::Table => &self.table_stream,
            StreamName::Kinesis => &self.kinesis,
        }
    }
}

impl Aws {
    pub fn new(plan: Plan, time: Time, dynamodb: DynamoDb, call_ms: Option<u64>) -> Aws {
        let (streamed, queued) = (Notify::new(), Notify::new());
        let state = Mutex::new(State { faults_enabled: true, ..State::default() });
        Aws(Arc::new(Inner { plan, time, dynamodb, call_ms, state, streamed, queued }))
    }

    pub fn time(&self) -> Time {
        self.0.time
    }

    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    pub fn seed(&self) -> u64 {
        self.0.plan.seed
    }

    pub fn call_ms(&self) -> Option<u64> {
        self.0.call_ms
    }

    pub fn dynamodb(&self) -> &DynamoDb {
        &self.0.dynamodb
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it is locked is a violation; see `watched`.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn streamed(&self) -> &Notify {
        &self.0.streamed
    }

    pub fn queued(&self) -> &Notify {
        &self.0.queued
    }

    /// Clients of this AWS, built as a function builds them.
    pub fn clients(&self) -> (aws_sdk_dynamodb::Client, aws_sdk_kinesis::Client, aws_sdk_sqs::Client) {
        macro_rules! client {
            ($sdk:ident) => {
                $sdk::Client::from_conf(
                    $sdk::Config::builder()
                        .behavior_version($sdk::config::BehaviorVersion::latest())
                        .region($sdk::config::Region::from_static("us-east-1"))
                        // Signatures take a tenth of the time, and nothing checks them.
                        .allow_no_auth()
                        .http_client(self.clone())
                        .sleep_impl(TokioSleep::new())
                        .time_source(self.clone())
                        .stalled_stream_protection($sdk::config::StalledStreamProtectionConfig::disabled())
                        .timeout_config(
                            $sdk::config::timeout::TimeoutConfig::builder()
                                .operation_attempt_timeout(Duration::from_millis(CALL_TIMEOUT_MS))
                                .build(),
                        )
                        // The default one is shared by the whole process.
                        .retry_partition($sdk::config::retry::RetryPartition::custom("sim").build())
                        .build(),
                )
            };
        }
        (client!(aws_sdk_dynamodb), client!(aws_sdk_kinesis), client!(aws_sdk_sqs))
    }

    /// Passes on the changes that `who` made to the table of records, checks each against the invariants, and notes the
    /// failed attempts.
    pub fn follow_changes(&self, who: &str) {
        let changes = self.dynamodb().changes();
        let mut state = self.state();
        let (now_ms, elapsed_ms) = (self.time().now_ms(), self.time().elapsed_ms());
        for change in changes {
            let violation = state.invariants.check(&change, who);
            state.violations.extend(violation);
            // A clock that jumps by minutes makes long of short.
            if !state.history.clock_was_behind {
                let violation = state.pauses.follow(&change, who, now_ms).err();
                state.violations.extend(violation);
            }
            state.history.note_failed_attempts(elapsed_ms, who, &change);
            state.table_stream.add_change(change, now_ms);
        }
    }

    /// Checks reconcile's cursors against the invariants.
    pub fn follow_cursors(&self) {
        let cursors = self.dynamodb().items(RECONCILE);
        let State { invariants, violations, .. } = &mut *self.state();
        violations.extend(cursors.iter().filter_map(|cursor| invariants.cursors.follow(cursor).err()));
    }

    /// Notes which destinations are paused.
    pub fn follow_controls(&self) {
        let (items, now_ms) = (self.dynamodb().items(POSITIONS), self.time().now_ms());
        self.state().pauses.follow_items(&items, now_ms);
    }

    /// Checks that a handler may begin, which may take so long before it calls.
    pub fn handler_begins(&self, destination: &str, takes: Duration) {
        let mut state = self.state();
        let begins = state.pauses.begins(destination, takes.as_millis() as u64, self.time().now_ms());
        if !state.history.clock_was_behind {
            state.violations.extend(begins.err());
        }
    }

    /// Deletes the records that have expired.
    pub fn delete_expired(&self) {
        self.dynamodb().delete_expired(NOTIFICATIONS);
        self.follow_changes("time to live");
    }

    /// How the clock of a function, or of a program elsewhere, differs from the others.
    pub fn skews(&self, of: &str) -> Vec<InjectedFault> {
        let skews = [Fault::Skew, Fault::FarSkew].map(|fault| self.plan().fault_of(of, fault, None));
        let is_exact = self.state().exact_clocks.contains(of);
        skews.into_iter().flatten().filter(|skew| skew.fault != Fault::FarSkew || !is_exact).collect()
    }

    /// How far such a clock is ahead for the invocation that reads it, in milliseconds. The number of a skew says
    /// whether it is ahead (even) or behind, and whether all instances of the function have it (below 2) or half.
    pub fn ahead_ms(&self, skew: &InjectedFault) -> i64 {
        let invocation = INVOCATION.try_with(|invocation| of_name(&invocation.name)).unwrap_or_default();
        let has_skew = skew.at < 2 || happens(500, self.seed(), &[Purpose::Instance as u64, invocation]);
        let ahead_ms = if has_skew { skew.for_ms as i64 } else { 0 };
        if skew.at.is_multiple_of(2) { ahead_ms } else { -ahead_ms }
    }

    /// Runs something that must not panic: a panic is a violation, and returns nothing.
    pub async fn watched<T>(&self, who: &str, work: impl Future<Output = T>) -> Option<T> {
        let worked = AssertUnwindSafe(work).catch_unwind().await;
        let panicked = |panic| {
            self.state().violations.push(format!("{who} panicked: {}", panic_text(panic)));
        };
        worked.map_err(panicked).ok()
    }

    /// Spawns a part of this AWS.
    pub fn spawn(self, who: &'static str, work: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(async move { self.watched(who, work).await });
    }

    /// Writes a line of history.
    pub fn note(&self, who: &str, what: &str) {
        let elapsed_ms = self.time().elapsed_ms();
        self.state().history.note(elapsed_ms, who, what);
    }
}

impl TimeSource for Aws {
    fn now(&self) -> SystemTime {
        self.time().system()
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("Aws")
    }
}

/// The text of a panic.
pub fn panic_text(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("without a text").to_owned(),
    }
}
