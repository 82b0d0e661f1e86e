//! Access to one AWS, real or local, for a probe, and the resources that the probe creates there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableStatus,
};
use aws_sdk_dynamodbstreams::types::Record as Change;
use aws_sdk_kinesis::operation::put_record::PutRecordOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Record, StreamStatus};
use aws_sdk_lambda::operation::create_event_source_mapping::builders::CreateEventSourceMappingFluentBuilder;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use serde::Deserialize;
use serde_json::{Value, json};

/// An item of DynamoDB.
pub type Item = HashMap<String, AttributeValue>;

/// Time between two looks, in milliseconds.
const LOOK_MS: u64 = 200;

/// A name that no other resource has.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begun = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    format!("probe-{begun}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub struct World {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub streams: aws_sdk_dynamodbstreams::Client,
    pub kinesis: aws_sdk_kinesis::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub lambda: aws_sdk_lambda::Client,
    /// Longest wait of a probe.
    patience: Duration,
    created: Mutex<Vec<Resource>>,
}

enum Resource {
    Table(String),
    Stream(String),
    Queue(String),
    Mapping(String),
}

pub struct Queue {
    pub url: String,
    pub arn: String,
}

impl World {
    pub async fn connect(patience: Duration) -> World {
        let aws = handover::aws::config().unwrap().load().await;
        World {
            dynamodb: aws_sdk_dynamodb::Client::new(&aws),
            streams: aws_sdk_dynamodbstreams::Client::new(&aws),
            kinesis: aws_sdk_kinesis::Client::new(&aws),
            sqs: aws_sdk_sqs::Client::new(&aws),
            lambda: aws_sdk_lambda::Client::new(&aws),
            patience,
            created: Mutex::default(),
        }
    }

    /// Waits until `look` returns a value.
    pub async fn until<T>(&self, wanted: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(begun.elapsed() < self.patience, "{wanted}: not within {:?}", self.patience);
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    fn created(&self, resource: Resource) {
        self.created.lock().unwrap().push(resource);
    }

    /// Deletes what the probe created, readers before their sources. The function that all probes share
    /// stays, with its role and its table.
    pub async fn clean_up(self) {
        for resource in self.created.into_inner().unwrap().into_iter().rev() {
            // A resource that cannot be deleted is left.
            match resource {
                Resource::Table(name) => drop(self.dynamodb.delete_table().table_name(name).send().await),
                Resource::Stream(name) => drop(self.kinesis.delete_stream().stream_name(name).send().await),
                Resource::Queue(url) => drop(self.sqs.delete_queue().queue_url(url).send().await),
                Resource::Mapping(id) => {
                    drop(self.lambda.delete_event_source_mapping().uuid(id).send().await)
                }
            }
        }
    }

    // -------------------------------------------------------------------------- DynamoDB

    /// Creates a table with the key `id`, and a stream with old and new images. Returns its name.
    pub async fn table(&self) -> String {
        let table = unique();
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build();
        let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        let stream = StreamSpecification::builder().stream_enabled(true);
        let stream = stream.stream_view_type(StreamViewType::NewAndOldImages).build();
        let create = self.dynamodb.create_table().table_name(&table).key_schema(key.unwrap());
        let create =
            create.attribute_definitions(id.build().unwrap()).billing_mode(BillingMode::PayPerRequest);
        create.stream_specification(stream.unwrap()).send().await.unwrap();
        self.created(Resource::Table(table.clone()));
        self.until("the table is active", async || {
            let described = self.dynamodb.describe_table().table_name(&table).send().await.unwrap();
            (described.table?.table_status? == TableStatus::Active).then_some(())
        })
        .await;
        table
    }

    pub async fn put(&self, table: &str, item: Item) {
        self.dynamodb.put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    }

    pub async fn get(&self, table: &str, id: &str) -> Option<Item> {
        let get = self.dynamodb.get_item().table_name(table).key("id", s(id)).consistent_read(true);
        get.send().await.unwrap().item
    }

    pub async fn stream_arn(&self, table: &str) -> String {
        let described = self.dynamodb.describe_table().table_name(table).send().await.unwrap();
        described.table.unwrap().latest_stream_arn.unwrap()
    }

    /// Reads a table's stream from its beginning until it has this number of changes, and once more after a
    /// second, so that one too many is seen.
    pub async fn changes(&self, table: &str, count: usize) -> Vec<Change> {
        let arn = &self.stream_arn(table).await;
        self.until(&format!("{count} changes in the stream"), async || {
            (self.changes_now(arn).await.len() >= count).then_some(())
        })
        .await;
        seconds(1).await;
        self.changes_now(arn).await
    }

    async fn changes_now(&self, arn: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        let described = self.streams.describe_stream().stream_arn(arn).send().await.unwrap();
        for shard in described.stream_description.unwrap().shards() {
            let iterator =
                self.streams.get_shard_iterator().stream_arn(arn).set_shard_id(shard.shard_id.clone());
            let iterator = iterator.shard_iterator_type("TRIM_HORIZON".into()).send().await.unwrap();
            let mut next = iterator.shard_iterator;
            while let Some(iterator) = next {
                let read = self.streams.get_records().shard_iterator(iterator).send().await.unwrap();
                let records = read.records.unwrap_or_default();
                next = read.next_shard_iterator.filter(|_| !records.is_empty());
                changes.extend(records);
            }
        }
        changes
    }

    // --------------------------------------------------------------------------- Kinesis

    /// Creates a data stream. Returns its name.
    pub async fn stream(&self, shards: i32) -> String {
        let stream = unique();
        self.kinesis.create_stream().stream_name(&stream).shard_count(shards).send().await.unwrap();
        self.created(Resource::Stream(stream.clone()));
        self.until_active(&stream).await;
        stream
    }

    pub async fn until_active(&self, stream: &str) {
        self.until("the stream is active", async || {
            let described = self.kinesis.describe_stream_summary().stream_name(stream).send().await.unwrap();
            let status = described.stream_description_summary.unwrap().stream_status;
            (status == StreamStatus::Active).then_some(())
        })
        .await
    }

    /// Puts records one after another, in this order. Returns the answers.
    pub async fn put_records(&self, stream: &str, records: &[(&str, String)]) -> Vec<PutRecordOutput> {
        let mut answers: Vec<PutRecordOutput> = Vec::new();
        for (key, data) in records {
            let put = self.kinesis.put_record().stream_name(stream).partition_key(*key);
            let put = put.data(Blob::new(data.as_bytes()));
            let last = answers.last().map(|answer| answer.sequence_number.clone());
            answers.push(put.set_sequence_number_for_ordering(last).send().await.unwrap());
        }
        answers
    }

    pub async fn kinesis_arn(&self, stream: &str) -> String {
        let described = self.kinesis.describe_stream_summary().stream_name(stream).send().await.unwrap();
        described.stream_description_summary.unwrap().stream_arn
    }

    /// Reads a shard from its beginning until it has this number of records. Also returns whether that was
    /// its end.
    pub async fn read(&self, stream: &str, shard: &str, count: usize) -> (Vec<Record>, bool) {
        let iterator = self.kinesis.get_shard_iterator().stream_name(stream).shard_id(shard);
        let iterator = iterator.shard_iterator_type("TRIM_HORIZON".into()).send().await.unwrap();
        let (mut next, mut records) = (iterator.shard_iterator, Vec::new());
        self.until(&format!("{count} records in the shard"), async || {
            if let Some(iterator) = next.clone() {
                let read = self.kinesis.get_records().shard_iterator(iterator).send().await.unwrap();
                records.extend(read.records);
                next = read.next_shard_iterator;
            }
            (records.len() >= count).then_some(())
        })
        .await;
        if let Some(iterator) = next {
            next =
                self.kinesis.get_records().shard_iterator(iterator).send().await.unwrap().next_shard_iterator;
        }
        (records, next.is_none())
    }

    // ------------------------------------------------------------------------------- SQS

    /// Creates a queue with this visibility time-out.
    pub async fn queue(&self, visibility_s: u32) -> Queue {
        let create = self.sqs.create_queue().queue_name(unique());
        let create = create.attributes(QueueAttributeName::VisibilityTimeout, visibility_s.to_string());
        let url = create.send().await.unwrap().queue_url.unwrap();
        self.created(Resource::Queue(url.clone()));
        let get = self.sqs.get_queue_attributes().queue_url(&url);
        let get = get.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
        let arn = get.attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
        Queue { url, arn }
    }

    /// Gives a queue a dead-letter queue, to which a message goes after this number of receives.
    pub async fn redrive(&self, queue: &Queue, to: &Queue, max_receive_count: u32) {
        let policy = json!({ "deadLetterTargetArn": to.arn, "maxReceiveCount": max_receive_count });
        let set = self.sqs.set_queue_attributes().queue_url(&queue.url);
        let set = set.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        set.send().await.unwrap();
    }

    pub async fn send(&self, queue: &Queue, body: impl Into<String>) {
        self.sqs.send_message().queue_url(&queue.url).message_body(body).send().await.unwrap();
    }

    /// Receives a message, if one arrives within this number of seconds.
    pub async fn receive(&self, queue: &Queue, wait_s: i32) -> Option<Message> {
        let receive = self.sqs.receive_message().queue_url(&queue.url).wait_time_seconds(wait_s);
        let receive = receive.message_system_attribute_names("All".into()).message_attribute_names("All");
        receive.send().await.unwrap().messages?.pop()
    }

    /// Waits for a message.
    pub async fn message(&self, queue: &Queue) -> Message {
        self.until("a message", async || self.receive(queue, 1).await).await
    }

    // ---------------------------------------------------------------------------- Lambda

    /// The name of the function that its records script.
    pub async fn function(&self) -> &'static str {
        static FUNCTION: OnceLock<String> = OnceLock::new();
        let deployed = tokio::task::spawn_blocking(|| FUNCTION.get_or_init(deploy).as_str()).await.unwrap();
        // A first invocation, so that it is ready when a mapping invokes it.
        self.invoke(deployed, &json!({ "Records": [] })).await;
        deployed
    }

    pub async fn invoke(&self, function: &str, event: &Value) -> Value {
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        let output = self.lambda.invoke().function_name(function).payload(payload).send().await.unwrap();
        assert_eq!(output.function_error, None, "{:?}", output.payload);
        serde_json::from_slice(output.payload.unwrap_or_default().as_ref()).unwrap_or_default()
    }

    /// A mapping from this source to the function. Complete it and pass it to `create`.
    pub async fn mapping(&self, source: &str) -> CreateEventSourceMappingFluentBuilder {
        let mapping = self.lambda.create_event_source_mapping().function_name(self.function().await);
        mapping.event_source_arn(source)
    }

    /// Creates a mapping and waits until it is enabled.
    pub async fn create(&self, mapping: CreateEventSourceMappingFluentBuilder) {
        let id = mapping.send().await.unwrap().uuid.unwrap();
        self.created(Resource::Mapping(id.clone()));
        self.until("the mapping is enabled", async || {
            let mapping = self.lambda.get_event_source_mapping().uuid(&id).send().await.unwrap();
            (mapping.state? == "Enabled").then_some(())
        })
        .await
    }

    /// Reads the function's reports of its invocations, in their order, until they are enough.
    pub async fn journal(&self, journal: &Queue, enough: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        let begun = Instant::now();
        while !enough(&entries) {
            assert!(begun.elapsed() < self.patience, "not enough within {:?}: {entries:?}", self.patience);
            let receive = self.sqs.receive_message().queue_url(&journal.url).wait_time_seconds(1);
            let receive = receive.max_number_of_messages(10).send().await.unwrap();
            for message in receive.messages.unwrap_or_default() {
                let delete = self.sqs.delete_message().queue_url(&journal.url);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
                entries.push(serde_json::from_str(&message.body.unwrap()).unwrap());
            }
            entries.sort_by_key(|entry| entry.began);
        }
        entries
    }
}

/// The function's report of one invocation.
#[derive(Debug, Deserialize)]
pub struct Entry {
    pub seen: Vec<Seen>,
    /// The records that it reported as failed.
    pub failed: Vec<u32>,
    /// Whether the whole invocation failed.
    pub error: bool,
    pub began: u64,
    pub ended: u64,
}

/// A record as the function saw it.
#[derive(Deserialize)]
pub struct Seen {
    pub n: u32,
    pub text: String,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.n.fmt(f)
    }
}

impl Entry {
    pub fn numbers(&self) -> Vec<u32> {
        self.seen.iter().map(|seen| seen.n).collect()
    }
}

/// A record that tells the function what to do with it.
pub fn script(journal: &Queue, n: u32, does: Value) -> String {
    let mut script = json!({ "journal": journal.url, "n": n });
    script.as_object_mut().unwrap().extend(does.as_object().unwrap().clone());
    script.to_string()
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder above tests/")
}

/// Deploys the function that its records script. Returns its name.
pub fn deploy() -> String {
    run("deploy-function", &[unique().as_ref(), built("scripted").as_os_str()])
}

/// Runs a script of this folder. Returns what it prints.
pub fn run(script: &str, arguments: &[&OsStr]) -> String {
    let root = root();
    // The Python of the tools has the modules that the script needs.
    let mut python = Command::new(root.join(".local/venv/bin/python"));
    let output = python.arg(root.join("tests/probes").join(script)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The path of a binary of the workspace, which is beside this test's.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

// ---------------------------------------------------------------------------------- values

pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// An item with this key and these attributes.
pub fn item<const N: usize>(id: &str, attributes: [(&str, AttributeValue); N]) -> Item {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
    attributes.chain([("id".to_owned(), s(id))]).collect()
}
