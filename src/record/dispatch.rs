//! The Kinesis record: a notification, dispatched to its pending destinations.
//!
//! It is the CloudEvents event of the notification with up to seven more extension attributes: `destinations` and
//! `sequenced` (names separated by commas, since CloudEvents has no lists), `dispatch` (its number, from 1),
//! `redispatched`, `version` (of the record), `acceptedtime` and `relayedtime`. The times travel with the message, so
//! that the timeline costs no write of its own. The extension attributes that Handover does not know are together under
//! `extensions`: so none has the name of one that this release or a later one adds. The reader ignores attributes that
//! it does not know: a later release may have sent them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::{is_number, is_time};
use super::record::Record;
use super::sequence::SequenceKey;
use crate::notification::{Event, Extension, Json, Kind, Notification, is_id};

/// One trip of a notification through the stream. It is a copy: it may be lost or doubled, and it only says
/// which record to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The notification.
    pub notification: Notification,
    /// The destinations that were pending when it was dispatched.
    pub destinations: Vec<String>,
    /// Those of them that apply it in order.
    pub sequenced: Vec<String>,
    /// Its number among the notification's dispatches, from 1.
    pub number: u32,
    /// Whether its record was dispatched again, or it was undecided in a batch that a handler blocked: an earlier copy
    /// came to no end. A destination tries such a copy from the retry queue, alone: it may be one that kills the
    /// function.
    pub redispatched: bool,
    /// The version of the record that was dispatched, if the sender said it.
    pub version: Option<u64>,
    /// When the notification was accepted.
    pub accepted_at: Timestamp,
    /// When the relay took it from the table. What Kinesis throttles is in the stream later.
    pub relayed_at: Timestamp,
}

/// Why bytes are not a dispatch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotADispatch {
    /// They are not the JSON of a dispatch, or an attribute is missing or has another type.
    #[error("line {line}, column {column} is not what a dispatch has there")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// Its number or a time of it is none that a record may have.
    #[error("`dispatch`, `acceptedtime` or `relayedtime` is out of range")]
    OutOfRange,
    /// A destination applies it in order, and it has no `sequence`.
    #[error("`sequence` is missing, and a destination applies it in order")]
    NotNumbered,
}

/// The dispatch as it is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    event: Event<'a>,
    destinations: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sequenced: String,
    dispatch: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redispatched: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    acceptedtime: Timestamp,
    relayedtime: Timestamp,
}

/// The dispatch as it is read. Accept made its data canonical.
#[derive(Deserialize)]
struct Read<'a> {
    id: String,
    r#type: String,
    kind: Kind,
    source: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default)]
    partitionkey: Option<String>,
    #[serde(default)]
    sequence: Option<u64>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(default)]
    tracestate: Option<String>,
    #[serde(default)]
    causationid: Option<String>,
    #[serde(default)]
    correlationid: Option<String>,
    #[serde(default)]
    outcometo: Option<String>,
    #[serde(default)]
    dataschema: Option<String>,
    #[serde(default)]
    extensions: BTreeMap<String, Extension>,
    #[serde(borrow)]
    data: &'a RawValue,
    destinations: &'a str,
    #[serde(default)]
    sequenced: &'a str,
    dispatch: u32,
    #[serde(default)]
    redispatched: bool,
    #[serde(default)]
    version: Option<u64>,
    acceptedtime: Timestamp,
    relayedtime: Timestamp,
}

impl Dispatch {
    /// The dispatch of a record to these destinations.
    pub(crate) fn new(record: &Record, destinations: Vec<String>, relayed_at: Timestamp) -> Dispatch {
        let is_sequenced =
            |name: &&String| record.destinations.get(*name).is_some_and(|delivery| delivery.sequenced);
        Dispatch {
            notification: record.notification(),
            sequenced: destinations.iter().filter(is_sequenced).cloned().collect(),
            destinations,
            number: record.dispatches,
            redispatched: record.redispatched,
            version: Some(record.version),
            accepted_at: record.accepted_at,
            relayed_at,
        }
    }

    /// The Kinesis partition key.
    pub fn partition_key(&self) -> &str {
        self.notification.partitionkey.as_deref().unwrap_or(&self.notification.id)
    }

    pub(crate) fn is_for(&self, destination: &str) -> bool {
        self.destinations.iter().any(|name| name == destination)
    }

    /// The notification's place in its sequence, where this destination applies it in order.
    pub(crate) fn sequence_key(&self, destination: &str) -> Option<SequenceKey> {
        let is_sequenced = self.sequenced.iter().any(|name| name == destination);
        is_sequenced.then(|| SequenceKey::new(&self.notification, destination)).flatten()
    }

    /// The data of the Kinesis record.
    pub fn encode(&self) -> Vec<u8> {
        let written = Written {
            event: Event::from(&self.notification),
            destinations: self.destinations.join(","),
            sequenced: self.sequenced.join(","),
            dispatch: self.number,
            redispatched: self.redispatched,
            version: self.version,
            acceptedtime: self.accepted_at,
            relayedtime: self.relayed_at,
        };
        serde_json::to_vec(&written).expect("text and canonical JSON always serialise")
    }

    /// Reads the data of a Kinesis record.
    ///
    /// # Errors
    /// When an attribute of a dispatch is missing or has another type.
    pub fn decode(bytes: &[u8]) -> Result<Dispatch, NotADispatch> {
        let read: Read = serde_json::from_slice(bytes)
            .map_err(|error| NotADispatch::Json { line: error.line(), column: error.column() })?;
        if !read.sequenced.is_empty() && read.sequence.is_none() {
            return Err(NotADispatch::NotNumbered);
        }
        let times = [read.acceptedtime, read.relayedtime];
        if !is_number(read.dispatch) || !times.into_iter().all(is_time) {
            return Err(NotADispatch::OutOfRange);
        }
        Ok(Dispatch {
            notification: Notification {
                id: read.id,
                kind: read.kind,
                r#type: read.r#type,
                source: read.source,
                subject: read.subject,
                time: read.time,
                partitionkey: read.partitionkey,
                sequence: read.sequence,
                traceparent: read.traceparent,
                tracestate: read.tracestate,
                causationid: read.causationid.filter(|id| is_id(id)),
                correlationid: read.correlationid.filter(|id| is_id(id)),
                outcometo: read.outcometo,
                dataschema: read.dataschema,
                extensions: read.extensions,
                data: Json::of_copy(read.data),
            },
            destinations: names(read.destinations),
            sequenced: if read.sequenced.is_empty() { Vec::new() } else { names(read.sequenced) },
            number: read.dispatch,
            redispatched: read.redispatched,
            version: read.version,
            accepted_at: read.acceptedtime,
            relayed_at: read.relayedtime,
        })
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Draft;

    fn dispatch() -> Dispatch {
        Dispatch {
            notification: Draft::command("t", "s", &"x").build("1").unwrap().into(),
            destinations: vec!["refund".into(), "audit".into()],
            sequenced: vec![],
            number: 2,
            redispatched: false,
            version: Some(3),
            accepted_at: Timestamp::from_millisecond(1_000).unwrap(),
            relayed_at: Timestamp::from_millisecond(1_234).unwrap(),
        }
    }

    #[test]
    fn survives_the_stream() {
        assert_eq!(Dispatch::decode(&dispatch().encode()).unwrap(), dispatch());
        assert!(dispatch().is_for("audit") && !dispatch().is_for("aud"));
    }

    #[test]
    fn an_extension_attribute_may_have_any_name() {
        let names = ["dispatch", "destinations", "extensions", "version", "acceptedtime"];
        let draft =
            names.iter().fold(Draft::command("t", "s", &"x"), |draft, name| draft.extension(*name, 7));
        let draft =
            draft.extension("tenant", "é\u{fffe}").extension("isfinal", true).extension("least", i32::MIN);
        let notification = Notification::from(draft.build("1").unwrap());
        let extended = Dispatch { notification, ..dispatch() };
        assert_eq!(Dispatch::decode(&extended.encode()).unwrap(), extended);
        assert!(!String::from_utf8(dispatch().encode()).unwrap().contains("extensions"));
    }

    #[test]
    fn names_the_destinations_that_apply_it_in_order() {
        let draft = Draft::command("t", "s", &"x").partitionkey("k").sequence(3);
        let notification = draft.build("1").unwrap().into();
        let numbered = Dispatch { notification, sequenced: vec!["audit".into()], ..dispatch() };
        assert_eq!(Dispatch::decode(&numbered.encode()).unwrap(), numbered);
        assert_eq!(numbered.sequence_key("audit").unwrap().sequence, 3);
        assert_eq!(numbered.sequence_key("refund"), None);
        let unnumbered = Dispatch { notification: dispatch().notification, ..numbered };
        assert_eq!(Dispatch::decode(&unnumbered.encode()), Err(NotADispatch::NotNumbered));
    }

    #[test]
    fn is_partitioned_by_id_unless_the_emitter_set_a_key() {
        let mut dispatch = dispatch();
        assert_eq!(dispatch.partition_key(), "1");
        dispatch.notification.partitionkey = Some("k".into());
        assert_eq!(dispatch.partition_key(), "k");
    }

    #[test]
    fn what_no_record_may_hold_is_not_a_dispatch() {
        let text = String::from_utf8(dispatch().encode()).unwrap();
        for (part, other) in [
            (r#""dispatch":2"#, r#""dispatch":3000000000"#),
            ("1970-01-01T00:00:01.234Z", "9500-01-01T00:00:00Z"),
            ("1970-01-01T00:00:01.234Z", "1969-12-31T23:59:59Z"),
        ] {
            let changed = text.replace(part, other);
            assert_ne!(changed, text);
            assert_eq!(Dispatch::decode(changed.as_bytes()), Err(NotADispatch::OutOfRange));
        }
    }

    #[test]
    fn decoding_needs_every_attribute_and_ignores_those_of_a_later_release() {
        let text = String::from_utf8(dispatch().encode()).unwrap();
        for part in [
            r#","destinations":"refund,audit""#,
            r#","dispatch":2"#,
            r#","relayedtime":"1970-01-01T00:00:01.234Z""#,
        ] {
            assert!(text.contains(part), "{text}");
            let without = text.replace(part, "");
            assert!(matches!(Dispatch::decode(without.as_bytes()), Err(NotADispatch::Json { line: 1, .. })));
        }
        let odd = text.replace("{\"spec", "{\"extensions\":{\"dispatch\":[7]},\"spec");
        assert!(Dispatch::decode(odd.as_bytes()).is_err());
        let later = text.replace("{\"spec", "{\"priority\":\"7\",\"spec");
        assert_eq!(Dispatch::decode(later.as_bytes()).unwrap(), dispatch());
    }
}
