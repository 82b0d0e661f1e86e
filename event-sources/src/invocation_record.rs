//! The invocation record: what an on-failure destination gets. It holds metadata about the
//! discarded records, never the records themselves.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::discard::{Discard, DiscardReason};
use crate::record::StreamKind;

/// Where discarded records come from.
#[derive(Debug, Clone)]
pub struct DiscardOrigin {
    /// The kind of the stream.
    pub stream_kind: StreamKind,
    /// The ARN of the stream.
    pub stream_arn: String,
    /// The id of the shard.
    pub shard_id: String,
    /// The ARN of the function in the mapping, which may have a qualifier.
    pub function_arn: String,
}

/// The invocation record for an SQS queue. `now` and the arrival of the records count from the Unix
/// epoch. `request_id` should be a new UUID.
///
/// AWS shows its shape in ["Retain discarded batch records for a Kinesis Data Streams event source
/// in Lambda"](https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html).
pub fn invocation_record(
    discard: &Discard,
    origin: &DiscardOrigin,
    request_id: &str,
    now: Duration,
) -> Value {
    let mut record = json!({
        "requestContext": {
            "requestId": request_id,
            "functionArn": origin.function_arn,
            "condition": discard.reason.condition(),
            "approximateInvokeCount": discard.invocations.max(1),
        },
        "version": "1.0",
        "timestamp": timestamp(now),
        batch_info_name(origin.stream_kind): {
            "shardId": origin.shard_id,
            "startSequenceNumber": discard.sequence_numbers.first(),
            "endSequenceNumber": discard.sequence_numbers.last(),
            "approximateArrivalOfFirstRecord": timestamp(discard.first_arrived_at),
            "approximateArrivalOfLastRecord": timestamp(discard.last_arrived_at),
            "batchSize": discard.sequence_numbers.len(),
            "streamArn": origin.stream_arn,
        },
    });
    if let DiscardReason::RetryAttemptsExhausted { function_error } = discard.reason {
        let mut response =
            json!({"statusCode": 200, "executedVersion": executed_version(&origin.function_arn)});
        if function_error {
            response["functionError"] = "Unhandled".into();
        }
        record["responseContext"] = response;
    }
    record
}

fn batch_info_name(stream_kind: StreamKind) -> &'static str {
    match stream_kind {
        StreamKind::DynamoDb => "DDBStreamBatchInfo",
        StreamKind::Kinesis => "KinesisBatchInfo",
    }
}

/// The qualifier of `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`.
fn executed_version(function_arn: &str) -> &str {
    function_arn.split(':').nth(7).unwrap_or("$LATEST")
}

/// AWS leaves the milliseconds out when they are zero.
fn timestamp(since_epoch: Duration) -> String {
    let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    let precision = if time.subsec_millisecond() == 0 { 0 } else { 3 };
    format!("{time:.precision$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchId;

    const ERROR: DiscardReason = DiscardReason::RetryAttemptsExhausted { function_error: true };

    fn discard(reason: DiscardReason, invocations: u32) -> Discard {
        Discard {
            id: BatchId { key_group: 0 },
            reason,
            invocations,
            sequence_numbers: ["100", "105", "117"].map(String::from).to_vec(),
            first_arrived_at: Duration::from_millis(1_573_691_884_835),
            last_arrived_at: Duration::from_secs(1_573_691_885),
        }
    }

    fn origin(stream_kind: StreamKind) -> DiscardOrigin {
        DiscardOrigin {
            stream_kind,
            stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/mystream".into(),
            shard_id: "shardId-000000000001".into(),
            function_arn: "arn:aws:lambda:us-east-2:123456789012:function:myfunction".into(),
        }
    }

    fn record(reason: DiscardReason, invocations: u32) -> Value {
        let now = Duration::from_millis(1_573_691_886_021);
        invocation_record(&discard(reason, invocations), &origin(StreamKind::Kinesis), "c9b8fa9f", now)
    }

    // "Retain discarded batch records for a Kinesis Data Streams event source in Lambda", the
    // example invocation record,
    // https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    #[test]
    fn exhausted_retries_have_the_documented_shape() {
        assert_eq!(
            record(ERROR, 4),
            json!({
                "requestContext": {
                    "requestId": "c9b8fa9f",
                    "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
                    "condition": "RetryAttemptsExhausted",
                    "approximateInvokeCount": 4,
                },
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": "$LATEST",
                    "functionError": "Unhandled",
                },
                "version": "1.0",
                "timestamp": "2019-11-14T00:38:06.021Z",
                "KinesisBatchInfo": {
                    "shardId": "shardId-000000000001",
                    "startSequenceNumber": "100",
                    "endSequenceNumber": "117",
                    "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
                    "approximateArrivalOfLastRecord": "2019-11-14T00:38:05Z",
                    "batchSize": 3,
                    "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream",
                },
            })
        );
    }

    // "Retain discarded records for a DynamoDB event source in Lambda", the example invocation
    // record, https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    #[test]
    fn a_dynamodb_stream_names_its_batch_differently() {
        let record = invocation_record(&discard(ERROR, 1), &origin(StreamKind::DynamoDb), "", Duration::ZERO);
        assert_eq!(record["DDBStreamBatchInfo"]["batchSize"], 3);
        assert_eq!(record.get("KinesisBatchInfo"), None);
    }

    // AWS does not document this; LocalStack's tests recorded it from AWS: for a record that was too old there is no
    // responseContext, and approximateInvokeCount is 1 though the function never got the record.
    // test_kinesis_maximum_record_age_exceeded in
    // https://github.com/localstack/localstack/blob/main/tests/aws/services/lambda_/event_source_mapping/test_lambda_integration_kinesis.snapshot.json
    #[test]
    fn records_that_were_too_old_have_no_response() {
        let record = record(DiscardReason::RecordAgeExceeded, 0);
        assert_eq!(record["requestContext"]["condition"], "RecordAgeExceeded");
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
        assert_eq!(record.get("responseContext"), None);
    }

    // AWS does not document this. The function returned, so there is a response; it did not fail as
    // a whole, so there is no functionError.
    #[test]
    fn reported_failures_are_a_response_without_a_function_error() {
        let record = record(DiscardReason::RetryAttemptsExhausted { function_error: false }, 3);
        let response = json!({"statusCode": 200, "executedVersion": "$LATEST"});
        assert_eq!(record["responseContext"], response);
    }

    #[test]
    fn the_executed_version_is_the_qualifier_of_the_function() {
        assert_eq!(executed_version("arn:aws:lambda:eu-west-1:1:function:f:7"), "7");
    }
}
