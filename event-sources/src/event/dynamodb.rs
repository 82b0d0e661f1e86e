//! The records of a DynamoDB stream.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::primitives::Blob;
use aws_sdk_dynamodbstreams::types::{self, AttributeValue, StreamRecord};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::time::since_epoch;
use crate::record::Record;

/// What all records of a stream have in common.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The Region of the table.
    pub aws_region: String,
    /// The ARN of the stream.
    pub event_source_arn: String,
}

/// The engine's record for a stream record of the SDK. Its event has the shape that AWS documents
/// in ["Using AWS Lambda with Amazon DynamoDB"](https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html).
///
/// `None` for a record without a sequence number, which DynamoDB never sends.
pub fn record(record: &types::Record, origin: &Origin) -> Option<Record> {
    let change = record.dynamodb()?;
    let sequence_number = change.sequence_number()?;
    let keys = change.keys().map_or(Value::Null, image);
    let arrived_at = change.approximate_creation_date_time().and_then(since_epoch);
    let event = event(record, change, origin);
    Some(Record::new(sequence_number, keys.to_string(), event).arrived_at(arrived_at))
}

fn event(record: &types::Record, change: &StreamRecord, origin: &Origin) -> Value {
    let name = record.event_name().map(|name| name.as_str());
    let user = record.user_identity().map(|user| {
        object([
            ("principalId", user.principal_id().map(Value::from)),
            ("type", user.r#type().map(Value::from)),
        ])
    });
    object([
        ("eventID", record.event_id().map(Value::from)),
        ("eventName", name.map(Value::from)),
        ("eventVersion", record.event_version().map(Value::from)),
        ("eventSource", Some("aws:dynamodb".into())),
        ("awsRegion", Some(origin.aws_region.as_str().into())),
        ("dynamodb", Some(stream_record(change))),
        ("userIdentity", user),
        ("eventSourceARN", Some(origin.event_source_arn.as_str().into())),
    ])
}

fn stream_record(change: &StreamRecord) -> Value {
    let created = change.approximate_creation_date_time();
    let number = change.sequence_number();
    let view = change.stream_view_type().map(|view| view.as_str());
    object([
        ("ApproximateCreationDateTime", created.map(|time| time.as_secs_f64().into())),
        ("Keys", change.keys().map(image)),
        ("NewImage", change.new_image().map(image)),
        ("OldImage", change.old_image().map(image)),
        ("SequenceNumber", number.map(Value::from)),
        ("SizeBytes", change.size_bytes().map(Value::from)),
        ("StreamViewType", view.map(Value::from)),
    ])
}

/// An object without the fields that are `None`.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}

fn image(attributes: &HashMap<String, AttributeValue>) -> Value {
    let attributes = attributes.iter().map(|(name, value)| (name.clone(), attribute(value)));
    Value::Object(attributes.collect::<Map<_, _>>())
}

fn attribute(value: &AttributeValue) -> Value {
    let base64 = |blob: &Blob| BASE64_STANDARD.encode(blob);
    match value {
        AttributeValue::B(blob) => json!({"B": base64(blob)}),
        AttributeValue::Bool(bool) => json!({"BOOL": bool}),
        AttributeValue::Bs(blobs) => {
            json!({"BS": blobs.iter().map(base64).collect::<Vec<_>>()})
        }
        AttributeValue::L(values) => {
            json!({"L": values.iter().map(attribute).collect::<Vec<_>>()})
        }
        AttributeValue::M(attributes) => json!({"M": image(attributes)}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Ns(numbers) => json!({"NS": numbers}),
        AttributeValue::Null(is_null) => json!({"NULL": is_null}),
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::Ss(texts) => json!({"SS": texts}),
        // The SDK does not know this type, so its name is not known either.
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodbstreams::primitives::DateTime;
    use aws_sdk_dynamodbstreams::types::{Identity, OperationType, StreamViewType};
    use std::time::Duration;

    const ARN: &str = "arn:aws:dynamodb:us-east-2:123456789012:table/my-table/stream/2024-06-10";

    fn origin() -> Origin {
        Origin { aws_region: "us-east-2".into(), event_source_arn: ARN.into() }
    }

    // "Using AWS Lambda with Amazon DynamoDB", the example event,
    // https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    #[test]
    fn a_record_has_the_documented_shape() {
        let change = StreamRecord::builder()
            .approximate_creation_date_time(DateTime::from_secs(1_678_831_218))
            .keys("Id", AttributeValue::N("101".into()))
            .new_image("Message", AttributeValue::S("New item!".into()))
            .sequence_number("111")
            .size_bytes(26)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        let read = types::Record::builder()
            .event_id("1")
            .event_name(OperationType::Insert)
            .event_version("1.1")
            .event_source("aws:dynamodb")
            .dynamodb(change)
            .build();

        assert_eq!(
            record(&read, &origin()),
            Some(
                Record::new(
                    "111",
                    r#"{"Id":{"N":"101"}}"#,
                    json!({
                        "eventID": "1",
                        "eventName": "INSERT",
                        "eventVersion": "1.1",
                        "eventSource": "aws:dynamodb",
                        "awsRegion": "us-east-2",
                        "dynamodb": {
                            "ApproximateCreationDateTime": 1_678_831_218.0,
                            "Keys": {"Id": {"N": "101"}},
                            "NewImage": {"Message": {"S": "New item!"}},
                            "SequenceNumber": "111",
                            "SizeBytes": 26,
                            "StreamViewType": "NEW_AND_OLD_IMAGES",
                        },
                        "eventSourceARN": ARN,
                    })
                )
                .arrived_at(Some(Duration::from_secs(1_678_831_218)))
            )
        );
    }

    // "DynamoDB Streams and Time to Live",
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    #[test]
    fn a_deletion_by_time_to_live_names_the_service() {
        let identity = Identity::builder().r#type("Service").principal_id("dynamodb.amazonaws.com").build();
        let read = types::Record::builder()
            .event_name(OperationType::Remove)
            .user_identity(identity)
            .dynamodb(StreamRecord::builder().sequence_number("1").build())
            .build();
        let record = record(&read, &origin()).unwrap();
        assert_eq!(
            record.event["userIdentity"],
            json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"})
        );
    }

    // "AttributeValue", https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_AttributeValue.html
    #[test]
    fn every_attribute_type_is_written_by_its_name() {
        use AttributeValue as A;
        let blob = || Blob::new([0xff, 0x00]);
        let map = HashMap::from([("a".to_owned(), A::L(vec![A::Null(true), A::Bool(false)]))]);
        for (value, expected) in [
            (A::B(blob()), json!({"B": "/wA="})),
            (A::Bs(vec![blob()]), json!({"BS": ["/wA="]})),
            (A::M(map), json!({"M": {"a": {"L": [{"NULL": true}, {"BOOL": false}]}}})),
            (A::N("1.50".into()), json!({"N": "1.50"})),
            (A::Ns(vec!["1".into()]), json!({"NS": ["1"]})),
            (A::S("s".into()), json!({"S": "s"})),
            (A::Ss(vec!["s".into()]), json!({"SS": ["s"]})),
        ] {
            assert_eq!(attribute(&value), expected);
        }
    }
}
