//! relay, between the table's stream and Kinesis.

use std::time::Duration;

use handover::dynamodb::types::AttributeValue;
use handover::record::{Item, Record};
use handover::pipeline::Relay;
use handover::{Clock, Draft};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, routes, unique};

/// An item as a stream record has it.
fn image(item: &Item) -> Value {
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::M(map) => json!({ "M": image(map) }),
        other => panic!("records hold no {other:?}"),
    }
}

/// What Kinesis does not take is reported, and comes again.
#[tokio::test]
async fn what_cannot_be_relayed_is_given_back() {
    let world = World::connect().await;
    let data = json!({ "account": "a", "amount": 1 });
    let refund = Draft::command("refund.requested", "orders", &data).build(unique("relay")).unwrap();
    let record = Record::accept(refund, &routes(), jiff::Timestamp::now()).unwrap();
    let event = json!({ "Records": [{
        "awsRegion": "us-east-1", "eventID": "1", "eventName": "INSERT",
        "dynamodb": { "ApproximateCreationDateTime": 1.0, "Keys": { "id": { "S": record.id } },
                      "SequenceNumber": "7", "SizeBytes": 1, "NewImage": image(&record.encode()) },
    }] });
    let relay = Relay::new(world.kinesis.clone(), world.named("no-such-stream"), Clock::system());
    let until = Instant::now() + Duration::from_secs(1);
    let answer = relay.receive(serde_json::from_value(event).unwrap(), until).await;
    let failures: Vec<_> =
        answer.batch_item_failures.into_iter().filter_map(|it| it.item_identifier).collect();
    assert_eq!(failures, ["7"]);
}
