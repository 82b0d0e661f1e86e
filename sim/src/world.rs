//! The deployed stack: tables, stream, queues, functions and their mappings, as `template.yaml`
//! makes them, with the refunds of `functions/refund`.

use std::rc::Rc;
use std::time::Duration;

use event_sources::{Filters, Settings, Source};
use futures_util::FutureExt;
use handover::accept::Accept;
use handover::consume::{self, Consumer};
use handover::dynamodb::types::{AttributeValue, Put, Update};
use handover::parking::Parking;
use handover::relay::Relay;
use handover::upstream::Upstream;
use handover::{Clock, Destination, Effect, Failure, Ledger, Notification, Routes};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::{Aws, State};
use crate::draw::below;
use crate::dynamodb::DynamoDb;
use crate::fault::{Faults, Purpose};
use crate::history::History;
use crate::kinesis::Stream;
use crate::lambda::{Function, Handler, Lambda, changes, records};
use crate::sqs::Queues;
use crate::time::Time;

pub const NOTIFICATIONS: &str = "notifications";
pub const ACCOUNTS: &str = "accounts";
pub const ENTRIES: &str = "entries";
pub const UPSTREAM: &str = "https://sqs/upstream";
pub const UPSTREAM_DEAD_LETTERS: &str = "https://sqs/upstream-dead-letters";

/// A destination's name and queues.
pub struct Queued {
    pub name: &'static str,
    pub retry: &'static str,
    pub dead_letters: &'static str,
}

/// `refund` has an effect; the others hear of the same events, and change the record alone.
pub const DESTINATIONS: [Queued; 4] = [
    Queued {
        name: "refund",
        retry: "https://sqs/refund-retry",
        dead_letters: "https://sqs/refund-dead-letters",
    },
    Queued {
        name: "audit",
        retry: "https://sqs/audit-retry",
        dead_letters: "https://sqs/audit-dead-letters",
    },
    Queued {
        name: "search",
        retry: "https://sqs/search-retry",
        dead_letters: "https://sqs/search-dead-letters",
    },
    Queued { name: "mail", retry: "https://sqs/mail-retry", dead_letters: "https://sqs/mail-dead-letters" },
];

const SHARDS: usize = 2;
/// When `search` takes every note.
const NOTES_LATE: Duration = Duration::from_secs(25);
/// Of accept and refund; their queues hide a message six times as long.
const TIMEOUT_S: u64 = 5;
const RELAY_TIMEOUT_S: u64 = 10;
/// Clocks of functions differ by so much at most, in milliseconds, to either side.
const SKEW_MS: u64 = 300;
const ROUTES: &str = r#"{
    "refund.requested": { "kind": "command", "destinations": ["refund"] },
    "account.noted": { "kind": "event", "destinations": ["audit", "mail", "search"] }
}"#;

/// What the template's mapping of the table's stream passes.
const OFFERS: &str =
    r#"{"eventName":["INSERT","MODIFY"],"dynamodb":{"NewImage":{"change":{"S":["offer"]}}}}"#;

/// The stack, running.
pub struct World {
    pub aws: Aws,
    pub lambda: Lambda,
}

impl World {
    /// Deploys it into an AWS of its own.
    pub fn deploy(seed: u64, faults: Faults) -> World {
        let time = Time::begin();
        let tables = [
            (NOTIFICATIONS, "id", None, true),
            (ACCOUNTS, "account", None, false),
            (ENTRIES, "account", Some("id"), false),
        ];
        let mut queues = Queues::default();
        queues.create(UPSTREAM_DEAD_LETTERS, 30_000, None);
        queues.create(UPSTREAM, 6_000 * TIMEOUT_S, Some((6, UPSTREAM_DEAD_LETTERS)));
        for it in &DESTINATIONS {
            queues.create(it.dead_letters, 30_000, None);
            queues.create(it.retry, 6_000 * TIMEOUT_S, Some((50, it.dead_letters)));
        }
        let state = State { stream: Stream::new(SHARDS), queues, history: History::default(), faults };
        let aws = Aws::new(seed, time, DynamoDb::new(time, &tables), state);
        let lambda = Lambda::new(aws.clone());
        let world = World { aws, lambda };
        world.serve();
        world
    }

    /// A function's clock.
    fn clock(&self, function: u64) -> Clock {
        let (time, seed) = (self.aws.time(), self.aws.seed());
        let ahead_ms = below(2 * SKEW_MS, seed, &[Purpose::Clock as u64, function]) as i64 - SKEW_MS as i64;
        Clock::new(move || time.timestamp(ahead_ms))
    }

    fn serve(&self) {
        let routes: Routes = ROUTES.parse().expect("routes");
        let (dynamodb, kinesis, sqs) = self.aws.clients();
        let ledger = Ledger::new(dynamodb, NOTIFICATIONS);

        let accept = Accept::new(ledger.clone(), routes.clone(), self.clock(1));
        let upstream = Rc::new(Upstream::new(accept, sqs.clone(), UPSTREAM, UPSTREAM_DEAD_LETTERS, 1));
        let accept = function("accept", TIMEOUT_S, {
            Rc::new(move |event, until| {
                let upstream = upstream.clone();
                async move { to_json(upstream.receive(from_json(event), until).await) }.boxed_local()
            })
        });
        tokio::task::spawn_local(self.lambda.clone().serve_queue(UPSTREAM, accept));

        let relay = Rc::new(Relay::new(kinesis, "notifications", self.clock(2)));
        let relay = function("relay", RELAY_TIMEOUT_S, {
            Rc::new(move |event, until| {
                let relay = relay.clone();
                async move { to_json(relay.receive(from_json(event), until).await) }.boxed_local()
            })
        });
        let settings = Settings {
            report_batch_item_failures: true,
            bisect_batch_on_function_error: true,
            filters: Filters::parse(Source::DynamoDb, [OFFERS]).expect("a filter"),
            ..Settings::default()
        };
        let fetch = changes(self.aws.clone(), NOTIFICATIONS);
        tokio::task::spawn_local(self.lambda.clone().serve_shard(settings, relay, fetch));

        let [refund, audit, search, mail] = &DESTINATIONS;
        self.serve_destination(refund, Refunds, 3, &ledger, &sqs, &routes);
        let time = self.aws.time();
        self.serve_destination(audit, Notes { keeps: false, time }, 4, &ledger, &sqs, &routes);
        self.serve_destination(search, Notes { keeps: true, time }, 5, &ledger, &sqs, &routes);
        self.serve_destination(mail, Notes { keeps: true, time }, 6, &ledger, &sqs, &routes);
    }

    /// Serves a destination's two lanes.
    fn serve_destination<D: Destination + 'static>(
        &self,
        queued: &'static Queued,
        destination: D,
        clock: u64,
        ledger: &Ledger,
        sqs: &aws_sdk_sqs::Client,
        routes: &Routes,
    ) {
        let settings = consume::Settings {
            name: queued.name.into(),
            ledger: ledger.clone(),
            parking: Parking::new(sqs.clone(), queued.retry, queued.dead_letters),
            routes: routes.clone(),
            keep: SignedDuration::from_hours(24 * 90),
            backoff: Duration::from_secs(1),
            clock: self.clock(clock),
        };
        let consumer = Rc::new(Consumer::new(destination, settings));
        let stream = function(queued.name, TIMEOUT_S, {
            let consumer = consumer.clone();
            Rc::new(move |event, until| {
                let consumer = consumer.clone();
                async move { to_json(consumer.receive(from_json(event), until).await) }.boxed_local()
            })
        });
        for shard in 0..SHARDS {
            let settings = Settings {
                report_batch_item_failures: true,
                bisect_batch_on_function_error: true,
                maximum_retry_attempts: Some(30),
                parallelization_factor: 2,
                ..Settings::default()
            };
            let fetch = records(self.aws.clone(), shard);
            let mapping = self.lambda.clone().serve_shard(settings, stream.clone(), fetch);
            tokio::task::spawn_local(mapping);
        }
        let retry = function(queued.name, TIMEOUT_S, {
            Rc::new(move |event, until| {
                let consumer = consumer.clone();
                async move { to_json(consumer.retry(from_json(event), until).await) }.boxed_local()
            })
        });
        tokio::task::spawn_local(self.lambda.clone().serve_queue(queued.retry, retry));
    }

    /// Opens an account.
    pub fn open(&self, account: &str) {
        self.aws.note("somebody", &format!("opens {account}"));
        let item = json!({ "account": { "S": account }, "balance": { "N": "0" } });
        self.aws.dynamodb().put(ACCOUNTS, item);
    }

    /// Sends a message to the upstream queue.
    pub fn send(&self, message: &str) {
        let now_ms = self.aws.time().now_ms();
        self.aws.note("producer", &format!("sends {message}"));
        self.aws.state().queues.send(UPSTREAM, message, json!({}), 0, now_ms);
    }

    /// Whether nothing is under way, and nothing waits.
    pub fn is_quiet(&self) -> bool {
        let state = self.aws.state();
        let empty = |url| state.queues.queues[url].messages.is_empty();
        let retried = DESTINATIONS.iter().all(|it| empty(it.retry));
        self.lambda.running() == 0 && empty(UPSTREAM) && retried
    }
}

fn function(name: &'static str, timeout_s: u64, handler: Handler) -> Function {
    Function { name, timeout: Duration::from_secs(timeout_s), handler }
}

fn from_json<T: serde::de::DeserializeOwned>(event: Value) -> T {
    serde_json::from_value(event).expect("an event of Lambda")
}

fn to_json(answer: impl serde::Serialize) -> Value {
    serde_json::to_value(answer).expect("JSON")
}

/// The destination `refund`, as in `functions/refund`.
struct Refunds;

#[derive(Deserialize)]
struct Refund {
    account: String,
    /// In cents.
    amount: u32,
}

impl Destination for Refunds {
    type Data = Refund;

    async fn apply(&self, refund: &Notification<Refund>) -> Result<Effect, Failure> {
        let Refund { account, amount } = &refund.data;
        let amount = AttributeValue::N(amount.to_string());
        let account = AttributeValue::S(account.clone());
        let credit = Update::builder()
            .table_name(ACCOUNTS)
            .key("account", account.clone())
            .update_expression("ADD balance :amount")
            .condition_expression("attribute_exists(account)")
            .expression_attribute_values(":amount", amount.clone())
            .build()?;
        let entry = Put::builder()
            .table_name(ENTRIES)
            .item("account", account)
            .item("id", AttributeValue::S(refund.id.clone()))
            .item("amount", amount)
            .build()?;
        Ok(Effect::new().write(credit).write(entry))
    }
}

/// A destination that has nothing to write elsewhere: it ends the record, or keeps a result there.
struct Notes {
    keeps: bool,
    time: Time,
}

impl Destination for Notes {
    type Data = Value;

    async fn apply(&self, note: &Notification<Value>) -> Result<Effect, Failure> {
        let effect = Effect::new();
        if !self.keeps {
            return Ok(effect);
        }
        // Some notes it can only take later, while the other destination took them long ago.
        if note.data["amount"] == "much" && self.time.elapsed() < NOTES_LATE {
            return Err(Failure::passing("not yet"));
        }
        Ok(effect.result(&note.data))
    }
}
