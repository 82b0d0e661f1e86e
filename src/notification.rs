//! A notification: one message in custody, and the limits it is held to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::refusal::Refusal;

/// Longest id, in bytes. A Kinesis partition key takes 256 characters, and an id is one.
pub const ID_BYTES_MAX: usize = 128;
/// Longest type, in bytes.
pub const TYPE_BYTES_MAX: usize = 128;
/// Longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 256;
/// Longest subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Longest partition key, in bytes: a Kinesis partition key takes 256 characters.
pub const PARTITIONKEY_BYTES_MAX: usize = 256;
/// Largest event, in bytes as sent and as encoded. An item takes 400 KB, and the record adds
/// errors, results and the timeline, each bounded.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// Highest sequence: the last integer up to which a double holds every one.
pub const SEQUENCE_MAX: u64 = (1 << 53) - 1;

/// What a notification wants of its destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It asks; its one owner may reject it.
    Command,
    /// It tells a fact; nobody may reject it.
    Event,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        to.write_str(match self {
            Kind::Command => "command",
            Kind::Event => "event",
        })
    }
}

/// One message in custody. On the wire it is a CloudEvents 1.0 event in JSON.
///
/// `T` is your type of the data; in between it travels as canonical [`Json`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Notification<T = Json> {
    /// Names the message, uniquely across sources; what makes a repeat a repeat.
    pub id: String,
    /// Whether it asks or tells.
    pub kind: Kind,
    /// What it says; its route is found by it.
    pub r#type: String,
    /// Who says it.
    pub source: String,
    /// Whom or what it is about.
    pub subject: Option<String>,
    /// When it was said, by the clock of the source.
    pub time: Option<Timestamp>,
    /// Notifications of one partition key travel through one shard; without it, the id does.
    pub partitionkey: Option<String>,
    /// Its place, from 1, among the notifications of its partition key.
    pub sequence: Option<u64>,
    /// W3C Trace Context.
    pub traceparent: Option<String>,
    /// What it carries.
    pub data: T,
}

impl Notification {
    /// The same notification with its data read as `T`.
    ///
    /// # Errors
    /// When the data is not of that type.
    pub fn typed<T: serde::de::DeserializeOwned>(&self) -> Result<Notification<T>, serde_json::Error> {
        Ok(Notification {
            id: self.id.clone(),
            kind: self.kind,
            r#type: self.r#type.clone(),
            source: self.source.clone(),
            subject: self.subject.clone(),
            time: self.time,
            partitionkey: self.partitionkey.clone(),
            sequence: self.sequence,
            traceparent: self.traceparent.clone(),
            data: self.data.to()?,
        })
    }

    /// Holds every attribute to its limit. Nothing is accepted that has not passed this.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        visible("id", &self.id, ID_BYTES_MAX)?;
        visible("type", &self.r#type, TYPE_BYTES_MAX)?;
        visible("source", &self.source, SOURCE_BYTES_MAX)?;
        self.subject.iter().try_for_each(|text| printable("subject", text, SUBJECT_BYTES_MAX))?;
        let mut partitionkey = self.partitionkey.iter();
        partitionkey.try_for_each(|text| printable("partitionkey", text, PARTITIONKEY_BYTES_MAX))?;
        if let Some(sequence) = self.sequence {
            let invalid = |problem| Err(Refusal::Invalid { field: "sequence", problem });
            if sequence == 0 || sequence > SEQUENCE_MAX {
                return invalid("is not from 1 to 2^53 - 1; number from 1");
            }
            if self.partitionkey.is_none() {
                return invalid("counts within a `partitionkey`; send one, too");
            }
        }
        if self.traceparent.as_deref().is_some_and(|text| !is_traceparent(text)) {
            let problem = "is not a W3C traceparent (00-<32 hex>-<16 hex>-<2 hex>); mend it or leave it out";
            return Err(Refusal::Invalid { field: "traceparent", problem });
        }
        let bytes = crate::event::encode(self).len();
        if bytes > EVENT_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes, max: EVENT_BYTES_MAX });
        }
        Ok(())
    }
}

/// A notification without its id: what a producer or a destination wants to say.
///
/// ```
/// use handover::Draft;
///
/// let draft = Draft::event("refund.credited", "refunds", &serde_json::json!({ "amount": 5 }))
///     .subject("account-7");
/// ```
#[derive(Clone, Debug)]
pub struct Draft {
    /// The data's refusal waits here, so that a draft is written without a `?` at each step.
    notification: Result<Notification, Refusal>,
}

impl Draft {
    /// A command: it asks its one owner to do something.
    pub fn command(r#type: impl Into<String>, source: impl Into<String>, data: &impl Serialize) -> Draft {
        Draft::new(Kind::Command, r#type.into(), source.into(), data)
    }

    /// An event: it tells a fact.
    pub fn event(r#type: impl Into<String>, source: impl Into<String>, data: &impl Serialize) -> Draft {
        Draft::new(Kind::Event, r#type.into(), source.into(), data)
    }

    fn new(kind: Kind, r#type: String, source: String, data: &impl Serialize) -> Draft {
        let notification = Json::of(data).map(|data| Notification {
            id: String::new(),
            kind,
            r#type,
            source,
            subject: None,
            time: None,
            partitionkey: None,
            sequence: None,
            traceparent: None,
            data,
        });
        Draft { notification }
    }

    fn with(mut self, set: impl FnOnce(&mut Notification)) -> Draft {
        if let Ok(notification) = &mut self.notification {
            set(notification);
        }
        self
    }

    /// Whom or what it is about.
    pub fn subject(self, subject: impl Into<String>) -> Draft {
        self.with(|notification| notification.subject = Some(subject.into()))
    }

    /// When it was said.
    pub fn time(self, time: Timestamp) -> Draft {
        self.with(|notification| notification.time = Some(time))
    }

    /// Which notifications it travels with.
    pub fn partitionkey(self, key: impl Into<String>) -> Draft {
        self.with(|notification| notification.partitionkey = Some(key.into()))
    }

    /// Its place, from 1, among the notifications of its partition key.
    pub fn sequence(self, sequence: u64) -> Draft {
        self.with(|notification| notification.sequence = Some(sequence))
    }

    /// The W3C trace it belongs to.
    pub fn traceparent(self, traceparent: impl Into<String>) -> Draft {
        self.with(|notification| notification.traceparent = Some(traceparent.into()))
    }

    /// The notification, under its id.
    ///
    /// # Errors
    /// When an attribute is over its limit or the data has no form in JSON.
    pub fn with_id(self, id: impl Into<String>) -> Result<Notification, Refusal> {
        let mut notification = self.notification?;
        notification.id = id.into();
        notification.check()?;
        Ok(notification)
    }
}

/// Letters, digits and signs of ASCII: what a key, a URL and a log line all can hold.
fn visible(field: &'static str, text: &str, max: usize) -> Result<(), Refusal> {
    let problem = "holds other characters than visible ASCII; use letters, digits and signs, without spaces";
    bounded(field, text, max, |text| text.bytes().all(|byte| byte.is_ascii_graphic()), problem)
}

fn printable(field: &'static str, text: &str, max: usize) -> Result<(), Refusal> {
    let problem = "holds control characters; leave them out";
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
        "" => Err(Refusal::Invalid { field, problem: "is empty; give it a value" }),
        text if text.len() > max => Err(Refusal::TooLong { field, bytes: text.len(), max }),
        text if !allowed(text) => Err(Refusal::Invalid { field, problem }),
        _ => Ok(()),
    }
}

/// Version 00 of W3C Trace Context: `00-<trace id>-<parent id>-<flags>`, ids not all zero.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    match parts[..] {
        ["00", trace, parent, flags] => {
            (trace.len(), parent.len(), flags.len()) == (32, 16, 2)
                && [trace, parent, flags].into_iter().all(hex)
                && set(trace)
                && set(parent)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft::event("t", "s", &())
    }

    #[test]
    fn attributes_are_held_to_their_limits() {
        let refused = |draft: Draft| draft.with_id("1").unwrap_err().to_string();
        assert_eq!(
            draft().with_id("x".repeat(ID_BYTES_MAX + 1)).unwrap_err(),
            Refusal::TooLong { field: "id", bytes: 129, max: 128 }
        );
        assert!(draft().with_id("x".repeat(ID_BYTES_MAX)).is_ok());
        assert_eq!(draft().with_id("").unwrap_err().to_string(), "`id` is empty; give it a value");
        assert!(draft().with_id("a b").unwrap_err().to_string().starts_with("`id` holds other"));
        assert!(refused(draft().subject("a\nb")).starts_with("`subject` holds control"));
        assert!(refused(draft().partitionkey("é".repeat(129))).contains("takes 258 bytes"));
        assert!(refused(draft().sequence(1)).contains("`partitionkey`"));
        assert!(refused(draft().partitionkey("k").sequence(0)).contains("from 1"));
        assert!(refused(draft().traceparent("00-0-0-0")).contains("traceparent"));
        assert_eq!(Draft::event("", "s", &()).with_id("1").unwrap_err().code(), "invalid");
    }

    #[test]
    fn the_encoded_event_is_bounded() {
        let event = |bytes: usize| Draft::event("t", "s", &"x".repeat(bytes)).with_id("1");
        let around = crate::event::encode(&event(0).unwrap()).len();
        assert!(event(EVENT_BYTES_MAX - around).is_ok());
        assert_eq!(
            event(EVENT_BYTES_MAX - around + 1).unwrap_err(),
            Refusal::TooLarge { bytes: EVENT_BYTES_MAX + 1, max: EVENT_BYTES_MAX }
        );
    }

    #[test]
    fn data_without_a_form_in_json_is_refused_with_the_id() {
        let odd = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(Draft::event("t", "s", &odd).subject("x").with_id("1").unwrap_err().code(), "invalid");
        assert_eq!(Draft::event("t", "s", &u64::MAX).with_id("1").unwrap_err().code(), "number");
    }

    #[test]
    fn a_traceparent_is_the_w3c_form() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        assert!(!is_traceparent(&good.to_uppercase()));
        assert!(!is_traceparent(&good.replace("b7ad6b7169203331", "0000000000000000")));
        assert!(!is_traceparent(&good[..54]));
    }
}
