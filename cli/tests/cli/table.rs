//! A table of notifications with these records, as the command reads it by its index.

use handover::record::{Record, State, Status, dead_bucket};
use handover::{Draft, Routes};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::scripted::{Answer, Aws, item};

/// Three destinations; and a channel without any.
pub const ROUTES: &str = r#"{
    "refund": { "kind": "event", "destinations": ["audit", "refund"] },
    "order":  { "kind": "event", "destinations": ["gone"] },
    "c":      { "kind": "channel", "destinations": [] },
    "told":   { "kind": "event", "channel": "c" }
}"#;

/// The record of an event of the given type, accepted `minutes` ago.
pub fn accepted(id: &str, r#type: &str, minutes: i64) -> Record {
    let routes: Routes = ROUTES.parse().unwrap();
    let event = Draft::event(r#type, "s", &1).partitionkey("c/1").build(id).unwrap();
    // Stored times have milliseconds.
    let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    Record::accept(event, &routes, now - SignedDuration::from_mins(minutes)).unwrap()
}

/// The same, in these states, by the names of the destinations.
pub fn moved<const N: usize>(mut record: Record, states: [State; N]) -> Record {
    assert_eq!(record.destinations.len(), N);
    for (delivery, state) in record.destinations.values_mut().zip(states) {
        delivery.state = state;
    }
    let count = |state| states.iter().filter(|of| **of == state).count() as u32;
    (record.open, record.dead) = (count(State::Pending), count(State::Dead));
    record.status = match (record.open, record.dead) {
        (0, 0) => Status::Done,
        (0, _) => Status::Dead,
        _ => Status::Init,
    };
    if record.status == Status::Dead {
        record.bucket = dead_bucket(&record.id, record.accepted_at + SignedDuration::from_hours(3 * 24));
    }
    record
}

/// The stack `scripted` with these records. What `answer` knows an answer to is answered so.
pub fn table(
    records: Vec<Record>,
    answer: impl Fn(&str, &Value) -> Option<Answer> + Send + Sync + 'static,
) -> Aws {
    let key = |record: &Record| json!({ "id": { "S": record.id }, "source": { "S": record.source } });
    let usual = move |call: &str, body: &Value| match call {
        "Query" => {
            let bucket = body["ExpressionAttributeValues"][":bucket"]["S"].as_str().unwrap();
            let found = records.iter().filter(|record| record.bucket == bucket);
            json!({ "Items": found.map(key).collect::<Vec<_>>() })
        }
        "BatchGetItem" => {
            let status = |record: &Record| {
                let mut item = key(record);
                item["status"] = json!({ "S": record.status.as_str() });
                item
            };
            let wanted = body["RequestItems"]["scripted-notifications"]["Keys"].as_array().unwrap();
            let found = records.iter().filter(|record| wanted.contains(&key(record)));
            json!({ "Responses": { "scripted-notifications": found.map(status).collect::<Vec<_>>() } })
        }
        "GetItem" => match records.iter().find(|record| body["Key"] == key(record)) {
            Some(record) => json!({ "Item": item(&record.encode()) }),
            None => json!({}),
        },
        _ => json!({}),
    };
    Aws::new(move |call, body| answer(call, body).unwrap_or_else(|| (200, usual(call, body))))
}
