//! A notification, and the limits of its attributes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::extension::Extension;
use super::json::Json;
use super::key::NotificationKey;
use super::kind::Kind;
use super::refusal::Refusal;

/// Longest id, in bytes. An id is a Kinesis partition key, which takes 256 characters.
pub const ID_BYTES_MAX: usize = 128;
/// Longest type, in bytes.
pub const TYPE_BYTES_MAX: usize = 128;
/// Longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 256;
/// Longest subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 1_024;
/// Longest address of the data's schema, in bytes.
pub const DATASCHEMA_BYTES_MAX: usize = 1_024;
/// Longest partition key, in bytes. A Kinesis partition key takes 256 characters.
pub const PARTITIONKEY_BYTES_MAX: usize = 256;
/// The source of the outcomes that Handover sends. A sender cannot use it.
pub const OUTCOME_SOURCE: &str = "handover";
/// Highest sequence: above it a double cannot hold every integer.
pub const SEQUENCE_MAX: u64 = (1 << 53) - 1;

/// One message in custody. On the wire it is a CloudEvents 1.0 event in JSON.
///
/// `T` is the type of its data. Between the door and your destination the data is canonical [`Json`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Notification<T = Json> {
    /// Identifies the message within its source. A message with the same id and source is a repeat.
    pub id: String,
    /// Command or event.
    pub kind: Kind,
    /// What the message says. Its route is found by its type.
    pub r#type: String,
    /// The service that sent it.
    pub source: String,
    /// The entity that it is about.
    pub subject: Option<String>,
    /// When it was sent, by the clock of the source.
    pub time: Option<Timestamp>,
    /// Notifications with one partition key travel through one shard. The default is the id.
    pub partitionkey: Option<String>,
    /// Its number, from 1, among the notifications of its partition key.
    pub sequence: Option<u64>,
    /// W3C Trace Context, in the form of version 00.
    pub traceparent: Option<String>,
    /// What tracing systems add to the `traceparent`, by W3C Trace Context.
    pub tracestate: Option<String>,
    /// The id of the notification whose effect emitted this one. Handover sets it; a sender cannot.
    pub causationid: Option<String>,
    /// The id of the first notification that this one goes back to, from emit to emit. Handover sets it; a sender cannot.
    pub correlationid: Option<String>,
    /// The type of the event that tells how this notification ended, if its sender wants one.
    pub outcometo: Option<String>,
    /// The address of the schema of the data. Handover carries it, and does not read it.
    pub dataschema: Option<String>,
    /// Extension attributes that Handover does not know, by name. They are carried, and are not part of what
    /// the message says: of a message that is repeated with others, those that came first hold.
    pub extensions: BTreeMap<String, Extension>,
    /// The payload.
    pub data: T,
}

impl<T> Notification<T> {
    /// The same notification with other data.
    pub(crate) fn with_data<U>(&self, data: U) -> Notification<U> {
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
            tracestate: self.tracestate.clone(),
            causationid: self.causationid.clone(),
            correlationid: self.correlationid.clone(),
            outcometo: self.outcometo.clone(),
            dataschema: self.dataschema.clone(),
            extensions: self.extensions.clone(),
            data,
        }
    }

    /// What identifies it: its id and its source.
    pub fn key(&self) -> NotificationKey {
        NotificationKey::new(&self.id, &self.source)
    }

    /// Checks every attribute against its limit, but for the data and the extension attributes.
    pub(crate) fn check_attributes(&self) -> Result<(), Refusal> {
        visible("id", &self.id, ID_BYTES_MAX)?;
        visible("type", &self.r#type, TYPE_BYTES_MAX)?;
        visible("source", &self.source, SOURCE_BYTES_MAX)?;
        self.subject.iter().try_for_each(|text| printable("subject", text, SUBJECT_BYTES_MAX))?;
        let mut partitionkey = self.partitionkey.iter();
        partitionkey.try_for_each(|text| printable("partitionkey", text, PARTITIONKEY_BYTES_MAX))?;
        self.causationid.iter().try_for_each(|text| visible("causationid", text, ID_BYTES_MAX))?;
        self.correlationid.iter().try_for_each(|text| visible("correlationid", text, ID_BYTES_MAX))?;
        self.outcometo.iter().try_for_each(|text| visible("outcometo", text, TYPE_BYTES_MAX))?;
        self.dataschema.iter().try_for_each(|text| visible("dataschema", text, DATASCHEMA_BYTES_MAX))?;
        if let Some(sequence) = self.sequence {
            let invalid = |problem| Err(Refusal::Invalid { field: "sequence".into(), problem });
            if sequence == 0 || sequence > SEQUENCE_MAX {
                return invalid("is not from 1 to 2^53 - 1; number from 1");
            }
            if self.partitionkey.is_none() {
                return invalid("numbers the notifications of a `partitionkey`; send a `partitionkey`, too");
            }
        }
        Ok(())
    }
}

impl Notification {
    /// The same notification with its data read as `T`.
    ///
    /// # Errors
    /// When the data is not of that type.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<Notification<T>, serde_json::Error> {
        Ok(self.with_data(self.data.deserialize()?))
    }
}

/// Whether a notification may have this id.
pub(crate) fn is_id(text: &str) -> bool {
    visible("id", text, ID_BYTES_MAX).is_ok()
}

/// Whether a notification may have this source.
pub(crate) fn is_source(text: &str) -> bool {
    visible("source", text, SOURCE_BYTES_MAX).is_ok()
}

/// Visible ASCII, which a key, a URL and a log line can all hold.
pub(super) fn visible(field: &'static str, text: &str, max: usize) -> Result<(), Refusal> {
    let problem =
        "has characters other than visible ASCII; use letters, digits and punctuation, without spaces";
    bounded(field, text, max, |text| text.bytes().all(|byte| byte.is_ascii_graphic()), problem)
}

fn printable(field: &'static str, text: &str, max: usize) -> Result<(), Refusal> {
    let problem = "has control characters; remove them";
    bounded(field, text, max, |text| !text.chars().any(char::is_control), problem)
}

fn bounded(
    field: &'static str,
    text: &str,
    max: usize,
    allowed: impl Fn(&str) -> bool,
    problem: &'static str,
) -> Result<(), Refusal> {
    match text {
        "" => Err(Refusal::Invalid { field: field.into(), problem: "is empty; give it a value" }),
        text if text.len() > max => Err(Refusal::TooLong { field: field.into(), bytes: text.len(), max }),
        text if !allowed(text) => Err(Refusal::Invalid { field: field.into(), problem }),
        _ => Ok(()),
    }
}
