//! The records of a Kinesis data stream.

use aws_sdk_kinesis::types;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::time::since_epoch;
use crate::record::Record;

/// What all records of a shard have in common.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The Region of the stream.
    pub aws_region: String,
    /// The ARN of the stream.
    pub event_source_arn: String,
    /// The id of the shard.
    pub shard_id: String,
    /// The ARN of the function's execution role.
    pub invoke_identity_arn: String,
}

/// The engine's record for a Kinesis record of the SDK. Its event has the shape that AWS documents in ["Using Lambda to
/// process records from Amazon Kinesis Data Streams"](https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html).
pub fn record(record: &types::Record, origin: &Origin) -> Record {
    // Kinesis rejects records without a partition key, so the default is never used.
    let ordering_key = record.partition_key().unwrap_or_default();
    let arrived_at = record.approximate_arrival_timestamp().and_then(since_epoch);
    Record::new(record.sequence_number(), ordering_key, event(record, origin)).arrived_at(arrived_at)
}

fn event(record: &types::Record, origin: &Origin) -> Value {
    let arrived = record.approximate_arrival_timestamp();
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key(),
            "sequenceNumber": record.sequence_number(),
            "data": BASE64_STANDARD.encode(record.data()),
            "approximateArrivalTimestamp": arrived.map_or(0.0, |time| time.as_secs_f64()),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("{}:{}", origin.shard_id, record.sequence_number()),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": origin.invoke_identity_arn,
        "awsRegion": origin.aws_region,
        "eventSourceARN": origin.event_source_arn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::primitives::{Blob, DateTime};
    use std::time::Duration;

    // "Using Lambda to process records from Amazon Kinesis Data Streams", the example event,
    // https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
    #[test]
    fn a_record_has_the_documented_shape() {
        let arn = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream";
        let origin = Origin {
            aws_region: "us-east-2".into(),
            event_source_arn: arn.into(),
            shard_id: "shardId-000000000006".into(),
            invoke_identity_arn: "arn:aws:iam::123456789012:role/lambda-role".into(),
        };
        let read = types::Record::builder()
            .sequence_number("4959")
            .partition_key("1")
            .data(Blob::new("Hello, this is a test."))
            .approximate_arrival_timestamp(DateTime::from_millis(1_545_084_650_987))
            .build()
            .unwrap();

        assert_eq!(
            record(&read, &origin),
            Record::new(
                "4959",
                "1",
                json!({
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "partitionKey": "1",
                        "sequenceNumber": "4959",
                        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                        "approximateArrivalTimestamp": 1_545_084_650.987,
                    },
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": "shardId-000000000006:4959",
                    "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
                    "awsRegion": "us-east-2",
                    "eventSourceARN": arn,
                })
            )
            .arrived_at(Some(Duration::from_millis(1_545_084_650_987)))
        );
    }
}
