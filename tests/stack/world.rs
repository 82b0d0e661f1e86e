//! Access to the deployed stack for a test.

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, LastUpdateStatus};
use aws_sdk_sqs::types::Message;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use handover::dynamodb::types::AttributeValue;
use handover::record::{Dispatch, Item, Record, Status};
use handover::{Clock, Draft, Ledger, Notification, NotificationKey, Outbox, Positions, Routes};
use handover_provider::Seen;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest wait of a test, in seconds: several times the visibility time-out after which a killed function's
/// messages are redelivered. A local AWS may serve its queues one after the other.
pub const WAIT_SECONDS_MAX: u64 = 240;
/// Time between two looks, in milliseconds.
const LOOK_MS: u64 = 200;

/// The test that kills functions holds this for writing. Tests that invoke functions directly hold it for
/// reading.
pub static FUNCTIONS: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

pub struct World {
    pub dynamodb: handover::dynamodb::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub kinesis: aws_sdk_kinesis::Client,
    lambda: aws_sdk_lambda::Client,
    secrets: aws_sdk_secretsmanager::Client,
    pub stack: String,
}

impl World {
    pub async fn connect() -> World {
        let stack = std::env::var("HANDOVER_STACK")
            .expect("no stack to test against: run `make test`, or `make up` and `. .local/env` first");
        let aws = handover::aws::config().unwrap().load().await;
        World {
            dynamodb: handover::dynamodb::Client::new(&aws),
            sqs: aws_sdk_sqs::Client::new(&aws),
            kinesis: aws_sdk_kinesis::Client::new(&aws),
            lambda: aws_sdk_lambda::Client::new(&aws),
            secrets: aws_sdk_secretsmanager::Client::new(&aws),
            stack,
        }
    }

    pub fn named(&self, name: &str) -> String {
        format!("{}-{name}", self.stack)
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.dynamodb.clone(), self.named("notifications"))
    }

    pub fn positions(&self) -> Positions {
        Positions::new(self.dynamodb.clone(), self.named("positions"))
    }

    pub fn outbox(&self, routes: &Routes) -> Outbox {
        Outbox::new(self.ledger(), routes.clone(), Clock::system())
    }

    /// What the provider has seen of this destination's call for a notification.
    pub fn seen_by_provider(&self, destination: &str, key: &NotificationKey) -> Seen {
        let region = self.dynamodb.config().region().unwrap();
        let scope = format!("000000000000 {region} {} {destination}", self.stack);
        handover_provider::seen(&key.idempotency_key(&scope))
    }

    /// Replaces the provider's token in its secret by the one that follows it.
    pub async fn rotate_provider_token(&self) {
        let secret = self.named("provider-token");
        let read = self.secrets.get_secret_value().secret_id(&secret).send().await.unwrap();
        let token = handover_provider::rotated(read.secret_string().unwrap());
        self.secrets.put_secret_value().secret_id(secret).secret_string(token).send().await.unwrap();
    }

    pub async fn queue_url(&self, name: &str) -> String {
        self.sqs.get_queue_url().queue_name(self.named(name)).send().await.unwrap().queue_url.unwrap()
    }

    /// Creates a queue. Returns its URL.
    pub async fn create_queue(&self, name: String) -> String {
        self.sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap()
    }

    /// Receives and deletes all messages of a queue, until none arrives for some seconds.
    pub async fn take(&self, url: &str, seconds: i32) -> Vec<Message> {
        let mut taken = Vec::new();
        loop {
            let receive = self.sqs.receive_message().queue_url(url).max_number_of_messages(10);
            let receive = receive.wait_time_seconds(seconds).message_attribute_names("All");
            let messages = receive.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return taken;
            }
            for message in messages {
                let handle = message.receipt_handle.clone().unwrap();
                self.sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
                taken.push(message);
            }
        }
    }

    /// Sends messages to the upstream queue.
    pub async fn send(&self, messages: &[impl AsRef<str>]) {
        let url = self.queue_url("upstream").await;
        let sends = messages
            .iter()
            .map(|text| self.sqs.send_message().queue_url(&url).message_body(text.as_ref()).send());
        for sent in futures_util::future::join_all(sends).await {
            sent.unwrap();
        }
    }

    /// The record of this id. Tests use an id once, for one source.
    pub async fn record(&self, id: &str) -> Option<Record> {
        self.ledger().find(id).await.unwrap().pop()
    }

    /// Waits until the record of this id is as wanted.
    pub async fn record_when(&self, id: &str, wanted: impl Fn(&Record) -> bool) -> Record {
        when(async || self.record(id).await, wanted).await
    }

    /// Waits until the record of this notification is as wanted.
    pub async fn key_when(&self, key: &NotificationKey, wanted: impl Fn(&Record) -> bool) -> Record {
        when(async || self.ledger().get(key).await.unwrap(), wanted).await
    }

    /// Waits until all of these notifications have this status.
    pub async fn until(&self, ids: &[String], status: Status) {
        let all = async {
            for id in ids {
                self.record_when(id, |record| record.status == status).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(WAIT_SECONDS_MAX), all).await;
        assert!(in_time.is_ok(), "not all are {status:?}: {ids:?}");
    }

    /// Waits for dead letters of the upstream queue with these bodies. Returns their reasons in the same
    /// order. Leaves the dead letters of other tests.
    pub async fn refusals(&self, bodies: &[String]) -> Vec<String> {
        let url = self.queue_url("upstream-dead-letters").await;
        let mut reasons: Vec<Option<String>> = vec![None; bodies.len()];
        let begun = Instant::now();
        while reasons.iter().any(Option::is_none) {
            assert!(
                begun.elapsed().as_secs() < WAIT_SECONDS_MAX,
                "not dead-lettered: {bodies:?} {reasons:?}"
            );
            let receive = self.sqs.receive_message().queue_url(&url).max_number_of_messages(10);
            // Long enough that what is taken is still ours when it is deleted.
            let receive = receive.visibility_timeout(5).wait_time_seconds(1).message_attribute_names("All");
            for message in receive.send().await.unwrap().messages.unwrap_or_default() {
                let body = message.body.unwrap();
                let is_next =
                    |(index, wanted): &(usize, &String)| **wanted == body && reasons[*index].is_none();
                let found = bodies.iter().enumerate().find(is_next).map(|(index, _)| index);
                if let Some(index) = found {
                    let attributes = message.message_attributes.unwrap_or_default();
                    reasons[index] = Some(attributes["reason"].string_value.clone().unwrap());
                    let handle = message.receipt_handle.unwrap();
                    self.sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await.unwrap();
                }
            }
        }
        reasons.into_iter().flatten().collect()
    }

    /// Waits for the dead letter with this body or this id. Returns its attributes and its body. Leaves the
    /// dead letters of other tests.
    pub async fn dead_letter(&self, destination: &str, wanted: &str) -> HashMap<String, String> {
        let url = self.queue_url(&format!("{destination}-dead-letters")).await;
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "no dead letter of {wanted}");
            let receive = self.sqs.receive_message().queue_url(&url).max_number_of_messages(10);
            let receive = receive.visibility_timeout(1).wait_time_seconds(1).message_attribute_names("All");
            for message in receive.send().await.unwrap().messages.unwrap_or_default() {
                let body = message.body.unwrap();
                let dispatch = Dispatch::decode(body.as_bytes());
                if body == wanted || dispatch.is_ok_and(|dispatch| dispatch.notification.id == wanted) {
                    let handle = message.receipt_handle.unwrap();
                    self.sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await.unwrap();
                    let attributes = message.message_attributes.unwrap_or_default().into_iter();
                    let attributes = attributes.map(|(name, value)| (name, value.string_value.unwrap()));
                    return attributes.chain([("body".to_owned(), body)]).collect();
                }
            }
        }
    }

    /// Opens a new account. Returns its name.
    pub async fn account(&self) -> String {
        let account = unique("account");
        self.open(&account).await;
        account
    }

    /// Opens an account.
    pub async fn open(&self, account: &str) {
        let put = self.dynamodb.put_item().table_name(self.named("accounts"));
        let put = put.item("account", AttributeValue::S(account.into()));
        put.item("balance", AttributeValue::N("0".into())).send().await.unwrap();
    }

    /// The balance of an account, in cents.
    pub async fn balance(&self, account: &str) -> u64 {
        let get = self.dynamodb.get_item().table_name(self.named("accounts")).consistent_read(true);
        let item = get.key("account", AttributeValue::S(account.into())).send().await.unwrap().item.unwrap();
        item["balance"].as_n().unwrap().parse().unwrap()
    }

    /// The ids and amounts of an account's entries.
    pub async fn entries(&self, account: &str) -> Vec<(String, u64)> {
        let query = self.dynamodb.query().table_name(self.named("entries")).consistent_read(true);
        let query = query.key_condition_expression("account = :account");
        let query = query.expression_attribute_values(":account", AttributeValue::S(account.into()));
        let items: Vec<Item> = query.into_paginator().items().send().collect::<Result<_, _>>().await.unwrap();
        let entry = |item: &Item| {
            let refund = item["refund"].as_s().unwrap();
            (refund.split(' ').next().unwrap().to_owned(), item["amount"].as_n().unwrap().parse().unwrap())
        };
        items.iter().map(entry).collect()
    }

    /// Puts a record without a condition.
    pub async fn put(&self, record: &Record) {
        let put = self.dynamodb.put_item().table_name(self.named("notifications"));
        put.set_item(Some(record.encode())).send().await.unwrap();
    }

    /// Invokes a function of the stack. Returns its response.
    pub async fn invoke(&self, function: &str, event: &Value) -> Value {
        let call = self.lambda.invoke().function_name(self.named(function));
        let output = call.payload(Blob::new(serde_json::to_vec(event).unwrap())).send().await.unwrap();
        let response = output.payload.map(|payload| payload.into_inner()).unwrap_or_default();
        assert_eq!(output.function_error, None, "{}", String::from_utf8_lossy(&response));
        serde_json::from_slice(&response).unwrap()
    }

    /// Changes a variable of a function. Returns what it was.
    pub async fn change_variable(
        &self,
        function: &str,
        name: &str,
        change: impl FnOnce(&str) -> String,
    ) -> String {
        let function = self.named(function);
        let configuration = async || {
            let get = self.lambda.get_function_configuration().function_name(&function);
            get.send().await.unwrap()
        };
        let environment = configuration().await.environment;
        let mut variables = environment.and_then(|all| all.variables).unwrap();
        let before = variables.remove(name).unwrap();
        variables.insert(name.to_owned(), change(&before));
        let environment = Environment::builder().set_variables(Some(variables)).build();
        let update = self.lambda.update_function_configuration().function_name(&function);
        update.environment(environment).send().await.unwrap();
        while configuration().await.last_update_status == Some(LastUpdateStatus::InProgress) {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        before
    }

    /// The data of all records of the Kinesis stream, from its beginning.
    pub async fn stream(&self) -> Vec<Vec<u8>> {
        let mut data = Vec::new();
        let shards =
            self.kinesis.list_shards().stream_name(self.named("notifications")).send().await.unwrap();
        for shard in shards.shards() {
            let iterator = self.kinesis.get_shard_iterator().stream_name(self.named("notifications"));
            let iterator = iterator.shard_id(shard.shard_id()).shard_iterator_type("TRIM_HORIZON".into());
            let mut next = iterator.send().await.unwrap().shard_iterator;
            while let Some(iterator) = next {
                let read = self.kinesis.get_records().shard_iterator(iterator).send().await.unwrap();
                data.extend(read.records.iter().map(|record| record.data.as_ref().to_vec()));
                next = read.next_shard_iterator.filter(|_| read.millis_behind_latest != Some(0));
            }
        }
        data
    }
}

/// Serves the provider of payments and mail, as long as the process runs.
pub fn serve_provider() {
    let set = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`"));
    handover_provider::serve(&set("HANDOVER_PROVIDER"), &set("HANDOVER_PROVIDER_TOKEN"));
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder above tests/")
}

/// A name that no other test has neither another test nor an earlier run has.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begun = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    format!("{name}-{begun}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A refund as a producer sends it, with the amount in cents.
pub fn refund(id: &str, account: &str, amount: u64) -> String {
    let data = json!({ "account": account, "amount": amount });
    let notification = Draft::command("refund.requested", "orders", &data).build(id).unwrap();
    String::from_utf8(handover::notification::encode(&notification)).unwrap()
}

/// Refunds of one cent each to this account. Returns their ids and messages.
pub fn refunds(account: &str, count: usize) -> (Vec<String>, Vec<String>) {
    let ids: Vec<String> = (0..count).map(|_| unique("refund")).collect();
    let refunds = ids.iter().map(|id| refund(id, account, 1)).collect();
    (ids, refunds)
}

/// The routes of the deployed stack.
pub fn routes() -> Routes {
    r#"{
        "refund.requested": {"kind": "command", "destinations": ["refund"]},
        "refund.approved": {"kind": "event", "destinations": ["refund", "books", "crm", "stock"]}
    }"#
    .parse()
    .unwrap()
}

/// The first dispatch of a notification to these destinations.
pub fn dispatch(notification: Notification, destinations: &[&str]) -> Dispatch {
    let now = jiff::Timestamp::now();
    Dispatch {
        notification,
        destinations: destinations.iter().map(|name| name.to_string()).collect(),
        sequenced: vec![],
        number: 1,
        redispatched: false,
        version: Some(1),
        accepted_at: now,
        relayed_at: now,
    }
}

/// An event of Lambda's Kinesis mapping with these data. The sequence numbers count from 0.
pub fn kinesis_event(data: &[Vec<u8>]) -> Value {
    let record = |(index, data): (usize, &Vec<u8>)| {
        json!({
            "eventID": format!("shardId-000000000000:{index}"), "eventName": "aws:kinesis:record",
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "awsRegion": "us-east-1",
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "1", "sequenceNumber": index.to_string(),
                "data": STANDARD.encode(data), "approximateArrivalTimestamp": 1_700_000_000.0,
            },
        })
    };
    json!({ "Records": data.iter().enumerate().map(record).collect::<Vec<_>>() })
}

/// Whether `tests/skips.toml` excludes a test on this local AWS.
pub fn is_not_run(test: &str) -> bool {
    #[derive(Deserialize)]
    struct Skips {
        skip: Vec<Skip>,
    }
    #[derive(Deserialize)]
    struct Skip {
        on: String,
        behaviour: String,
        #[serde(default)]
        not_run: Vec<String>,
    }
    let skips: Skips = toml::from_str(include_str!("../skips.toml")).unwrap();
    let local = std::env::var("HANDOVER_LOCAL").unwrap_or_default();
    let skip =
        skips.skip.iter().find(|skip| skip.on == local && skip.not_run.iter().any(|name| name == test));
    skip.inspect(|skip| println!("{test} is not run on {local}: {}", skip.behaviour)).is_some()
}

/// What the AWS CLI answers, as text.
pub fn aws(arguments: &[&str]) -> String {
    let python = root().join(".local/venv/bin/python");
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let call = Command::new(python)
        .args(["-m", "awscli", "--output", "text", "--endpoint-url", &endpoint])
        .args(arguments)
        .output();
    let output = call.unwrap();
    let said = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output.stderr));
    said(&output.stdout)
}

/// Kills the running processes of a function. Returns their number.
pub fn kill(function: &str) -> usize {
    let script = root().join("localstack/kill-function");
    let output = Command::new(script).arg(function).output().unwrap();
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

/// Waits until what is read is as wanted.
pub async fn when<T: Debug>(read: impl AsyncFn() -> Option<T>, wanted: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        match read().await {
            Some(found) if wanted(&found) => return found,
            other => assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "it is {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}
