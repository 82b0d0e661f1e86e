//! The events of the benchmark: notifications in the form of each event source.

use std::collections::HashMap;

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use handover::dynamodb::types::AttributeValue;
use handover::notification::{EVENT_BYTES_MAX, encode};
use handover::record::{Dispatch, Record};
use handover::{Checked, Draft, Routes};
use jiff::Timestamp;
use serde_json::json;

use crate::stub::{Attribute, Item, NOTIFICATIONS, Stub, joined};

/// The name of the destination.
pub const DESTINATION: &str = "mark";
/// Notifications of a Kinesis batch, and of a batch of the table's stream.
pub const BATCH: usize = 100;
/// Messages of a batch of the upstream queue.
pub const MESSAGES: usize = 10;
/// Partition keys of a Kinesis batch. Each has the same number of notifications, interleaved with the
/// others'.
const KEYS: usize = 20;

/// The routes.
pub fn routes() -> String {
    let route = json!({ "kind": "command", "destinations": [DESTINATION], "max_bytes": EVENT_BYTES_MAX });
    json!({ "refund.requested": route }).to_string()
}

/// The notifications of the nth batch. Their partition keys are interleaved, unless `key` is set. Their events are
/// filled up to `bytes`.
fn notifications(nth: usize, count: usize, key: Option<&str>, bytes: usize) -> Result<Vec<Checked>> {
    let notification = |index: usize, note: &str| {
        let number = nth * count + index;
        let mut data = json!({ "account": format!("account-{number}"), "amount": 1_999 });
        if !note.is_empty() {
            data["note"] = note.into();
        }
        let draft = Draft::command("refund.requested", "bench.orders", &data);
        let own = format!("customer-{}", index * 7 % KEYS);
        draft.partitionkey(key.unwrap_or(&own)).build(format!("01jdk3v6yq-{number:08}"))
    };
    let filled = |index: usize| {
        let short = notification(index, "")?;
        match bytes.saturating_sub(encode(&short).len() + r#","note":"""#.len()) {
            0 => Ok(short),
            left => notification(index, &"x".repeat(left)),
        }
    };
    Ok((0..count).map(filled).collect::<Result<_, _>>()?)
}

fn records(notifications: &[Checked]) -> Result<Vec<Record>> {
    let routes: Routes = routes().parse()?;
    let now = Timestamp::from_second(1_790_000_000)?;
    let records = notifications.iter().map(|checked| Record::accept(checked.clone(), &routes, now));
    Ok(records.collect::<Result<_, _>>()?)
}

/// The nth batch of Kinesis. Puts its records and its accounts into the stub's tables.
pub fn kinesis(nth: usize, bytes: usize, stub: &Stub) -> Result<Bytes> {
    let notifications = notifications(nth, BATCH, None, bytes)?;
    let mut state = stub.state();
    for (index, record) in records(&notifications)?.iter().enumerate() {
        let key = record.partitionkey.clone().unwrap_or_default();
        state.dynamodb.order.expect(
            &joined([&*record.id, &*record.source]),
            &key,
            (nth * BATCH + index + 1) as u64,
        );
        state.dynamodb.put(NOTIFICATIONS, item(record))?;
        let account = format!("account-{}", nth * BATCH + index);
        let account = [("account", Attribute::S(account)), ("balance", Attribute::N("0".to_owned()))];
        state.dynamodb.put("accounts", account.map(|(name, value)| (name.to_owned(), value)).into())?;
    }
    let records = notifications.into_iter().enumerate().map(|(index, notification)| {
        let dispatch = Dispatch {
            notification: notification.into(),
            destinations: vec![DESTINATION.to_owned()],
            sequenced: vec![],
            number: 1,
            redispatched: false,
            version: Some(1),
            accepted_at: Timestamp::UNIX_EPOCH,
            relayed_at: Timestamp::UNIX_EPOCH,
        };
        let sequence_number = format!("4957{:052}", nth * BATCH + index);
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": dispatch.partition_key(),
                "sequenceNumber": sequence_number, "data": BASE64_STANDARD.encode(dispatch.encode()),
                "approximateArrivalTimestamp": 1_790_000_000.5,
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventName": "aws:kinesis:record",
            "eventID": format!("shardId-000000000000:{sequence_number}"),
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/bench", "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/bench",
        })
    });
    Ok(json!({ "Records": records.collect::<Vec<_>>() }).to_string().into())
}

/// The nth batch of the upstream queue. With `twice`, each message is in it two times.
pub fn upstream(nth: usize, bytes: usize, twice: bool) -> Result<Bytes> {
    let notifications = notifications(nth, MESSAGES, None, bytes)?;
    let messages = (0..MESSAGES).map(|index| {
        let notification = &notifications[if twice { index / 2 } else { index }];
        json!({
            "messageId": format!("message-{nth}-{index}"), "receiptHandle": "receipt",
            "body": String::from_utf8_lossy(&encode(notification)),
            "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1790000000000" },
            "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs", "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:bench-upstream",
        })
    });
    Ok(json!({ "Records": messages.collect::<Vec<_>>() }).to_string().into())
}

/// The nth batch of the table's stream. With `hot`, all records have one partition key.
pub fn stream(nth: usize, bytes: usize, hot: bool) -> Result<Bytes> {
    let notifications = notifications(nth, BATCH, hot.then_some("customer"), bytes)?;
    let records = records(&notifications)?;
    let records = records.iter().enumerate().map(|(index, record)| {
        json!({
            "eventID": format!("{nth}-{index}"), "eventName": "INSERT", "eventVersion": "1.1",
            "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/notifications/stream/1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_790_000_000.0, "Keys": { "id": { "S": record.id }, "source": { "S": record.source } },
                "NewImage": item(record), "SequenceNumber": format!("{:021}", nth * BATCH + index),
                "SizeBytes": 700, "StreamViewType": "NEW_IMAGE",
            },
        })
    });
    Ok(json!({ "Records": records.collect::<Vec<_>>() }).to_string().into())
}

/// The number of notifications of the nth batch of Kinesis that were completed, once each.
pub fn completed(nth: usize, stub: &Stub) -> Result<usize> {
    let state = stub.state();
    let (done, twice) = (Attribute::S("DONE".to_owned()), Attribute::N("2".to_owned()));
    let is_completed = |notification: &Checked| {
        let item = state.dynamodb.item(NOTIFICATIONS, &joined([&*notification.id, &*notification.source]));
        item.is_some_and(|item| item["status"] == done && item["version"] == twice)
    };
    Ok(notifications(nth, BATCH, None, 0)?.iter().filter(|notification| is_completed(notification)).count())
}

/// A record as the stub stores it.
fn item(record: &Record) -> Item {
    attributes(record.encode())
}

fn attributes(map: HashMap<String, AttributeValue>) -> Item {
    map.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

fn attribute(value: AttributeValue) -> Attribute {
    match value {
        AttributeValue::S(text) => Attribute::S(text),
        AttributeValue::N(number) => Attribute::N(number),
        AttributeValue::Bool(value) => Attribute::Bool(value),
        AttributeValue::M(map) => Attribute::M(attributes(map)),
        AttributeValue::L(list) => Attribute::L(list.into_iter().map(attribute).collect()),
        _ => Attribute::Null(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::dynamodb::size;

    #[test]
    fn a_record_fits_one_write_unit_after_its_mark() {
        for record in records(&notifications(0, BATCH, None, 0).unwrap()).unwrap() {
            // A mark adds fewer than 200 bytes.
            assert!(size(&item(&record)) + 200 <= 1024, "{}", size(&item(&record)));
        }
    }

    #[test]
    fn events_are_filled_up_to_a_size() {
        for bytes in [1_000, EVENT_BYTES_MAX] {
            for event in notifications(5, MESSAGES, None, bytes).unwrap() {
                assert_eq!(encode(&event).len(), bytes);
            }
        }
    }

    #[test]
    fn keys_have_equal_shares_of_a_batch_and_are_interleaved() {
        let all = notifications(3, BATCH, None, 0).unwrap();
        let of =
            |key: &str| all.iter().filter(|checked| checked.partitionkey.as_deref() == Some(key)).count();
        assert!((0..KEYS).all(|key| of(&format!("customer-{key}")) == BATCH / KEYS));
        assert!(all.windows(2).all(|pair| pair[0].partitionkey != pair[1].partitionkey));
    }
}
