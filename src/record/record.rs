//! The stored shape: one item per notification in the `notifications` table.
//!
//! Times are milliseconds since 1970, except `expires_at`: DynamoDB's time to live takes seconds. The reader
//! ignores attributes that it does not know, and reads values that it does not know as `Unknown`, so that
//! functions of two releases can run side by side.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use jiff::fmt::serde::timestamp::{millisecond, second};
use serde::{Deserialize, Serialize};

use super::due::{FIRST_DUE_AFTER, bucket};
use crate::notification::{Checked, Json, Kind, Notification, Refusal, Routes, digest};

/// An item of DynamoDB.
pub type Item = HashMap<String, AttributeValue>;

/// Longest error, rejection or closing reason that is kept, in bytes.
pub const ERROR_BYTES_MAX: usize = 512;
/// Largest result of a stored effect, in bytes.
pub const RESULT_BYTES_MAX: usize = 4 * 1024;

/// The status of a notification over all its destinations.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// A destination is pending.
    Init,
    /// Every destination applied it.
    Done,
    /// The owner of the command rejected it.
    Rejected,
    /// A destination gave up. Its dead letter waits for an operator.
    Dead,
    /// An operator closed it at one destination, and no destination is pending or dead.
    Closed,
    /// A value of a later release. It is read, and never written.
    #[serde(other)]
    Unknown,
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
            Status::Unknown => "UNKNOWN",
        }
    }
}

/// Where a notification stands at one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not applied yet.
    Pending,
    /// Applied. Final.
    Done,
    /// Rejected by the owner of the command. Final.
    Rejected,
    /// Given up. A dead letter holds the payload.
    Dead,
    /// Closed by an operator. Final.
    Closed,
    /// A value of a later release. It is read, and never written.
    #[serde(other)]
    Unknown,
}

impl State {
    /// Whether no transition leads out of it.
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
            State::Unknown => "unknown",
        }
    }
}

/// Why the record changed last. The relay carries a `dispatch`, and no other change.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was accepted, dispatched again, or redriven: the relay carries it to the stream.
    Dispatch,
    /// An attempt failed.
    Attempt,
    /// An external effect is about to start.
    Lease,
    /// A destination marked it done or rejected.
    Mark,
    /// A destination gave up.
    Dead,
    /// An operator closed it.
    Close,
    /// Reconcile found it open and not late.
    Wait,
    /// A value of a later release. It is read, and never written.
    #[serde(other)]
    Unknown,
}

impl Change {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Dispatch => "dispatch",
            Change::Attempt => "attempt",
            Change::Lease => "lease",
            Change::Mark => "mark",
            Change::Dead => "dead",
            Change::Close => "close",
            Change::Wait => "wait",
            Change::Unknown => "unknown",
        }
    }
}

/// What an operator found out about an external call whose outcome was unknown.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settled {
    /// The call took effect.
    Done,
    /// The call did not take effect. It will be made again.
    Again,
    /// A value of a later release. It is read, and never written.
    #[serde(other)]
    Unknown,
}

impl Settled {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Settled::Done => "done",
            Settled::Again => "again",
            Settled::Unknown => "unknown",
        }
    }
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
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Whether it is applied here.
    pub state: State,
    /// Whether this destination applies it in order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sequenced: bool,
    /// Failed attempts since it was accepted or redriven.
    pub attempts: u32,
    /// The failed attempts by number. It is there from the start, so that an update can add to it.
    pub failures: BTreeMap<String, FailedAttempt>,
    /// When reconcile checks whether it is late. It stays when the delivery is completed.
    #[serde(with = "millisecond::required")]
    pub due_at: Timestamp,
    /// Lease expiry. Until then only `holder` may start a call, and an earlier call may still take effect.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub lease_until: Option<Timestamp>,
    /// The number of leases taken. Only the latest holder may record a result.
    pub fence: u32,
    /// Unique id of the latest lease holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// When the first external call of unknown outcome began.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub called_at: Option<Timestamp>,
    /// What an operator found out about that call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// When the dispatch that led to the latest write was relayed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub relayed_at: Option<Timestamp>,
    /// When the destination received that dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub received_at: Option<Timestamp>,
    /// When an operator redrove it last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub redriven_at: Option<Timestamp>,
    /// When it left the state pending.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub ended_at: Option<Timestamp>,
    /// Why it was rejected, closed, or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The result of a stored effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
}

/// The record of one notification: the source of truth about it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The key.
    pub id: String,
    /// See [`Notification`], as for the attributes down to `data`.
    pub r#type: String,
    /// Command or event.
    pub kind: Kind,
    /// The service that sent it.
    pub source: String,
    /// The entity that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was sent, by the clock of the source.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub time: Option<Timestamp>,
    /// The key by which it is partitioned and ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitionkey: Option<String>,
    /// Its number within the partition key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The payload: canonical JSON, as text.
    pub data: Json,
    /// A message with the same id and digest is a repeat; see `digest.rs`.
    pub digest: String,
    /// Its status over all destinations.
    pub status: Status,
    /// Its delivery at each destination, by name.
    pub destinations: BTreeMap<String, Delivery>,
    /// The number of pending destinations.
    pub open: u32,
    /// The number of dead destinations.
    pub dead: u32,
    /// The number of closed destinations. By it the last transition writes DONE or CLOSED.
    pub closed: u32,
    /// Its version: 1 at first, and one more with each change.
    pub version: u64,
    /// The number of dispatches.
    pub dispatches: u32,
    /// Why it changed last.
    pub change: Change,
    /// Its key in reconcile's index; see `due.rs`.
    pub bucket: String,
    /// When it was sent to the upstream queue, by the clock of SQS. Absent if it came another way.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub sent_at: Option<Timestamp>,
    /// When it was accepted.
    #[serde(with = "millisecond::required")]
    pub accepted_at: Timestamp,
    /// When it changed last.
    #[serde(with = "millisecond::required")]
    pub updated_at: Timestamp,
    /// When DynamoDB may delete it, in seconds. Set on a completed record, never on a dead one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "second::optional")]
    pub expires_at: Option<Timestamp>,
}

/// Why an item is not a record of a notification.
#[derive(Debug, thiserror::Error)]
#[error("the item is not a record of a notification: {0}")]
pub struct NotARecord(#[from] serde_dynamo::Error);

impl Record {
    /// The INIT record of a notification, as accept, an emit and the outbox put it.
    ///
    /// # Errors
    /// When no route takes the notification.
    pub fn accept(notification: Checked, routes: &Routes, now: Timestamp) -> Result<Record, Refusal> {
        let notification = Notification::from(notification);
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
            dispatches: 1,
            change: Change::Dispatch,
            sent_at: None,
            accepted_at: now,
            updated_at: now,
            expires_at: None,
        })
    }

    /// The same record, accepted at another time, for a transaction that is retried later.
    pub(crate) fn accepted_at(&self, now: Timestamp) -> Record {
        let mut record = self.clone();
        record.bucket = bucket(&record.id, now + FIRST_DUE_AFTER);
        (record.accepted_at, record.updated_at) = (now, now);
        record.destinations.values_mut().for_each(|delivery| delivery.due_at = now + FIRST_DUE_AFTER);
        record
    }

    /// When the current round of attempts began: at accept or at the last redrive.
    pub(crate) fn since(&self, delivery: &Delivery) -> Timestamp {
        delivery.redriven_at.unwrap_or(self.accepted_at)
    }

    /// The pending deliveries, by destination.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (&String, &Delivery)> {
        self.destinations.iter().filter(|(_, delivery)| delivery.state == State::Pending)
    }

    /// The notification.
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

    /// The item of the table.
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

/// The text, cut to `bytes_max` bytes, with an ellipsis where it was cut.
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
        DESTINATION_BYTES_MAX, DESTINATIONS_MAX, Draft, EVENT_BYTES_MAX, ID_BYTES_MAX,
        PARTITIONKEY_BYTES_MAX, SOURCE_BYTES_MAX, SUBJECT_BYTES_MAX, TYPE_BYTES_MAX,
    };
    use crate::record::attributes::{OF_DELIVERY, OF_RECORD};
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
    fn an_accepted_record_is_init_and_dispatched_once() {
        let record = event_for(&["a", "b"]);
        assert_eq!((record.status, record.open, record.version, record.dispatches), (Status::Init, 2, 1, 1));
        assert_eq!(record.change, Change::Dispatch);
        assert_eq!(record.expires_at, None);
        assert_eq!(record.destinations["b"].due_at, at(1_000 + 30 * 60_000));
        assert_eq!(
            record.notification(),
            Notification::from(Draft::event("t", "s", &"x").build("1").unwrap())
        );
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
        record.expires_at = Some(at(7_000));
        let delivery = record.destinations.get_mut("a").unwrap();
        delivery.failures.insert("1".into(), FailedAttempt { at: at(9), error: "e".into() });
        delivery.ended_at = Some(at(10));
        delivery.result = Some(Json::from_serialize(&1).unwrap());
        assert_eq!(Record::decode(record.encode()).unwrap(), record);
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
        assert_eq!(
            item["destinations"].as_m().unwrap()["a"].as_m().unwrap()["state"].as_s().unwrap(),
            "pending"
        );
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
        record.data = Json::from_serialize(&"x".repeat(EVENT_BYTES_MAX)).unwrap();
        (record.time, record.sent_at) = (Some(at(1)), Some(at(1)));
        (record.expires_at, record.sequence) = (Some(at(1)), Some(1));
        let mut delivery = record.destinations["a"].clone();
        let failure = FailedAttempt { at: at(1), error: "x".repeat(ERROR_BYTES_MAX) };
        delivery.failures = (1..=6).map(|number| (number.to_string(), failure.clone())).collect();
        delivery.reason = Some("x".repeat(ERROR_BYTES_MAX));
        delivery.result = Some(Json::from_serialize(&"x".repeat(RESULT_BYTES_MAX)).unwrap());
        (delivery.lease_until, delivery.fence) = (Some(at(1)), 1);
        delivery.sequenced = true;
        (delivery.relayed_at, delivery.received_at) = (Some(at(1)), Some(at(1)));
        (delivery.redriven_at, delivery.ended_at) = (Some(at(1)), Some(at(1)));
        (delivery.holder, delivery.called_at) = (Some("x".repeat(16)), Some(at(1)));
        delivery.settled = Some(Settled::Done);
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
}
