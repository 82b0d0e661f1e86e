//! Deploys the functions and their mappings.

use std::rc::Rc;
use std::time::Duration;

use event_sources::{Filters, MappingSettings};
use handover::destination::{Consumer, DestinationSettings};
use handover::pipeline::{Accept, Relay, Upstream};
use handover::store::DestinationQueues;
use handover::{Destination, External};

use crate::aws::lambda::Function;
use crate::aws::shard_mapping::Mapping;
use crate::aws::stream::{SHARDS, StreamName};
use crate::faults::rng::{Purpose, below};
use crate::names::{UPSTREAM, UPSTREAM_DEAD_LETTERS, dead_letter_queue, retry_queue};
use crate::stack::counted::Counted;
use crate::stack::{RECEIVES_MAX, RETENTION, Stack};

const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);
const RELAY_TIMEOUT: Duration = Duration::from_secs(10);
/// The visibility timeout of the upstream queue: six times the timeout of accept.
const UPSTREAM_VISIBILITY_MS: u64 = 6 * ACCEPT_TIMEOUT.as_millis() as u64;
/// Receives of a retry queue before SQS moves a message to the dead-letter queue.
const RETRY_RECEIVES_MAX: u32 = 50;
/// How long a copy waits after its first failed attempt, and a message of the upstream queue after a fault.
const BACKOFF: Duration = Duration::from_secs(1);
/// The back-off of a few runs: reconcile runs between two attempts.
const LONG_BACKOFF: Duration = Duration::from_secs(300);

/// What the template's mapping of the table's stream passes.
const RELAY_FILTER: &str =
    r#"{"eventName":["INSERT","MODIFY"],"dynamodb":{"NewImage":{"change":{"S":["dispatch"]}}}}"#;

impl Stack {
    pub(super) fn serve_upstream(&self) {
        let mut state = self.aws.state();
        state.queues.create(UPSTREAM_DEAD_LETTERS, UPSTREAM_VISIBILITY_MS, None);
        let redrive = Some((RECEIVES_MAX, UPSTREAM_DEAD_LETTERS));
        state.queues.create(UPSTREAM, UPSTREAM_VISIBILITY_MS, redrive);
        drop(state);
        let accept = Accept::new(self.ledger(), self.routes.clone(), self.clock("accept"));
        let upstream =
            Upstream::new(accept, self.sqs.clone(), UPSTREAM, UPSTREAM_DEAD_LETTERS, BACKOFF.as_secs());
        let accept = Function::new("accept", "accept", ACCEPT_TIMEOUT, async move |event, until| {
            upstream.receive(event, until).await
        });
        self.spawn(self.lambda.clone().serve_queue(UPSTREAM.into(), accept));
    }

    pub(super) fn serve_relay(&self, kinesis: aws_sdk_kinesis::Client) {
        let relay = Relay::new(kinesis, "notifications", self.clock("relay"));
        let relay = Function::new("relay", "relay", RELAY_TIMEOUT, async move |event, until| {
            relay.receive(event, until).await
        });
        let filter = Filters::parse(event_sources::StreamKind::DynamoDb, [RELAY_FILTER]);
        let mut settings = MappingSettings::default();
        settings.report_batch_item_failures = true;
        settings.bisect_batch_on_function_error = true;
        settings.filters = filter.expect("a filter");
        self.serve_shards(&settings, &relay, StreamName::Table);
    }

    fn serve_shards(&self, settings: &MappingSettings, function: &Function, stream: StreamName) {
        for shard in 0..SHARDS {
            let mapping = Mapping { settings: settings.clone(), function: function.clone(), stream, shard };
            self.spawn(self.lambda.clone().serve_shard(mapping));
        }
    }

    /// How long a copy waits after its first failed attempt in this run.
    fn backoff(&self) -> Duration {
        let is_long = below(8, self.aws.seed(), &[Purpose::Backoff as u64]) == 0;
        let drawn = if is_long { LONG_BACKOFF } else { BACKOFF };
        self.timing.map_or(drawn, |timing| timing.backoff)
    }

    pub(super) fn spawn(&self, mapping: impl Future<Output = ()> + 'static) {
        self.aws.clone().spawn("a mapping", mapping);
    }

    /// Deploys a destination, with its queues and mappings.
    pub fn serve(&self, name: &str, destination: impl Destination) {
        let settings = self.settings(name);
        self.serve_consumer(name, Consumer::new(self.counted(name, destination), settings));
    }

    /// Deploys a destination whose effect is a call to another system.
    pub fn serve_external(&self, name: &str, external: impl External) {
        let settings = self.settings(name);
        self.serve_consumer(name, Consumer::external(self.counted(name, external), settings));
    }

    fn counted<D>(&self, name: &str, destination: D) -> Counted<D> {
        Counted { destination, name: name.to_owned(), tries: self.tries.clone() }
    }

    /// Creates the queues of a destination, and returns its settings.
    fn settings(&self, name: &str) -> DestinationSettings {
        let mut state = self.aws.state();
        let visibility_ms = 6 * self.timeout.as_millis() as u64;
        let (retry, dead_letters) = (retry_queue(name), dead_letter_queue(name));
        state.queues.create(&dead_letters, visibility_ms, None);
        state.queues.create(&retry, visibility_ms, Some((RETRY_RECEIVES_MAX, &dead_letters)));
        drop(state);
        self.destinations.borrow_mut().push(name.to_owned());
        DestinationSettings {
            name: name.to_owned(),
            ledger: self.ledger(),
            positions: self.routes.is_sequenced(name).then(|| self.positions()),
            queues: DestinationQueues::new(self.sqs.clone(), retry, dead_letters),
            routes: self.routes.clone(),
            retention: RETENTION,
            backoff: self.backoff(),
            clock: self.clock(name),
        }
    }

    fn serve_consumer(&self, name: &str, consumer: Consumer) {
        let consumer = Rc::new(consumer);
        let mut settings = MappingSettings::default();
        settings.report_batch_item_failures = true;
        settings.bisect_batch_on_function_error = true;
        settings.maximum_retry_attempts = Some(30);
        settings.parallelization_factor = 2;
        let of_stream = consumer.clone();
        let stream = Function::new(name, "stream", self.timeout, async move |event, until| {
            of_stream.receive(event, until).await
        });
        self.serve_shards(&settings, &stream, StreamName::Kinesis);
        let retry = Function::new(name, "retry", self.timeout, async move |event, until| {
            consumer.retry(event, until).await
        });
        self.spawn(self.lambda.clone().serve_queue(retry_queue(name), retry));
    }
}
