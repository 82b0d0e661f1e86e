//! The shapes that each release stored and sent: what a release wrote, every later one reads.
//!
//! `shapes/` has a file for each release, which never changes once that is out. The last one is of this release: a
//! change of a shape shows there. It is a new file where the release before is out.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;

use super::attributes::{OF_DELIVERY, OF_RECORD};
use super::dispatch::Dispatch;
use super::position::{Position, PositionChange, Readiness};
use super::record::{Item, Record};
use super::sequence::SequenceKey;

const RELEASES: [(&str, &str); 1] = [("0.1.0", include_str!("shapes/0.1.0.json"))];

/// A value in DynamoDB's JSON.
fn attribute(value: &Value) -> AttributeValue {
    match value.as_object().and_then(|typed| typed.iter().next()).expect("a type and a value") {
        (kind, Value::String(text)) if kind == "S" => AttributeValue::S(text.clone()),
        (kind, Value::String(digits)) if kind == "N" => AttributeValue::N(digits.clone()),
        (kind, Value::Bool(is)) if kind == "BOOL" => AttributeValue::Bool(*is),
        (kind, Value::Array(listed)) if kind == "L" => {
            AttributeValue::L(listed.iter().map(attribute).collect())
        }
        (kind, members) if kind == "M" => AttributeValue::M(item(members)),
        (kind, value) => panic!("records hold no {kind}: {value}"),
    }
}

fn item(members: &Value) -> Item {
    let members = members.as_object().expect("attributes by name");
    members.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn of(release: &str) -> Value {
    serde_json::from_str(release).expect("JSON")
}

#[test]
fn what_a_release_stored_and_sent_is_read_by_this_one() {
    for (release, shapes) in RELEASES {
        let shapes = of(shapes);
        let record = Record::decode(item(&shapes["record"]));
        let record = record.unwrap_or_else(|error| panic!("{release}: {error}"));
        let dispatch = Dispatch::decode(shapes["dispatch"].to_string().as_bytes());
        let dispatch = dispatch.unwrap_or_else(|error| panic!("{release}: {error}"));
        assert_eq!(record.notification(), dispatch.notification, "{release}");
        let position = Position::decode(&item(&shapes["position"]));
        let mut position = position.unwrap_or_else(|error| panic!("{release}: {error}"));
        let first = position.unread(3).expect("something is registered");
        let registrations = shapes["registrations"].as_array().expect("a list").iter().map(item);
        let read = position.read(first, &registrations.collect::<Vec<_>>(), true);
        read.unwrap_or_else(|error| panic!("{release}: {error}"));
        let third = SequenceKey::new(&dispatch.notification, "refund").expect("it is numbered");
        let Readiness::Ready(change) = position.readiness(&third) else {
            panic!("{release}: it is its turn")
        };
        let passed = vec![4];
        let to = PositionChange::To { from: 2, to: 4, registered_to: Some(4), passed, next: None };
        assert_eq!((position.next(), change), (Some(record.id), to), "{release}");
    }
}

#[test]
fn what_this_release_stores_and_sends_is_what_its_file_says() {
    let (release, shapes) = RELEASES.last().expect("this one");
    assert_eq!(*release, env!("CARGO_PKG_VERSION"), "a new release has a file of its own");
    let shapes = of(shapes);
    let stored = item(&shapes["record"]);
    let names = |item: &Item| item.keys().cloned().collect::<BTreeSet<_>>();
    let listed = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(names(&stored), listed(OF_RECORD), "the file has every attribute of a record");
    let delivery = stored["destinations"].as_m().unwrap()["refund"].as_m().unwrap();
    assert_eq!(names(delivery), listed(OF_DELIVERY), "the file has every attribute of a delivery");
    assert_eq!(Record::decode(stored.clone()).unwrap().encode(), stored);

    let sent = &shapes["dispatch"];
    let encoded = Dispatch::decode(sent.to_string().as_bytes()).unwrap().encode();
    assert_eq!(serde_json::from_slice::<Value>(&encoded).unwrap(), *sent);
}
