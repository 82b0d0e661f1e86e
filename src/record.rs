//! The stored shape: one item per notification in the `notifications` table.
//!
//! Times are numbers of milliseconds since 1970, but for `expires_at`, which DynamoDB's time
//! to live wants in seconds. Unknown attributes are left alone when read, so that functions
//! of two releases can run side by side.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use jiff::fmt::serde::timestamp::{millisecond, second};
use serde::{Deserialize, Serialize};

use crate::digest::digest;
use crate::due::{FIRST_DUE_AFTER, bucket};
use crate::json::Json;
use crate::notification::{Kind, Notification};
use crate::refusal::Refusal;
use crate::route::Routes;

/// An item of DynamoDB.
pub type Item = HashMap<String, AttributeValue>;

/// Longest error, rejection or closing reason that is kept, in bytes.
pub const ERROR_BYTES_MAX: usize = 512;
/// Largest result of a stored effect, in bytes.
pub const RESULT_BYTES_MAX: usize = 4 * 1024;

/// Where a notification stands, over all its destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// A destination is pending.
    Init,
    /// Every destination applied it.
    Done,
    /// The owner of the command rejected it.
    Rejected,
    /// A destination gave up on it; its dead letter waits for a person.
    Dead,
    /// A person closed it at one destination, and nothing is left to do.
    Closed,
}

impl Status {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Init => "INIT",
            Status::Done => "DONE",
            Status::Rejected => "REJECTED",
            Status::Dead => "DEAD",
            Status::Closed => "CLOSED",
        }
    }
}

/// Where a notification stands at one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// To be applied.
    Pending,
    /// Applied. Final.
    Done,
    /// Rejected by the owner of the command. Final.
    Rejected,
    /// Given up; a dead letter holds the payload.
    Dead,
    /// Closed by a person. Final.
    Closed,
}

impl State {
    /// Whether no move leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Rejected | State::Closed)
    }

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Done => "done",
            State::Rejected => "rejected",
            State::Dead => "dead",
            State::Closed => "closed",
        }
    }
}

/// Why the record changed last. The relay passes on `offer` and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Accepted, offered again, or redriven: it goes into the stream.
    Offer,
    /// An attempt failed.
    Attempt,
    /// An external effect is about to start.
    Lease,
    /// A destination ended it.
    Mark,
    /// A destination gave up.
    Dead,
    /// A person closed it.
    Close,
    /// Reconcile found it open, and not late.
    Wait,
}

impl Change {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Offer => "offer",
            Change::Attempt => "attempt",
            Change::Lease => "lease",
            Change::Mark => "mark",
            Change::Dead => "dead",
            Change::Close => "close",
            Change::Wait => "wait",
        }
    }
}

/// What a person found out about a call of an external effect whose outcome was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settled {
    /// It took effect.
    Done,
    /// It did not, and is to be made again.
    Again,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// When it was recorded.
    #[serde(with = "millisecond::required")]
    pub at: Timestamp,
    /// What went wrong, shortened to [`ERROR_BYTES_MAX`].
    pub error: String,
}

/// The part of a record that belongs to one destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it stands.
    pub state: State,
    /// Whether it is applied in sequence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sequenced: bool,
    /// Failed attempts since it was accepted or redriven.
    pub attempts: u32,
    /// The failed attempts by their number. Present from the start, so that an update can
    /// add to it.
    pub failures: BTreeMap<String, FailedAttempt>,
    /// When reconcile should look whether it is late. It stays when the delivery ends.
    #[serde(with = "millisecond::required")]
    pub due_at: Timestamp,
    /// Until when nobody but the holder of an external effect may start a call, or an earlier call
    /// may still take effect.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub lease_until: Option<Timestamp>,
    /// How often a lease was taken; only the latest holder may record a result.
    pub fence: u32,
    /// Who took it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// When the first call of an external effect began whose outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub called_at: Option<Timestamp>,
    /// What a person found out about that call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// When the offer was relayed that the latest write came from.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub relayed_at: Option<Timestamp>,
    /// When the destination received that offer.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub received_at: Option<Timestamp>,
    /// When a person redrove it last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub redriven_at: Option<Timestamp>,
    /// When it came to the state it is in, unless that is pending.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub ended_at: Option<Timestamp>,
    /// Why it was rejected or closed, or what it died of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a stored effect left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
}

/// The record of one notification: the truth about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The key.
    pub id: String,
    /// See [`Notification`]; likewise the attributes down to `data`.
    pub r#type: String,
    /// Command or event.
    pub kind: Kind,
    /// Who says it.
    pub source: String,
    /// About whom or what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was said.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub time: Option<Timestamp>,
    /// What it travels with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitionkey: Option<String>,
    /// Its place within the partition key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Canonical JSON, as text.
    pub data: Json,
    /// What makes a repeat a repeat; see `digest.rs`.
    pub digest: String,
    /// Where it stands, over all destinations.
    pub status: Status,
    /// Where it stands at each.
    pub destinations: BTreeMap<String, Delivery>,
    /// How many destinations are pending.
    pub open: u32,
    /// How many are dead.
    pub dead: u32,
    /// How many were closed by hand: tells the last move whether it leaves DONE or CLOSED.
    pub closed: u32,
    /// From 1, and one more with each change.
    pub version: u64,
    /// How often it was put into the stream.
    pub offers: u32,
    /// Why it changed last.
    pub change: Change,
    /// Its place in reconcile's index; see `due.rs`.
    pub bucket: String,
    /// When it was put on the upstream queue, by the clock of SQS; for other ways in, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub sent_at: Option<Timestamp>,
    /// When custody began.
    #[serde(with = "millisecond::required")]
    pub accepted_at: Timestamp,
    /// When it changed last.
    #[serde(with = "millisecond::required")]
    pub updated_at: Timestamp,
    /// When DynamoDB may delete it, in seconds. Set when it ends, never on a dead one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "second::optional")]
    pub expires_at: Option<Timestamp>,
}

/// Why an item is not a record.
#[derive(Debug, thiserror::Error)]
#[error("the item is not a record of a notification: {0}")]
pub struct NotARecord(#[from] serde_dynamo::Error);

impl Record {
    /// The INIT record of a notification: what accept, an emit and a producer's own
    /// transaction put.
    ///
    /// # Errors
    /// When the notification is over a limit, or no route takes it.
    pub fn accept(notification: Notification, routes: &Routes, now: Timestamp) -> Result<Record, Refusal> {
        notification.check()?;
        let route = routes.of(&notification)?;
        let delivery = Delivery {
            state: State::Pending,
            sequenced: false,
            attempts: 0,
            failures: BTreeMap::new(),
            due_at: now + FIRST_DUE_AFTER,
            lease_until: None,
            fence: 0,
            holder: None,
            called_at: None,
            settled: None,
            relayed_at: None,
            received_at: None,
            redriven_at: None,
            ended_at: None,
            reason: None,
            result: None,
        };
        let destinations = route.destinations.iter().map(|name| {
            let sequenced = route.sequenced.contains(name);
            (name.clone(), Delivery { sequenced, ..delivery.clone() })
        });
        Ok(Record {
            digest: digest(&notification),
            bucket: bucket(&notification.id, now + FIRST_DUE_AFTER),
            id: notification.id,
            r#type: notification.r#type,
            kind: notification.kind,
            source: notification.source,
            subject: notification.subject,
            time: notification.time,
            partitionkey: notification.partitionkey,
            sequence: notification.sequence,
            traceparent: notification.traceparent,
            data: notification.data,
            status: Status::Init,
            open: route.destinations.len() as u32,
            destinations: destinations.collect(),
            dead: 0,
            closed: 0,
            version: 1,
            offers: 1,
            change: Change::Offer,
            sent_at: None,
            accepted_at: now,
            updated_at: now,
            expires_at: None,
        })
    }

    /// The same record, accepted at another time: for a transaction that is tried again later.
    pub(crate) fn accepted_at(&self, now: Timestamp) -> Record {
        let mut record = self.clone();
        record.bucket = bucket(&record.id, now + FIRST_DUE_AFTER);
        (record.accepted_at, record.updated_at) = (now, now);
        record.destinations.values_mut().for_each(|delivery| delivery.due_at = now + FIRST_DUE_AFTER);
        record
    }

    /// Since when a destination is to apply it.
    pub(crate) fn since(&self, delivery: &Delivery) -> Timestamp {
        delivery.redriven_at.unwrap_or(self.accepted_at)
    }

    /// The destinations that are pending.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (&String, &Delivery)> {
        self.destinations.iter().filter(|(_, delivery)| delivery.state == State::Pending)
    }

    /// The notification that it is the record of.
    pub fn notification(&self) -> Notification {
        Notification {
            id: self.id.clone(),
            kind: self.kind,
            r#type: self.r#type.clone(),
            source: self.source.clone(),
            subject: self.subject.clone(),
            time: self.time,
            partitionkey: self.partitionkey.clone(),
            sequence: self.sequence,
            traceparent: self.traceparent.clone(),
            data: self.data.clone(),
        }
    }

    /// The item.
    pub fn encode(&self) -> Item {
        serde_dynamo::to_item(self).expect("a record has only values that DynamoDB knows")
    }

    /// Reads an item.
    ///
    /// # Errors
    /// When it lacks an attribute of a record, or has one of another type.
    pub fn decode(item: Item) -> Result<Record, NotARecord> {
        Ok(serde_dynamo::from_item(item)?)
    }
}

/// The text, or as much of it as `bytes_max` allows, with a sign that there was more.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max - '…'.len_utf8()).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::notification::{
        Draft, EVENT_BYTES_MAX, ID_BYTES_MAX, PARTITIONKEY_BYTES_MAX, SOURCE_BYTES_MAX, SUBJECT_BYTES_MAX,
        TYPE_BYTES_MAX,
    };
    use crate::route::{DESTINATION_BYTES_MAX, DESTINATIONS_MAX};

    pub(crate) fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    pub(crate) fn event_for(destinations: &[&str]) -> Record {
        let destinations = serde_json::to_string(destinations).unwrap();
        let routes = format!(r#"{{"t":{{"kind":"event","destinations":{destinations}}}}}"#);
        let notification = Draft::event("t", "s", &"x").with_id("1").unwrap();
        Record::accept(notification, &routes.parse().unwrap(), at(1_000)).unwrap()
    }

    /// Bytes of an item as DynamoDB counts them: names and values, and a little per element
    /// of a map.
    fn size(item: &Item) -> usize {
        fn value(value: &AttributeValue) -> usize {
            match value {
                AttributeValue::S(text) => text.len(),
                AttributeValue::N(_) => 21,
                AttributeValue::Bool(_) => 1,
                AttributeValue::M(map) => 3 + size(map) + map.len(),
                other => panic!("records hold no {other:?}"),
            }
        }
        item.iter().map(|(name, held)| name.len() + value(held)).sum()
    }

    #[test]
    fn an_accepted_record_is_init_and_offered_once() {
        let record = event_for(&["a", "b"]);
        assert_eq!((record.status, record.open, record.version, record.offers), (Status::Init, 2, 1, 1));
        assert_eq!(record.change, Change::Offer);
        assert_eq!(record.expires_at, None);
        assert_eq!(record.destinations["b"].due_at, at(1_000 + 30 * 60_000));
        assert_eq!(record.notification(), Draft::event("t", "s", &"x").with_id("1").unwrap());
    }

    #[test]
    fn a_later_acceptance_differs_in_its_times_only() {
        let later = event_for(&["a", "b"]).accepted_at(at(900_000));
        let routes = r#"{"t":{"kind":"event","destinations":["a","b"]}}"#.parse().unwrap();
        assert_eq!(later, Record::accept(later.notification(), &routes, at(900_000)).unwrap());
    }

    #[test]
    fn survives_the_table() {
        let mut record = event_for(&["a"]);
        assert_eq!(Record::decode(record.encode()).unwrap(), record);
        record.subject = Some("s".into());
        (record.time, record.sent_at) = (Some(at(5)), Some(at(6)));
        record.expires_at = Some(at(7_000));
        let delivery = record.destinations.get_mut("a").unwrap();
        delivery.failures.insert("1".into(), FailedAttempt { at: at(9), error: "e".into() });
        delivery.ended_at = Some(at(10));
        delivery.result = Some(Json::of(&1).unwrap());
        assert_eq!(Record::decode(record.encode()).unwrap(), record);
    }

    #[test]
    fn stored_names_and_units_are_those_of_the_design() {
        let item = event_for(&["a"]).encode();
        let text = |name: &str| item[name].as_s().unwrap().as_str();
        let number = |name: &str| item[name].as_n().unwrap().as_str();
        assert_eq!([text("status"), text("change"), text("kind")], ["INIT", "offer", "event"]);
        assert_eq!(
            [number("open"), number("dead"), number("version"), number("offers")],
            ["1", "0", "1", "1"]
        );
        assert_eq!([number("accepted_at"), text("data")], ["1000", "\"x\""]);
        assert_eq!(
            item["destinations"].as_m().unwrap()["a"].as_m().unwrap()["state"].as_s().unwrap(),
            "pending"
        );
        assert!(!item.contains_key("expires_at") && !item.contains_key("subject"));
        let expiring = Record { expires_at: Some(at(7_999)), ..event_for(&["a"]) };
        assert_eq!(expiring.encode()["expires_at"].as_n().unwrap(), "7");
    }

    #[test]
    fn reading_holds_to_types_and_leaves_later_attributes_alone() {
        let mut item = event_for(&["a"]).encode();
        item.insert("of_a_later_release".into(), AttributeValue::Bool(true));
        assert!(Record::decode(item.clone()).is_ok());
        item.insert("open".into(), AttributeValue::S("1".into()));
        assert!(Record::decode(item).is_err());
    }

    #[test]
    fn texts_are_shortened_at_a_character() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcdefg", 6), "abc…");
        assert_eq!(shortened("ééééé", 6), "é…");
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
        record.data = Json::of(&"x".repeat(EVENT_BYTES_MAX)).unwrap();
        (record.time, record.sent_at) = (Some(at(1)), Some(at(1)));
        (record.expires_at, record.sequence) = (Some(at(1)), Some(1));
        let mut delivery = record.destinations["a"].clone();
        let failure = FailedAttempt { at: at(1), error: "x".repeat(ERROR_BYTES_MAX) };
        delivery.failures = (1..=6).map(|number| (number.to_string(), failure.clone())).collect();
        delivery.reason = Some("x".repeat(ERROR_BYTES_MAX));
        delivery.result = Some(Json::of(&"x".repeat(RESULT_BYTES_MAX)).unwrap());
        (delivery.lease_until, delivery.fence) = (Some(at(1)), 1);
        delivery.sequenced = true;
        (delivery.relayed_at, delivery.received_at) = (Some(at(1)), Some(at(1)));
        (delivery.redriven_at, delivery.ended_at) = (Some(at(1)), Some(at(1)));
        let name = |n: usize| format!("{n:0>width$}", width = DESTINATION_BYTES_MAX);
        record.destinations = (0..DESTINATIONS_MAX).map(|n| (name(n), delivery.clone())).collect();
        let size = size(&record.encode());
        assert!(size < 400_000, "{size}");
    }
}
