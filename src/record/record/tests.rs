use super::*;
use crate::notification::{
    DATASCHEMA_BYTES_MAX, DESTINATION_BYTES_MAX, DESTINATIONS_MAX, Draft, EVENT_BYTES_MAX,
    EXTENSIONS_BYTES_MAX, EXTENSIONS_MAX, ID_BYTES_MAX, PARTITIONKEY_BYTES_MAX, SOURCE_BYTES_MAX,
    SUBJECT_BYTES_MAX, TYPE_BYTES_MAX,
};
use crate::record::attributes::{OF_DELIVERY, OF_RECORD};
use crate::record::delivery::{
    EMIT_NAMES_BYTES_MAX, ERROR_BYTES_MAX, FailedAttempt, RESULT_BYTES_MAX, RecordedFault, Settled, shortened,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

pub(crate) fn event_for(destinations: &[&str]) -> Record {
    let destinations = serde_json::to_string(destinations).unwrap();
    let routes = format!(r#"{{"t":{{"kind":"event","destinations":{destinations}}}}}"#);
    let notification = Draft::event("t", "s", &"x").build("1").unwrap();
    Record::accept(notification, &routes.parse().unwrap(), at(1_000)).unwrap()
}

/// Bytes of an item as DynamoDB counts them: names and values, and a little per element
/// of a map.
fn size(item: &Item) -> usize {
    fn value(of: &AttributeValue) -> usize {
        match of {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(_) => 21,
            AttributeValue::Bool(_) => 1,
            AttributeValue::L(list) => 3 + list.iter().map(|item| 1 + value(item)).sum::<usize>(),
            AttributeValue::M(map) => 3 + size(map) + map.len(),
            other => panic!("records hold no {other:?}"),
        }
    }
    item.iter().map(|(name, held)| name.len() + value(held)).sum()
}

#[test]
fn an_accepted_record_is_init_and_dispatched_once() {
    let record = event_for(&["a", "b"]);
    assert_eq!((record.status, record.open, record.version, record.dispatches), (Status::Init, 2, 1, 1));
    assert_eq!(record.change, Change::Dispatch);
    assert_eq!(record.expires_at, None);
    assert_eq!(record.destinations["b"].due_at, at(1_000 + 30 * 60_000));
    assert_eq!(record.notification(), Notification::from(Draft::event("t", "s", &"x").build("1").unwrap()));
}

#[test]
fn an_accepted_record_says_which_destinations_apply_it_in_sequence() {
    let routes = r#"{"c":{"kind":"channel","destinations":["a","b"],"sequenced":["b"]},
        "t":{"kind":"event","channel":"c"}}"#;
    let routes = routes.parse().unwrap();
    let numbered = Draft::event("t", "s", &"x").partitionkey("c/7").sequence(1).build("1").unwrap();
    let record = Record::accept(numbered, &routes, at(1_000)).unwrap();
    assert_eq!(["a", "b"].map(|name| record.destinations[name].sequenced), [false, true]);
    assert_eq!(record.bucket, bucket("1", at(1_000) + FIRST_DUE_AFTER));
}

#[test]
fn an_event_without_subscribers_is_done_when_it_is_accepted() {
    let routes = r#"{"c":{"kind":"channel","destinations":[]},"t":{"kind":"event","channel":"c"}}"#;
    let event = || Draft::event("t", "s", &"x").partitionkey("c/7").build("1").unwrap();
    let accepted = |now| Record::accept(event(), &routes.parse().unwrap(), now).unwrap();
    let record = accepted(at(1_000));
    assert_eq!((record.status, record.open, record.change), (Status::Done, 0, Change::Mark));
    assert_eq!(record.expires_at, Some(at(1_000) + KEPT_WITHOUT_SUBSCRIBERS));
    assert_eq!(Record::decode(record.encode()).unwrap(), record);
    assert_eq!(record.accepted_at(at(900_000)), accepted(at(900_000)));
}

#[test]
fn a_fault_is_present_until_an_attempt_or_a_redrive_comes_after_it() {
    let mut delivery = event_for(&["a"]).destinations.remove("a").unwrap();
    assert_eq!(delivery.present_fault(), None);
    delivery.fault = Some(RecordedFault { since: at(5), at: at(9), error: "denied".into() });
    let is_present = |delivery: &Delivery| delivery.present_fault().is_some();
    assert!(is_present(&delivery));
    let redriven = |millis| Delivery { redriven_at: Some(at(millis)), ..delivery.clone() };
    assert_eq!([8, 9, 10].map(|millis| is_present(&redriven(millis))), [true, false, false]);
    assert!(!is_present(&Delivery { state: State::Done, ..delivery.clone() }));
}

#[test]
fn a_later_acceptance_differs_in_its_times_only() {
    let later = event_for(&["a", "b"]).accepted_at(at(900_000));
    let routes = r#"{"t":{"kind":"event","destinations":["a","b"]}}"#.parse().unwrap();
    assert_eq!(
        later,
        Record::accept(Checked::new(later.notification()).unwrap(), &routes, at(900_000)).unwrap()
    );
}

#[test]
fn survives_the_table() {
    let mut record = event_for(&["a"]);
    assert_eq!(Record::decode(record.encode()).unwrap(), record);
    record.subject = Some("s".into());
    (record.time, record.sent_at) = (Some(at(5)), Some(at(6)));
    record.sender = Some("AROA7".into());
    (record.tracestate, record.dataschema) = (Some("a=1".into()), Some("s".into()));
    record.extensions = [
        ("id".into(), "\u{ffff}".into()),
        ("isfinal".into(), false.into()),
        ("least".into(), i32::MIN.into()),
    ]
    .into();
    record.expires_at = Some(at(7_000));
    let delivery = record.destinations.get_mut("a").unwrap();
    delivery.failures.insert("1".into(), FailedAttempt { at: at(9), error: "e".into(), retry_after: 0 });
    delivery.ended_at = Some(at(10));
    delivery.result = Some(Json::from_serialize(&1).unwrap());
    assert_eq!(Record::decode(record.encode()).unwrap(), record);
}

/// What producers rarely send takes no place where it is not sent.
#[test]
fn an_attribute_that_was_not_sent_is_not_stored() {
    let item = event_for(&["a"]).encode();
    for name in ["time", "time_nanos", "traceparent", "tracestate", "causationid", "dataschema", "extensions"]
    {
        assert!(!item.contains_key(name), "{name}");
    }
}

proptest! {
    #[test]
    fn a_time_is_kept_to_the_nanosecond(nanoseconds in -62_167_219_200_000_000_000i128..=253_402_207_200_000_000_000) {
        let time = Timestamp::from_nanosecond(nanoseconds).unwrap();
        let sent = Draft::event("t", "s", &"x").time(time).build("1").unwrap();
        let routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        let record = Record::accept(sent.clone(), &routes, at(1_000)).unwrap();
        let stored = Record::decode(record.encode()).unwrap();
        prop_assert_eq!(stored.notification(), Notification::from(sent));
        // What a release reads that knows milliseconds alone.
        prop_assert_eq!(stored.time.unwrap().as_millisecond(), time.as_millisecond());
    }
}

#[test]
fn stored_names_and_units_are_those_of_the_design() {
    let item = event_for(&["a"]).encode();
    let text = |name: &str| item[name].as_s().unwrap().as_str();
    let number = |name: &str| item[name].as_n().unwrap().as_str();
    assert_eq!([text("status"), text("change"), text("kind")], ["INIT", "dispatch", "event"]);
    assert_eq!(
        [number("open"), number("dead"), number("version"), number("dispatches")],
        ["1", "0", "1", "1"]
    );
    assert_eq!([number("accepted_at"), text("data")], ["1000", "\"x\""]);
    assert_eq!(item["destinations"].as_m().unwrap()["a"].as_m().unwrap()["state"].as_s().unwrap(), "pending");
    assert!(!item.contains_key("expires_at") && !item.contains_key("subject"));
    let expiring = Record { expires_at: Some(at(7_999)), ..event_for(&["a"]) };
    assert_eq!(expiring.encode()["expires_at"].as_n().unwrap(), "7");
}

#[test]
fn reading_is_strict_about_types_and_open_to_a_later_release() {
    let mut item = event_for(&["a"]).encode();
    item.insert("of_a_later_release".into(), AttributeValue::Bool(true));
    assert!(Record::decode(item.clone()).is_ok());
    for (name, later) in [("status", "PARKED"), ("change", "pause")] {
        item.insert(name.into(), AttributeValue::S(later.into()));
    }
    let record = Record::decode(item.clone()).unwrap();
    assert_eq!((record.status, record.change), (Status::Unknown, Change::Unknown));
    let mut delivery = item["destinations"].as_m().unwrap()["a"].as_m().unwrap().clone();
    for (name, later) in [("state", "paused"), ("settled", "void")] {
        delivery.insert(name.into(), AttributeValue::S(later.into()));
    }
    let destinations = AttributeValue::M([("a".to_owned(), AttributeValue::M(delivery))].into());
    let mut later = item.clone();
    later.insert("destinations".into(), destinations);
    let delivery = &Record::decode(later).unwrap().destinations["a"];
    assert_eq!((delivery.state, delivery.settled), (State::Unknown, Some(Settled::Unknown)));
    item.insert("open".into(), AttributeValue::S("1".into()));
    assert!(Record::decode(item).is_err());
}

#[test]
fn texts_are_shortened_at_a_character() {
    assert_eq!(shortened("abc", 3), "abc");
    assert_eq!(shortened("abcdefg", 6), "abc…");
    assert_eq!(shortened("ééééé", 6), "é…");
    assert_eq!(shortened("a\tb\r\nc\u{1b}[2J\u{9b}\u{ffff}", 99), "a b  c\u{fffd}[2J\u{fffd}\u{fffd}");
}

#[test]
fn the_largest_record_fits_an_item() {
    let mut record = event_for(&["a"]);
    record.id = "x".repeat(ID_BYTES_MAX);
    record.r#type = "x".repeat(TYPE_BYTES_MAX);
    record.source = "x".repeat(SOURCE_BYTES_MAX);
    record.subject = Some("x".repeat(SUBJECT_BYTES_MAX));
    record.partitionkey = Some("x".repeat(PARTITIONKEY_BYTES_MAX));
    record.traceparent = Some("x".repeat(55));
    record.tracestate = Some("x".repeat(512));
    record.dataschema = Some("x".repeat(DATASCHEMA_BYTES_MAX));
    (record.causationid, record.correlationid) = (Some(record.id.clone()), Some(record.id.clone()));
    record.outcometo = Some("x".repeat(TYPE_BYTES_MAX));
    record.outcome_destinations = vec!["x".repeat(DESTINATION_BYTES_MAX); DESTINATIONS_MAX];
    record.outcome_id = Some(record.id.clone());
    let extension = |n: usize| (n.to_string(), "x".repeat(EXTENSIONS_BYTES_MAX / EXTENSIONS_MAX).into());
    record.extensions = (0..EXTENSIONS_MAX).map(extension).collect();
    record.data = Json::from_serialize(&"x".repeat(EVENT_BYTES_MAX)).unwrap();
    (record.time, record.sent_at, record.time_nanos) = (Some(at(1)), Some(at(1)), 1);
    record.sender = Some("x".repeat(128));
    (record.expires_at, record.sequence, record.redispatched) = (Some(at(1)), Some(1), true);
    let mut delivery = record.destinations["a"].clone();
    let failure = FailedAttempt { at: at(1), error: "x".repeat(ERROR_BYTES_MAX), retry_after: 900 };
    delivery.failures = (1..=6).map(|number| (number.to_string(), failure.clone())).collect();
    delivery.reason = Some("x".repeat(ERROR_BYTES_MAX));
    delivery.fault = Some(RecordedFault { since: at(1), at: at(1), error: "x".repeat(ERROR_BYTES_MAX) });
    delivery.result = Some(Json::from_serialize(&"x".repeat(RESULT_BYTES_MAX)).unwrap());
    (delivery.lease_until, delivery.fence) = (Some(at(1)), 1);
    delivery.sequenced = true;
    (delivery.relayed_at, delivery.received_at) = (Some(at(1)), Some(at(1)));
    (delivery.redriven_at, delivery.replayed_at) = (Some(at(1)), Some(at(1)));
    delivery.ended_at = Some(at(1));
    (delivery.dead_letter_at, delivery.in_retry_queue) = (Some(at(1)), 1);
    (delivery.holder, delivery.called_at) = (Some("x".repeat(16)), Some(at(1)));
    delivery.settled = Some(Settled::Done);
    // An effect has at most 98 emits.
    delivery.emits = (0..98).map(|_| "x".repeat(EMIT_NAMES_BYTES_MAX / 98 + 1)).collect();
    delivery.emits_left_out = 1;
    let name = |n: usize| format!("{n:0>width$}", width = DESTINATION_BYTES_MAX);
    record.destinations = (0..DESTINATIONS_MAX).map(|n| (name(n), delivery.clone())).collect();
    let item = record.encode();
    let size = size(&item);
    assert!(size < 400_000, "{size}");
    let names = |item: &Item| item.keys().cloned().collect::<BTreeSet<_>>();
    let listed = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(names(&item), listed(OF_RECORD), "attributes.rs lists every attribute of a record");
    let delivery = item["destinations"].as_m().unwrap()[&name(0)].as_m().unwrap();
    assert_eq!(names(delivery), listed(OF_DELIVERY), "attributes.rs lists every attribute of a delivery");
}
