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
            .map(|(at, record)| match not_taken(at) {
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

fn shard_of(key: &str) -> usize {
    (of_name(key) % SHARDS as u64) as usize
}
