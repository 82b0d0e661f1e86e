//! Relay between the table's stream and Kinesis.

use std::time::Duration;

use handover::dynamodb::types::AttributeValue;
use handover::pipeline::Relay;
use handover::record::{Change, Item, Record, Status};
use handover::store::RelayQueue;
use handover::{Clock, Draft};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, dispatch, routes, unique};

/// An item in the form of a stream record's image.
fn image(item: &Item) -> Value {
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::M(map) => json!({ "M": image(map) }),
        other => panic!("no record has {other:?}"),
    }
}

/// A record that Kinesis does not take is reported as failed, so that it is redelivered.
#[tokio::test]
async fn a_record_that_kinesis_does_not_take_is_reported_as_failed() {
    let world = World::connect().await;
    let data = json!({ "account": "a", "amount": 1 });
    let refund = Draft::command("refund.requested", "orders", &data).build(unique("relay")).unwrap();
    let record = Record::accept(refund, &routes(), jiff::Timestamp::now()).unwrap();
    let event = json!({ "Records": [{
        "awsRegion": "us-east-1", "eventID": "1", "eventName": "INSERT",
        "dynamodb": { "ApproximateCreationDateTime": 1.0, "Keys": { "id": { "S": record.id }, "source": { "S": record.source } },
                      "SequenceNumber": "7", "SizeBytes": 1, "NewImage": image(&record.encode()) },
    }] });
    let queue = RelayQueue::new(world.sqs.clone(), world.queue_url("relay").await);
    let relay = Relay::new(world.kinesis.clone(), world.named("no-such-stream"), queue, Clock::system());
    let until = Instant::now() + Duration::from_secs(1);
    let answer = relay.receive(serde_json::from_value(event).unwrap(), until).await;
    let failures: Vec<_> =
        answer.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect();
    assert_eq!(failures, ["7"]);
}

/// What was set aside goes into Kinesis from relay's queue. The record's last change is no dispatch, so that relay
/// gets it by the queue alone.
#[tokio::test]
async fn g3_what_is_in_the_queue_of_relay_is_relayed() {
    let world = World::connect().await;
    let data = json!({ "account": world.account().await, "amount": 1 });
    let refund = Draft::command("refund.requested", "orders", &data).build(unique("aside")).unwrap();
    let mut record = Record::accept(refund, &routes(), jiff::Timestamp::now()).unwrap();
    record.change = Change::Attempt;
    world.put(&record).await;
    let copy = String::from_utf8(dispatch(record.notification(), &["refund"]).encode()).unwrap();
    let queue = world.queue_url("relay").await;
    world.sqs.send_message().queue_url(&queue).message_body(copy).send().await.unwrap();
    world.record_when(&record.id, |record| record.status == Status::Done).await;
}
