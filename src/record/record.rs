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

use super::due::{DEAD_LETTER_RENEWED_AFTER, FIRST_DUE_AFTER, bucket};
use crate::notification::{
    Checked, Extension, Json, Kind, Notification, NotificationKey, Refusal, Routes, digest, is_repeat, plain,
};

/// An item of DynamoDB.
pub type Item = HashMap<String, AttributeValue>;

/// Longest error, rejection or closing reason that is kept, in bytes.
pub const ERROR_BYTES_MAX: usize = 512;
/// Largest result of a stored effect, in bytes.
pub const RESULT_BYTES_MAX: usize = 4 * 1024;
/// Most bytes that the names of a delivery's emits take on the record.
pub const EMIT_NAMES_BYTES_MAX: usize = 2 * 1024;

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

/// The state of a notification at one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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
    /// A state of a later release. It is read, and never written. Such a state counts in `open` unless it is
    /// final or dead.
    #[serde(other)]
    Unknown,
}

impl State {
    /// Whether no transition leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Rejected | State::Closed)
    }

    /// The stored text.
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
    /// The stored text.
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

/// A fault that counted no attempt: the last one that was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedFault {
    /// When it was first recorded with this error.
    #[serde(with = "millisecond::required")]
    pub since: Timestamp,
    /// When it was recorded last. While it lasts, that is about once an hour.
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
    /// What kept it from being decided last, if that lasted. It stays when it is over: see
    /// [`Delivery::present_fault`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<RecordedFault>,
    /// When reconcile checks whether it is late. It stays when the delivery is completed.
    #[serde(with = "millisecond::required")]
    pub due_at: Timestamp,
    /// The latest dispatch whose copy went into the retry queue with a failed attempt; 0 before the first. Other
    /// copies of it are repeats, and count nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_retry_queue: u32,
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
    /// When an operator redrove it last, or replayed it: the attempts count from then.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub redriven_at: Option<Timestamp>,
    /// When an operator added this destination, by a replay.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub replayed_at: Option<Timestamp>,
    /// When it left the state pending.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub ended_at: Option<Timestamp>,
    /// When its dead letter was sent, if that was renewed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub dead_letter_at: Option<Timestamp>,
    /// Why it was rejected, closed, or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The result of a stored effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The names of what its effect emitted, as far as they fit into [`EMIT_NAMES_BYTES_MAX`]. The ids derive from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emits: Vec<String>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub emits_left_out: u32,
}

impl Delivery {
    /// That of a notification which is new to its destination.
    pub(super) fn pending(sequenced: bool, due_at: Timestamp) -> Delivery {
        Delivery {
            state: State::Pending,
            sequenced,
            attempts: 0,
            failures: BTreeMap::new(),
            fault: None,
            due_at,
            in_retry_queue: 0,
            lease_until: None,
            fence: 0,
            holder: None,
            called_at: None,
            settled: None,
            relayed_at: None,
            received_at: None,
            redriven_at: None,
            replayed_at: None,
            ended_at: None,
            dead_letter_at: None,
            reason: None,
            result: None,
            emits: vec![],
            emits_left_out: 0,
        }
    }

    /// The map of a record's item.
    pub(super) fn encode(&self) -> AttributeValue {
        serde_dynamo::to_attribute_value(self).expect("a delivery has only values that DynamoDB knows")
    }

    /// The fault that keeps it pending, as far as it is known: no attempt and no redrive came after it.
    pub fn present_fault(&self) -> Option<&RecordedFault> {
        let attempted = self.failures.get(&self.attempts.to_string()).map(|failed| failed.at);
        let later = attempted.max(self.redriven_at);
        self.fault.as_ref().filter(|fault| self.state == State::Pending && Some(fault.at) > later)
    }

    /// Why it ended, if a reason is kept; or what keeps it pending; or the failed attempt of last.
    pub fn last_error(&self) -> Option<&str> {
        let fault = self.present_fault().map(|fault| &fault.error);
        let last = self.failures.values().max_by_key(|failed| failed.at).map(|failed| &failed.error);
        self.reason.as_ref().or(fault).or(last).map(String::as_str)
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

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
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

/// The text on one line, cut to `bytes_max` bytes, with an ellipsis where it was cut. A destination or a provider wrote
/// it: control characters, and what SQS does not take, become U+FFFD.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    let on_one_line = |c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { plain(c) };
    let mut text: String = text.chars().map(on_one_line).collect();
    if text.len() > bytes_max {
        let end = (0..=bytes_max - '…'.len_utf8()).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
