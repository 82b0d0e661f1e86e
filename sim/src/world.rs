//! The deployed stack: tables, stream, queues, functions and their mappings, as `template.yaml` makes
//! them, with the destinations of a schedule.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_sources::{Filters, MappingSettings};
use handover::accept::Accept;
use handover::by_hand::Answer;
use handover::consume::{self, Consumer};
use handover::due::Slot;
use handover::external::{CallFailure, External, Unknown};
use handover::index::Cursor;
use handover::parking::{DeadLetters, Parking};
use handover::reconcile::{self, Reconcile};
use handover::record::Settled;
use handover::relay::Relay;
use handover::upstream::Upstream;
use handover::{Clock, Destination, Effect, Failure, Ledger, Notification, Outbox, Positions, Routes};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::aws::{Aws, NOTIFICATIONS, POSITIONS, RECONCILE};
use crate::draw::below;
use crate::dynamodb::{DynamoDb, Table};
use crate::fault::{Fault, Purpose};
use crate::lambda::{Function, Lambda, Mapping, Source};
use crate::plan::Plan;
use crate::rules;
use crate::sqs::Message;
use crate::stream::SHARDS;
use crate::time::Time;

pub const UPSTREAM: &str = "https://sqs/upstream";
pub const UPSTREAM_DEAD_LETTERS: &str = "https://sqs/upstream-dead-letters";
/// Of accept; its queue hides a message six times as long.
const TIMEOUT: Duration = Duration::from_secs(5);
const RELAY_TIMEOUT: Duration = Duration::from_secs(10);
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);
/// So often a person tries to close a notification: longer than anything is out of order.
const CLOSES_MAX: u32 = 30;
const RECONCILE_EVERY: Duration = Duration::from_secs(300);
/// Offers and dead letters of a run of reconcile.
const MOST: u32 = 2;
const VISIBILITY_MS: u64 = 30_000;
/// After the first failed attempt a copy waits so long; after a fault a message does.
const BACKOFF: Duration = Duration::from_secs(1);
const LONG_BACKOFF: Duration = Duration::from_secs(300);
/// So often a message of the upstream queue is received before SQS parks it.
pub const RECEIVES_MAX: u32 = 6;
/// An ended record is kept so long.
pub const KEEP: SignedDuration = SignedDuration::from_hours(24 * 90);

/// What the template's mapping of the table's stream passes.
const OFFERS: &str =
    r#"{"eventName":["INSERT","MODIFY"],"dynamodb":{"NewImage":{"change":{"S":["offer"]}}}}"#;

/// The URL of a destination's retry queue.
pub fn retry(destination: &str) -> String {
    format!("https://sqs/{destination}-retry")
}

/// The URL of a destination's dead-letter queue.
pub fn dead_letters(destination: &str) -> String {
    format!("https://sqs/{destination}-dead-letters")
}

/// The stack, running.
pub struct World {
    pub aws: Aws,
    pub lambda: Lambda,
    /// What the functions and programs reach AWS with.
    pub dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    pub routes: Routes,
    /// Of a destination; its queue hides a message six times as long.
    timeout: Duration,
    destinations: RefCell<Vec<String>>,
    tries: Tries,
}

/// How often each destination was asked to apply each notification.
type Tries = Arc<Mutex<BTreeMap<(String, String), i64>>>;

/// A destination whose tries are counted.
struct Counted<D> {
    destination: D,
    name: String,
    tries: Tries,
}

impl<D: Destination> Destination for Counted<D> {
    type Data = D::Data;

    async fn apply(&self, notification: &Notification<D::Data>) -> Result<Effect, Failure> {
        self.count(&notification.id);
        self.destination.apply(notification).await
    }
}

impl<D: External> External for Counted<D> {
    type Data = D::Data;

    fn time_out(&self) -> Duration {
        self.destination.time_out()
    }

    fn unknown(&self) -> Unknown {
        self.destination.unknown()
    }

    async fn call(&self, notification: &Notification<D::Data>) -> Result<Effect, CallFailure> {
        self.count(&notification.id);
        self.destination.call(notification).await
    }

    async fn ask(&self, notification: &Notification<D::Data>) -> Result<Option<Effect>, Failure> {
        self.destination.ask(notification).await
    }

    async fn done(&self, notification: &Notification<D::Data>) -> Result<Effect, Failure> {
        self.destination.done(notification).await
    }
}

impl<D> Counted<D> {
    fn count(&self, id: &str) {
        let key = (self.name.clone(), id.to_owned());
        *self.tries.lock().expect("no panic holds it").entry(key).or_default() += 1;
    }
}

impl World {
    /// Deploys it, still without destinations, into an AWS of its own that has these tables, too.
    pub fn deploy(plan: Plan, mut tables: Vec<Table>, routes: Routes, timeout: Duration) -> World {
        let time = Time::begin();
        let index = Some(("due", "bucket"));
        tables.push(Table { stream: true, index, ..Table::new(NOTIFICATIONS, &["id"]) });
        tables.push(Table::new(RECONCILE, &["name"]));
        tables.push(Table::new(POSITIONS, &["key"]));
        let aws = Aws::new(plan, time, DynamoDb::new(time, tables));
        let (dynamodb, kinesis, sqs) = aws.clients();
        let world = World {
            lambda: Lambda::new(aws.clone()),
            aws,
            dynamodb,
            sqs,
            routes,
            timeout,
            destinations: RefCell::default(),
            tries: Tries::default(),
        };
        world.serve_upstream();
        world.serve_relay(kinesis);
        world
    }

    /// The clock of a function, or of a program elsewhere.
    pub fn clock(&self, of: &str) -> Clock {
        let time = self.aws.time();
        let ahead_ms = self.aws.plan().strike(of, Fault::Skew, None).map_or(0, |it| it.for_ms);
        Clock::new(move || time.timestamp(ahead_ms as i64))
    }

    /// The records, for one program: each is a process of its own, whose calls begin in turn.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.dynamodb.clone(), NOTIFICATIONS)
    }

    fn serve_upstream(&self) {
        let mut state = self.aws.state();
        state.queues.create(UPSTREAM_DEAD_LETTERS, VISIBILITY_MS, None);
        state.queues.create(UPSTREAM, VISIBILITY_MS, Some((RECEIVES_MAX, UPSTREAM_DEAD_LETTERS)));
        drop(state);
        let accept = Accept::new(self.ledger(), self.routes.clone(), self.clock("accept"));
        let upstream =
            Upstream::new(accept, self.sqs.clone(), UPSTREAM, UPSTREAM_DEAD_LETTERS, BACKOFF.as_secs());
        let accept = Function::new("accept", "accept", TIMEOUT, async move |event, until| {
            upstream.receive(event, until).await
        });
        self.spawn(self.lambda.clone().serve_queue(UPSTREAM.into(), accept));
    }

    fn serve_relay(&self, kinesis: aws_sdk_kinesis::Client) {
        let relay = Relay::new(kinesis, "notifications", self.clock("relay"));
        let relay = Function::new("relay", "relay", RELAY_TIMEOUT, async move |event, until| {
            relay.receive(event, until).await
        });
        let mut settings = MappingSettings::default();
        settings.report_batch_item_failures = true;
        settings.bisect_batch_on_function_error = true;
        settings.filters = Filters::parse(event_sources::StreamKind::DynamoDb, [OFFERS]).expect("a filter");
        self.serve_shards(&settings, &relay, Source::Changes);
    }

    fn serve_shards(&self, settings: &MappingSettings, function: &Function, source: Source) {
        for shard in 0..SHARDS {
            let mapping = Mapping { settings: settings.clone(), function: function.clone(), source, shard };
            self.spawn(self.lambda.clone().serve_shard(mapping));
        }
    }

    /// Deploys reconcile, when all destinations are there. It begins with what is accepted now: an
    /// earlier slot costs reads, and finds nothing.
    pub fn serve_reconcile(&self) {
        let begin = Slot::of(self.aws.time().timestamp(0)).begin().as_second().to_string();
        let cursor = json!({ "name": { "S": "reconcile" }, "slot": { "N": begin } });
        self.aws.dynamodb().put(RECONCILE, &cursor);
        let letters = |name: String| {
            let letters = DeadLetters::new(self.sqs.clone(), dead_letters(&name));
            (name, letters)
        };
        let settings = reconcile::Settings {
            ledger: self.ledger(),
            cursor: Cursor::new(self.dynamodb.clone(), RECONCILE),
            dead_letters: self.destinations().into_iter().map(letters).collect(),
            give_up_after: self.give_up_after(),
            most: MOST,
            clock: self.clock("reconcile"),
        };
        let reconcile = Reconcile::new(settings);
        let reconcile =
            Function::new("reconcile", "reconcile", RECONCILE_TIMEOUT, async move |_: Value, until| {
                reconcile.run(until).await
            });
        self.spawn(self.lambda.clone().serve_schedule(RECONCILE_EVERY, reconcile));
    }

    /// When a destination is given up in this run: soon, or when each offer there is was made.
    pub fn give_up_after(&self) -> SignedDuration {
        let hours = [1, 96][below(2, self.aws.seed(), &[Purpose::GiveUp as u64]) as usize];
        SignedDuration::from_hours(hours)
    }

    /// How long a copy waits after its first failed attempt in this run: seldom so long that reconcile comes
    /// by between two attempts.
    fn backoff(&self) -> Duration {
        let is_long = below(8, self.aws.seed(), &[Purpose::Backoff as u64]) == 0;
        if is_long { LONG_BACKOFF } else { BACKOFF }
    }

    fn spawn(&self, mapping: impl Future<Output = ()> + 'static) {
        self.aws.clone().spawn("a mapping", mapping);
    }

    /// Deploys a destination, with its queues and two lanes.
    pub fn serve(&self, name: &str, destination: impl Destination) {
        let settings = self.settings(name);
        self.serve_lanes(name, Consumer::new(self.counted(name, destination), settings));
    }

    /// Deploys a destination whose effect is a call.
    pub fn serve_external(&self, name: &str, external: impl External) {
        let settings = self.settings(name);
        self.serve_lanes(name, Consumer::external(self.counted(name, external), settings));
    }

    fn counted<D>(&self, name: &str, destination: D) -> Counted<D> {
        Counted { destination, name: name.to_owned(), tries: self.tries.clone() }
    }

    /// Makes the queues of a destination; says what it works with.
    fn settings(&self, name: &str) -> consume::Settings {
        let mut state = self.aws.state();
        let visibility_ms = 6 * self.timeout.as_millis() as u64;
        state.queues.create(&dead_letters(name), visibility_ms, None);
        state.queues.create(&retry(name), visibility_ms, Some((50, &dead_letters(name))));
        drop(state);
        self.destinations.borrow_mut().push(name.to_owned());
        consume::Settings {
            name: name.to_owned(),
            ledger: self.ledger(),
            positions: self.routes.is_sequenced(name).then(|| self.positions()),
            parking: Parking::new(self.sqs.clone(), retry(name), dead_letters(name)),
            routes: self.routes.clone(),
            keep: KEEP,
            backoff: self.backoff(),
            clock: self.clock(name),
        }
    }

    fn serve_lanes(&self, name: &str, consumer: Consumer) {
        let consumer = Rc::new(consumer);
        let mut settings = MappingSettings::default();
        settings.report_batch_item_failures = true;
        settings.bisect_batch_on_function_error = true;
        settings.maximum_retry_attempts = Some(30);
        settings.parallelization_factor = 2;
        let streams = consumer.clone();
        let stream = Function::new(name, "stream", self.timeout, async move |event, until| {
            streams.receive(event, until).await
        });
        self.serve_shards(&settings, &stream, Source::Offers);
        let retries = Function::new(name, "retry", self.timeout, async move |event, until| {
            consumer.retry(event, until).await
        });
        self.spawn(self.lambda.clone().serve_queue(retry(name), retries));
    }

    /// The names of the destinations.
    pub fn destinations(&self) -> Vec<String> {
        self.destinations.borrow().clone()
    }

    /// How often a destination was asked to apply a notification.
    pub fn tries(&self, destination: &str, id: &str) -> i64 {
        let key = (destination.to_owned(), id.to_owned());
        self.tries.lock().expect("no panic holds it").get(&key).copied().unwrap_or_default()
    }

    /// Whether a destination applies something in sequence.
    pub fn is_sequenced(&self) -> bool {
        self.destinations().iter().any(|name| self.routes.is_sequenced(name))
    }

    fn positions(&self) -> Positions {
        Positions::new(self.dynamodb.clone(), POSITIONS)
    }

    /// The outbox of a producer.
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.ledger(), self.routes.clone(), self.clock("producer"))
    }

    /// Whether the message at this place is sent in this run.
    pub fn sends(&self, at: usize) -> bool {
        let sends = self.aws.plan().sends(at);
        if sends {
            self.aws.state().history.messages.insert(at);
        }
        sends
    }

    /// Sends a message to the upstream queue.
    pub fn send(&self, message: &str) {
        let now_ms = self.aws.time().now_ms();
        self.aws.note("producer", &format!("sends {message}"));
        self.aws.state().queues.send(UPSTREAM, message, json!({}), 0, now_ms);
        self.aws.queued().notify_waiters();
    }

    /// Whether nothing is under way, and nothing waits.
    pub fn is_quiet(&self) -> bool {
        let mut urls = self.destinations().into_iter().map(|it| retry(&it)).chain([UPSTREAM.to_owned()]);
        self.lambda.is_idle() && urls.all(|url| self.aws.state().queues.queues[&url].messages.is_empty())
    }

    /// The ids of the records that have not ended.
    pub fn open_ids(&self) -> Vec<String> {
        let records = self.aws.dynamodb().items(NOTIFICATIONS);
        let open = records.iter().filter(|it| it["status"]["S"] == "INIT");
        open.map(|it| it["id"]["S"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A person redrives a dead letter, says what became of its call where that was not known, and deletes
    /// it where it may go.
    pub async fn redrive(
        &self,
        destination: &str,
        id: String,
        letter: &Message,
        settled: Option<Settled>,
    ) -> Option<Result<Answer, handover::Fault>> {
        let (ledger, now) = (self.ledger(), self.clock("person").now());
        let name = destination.to_owned();
        let redrive = async move {
            match settled {
                Some(settled) => ledger.settle(&id, &name, settled, now).await,
                None => ledger.redrive_letter(&id, &name, now).await,
            }
        };
        let redriven = self.by_hand(redrive).await;
        if redriven.as_ref().is_some_and(|it| it.as_ref().is_ok_and(|answer| answer.replaces_letter())) {
            self.aws.state().queues.delete(&dead_letters(destination), letter.receipt());
        }
        redriven
    }

    /// A person closes a notification, and tries again until that is answered.
    pub async fn close(
        &self,
        id: &str,
        destination: &str,
        keep: SignedDuration,
    ) -> Option<Result<Answer, handover::Fault>> {
        let mut closed = None;
        for _ in 0..CLOSES_MAX {
            let (ledger, positions, now) = (self.ledger(), self.positions(), self.clock("person").now());
            let (id, destination) = (id.to_owned(), destination.to_owned());
            let close =
                async move { ledger.close(&positions, &id, &destination, "mended by hand", now, keep).await };
            closed = self.by_hand(close).await;
            if matches!(closed, Some(Ok(_))) {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        closed
    }

    /// Whether something is open, and all that is waits for one before it that has not ended: that is dead,
    /// or else was perhaps never sent.
    pub fn waits(&self, for_dead: bool) -> bool {
        let records = self.aws.dynamodb().items(NOTIFICATIONS);
        let state = self.aws.state();
        let places = |wanted: &'static str| {
            let of = move |record| {
                let all = rules::destinations(record).into_iter();
                all.filter(move |(_, it)| rules::state(it) == wanted)
                    .map(move |(name, it)| (rules::key(record, name, it), rules::number(record, "sequence")))
            };
            records.iter().flat_map(of)
        };
        let dead: Vec<_> = places("dead").collect();
        let waits = |(key, at): (Option<String>, i64)| {
            let is_dead = dead.iter().any(|(of, before)| *of == key && *before < at);
            key.is_some_and(|key| state.turns.is_before(&key, at)) && (is_dead || !for_dead)
        };
        let mut open = places("pending").peekable();
        open.peek().is_some() && open.all(waits)
    }

    /// Somebody's program on the ledger.
    pub async fn by_hand<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Option<T> {
        const LIMIT: Duration = Duration::from_secs(60);
        self.lambda.run("person", "by hand", Value::Null, LIMIT, work).await.1
    }
}
