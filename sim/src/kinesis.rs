//! A Kinesis stream.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::draw::below;

/// A record in a shard.
#[derive(Clone, Debug)]
pub struct Record {
    /// Rises within a shard.
    pub sequence_number: u64,
    pub partition_key: String,
    /// As it was put: base64.
    pub data: String,
    pub arrived_ms: u64,
}

/// A stream of some shards.
#[derive(Debug)]
pub struct Stream {
    pub shards: Vec<Vec<Record>>,
    next: u64,
}

impl Stream {
    pub fn new(shards: usize) -> Stream {
        Stream { shards: vec![Vec::new(); shards], next: 1 }
    }

    /// PutRecords; of the records at these places it takes none.
    pub fn put_records(&mut self, request: &Value, now_ms: u64, not_taken: impl Fn(usize) -> bool) -> Value {
        let records = request["Records"].as_array().expect("Records");
        let answers: Vec<Value> = records
            .iter()
            .enumerate()
            .map(|(at, record)| {
                if not_taken(at) {
                    return json!({
                        "ErrorCode": "ProvisionedThroughputExceededException",
                        "ErrorMessage": "Rate exceeded for shard",
                    });
                }
                let key = record["PartitionKey"].as_str().expect("PartitionKey");
                let shard = shard_of(key, self.shards.len());
                let sequence_number = self.next;
                self.next += 1;
                let data = record["Data"].as_str().expect("Data").to_owned();
                debug_assert!(BASE64_STANDARD.decode(&data).is_ok());
                let record =
                    Record { sequence_number, partition_key: key.to_owned(), data, arrived_ms: now_ms };
                self.shards[shard].push(record);
                json!({ "SequenceNumber": sequence_number.to_string(), "ShardId": shard_id(shard) })
            })
            .collect();
        let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
        json!({ "FailedRecordCount": failed, "Records": answers })
    }
}

pub fn shard_id(shard: usize) -> String {
    format!("shardId-{shard:012}")
}

fn shard_of(key: &str, shards: usize) -> usize {
    let words: Vec<u64> = key.bytes().map(u64::from).collect();
    below(shards as u64, 0, &words) as usize
}

/// A record as Lambda passes it on.
pub fn event(shard: usize, record: &Record) -> Value {
    let sequence_number = record.sequence_number.to_string();
    json!({
        "eventID": format!("{}:{sequence_number}", shard_id(shard)),
        "eventName": "aws:kinesis:record", "eventSource": "aws:kinesis", "eventVersion": "1.0",
        "awsRegion": "us-east-1",
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": record.partition_key,
            "sequenceNumber": sequence_number, "data": record.data,
            "approximateArrivalTimestamp": record.arrived_ms as f64 / 1_000.0,
        },
    })
}
