//! Deploys the functions and their mappings.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use event_sources::{Filters, MappingSettings};
use handover::destination::{Consumer, Consumers, DestinationSettings};
use handover::pipeline::{Accept, Relay, Upstream, UpstreamQueue};
use handover::store::{DeadLetters, DestinationQueues, RelayQueue};
use handover::{Destination, External, templates};

use crate::aws::lambda::Function;
use crate::aws::shard_mapping::Mapping;
use crate::aws::stream::{SHARDS, StreamName};
use crate::faults::rng::{Purpose, below};
use crate::item::RETENTION;
use crate::names::{
    PREFIX, RELAY_DEAD_LETTERS, RELAY_QUEUE, UPSTREAM, UPSTREAM_DEAD_LETTERS, dead_letter_queue, function_of,
    queue_url, retry_queue,
};
use crate::stack::counted::Counted;
use crate::stack::{RECEIVES_MAX, STREAM_RETRIES, Stack};

const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);
const RELAY_TIMEOUT: Duration = Duration::from_secs(10);
/// The visibility timeout of the upstream queue: six times the timeout of accept.
const UPSTREAM_VISIBILITY_MS: u64 = 6 * ACCEPT_TIMEOUT.as_millis() as u64;
/// The visibility timeout of relay's queue: six times the timeout of relay.
const RELAY_VISIBILITY_MS: u64 = 6 * RELAY_TIMEOUT.as_millis() as u64;
/// Receives of relay's queue before SQS moves a message to the dead-letter queue.
const RELAY_RECEIVES_MAX: u32 = 1_000;
/// Receives of a retry queue before SQS moves a message to the dead-letter queue.
const RETRY_RECEIVES_MAX: u32 = 50;
/// How long a dead-letter queue keeps a message.
const DEAD_LETTERS_KEPT: Duration = Duration::from_secs(14 * 24 * 3_600);
/// How much longer the other queues keep one than until reconcile gives its notification up.
const COPIES_KEPT_LONGER: Duration = Duration::from_secs(3 * 24 * 3_600);
/// How long a copy waits after its first failed attempt, and a message of the upstream queue after a fault.
const BACKOFF: Duration = Duration::from_secs(1);
/// The back-offs of a few runs: reconcile runs between two attempts. The second is the longest that the template takes.
const LONG_BACKOFFS: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(900)];
/// Messages in flight of a retry queue at most, in a few runs.
const FEW_IN_FLIGHT: usize = 2;

/// A destination that no function runs yet.
pub struct Undeployed {
    name: String,
    consumer: Box<dyn Fn(DestinationSettings) -> Consumer>,
}

impl Stack {
    pub(super) fn serve_upstream(&self) {
        let mut state = self.aws.state();
        state.queues.create(UPSTREAM_DEAD_LETTERS, UPSTREAM_VISIBILITY_MS, DEAD_LETTERS_KEPT, None);
        let redrive = Some((RECEIVES_MAX, UPSTREAM_DEAD_LETTERS));
        state.queues.create(UPSTREAM, UPSTREAM_VISIBILITY_MS, self.copies_kept(), redrive);
        drop(state);
        let accept = Accept::new(self.ledger(), self.routes.clone(), self.clock("accept"));
        let queue = UpstreamQueue::new(self.sqs.clone(), UPSTREAM, UPSTREAM_DEAD_LETTERS, BACKOFF.as_secs());
        let upstream = Upstream::new(accept, queue);
        let accept = Function::new("accept", "accept", ACCEPT_TIMEOUT, async move |event, until| {
            upstream.receive(event, until).await
        });
        self.spawn(self.lambda.clone().serve_queue(UPSTREAM.into(), accept));
    }

    pub(super) fn serve_relay(&self, kinesis: aws_sdk_kinesis::Client) {
        let mut state = self.aws.state();
        state.queues.create(RELAY_DEAD_LETTERS, RELAY_VISIBILITY_MS, DEAD_LETTERS_KEPT, None);
        let redrive = Some((RELAY_RECEIVES_MAX, RELAY_DEAD_LETTERS));
        state.queues.create(RELAY_QUEUE, RELAY_VISIBILITY_MS, self.copies_kept(), redrive);
        drop(state);
        let queue = RelayQueue::new(self.sqs.clone(), RELAY_QUEUE);
        let of_stream = Relay::new(kinesis, "notifications", queue, self.clock("relay"));
        let of_queue = of_stream.clone();
        let relay = Function::new("relay", "relay", RELAY_TIMEOUT, async move |event, until| {
            of_stream.receive(event, until).await
        });
        let retry = Function::new("relay", "relay-queue", RELAY_TIMEOUT, async move |event, until| {
            of_queue.retry(event, until).await
        });
        self.spawn(self.lambda.clone().serve_queue(RELAY_QUEUE.into(), retry));
        let filter = Filters::parse(event_sources::StreamKind::DynamoDb, relay_filters());
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
    pub(crate) fn backoff(&self) -> Duration {
        let draw =
            |end, what: &[u64]| below(end, self.aws.seed(), &[&[Purpose::Backoff as u64], what].concat());
        let drawn = if draw(8, &[]) == 0 { LONG_BACKOFFS[usize::from(draw(4, &[1]) == 0)] } else { BACKOFF };
        self.timing.map_or(drawn, |timing| timing.backoff)
    }

    /// How long a queue keeps a copy, or a message that is not accepted yet.
    fn copies_kept(&self) -> Duration {
        self.give_up_after().unsigned_abs() + COPIES_KEPT_LONGER
    }

    /// The visibility time-out of a destination's queue.
    pub(crate) fn visibility_ms(&self) -> u64 {
        6 * self.timeout.as_millis() as u64
    }

    /// Whether few messages of a retry queue may be in flight in this run, so that they hold up others.
    pub(crate) fn has_few_in_flight(&self) -> bool {
        below(8, self.aws.seed(), &[Purpose::InFlight as u64]) == 0
    }

    pub(super) fn spawn(&self, mapping: impl Future<Output = ()> + 'static) {
        self.aws.clone().spawn("a mapping", mapping);
    }

    /// Deploys a destination in a function of its own, with its queues and mappings.
    pub fn serve(&self, name: &str, destination: impl Destination) {
        self.serve_together(vec![self.destination(name, destination)]);
    }

    /// Deploys a destination whose effect is a call to another system, in a function of its own.
    pub fn serve_external(&self, name: &str, external: impl External) {
        self.serve_together(vec![self.external(name, external)]);
    }

    /// A destination to deploy.
    pub fn destination(&self, name: &str, destination: impl Destination) -> Undeployed {
        let destination = self.counted(name, destination);
        let consumer = Box::new(move |settings| Consumer::new(destination.clone(), settings));
        Undeployed { name: name.to_owned(), consumer }
    }

    /// A destination to deploy whose effect is a call to another system.
    pub fn external(&self, name: &str, external: impl External) -> Undeployed {
        self.aws.state().exact_clocks.insert(name.to_owned());
        let external = self.counted(name, external);
        let consumer = Box::new(move |settings| Consumer::external(external.clone(), settings));
        Undeployed { name: name.to_owned(), consumer }
    }

    /// Creates a queue that somebody else reads, and returns its URL.
    pub fn create_queue(&self, name: &str) -> String {
        let url = queue_url(name);
        self.aws.state().queues.create(&url, self.visibility_ms(), DEAD_LETTERS_KEPT, None);
        url
    }

    fn counted<D>(&self, name: &str, destination: D) -> Counted<D> {
        Counted {
            destination: Arc::new(destination),
            name: name.to_owned(),
            tries: self.tries.clone(),
            aws: self.aws.clone(),
            timeout: self.timeout,
        }
    }

    /// Creates the queues of a destination, and returns its settings.
    fn settings(&self, name: &str) -> DestinationSettings {
        let mut state = self.aws.state();
        let visibility_ms = self.visibility_ms();
        let (retry, dead_letters) = (retry_queue(name), dead_letter_queue(name));
        state.queues.create(&dead_letters, visibility_ms, DEAD_LETTERS_KEPT, None);
        let redrive = Some((RETRY_RECEIVES_MAX, &*dead_letters));
        state.queues.create(&retry, visibility_ms, self.copies_kept(), redrive);
        if self.has_few_in_flight() {
            state.queues.limit_in_flight(&retry, FEW_IN_FLIGHT);
        }
        let tuning = self.tuning(name);
        state.invariants.schedules.insert(name, tuning.schedule(self.backoff()));
        drop(state);
        self.destinations.borrow_mut().push(name.to_owned());
        DestinationSettings {
            name: name.to_owned(),
            ledger: self.ledger(),
            positions: self.positions(),
            queues: self.queues(name),
            routes: self.routes.clone(),
            retention: RETENTION,
            retries: tuning.retries(self.backoff()),
            handler_timeout: tuning.handler_timeout,
            concurrency: tuning.concurrency,
            clock: self.clock(name),
        }
    }

    /// The queues of a destination. In most runs its functions have their URLs from an invocation before, and in some they
    /// ask for them.
    fn queues(&self, name: &str) -> DestinationQueues {
        match self.knows_queue_urls() {
            true => DestinationQueues::at(self.sqs.clone(), retry_queue(name), self.dead_letters(name)),
            false => DestinationQueues::new(self.sqs.clone(), PREFIX, name),
        }
    }

    pub(super) fn dead_letters(&self, name: &str) -> DeadLetters {
        DeadLetters::at(self.sqs.clone(), dead_letter_queue(name))
    }

    pub(super) fn knows_queue_urls(&self) -> bool {
        below(8, self.aws.seed(), &[Purpose::QueueUrl as u64]) != 1
    }

    /// Deploys destinations in one function, with one mapping of the stream, and one of each retry queue.
    pub fn serve_together(&self, destinations: Vec<Undeployed>) {
        let (mut later, mut earlier, mut names) = (vec![], vec![], vec![]);
        for Undeployed { name, consumer } in destinations {
            let settings = self.settings(&name);
            earlier.push(consumer(DestinationSettings {
                routes: self.earlier_routes.clone(),
                ..settings.clone()
            }));
            later.push(consumer(settings));
            names.push(name);
        }
        let (later, earlier) = (Rc::new(Consumers::new(later)), Rc::new(Consumers::new(earlier)));
        let aws = self.aws.clone();
        let consumers = move || if aws.has_earlier_routes() { earlier.clone() } else { later.clone() };
        let mut settings = MappingSettings::default();
        settings.report_batch_item_failures = true;
        settings.bisect_batch_on_function_error = true;
        settings.maximum_retry_attempts = Some(STREAM_RETRIES);
        settings.parallelization_factor = 2;
        let (function, of_stream) = (function_of(&names), consumers.clone());
        let stream = Function::new(&function, "stream", self.timeout, async move |event, until| {
            of_stream().receive(event, until).await
        });
        self.serve_shards(&settings, &stream, StreamName::Kinesis);
        let retry = Function::new(&function, "retry", self.timeout, async move |event, until| {
            consumers().retry(event, until).await
        });
        for name in names {
            self.spawn(self.lambda.clone().serve_queue(retry_queue(&name), retry.clone()));
        }
    }
}

/// What the template's mapping of the table's stream passes.
fn relay_filters() -> Vec<&'static str> {
    let (_, mapping) = templates::CORE.split_once("\n  TableToRelay:").expect("the mapping");
    let (filters, _) = mapping.split_once("\n      BatchSize:").expect("its filters");
    let patterns: Vec<_> = filters
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- Pattern: '")?.strip_suffix('\''))
        .collect();
    assert!(!patterns.is_empty() && patterns.len() == filters.matches("Pattern:").count(), "{filters}");
    patterns
}
