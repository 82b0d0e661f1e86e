//! Streams: the records of a table's stream and of the Kinesis stream, shard by shard.

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use event_sources::Record;
use event_sources::event::kinesis::{Origin, record};
use serde_json::{Value, json};

use crate::faults::rng::of_name;

/// Shards of each stream.
pub const SHARDS: usize = 2;
/// How long a stream keeps a record, in milliseconds.
pub const RETENTION_MS: u64 = 24 * 3_600_000;

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamName {
    /// The stream of the table of records.
    Table,
    /// The Kinesis stream.
    Kinesis,
}

/// A stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// When each record arrived, in milliseconds since the epoch, and the record.
    pub shards: [Vec<(u64, Record)>; SHARDS],
    next: u64,
    /// What each shard may take yet, where that is limited.
    pub allowances: Option<[Allowance; SHARDS]>,
}

/// What a shard may take at a moment: 1 MB and 1,000 records a second, and not more at once than in a second.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    bytes: u64,
    thousandths: u64,
    at_ms: u64,
}

impl Allowance {
    const BYTES_MAX: u64 = 1_000_000;
    const THOUSANDTHS_MAX: u64 = 1_000_000;

    /// A second in which nothing came.
    pub fn full(now_ms: u64) -> Allowance {
        Allowance { bytes: Self::BYTES_MAX, thousandths: Self::THOUSANDTHS_MAX, at_ms: now_ms }
    }

    /// Takes a record of this size, if there is room for it.
    fn takes(&mut self, bytes: u64, now_ms: u64) -> bool {
        let passed_ms = now_ms - self.at_ms;
        self.at_ms = now_ms;
        self.bytes = (self.bytes + passed_ms * Self::BYTES_MAX / 1_000).min(Self::BYTES_MAX);
        self.thousandths =
            (self.thousandths + passed_ms * Self::THOUSANDTHS_MAX / 1_000).min(Self::THOUSANDTHS_MAX);
        let has_room = self.bytes >= bytes && self.thousandths >= 1_000;
        if has_room {
            self.bytes -= bytes;
            self.thousandths -= 1_000;
        }
        has_room
    }
}

impl Stream {
    /// Adds a change of a table. The changes of an item are in one shard; between shards there is
    /// no order.
    pub fn add_change(&mut self, change: Value, now_ms: u64) {
        let sequence_number = change["dynamodb"]["SequenceNumber"].as_str().expect("a text").to_owned();
        let key = change["dynamodb"]["Keys"].to_string();
        let shard = shard_of(&key);
        self.shards[shard].push((now_ms, Record::new(sequence_number, key, change)));
    }

    /// PutRecords, which does not take the records at some indices.
    pub fn put_records(&mut self, request: &Value, now_ms: u64, not_taken: impl Fn(usize) -> bool) -> Value {
        let records = request["Records"].as_array().expect("Records").iter().enumerate();
        let answers: Vec<Value> = records
            .map(|(at, record)| match not_taken(at) || !self.has_room(record, now_ms) {
                true => json!({
                    "ErrorCode": "ProvisionedThroughputExceededException",
                    "ErrorMessage": "Rate exceeded for shard",
                }),
                false => self.put(record, now_ms),
            })
            .collect();
        let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
        json!({ "FailedRecordCount": failed, "Records": answers })
    }

    /// Whether the shard of a record takes it now.
    fn has_room(&mut self, entry: &Value, now_ms: u64) -> bool {
        let length = |name: &str| entry[name].as_str().map_or(0, str::len) as u64;
        let bytes = length("PartitionKey") + length("Data") / 4 * 3;
        let shard = shard_of(entry["PartitionKey"].as_str().unwrap_or_default());
        self.allowances.as_mut().is_none_or(|allowances| allowances[shard].takes(bytes, now_ms))
    }

    pub fn put(&mut self, entry: &Value, now_ms: u64) -> Value {
        let key = entry["PartitionKey"].as_str().expect("PartitionKey");
        let data = BASE64_STANDARD.decode(entry["Data"].as_str().expect("Data")).expect("base64");
        self.next += 1;
        let shard = shard_of(key);
        let origin = Origin {
            aws_region: "us-east-1".into(),
            event_source_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/notifications".into(),
            shard_id: format!("shardId-{shard:012}"),
            invoke_identity_arn: "arn:aws:iam::000000000000:role/role".into(),
        };
        let put = types::Record::builder()
            .sequence_number(self.next.to_string())
            .partition_key(key)
            .data(Blob::new(data))
            .approximate_arrival_timestamp(DateTime::from_millis(now_ms as i64));
        self.shards[shard].push((now_ms, record(&put.build().expect("all fields are set"), &origin)));
        json!({ "SequenceNumber": self.next.to_string(), "ShardId": origin.shard_id })
    }
}

/// The shard of a key.
pub fn shard_of(key: &str) -> usize {
    (of_name(key) % SHARDS as u64) as usize
}
