//! Attributes of items and records in DynamoDB's JSON, as the invariants read them.

use std::collections::BTreeMap;

use handover::NotificationKey;
use handover::record::Record;
use jiff::SignedDuration;
use serde_json::Value;

/// How long a completed record is kept.
pub(crate) const RETENTION: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The text of an attribute; nothing where it has none.
pub fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap_or_default()
}

/// What identifies the notification of a record.
pub fn key(record: &Value) -> NotificationKey {
    NotificationKey::new(text(record, "id"), text(record, "source"))
}

/// The record of this item, if it is one.
pub fn record(item: &Value) -> Option<Record> {
    Record::decode(serde_json::from_value::<serde_dynamo::Item>(item.clone()).ok()?).ok()
}

/// The number of an attribute; the smallest there is where it has none.
pub fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().and_then(|digits| digits.parse().ok()).unwrap_or(i64::MIN)
}

/// The deliveries of a record, by destination.
pub fn destinations(record: &Value) -> BTreeMap<&str, &Value> {
    let all = record["destinations"]["M"].as_object().into_iter().flatten();
    all.map(|(name, delivery)| (name.as_str(), &delivery["M"])).collect()
}

/// The state of a delivery.
pub fn state(delivery: &Value) -> &str {
    text(delivery, "state")
}

/// The data of the notification that a record holds.
pub fn data(record: &Value) -> Value {
    serde_json::from_str(text(record, "data")).unwrap_or_default()
}

/// The key of a delivery to a sequenced destination.
pub(crate) fn sequence_key(record: &Value, destination: &str, delivery: &Value) -> Option<String> {
    let is_sequenced = delivery["sequenced"]["BOOL"] == true;
    is_sequenced.then(|| format!("{destination} {} {}", text(record, "source"), text(record, "partitionkey")))
}
