//! The deployed stack: tables, stream, queues, functions and their mappings, as the templates make them,
//! with the destinations of a workload.

mod counted;
pub mod deploy;
pub mod elsewhere;
pub mod http;
pub(crate) mod later_release;
pub mod operator;
pub mod pauses;
mod reconcile;
pub mod replays;
mod tuning;

use std::cell::RefCell;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use handover::store::ENCODING;
use handover::{Clock, Ledger, NotificationKey, Outbox, Positions, Routes};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::aws::dynamodb::{DynamoDb, Table};
use crate::aws::lambda::Lambda;
use crate::aws::stream::{Allowance, SHARDS, shard_of};
use crate::aws::time::Time;
use crate::faults::fault::Fault;
use crate::faults::plan::Plan;
use crate::faults::rng::{Purpose, below};
use crate::item::{self, destinations, number, sequence_key, state};
use crate::names::{
    NOTIFICATIONS, POSITIONS, PRODUCER, RECONCILE, RELAY_DEAD_LETTERS, RELAY_QUEUE, UPSTREAM,
    UPSTREAM_ELSEWHERE, dead_letter_queue, retry_queue,
};
pub use crate::stack::counted::Killer;
use crate::stack::counted::Tries;
use crate::timing::Timing;

/// How many times a message of the upstream queue is received before SQS moves it to the dead-letter queue.
pub(crate) const RECEIVES_MAX: u32 = 6;
/// Retries of a batch of the stream, after which its mapping gives it up.
pub(crate) const STREAM_RETRIES: u32 = 8;

/// The stack, running.
pub struct Stack {
    pub(crate) aws: Aws,
    pub(crate) lambda: Lambda,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    routes: Routes,
    /// Those of instances that an earlier release left.
    earlier_routes: Routes,
    /// The timeout of a destination's function; the visibility timeout of its queue is six times as long.
    timeout: Duration,
    /// Fixed times, where the run measures.
    pub(crate) timing: Option<Timing>,
    destinations: RefCell<Vec<String>>,
    tries: Tries,
}

/// What a workload deploys.
pub(crate) struct StackSettings {
    /// The tables of the destinations.
    pub(crate) tables: Vec<Table>,
    pub(crate) routes: Routes,
    /// Those of instances that an earlier release left.
    pub(crate) earlier_routes: Routes,
    /// The timeout of a destination's function.
    pub(crate) timeout: Duration,
    pub(crate) timing: Option<Timing>,
}

impl Stack {
    /// Deploys the stack, without destinations yet, into an AWS of its own with these tables of theirs.
    pub(crate) fn deploy(plan: Plan, settings: StackSettings) -> Stack {
        let StackSettings { mut tables, routes, earlier_routes, timeout, timing } = settings;
        let time = Time::begin();
        let index = Some(("due", "bucket"));
        tables.push(Table { stream: true, index, ..Table::new(NOTIFICATIONS, &["id", "source"]) });
        tables.push(Table::new(RECONCILE, &["name"]));
        let key = vec![("key".to_owned(), "S"), ("sequence".to_owned(), "N")];
        tables.push(Table { key, ..Table::new(POSITIONS, &[]) });
        let call_ms = timing.map(|timing| timing.call_ms);
        let aws = Aws::new(plan, time, DynamoDb::new(time, tables), call_ms);
        let (dynamodb, kinesis, sqs) = aws.clients();
        let stack = Stack {
            lambda: Lambda::new(aws.clone()),
            aws,
            dynamodb,
            sqs,
            routes,
            earlier_routes,
            timeout,
            timing,
            destinations: RefCell::default(),
            tries: Tries::default(),
        };
        stack.serve_upstream();
        stack.serve_relay(kinesis);
        stack.serve_later_release();
        stack
    }

    /// The virtual time of the run.
    pub fn time(&self) -> Time {
        self.aws.time()
    }

    /// A client of the simulated DynamoDB.
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        &self.dynamodb
    }

    /// A client of the simulated SQS.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.sqs
    }

    /// The bodies of the messages of a queue.
    pub fn messages(&self, url: &str) -> Vec<String> {
        self.aws.state().queues.queues[url].messages.iter().map(|message| message.body.clone()).collect()
    }

    /// The connector that reaches the simulated payment provider.
    pub fn http(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.aws.clone())
    }

    /// How many payments an endpoint of the provider has taken for a notification. The endpoint is the scope of
    /// its idempotency key.
    pub fn payments_taken(&self, endpoint: &str, key: &NotificationKey) -> u64 {
        self.aws.state().provider.taken(endpoint, &key.idempotency_key(endpoint))
    }

    /// The amount that an endpoint of the provider has taken last for a notification.
    pub fn amount_taken(&self, endpoint: &str, key: &NotificationKey) -> Option<Value> {
        self.aws.state().provider.amount(endpoint, &key.idempotency_key(endpoint)).cloned()
    }

    /// How many payments an endpoint of the provider has taken.
    pub fn all_payments_taken(&self, endpoint: &str) -> u64 {
        self.aws.state().provider.all_taken(endpoint)
    }

    /// Whether every call for a payment had an answer that said whether it was taken.
    pub fn payment_is_clear(&self, endpoint: &str, key: &NotificationKey) -> bool {
        let state = self.aws.state();
        state.history.injected.is_empty() && state.provider.is_clear(endpoint, &key.idempotency_key(endpoint))
    }

    /// The clock of a function, or of a program elsewhere, by its name.
    pub(crate) fn clock(&self, of: &str) -> Clock {
        let (aws, skews) = (self.aws.clone(), self.aws.skews(of));
        let is_far = skews.iter().any(|skew| skew.fault == Fault::FarSkew);
        self.aws.state().history.clock_was_behind |= is_far;
        Clock::new(move || aws.time().timestamp(skews.iter().map(|skew| aws.ahead_ms(skew)).sum()))
    }

    /// The ledger of one program: each is a process of its own, whose calls begin in turn.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.dynamodb.clone(), NOTIFICATIONS)
    }

    pub(crate) fn positions(&self) -> Positions {
        Positions::new(self.dynamodb.clone(), POSITIONS)
    }

    /// The outbox of a producer whose clock is behind by this time.
    pub fn outbox(&self, behind: Duration) -> Outbox {
        self.aws.state().history.clock_was_behind |= !behind.is_zero();
        let clock = self.clock("producer");
        Outbox::new(self.ledger(), self.routes.clone(), Clock::new(move || clock.now() - behind))
    }

    /// Where its notifications go.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Every item of a table, in DynamoDB's JSON.
    pub fn items(&self, table: &str) -> Vec<Value> {
        self.aws.dynamodb().items(table)
    }

    /// Every record, in DynamoDB's JSON.
    pub fn records(&self) -> Vec<Value> {
        self.items(NOTIFICATIONS)
    }

    /// Puts an item, in DynamoDB's JSON, into a table.
    pub fn put(&self, table: &str, item: &Value) {
        self.aws.dynamodb().put(table, item);
    }

    /// Writes a line of history.
    pub fn note(&self, who: &str, what: &str) {
        self.aws.note(who, what);
    }

    /// A number below `end` that decides `what` about the message `at`.
    pub fn draw_for_message(&self, end: u64, what: u64, at: u64) -> u64 {
        below(end, self.aws.seed(), &[Purpose::Send as u64, what, at])
    }

    /// A number below `end` that decides `what` about the `nth` action of an operator.
    pub fn draw_for_operator(&self, end: u64, what: u64, nth: u64) -> u64 {
        below(end, self.aws.seed(), &[Purpose::Operator as u64, what, nth])
    }

    /// Whether the message with this number is sent in this run.
    pub fn sends(&self, number: usize) -> bool {
        let sends = self.aws.plan().sends(number);
        if sends {
            self.aws.state().history.messages.insert(number);
        }
        sends
    }

    /// Sends a message to the upstream queue.
    pub fn send(&self, message: &str) {
        self.send_as(PRODUCER, message);
    }

    /// Sends a message to the upstream queue as the role with this unique id.
    pub fn send_as(&self, sender: &str, message: &str) {
        self.send_to(UPSTREAM, sender, message);
    }

    fn send_to(&self, url: &str, sender: &str, message: &str) {
        let now_ms = self.aws.time().now_ms();
        self.aws.note("producer", &format!("sends {message}"));
        self.aws.state().queues.send_as(&format!("{sender}:producer"), url, message, now_ms);
        self.aws.queued().notify_waiters();
    }

    /// Limits what a shard of the Kinesis stream takes from now on: 1 MB and 1,000 records a second, as on AWS.
    pub fn limit_shards(&self) {
        let full = Allowance::full(self.aws.time().now_ms());
        self.aws.state().kinesis.allowances = Some([full; SHARDS]);
    }

    /// The shard of the Kinesis stream that has the records of a partition key.
    pub fn shard_of(&self, partition_key: &str) -> usize {
        shard_of(partition_key)
    }

    /// Puts bytes into the Kinesis stream, as somebody may who is not the relay.
    pub fn put_into_stream(&self, key: &str, bytes: &[u8]) {
        let record = json!({ "PartitionKey": key, "Data": BASE64_STANDARD.encode(bytes) });
        let now_ms = self.aws.time().now_ms();
        self.aws.note("somebody", &format!("puts {} bytes into the stream", bytes.len()));
        self.aws.state().kinesis.put(&record, now_ms);
        self.aws.streamed().notify_waiters();
    }

    /// The bytes of the dead letters of a destination that are not of a notification, as they were read from the
    /// stream.
    pub fn raw_dead_letters(&self, destination: &str) -> Vec<Vec<u8>> {
        let state = self.aws.state();
        let dead_letters = state.queues.queues[&dead_letter_queue(destination)].messages.iter();
        let raw = dead_letters.filter(|message| message.notification().is_none());
        raw.map(|message| match message.attribute(ENCODING) {
            "base64" => BASE64_STANDARD.decode(&message.body).expect("base64"),
            "empty" => Vec::new(),
            _ => message.body.clone().into_bytes(),
        })
        .collect()
    }

    /// Runs a program elsewhere, as an invocation that may die: its result, unless it did.
    pub async fn run_program<T: 'static>(
        &self,
        name: &str,
        stage: &'static str,
        limit: Duration,
        work: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        self.lambda.run(name, stage, Value::Null, limit, work).await.1
    }

    /// The names of the destinations.
    pub fn destinations(&self) -> Vec<String> {
        self.destinations.borrow().clone()
    }

    /// Lets handlers of a destination kill their function.
    pub fn killer(&self, destination: &str) -> Killer {
        Killer { destination: destination.to_owned(), tries: self.tries.clone() }
    }

    /// How many times destinations were asked to apply notifications.
    pub(crate) fn tries(&self) -> &Tries {
        &self.tries
    }

    /// Whether copies may have been lost: by a fault that was injected, with a batch that a mapping gave up, or with a
    /// message that was received too often.
    pub fn may_have_lost(&self) -> bool {
        let state = self.aws.state();
        state.history.may_have_lost() || state.queues.gave_up
    }

    /// Whether a destination applies something in sequence.
    pub(crate) fn is_sequenced(&self) -> bool {
        self.destinations().iter().any(|name| self.routes.is_sequenced(name))
    }

    /// Whether nothing runs, and the queues are empty.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_empty = |url: &String| self.aws.state().queues.queues[url].messages.is_empty();
        self.lambda.is_idle() && self.working_queues().iter().all(is_empty)
    }

    /// The URLs of the queues that are empty at rest.
    pub(crate) fn working_queues(&self) -> Vec<String> {
        let retry_queues = self.destinations().into_iter().map(|name| retry_queue(&name));
        let others = [UPSTREAM, RELAY_QUEUE, RELAY_DEAD_LETTERS, UPSTREAM_ELSEWHERE].map(str::to_owned);
        let has_elsewhere = self.aws.state().queues.queues.contains_key(UPSTREAM_ELSEWHERE);
        let is_there = |url: &String| has_elsewhere || url != UPSTREAM_ELSEWHERE;
        retry_queues.chain(others).filter(is_there).collect()
    }

    /// The notifications that are not completed.
    pub fn open(&self) -> Vec<NotificationKey> {
        let records = self.records();
        let open = records.iter().filter(|record| record["status"]["S"] == "INIT");
        open.map(item::key).collect()
    }

    /// Whether something is open, and each open delivery waits for a number before its own that is not
    /// completed: it is dead, or else was perhaps never sent.
    pub(crate) fn waits(&self, for_dead: bool) -> bool {
        let records = self.records();
        let aws = self.aws.state();
        let in_state = |wanted: &'static str| {
            let of_record = move |record| {
                let all = destinations(record).into_iter();
                all.filter(move |(_, delivery)| state(delivery) == wanted).map(move |(name, delivery)| {
                    (sequence_key(record, name, delivery), number(record, "sequence"))
                })
            };
            records.iter().flat_map(of_record)
        };
        let dead: Vec<_> = in_state("dead").collect();
        let waits = |(key, at): (Option<String>, i64)| {
            let is_behind_dead = dead.iter().any(|(of, before)| *of == key && *before < at);
            key.is_some_and(|key| aws.invariants.sequences.has_open_before(&key, at))
                && (is_behind_dead || !for_dead)
        };
        let mut open = in_state("pending").peekable();
        open.peek().is_some() && open.all(waits)
    }
}
