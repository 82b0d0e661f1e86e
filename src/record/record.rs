//! The stored shape: one item per notification in the `notifications` table.
//!
//! Times are milliseconds since 1970, except `expires_at`: DynamoDB's time to live takes seconds. The reader
//! ignores attributes that it does not know, and reads values that it does not know as `Unknown`, so that
//! functions of two releases can run side by side.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::fmt::serde::timestamp::{millisecond, second};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::delivery::{Delivery, State, is_zero};
use super::due::{DEAD_LETTER_RENEWED_AFTER, FIRST_DUE_AFTER, bucket};
use crate::notification::{
    Checked, Extension, Json, Kind, Notification, NotificationKey, Refusal, Routes, digest, is_repeat,
};

/// An item of DynamoDB.
pub type Item = HashMap<String, AttributeValue>;

/// How long the record of an event is kept whose channel has no subscriber.
pub const KEPT_WITHOUT_SUBSCRIBERS: SignedDuration = SignedDuration::from_hours(30 * 24);

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
    /// The stored text.
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
    /// A call of an external effect is known not to have taken effect, and counts no attempt.
    Release,
    /// A destination marked it done or rejected.
    Mark,
    /// A destination gave up.
    Dead,
    /// An operator closed it.
    Close,
    /// Reconcile found it open and not late, or dead with a dead letter that lasts.
    Wait,
    /// Reconcile sent a new dead letter.
    Renew,
    /// A fault kept a copy in the retry queue, and counted no attempt.
    Fault,
    /// A value of a later release. It is read, and never written.
    #[serde(other)]
    Unknown,
}

impl Change {
    /// The stored text.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Dispatch => "dispatch",
            Change::Attempt => "attempt",
            Change::Lease => "lease",
            Change::Release => "release",
            Change::Mark => "mark",
            Change::Dead => "dead",
            Change::Close => "close",
            Change::Wait => "wait",
            Change::Renew => "renew",
            Change::Fault => "fault",
            Change::Unknown => "unknown",
        }
    }
}

/// A notification that a delivery emitted.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted<'a> {
    /// The destination whose effect it is part of; none of an outcome.
    pub destination: Option<&'a str>,
    /// Its name among the emits of that effect.
    pub name: &'a str,
    /// Its id. Its source is not on the record.
    pub id: String,
}

/// The record of one notification: the source of truth about it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The notification's id, the partition key of the table.
    pub id: String,
    /// See [`Notification`], as for the attributes down to `data`.
    pub r#type: String,
    /// Command or event.
    pub kind: Kind,
    /// The service that sent it, the sort key of the table.
    pub source: String,
    /// The entity that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was sent, by the clock of the source, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub time: Option<Timestamp>,
    /// The nanoseconds that the source's time has beyond its milliseconds. Before 1970 they are negative.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub time_nanos: i32,
    /// The key by which it is partitioned and ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitionkey: Option<String>,
    /// Its number within the partition key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What tracing systems add to the traceparent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// The id of the notification that emitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causationid: Option<String>,
    /// The id of the first notification that it goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlationid: Option<String>,
    /// The type of the outcome that its sender asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcometo: Option<String>,
    /// The destinations that an outcome goes to, by the route of its type when this was accepted: so who writes an end
    /// needs no routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcome_destinations: Vec<String>,
    /// The id of the last outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome_id: Option<String>,
    /// The address of the schema of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// Extension attributes that Handover does not know, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, Extension>,
    /// The payload: canonical JSON, as text.
    pub data: Json,
    /// A message with the same id, source and digest is a repeat; see `digest.rs`, which names the rules.
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
    /// Whether its copies are tried from the retry queues: reconcile, a redrive and `handover dispatch` set it, and a
    /// turn that has come clears it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redispatched: bool,
    /// Why it changed last.
    pub change: Change,
    /// Its key in reconcile's index; see `due.rs`.
    pub bucket: String,
    /// When it was sent to the upstream queue, by the clock of SQS. Absent if it came another way.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub sent_at: Option<Timestamp>,
    /// The unique id of the user or role that sent it. Absent if it was emitted, or came by an outbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
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

impl Record {
    /// The record of a notification, as accept, an emit and the outbox put it: INIT, or DONE where it is an event of a
    /// channel without subscribers.
    ///
    /// # Errors
    /// When no route takes the notification, or it is over the limit of its route.
    pub fn accept(notification: Checked, routes: &Routes, now: Timestamp) -> Result<Record, Refusal> {
        let route = routes.of(&notification)?;
        let outcome_destinations = routes.of_outcome(&notification)?.to_vec();
        let destinations =
            route.destinations.iter().map(|name| (name.clone(), route.sequenced.contains(name))).collect();
        let record = Record { outcome_destinations, ..Record::init(notification.into(), destinations, now) };
        Ok(if record.open == 0 { record.without_subscribers() } else { record })
    }

    /// Whether it was accepted by other routes than these. Only the record as it was accepted tells: routes may change later,
    /// and a replay adds destinations.
    pub(crate) fn drifts_from(&self, routes: &Routes) -> bool {
        let destinations = self.destinations.iter().map(|(name, delivery)| (&**name, delivery.sequenced));
        self.version == 1 && !routes.lead_to(&self.r#type, destinations)
    }

    /// The record of an event that goes nowhere. Nothing carries it, and reconcile does not look for it.
    fn without_subscribers(self) -> Record {
        let expires_at = Some(self.accepted_at + KEPT_WITHOUT_SUBSCRIBERS);
        Record { status: Status::Done, dispatches: 0, change: Change::Mark, expires_at, ..self }
    }

    /// The INIT record of a notification for these destinations, each with whether it applies it in order.
    pub(super) fn init(
        notification: Notification,
        destinations: Vec<(String, bool)>,
        now: Timestamp,
    ) -> Record {
        let delivery = |(name, sequenced)| (name, Delivery::pending(sequenced, now + FIRST_DUE_AFTER));
        let (time, time_nanos) = notification.time.map(parts).unzip();
        Record {
            digest: digest(&notification),
            bucket: bucket(&notification.id, now + FIRST_DUE_AFTER),
            id: notification.id,
            r#type: notification.r#type,
            kind: notification.kind,
            source: notification.source,
            subject: notification.subject,
            time,
            time_nanos: time_nanos.unwrap_or_default(),
            partitionkey: notification.partitionkey,
            sequence: notification.sequence,
            traceparent: notification.traceparent,
            tracestate: notification.tracestate,
            causationid: notification.causationid,
            correlationid: notification.correlationid,
            outcometo: notification.outcometo,
            outcome_destinations: vec![],
            outcome_id: None,
            dataschema: notification.dataschema,
            extensions: notification.extensions,
            data: notification.data,
            status: Status::Init,
            open: destinations.len() as u32,
            destinations: destinations.into_iter().map(delivery).collect(),
            dead: 0,
            closed: 0,
            version: 1,
            dispatches: 1,
            redispatched: false,
            change: Change::Dispatch,
            sent_at: None,
            sender: None,
            accepted_at: now,
            updated_at: now,
            expires_at: None,
        }
    }

    /// The same record, accepted at another time, for a transaction that is retried later.
    pub(crate) fn accepted_at(&self, now: Timestamp) -> Record {
        let mut record = self.clone();
        record.bucket = bucket(&record.id, now + FIRST_DUE_AFTER);
        (record.accepted_at, record.updated_at) = (now, now);
        record.expires_at = record.expires_at.map(|_| now + KEPT_WITHOUT_SUBSCRIBERS);
        record.destinations.values_mut().for_each(|delivery| delivery.due_at = now + FIRST_DUE_AFTER);
        record
    }

    /// What identifies the notification, and the record.
    pub fn key(&self) -> NotificationKey {
        NotificationKey::new(&self.id, &self.source)
    }

    /// Whether this new record is of a repeat of the notification that `stored` is of.
    pub(crate) fn is_repeat_of(&self, stored: &Record) -> bool {
        is_repeat(&self.notification(), &stored.notification(), &stored.digest)
    }

    /// When the current round of attempts began: at accept or at the last redrive.
    pub(crate) fn since(&self, delivery: &Delivery) -> Timestamp {
        delivery.redriven_at.unwrap_or(self.accepted_at)
    }

    /// The dead deliveries, by destination.
    pub(crate) fn dead(&self) -> impl Iterator<Item = (&String, &Delivery)> {
        self.destinations.iter().filter(|(_, delivery)| delivery.state == State::Dead)
    }

    /// When a new dead letter of a dead delivery is due.
    pub(crate) fn renewal_at(&self, delivery: &Delivery) -> Timestamp {
        delivery.dead_letter_at.or(delivery.ended_at).unwrap_or(self.accepted_at) + DEAD_LETTER_RENEWED_AFTER
    }

    /// The pending deliveries, by destination.
    pub fn pending(&self) -> impl Iterator<Item = (&String, &Delivery)> {
        self.destinations.iter().filter(|(_, delivery)| delivery.state == State::Pending)
    }

    /// What the destinations have emitted, as far as the record keeps its names, and the last outcome.
    pub fn emits(&self) -> impl Iterator<Item = Emitted<'_>> {
        let emitted = self.destinations.iter().flat_map(|(destination, delivery)| {
            let emitted = |name| Emitted {
                destination: Some(destination),
                name,
                id: self.key().emitted_id(destination, name),
            };
            delivery.emits.iter().map(move |name| emitted(name))
        });
        let outcome = self.outcome_id.iter();
        let outcome = outcome.map(|id| Emitted { destination: None, name: "outcome", id: id.clone() });
        emitted.chain(outcome)
    }

    /// The notification.
    pub fn notification(&self) -> Notification {
        self.notification_with(self.data.clone())
    }

    /// The notification with this in place of its data, which may be large.
    pub(super) fn notification_with<T>(&self, data: T) -> Notification<T> {
        Notification {
            id: self.id.clone(),
            kind: self.kind,
            r#type: self.r#type.clone(),
            source: self.source.clone(),
            subject: self.subject.clone(),
            time: self.time.map(|time| whole(time, self.time_nanos)),
            partitionkey: self.partitionkey.clone(),
            sequence: self.sequence,
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
            causationid: self.causationid.clone(),
            correlationid: self.correlationid.clone(),
            outcometo: self.outcometo.clone(),
            dataschema: self.dataschema.clone(),
            extensions: self.extensions.clone(),
            data,
        }
    }

    /// The item of the table.
    pub fn encode(&self) -> Item {
        serde_dynamo::to_item(self).expect("a record has only values that DynamoDB knows")
    }
}

/// A time in milliseconds, and the nanoseconds beyond them.
fn parts(time: Timestamp) -> (Timestamp, i32) {
    let nanos = time.subsec_nanosecond() % 1_000_000;
    (time - SignedDuration::from_nanos(nanos.into()), nanos)
}

/// The time of these parts.
fn whole(time: Timestamp, nanos: i32) -> Timestamp {
    time.checked_add(SignedDuration::from_nanos(nanos.into())).unwrap_or(time)
}

#[cfg(test)]
pub(crate) mod tests;
