//! Why a message is refused.
//!
//! A refusal names the field, the limit and what to do. It shows names of fields, and never a value: a
//! refused message may hold a secret.

use std::borrow::Cow;

use super::kind::Kind;
use crate::code::Code;

/// Why a message cannot be accepted. The same message is always refused for the same reason. Correct it and send it
/// under the same id, which a refused message does not use up; for [`Refusal::ReservedId`] under another. For
/// [`Refusal::UnknownType`], [`Refusal::WrongKind`] and [`Refusal::TooLargeForRoute`], the routes may be what is wrong:
/// then correct them and send the same message again.
///
/// The [`code`](Refusal::code) is stable; a refused queue message carries `code: text` in the
/// `reason` attribute of its dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are not text.
    #[error("byte {at} is not UTF-8; encode the event as UTF-8")]
    NotUtf8 {
        /// Offset of the first offending byte.
        at: usize,
    },
    /// The text is not JSON.
    #[error("line {line}, column {column} is not JSON; send one JSON object per message")]
    MalformedJson {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1 (0: the end of the line before).
        column: usize,
    },
    /// An object has a key twice, so that its meaning depends on the reader.
    #[error("`{path}` appears twice in one object; send each key once")]
    DuplicateKey {
        /// Where, from the root of the event.
        path: String,
    },
    /// A number that its nearest double would change. Readers would see different values.
    #[error("`{path}` is a number that a double cannot hold exactly as written; send it as a string")]
    Number {
        /// Where, from the root of the event.
        path: String,
    },
    /// Objects and arrays nest too deeply.
    #[error("`{path}` nests deeper than {max} levels; flatten the data")]
    TooDeep {
        /// Where, from the root of the event.
        path: String,
        /// The limit, in levels.
        max: usize,
    },
    /// The event is JSON, but not an object.
    #[error("the event is not a JSON object; send a CloudEvents 1.0 event in structured mode")]
    NotAnObject,
    /// The event is over its limit, as sent or as encoded.
    #[error(
        "the event takes {bytes} bytes, over the limit of {max}; store large data elsewhere and send a reference"
    )]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A required attribute is absent.
    #[error("`{field}` is missing; every event needs it")]
    Missing {
        /// The attribute.
        field: &'static str,
    },
    /// An attribute is of the wrong JSON type.
    #[error("`{field}` is not {expected}")]
    WrongType {
        /// The attribute.
        field: Cow<'static, str>,
        /// What it must be.
        expected: &'static str,
    },
    /// An attribute is over its limit.
    #[error("`{field}` takes {bytes} bytes, over the limit of {max}; shorten it")]
    TooLong {
        /// The attribute.
        field: Cow<'static, str>,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// An attribute has a value that it cannot have.
    #[error("`{field}` {problem}")]
    Invalid {
        /// The attribute, or where in the data.
        field: Cow<'static, str>,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// The id is one that only an emitted notification has. It derives from the parent's, so whoever guesses that could
    /// take it beforehand, and the parent's effect would fail.
    #[error(
        "`id` begins with `emit:` or `key:`, as only the ids of emitted notifications and of idempotency keys do; choose another id, or name who forwards it among the `forwarders` of its route"
    )]
    ReservedId,
    /// The source is the one of the outcomes that Handover sends.
    #[error("`source` is `handover`, which outcomes alone have; choose another source")]
    ReservedSource,
    /// An attribute whose name CloudEvents does not allow.
    #[error("`{name}` is not a name of an attribute; {}", advice(*nearest))]
    UnknownAttribute {
        /// Its name.
        name: String,
        /// The attribute that is probably meant.
        nearest: Option<&'static str>,
    },
    /// The extension attributes are over a limit together.
    #[error(
        "the event has {count} extension attributes of {bytes} bytes in all; at most {count_max} of {bytes_max} bytes are carried, so move some into `data`"
    )]
    TooManyExtensions {
        /// How many there are.
        count: usize,
        /// What their names and values take, in bytes.
        bytes: usize,
        /// The limit of their number.
        count_max: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The kind is neither `command` nor `event`.
    #[error("`kind` is unknown; send `command` or `event`")]
    UnknownKind,
    /// No route takes this type.
    #[error("no route takes the type `{name}`; check its spelling, or add a route for it")]
    UnknownType {
        /// The type.
        name: String,
    },
    /// The route of this type is for the other kind.
    #[error("the type `{name}` is routed as {expected}; send that `kind`")]
    WrongKind {
        /// The type.
        name: String,
        /// The kind that its route names.
        expected: Kind,
    },
    /// The route of this type does not take it from this source.
    #[error(
        "the type `{name}` is not taken from this `source`; send it from one that `sources` of its route names, or add this one there"
    )]
    ForeignSource {
        /// The type.
        name: String,
    },
    /// The route of this type does not take it from its source by this sender.
    #[error(
        "the type `{name}` is not taken from its `source` by {}; let its service send it, or add that one to `senders` of the route",
        sent_by(sender.as_deref())
    )]
    ForeignSender {
        /// The type.
        name: String,
        /// The unique id of the user or role that sent it, if it is known.
        sender: Option<String>,
    },
    /// The event is over the limit of its type's route.
    #[error(
        "the event takes {bytes} bytes, over the limit of {max} for the type `{name}`; store large data elsewhere and send a reference, or raise `max_bytes` of its route"
    )]
    TooLargeForRoute {
        /// The type.
        name: String,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// No route takes the outcome that it asks for.
    #[error(
        "`outcometo` names the type `{name}`, which {problem}; route it as an event with `\"sources\": [\"handover\"]`"
    )]
    Outcome {
        /// The type.
        name: String,
        /// Why not.
        problem: &'static str,
    },
    /// It asks for an outcome, and has no destination that would end it.
    #[error(
        "the type `{name}` is of a channel without subscribers, so it has no outcome; leave out `outcometo`"
    )]
    NoOutcome {
        /// The type.
        name: String,
    },
    /// This type belongs to a channel, and its key does not say what it is about.
    #[error(
        "the type `{name}` is of the channel `{channel}`; send `{channel}/` and the id of what it is about as `partitionkey`"
    )]
    NotKeyed {
        /// The type.
        name: String,
        /// The channel.
        channel: String,
    },
    /// A destination takes this type in sequence, and it is not numbered.
    #[error("the type `{name}` is applied in sequence; send `partitionkey` and `sequence`, numbered from 1")]
    NotNumbered {
        /// The type.
        name: String,
    },
}

fn advice(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("do you mean `{name}`?"),
        None => "rename it to 1 to 64 of a-z and 0-9, or move it into `data`".into(),
    }
}

fn sent_by(sender: Option<&str>) -> String {
    sender.map_or("a sender that is not known".into(), |id| format!("the user or role `{id}`"))
}

impl Refusal {
    /// Its stable code, for alarms, dashboards and tests.
    pub fn code(&self) -> Code {
        match self {
            Refusal::NotUtf8 { .. } => Code::NotUtf8,
            Refusal::MalformedJson { .. } => Code::MalformedJson,
            Refusal::DuplicateKey { .. } => Code::DuplicateKey,
            Refusal::Number { .. } => Code::Number,
            Refusal::TooDeep { .. } => Code::TooDeep,
            Refusal::NotAnObject => Code::NotAnObject,
            Refusal::TooLarge { .. } => Code::TooLarge,
            Refusal::Missing { .. } => Code::Missing,
            Refusal::WrongType { .. } => Code::WrongType,
            Refusal::TooLong { .. } => Code::TooLong,
            Refusal::Invalid { .. } => Code::Invalid,
            Refusal::ReservedId => Code::ReservedId,
            Refusal::ReservedSource => Code::ReservedSource,
            Refusal::UnknownAttribute { .. } => Code::UnknownAttribute,
            Refusal::TooManyExtensions { .. } => Code::TooManyExtensions,
            Refusal::UnknownKind => Code::UnknownKind,
            Refusal::UnknownType { .. } => Code::UnknownType,
            Refusal::WrongKind { .. } => Code::WrongKind,
            Refusal::ForeignSource { .. } => Code::ForeignSource,
            Refusal::ForeignSender { .. } => Code::ForeignSender,
            Refusal::TooLargeForRoute { .. } => Code::TooLargeForRoute,
            Refusal::NotKeyed { .. } => Code::NotKeyed,
            Refusal::NotNumbered { .. } => Code::NotNumbered,
            Refusal::Outcome { .. } => Code::Outcome,
            Refusal::NoOutcome { .. } => Code::NoOutcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{
        EVENT_BYTES_MAX, EXTENSION_BYTES_MAX, EXTENSION_NAME_BYTES_MAX, EXTENSIONS_BYTES_MAX, EXTENSIONS_MAX,
        ID_BYTES_MAX, PARTITIONKEY_BYTES_MAX, ROUTE_BYTES_MAX, SOURCE_BYTES_MAX, SUBJECT_BYTES_MAX,
        TYPE_BYTES_MAX,
    };

    /// As a page writes a number.
    fn written(number: usize) -> String {
        match number / 1_000 {
            0 => number.to_string(),
            thousands => format!("{thousands},{:03}", number % 1_000),
        }
    }

    #[test]
    fn a_page_names_the_limit() {
        for (code, limits) in [
            (Code::TooLarge, &[EVENT_BYTES_MAX][..]),
            (Code::TooLargeForRoute, &[ROUTE_BYTES_MAX, EVENT_BYTES_MAX]),
            (Code::TooLong, &[ID_BYTES_MAX, TYPE_BYTES_MAX, SOURCE_BYTES_MAX, PARTITIONKEY_BYTES_MAX]),
            (Code::TooLong, &[SUBJECT_BYTES_MAX, EXTENSION_BYTES_MAX]),
            (Code::TooManyExtensions, &[EXTENSIONS_MAX, EXTENSIONS_BYTES_MAX]),
            (Code::UnknownAttribute, &[EXTENSION_NAME_BYTES_MAX]),
        ] {
            let page = code.page();
            let is_word = |c: char| !(c.is_ascii_digit() || c == ',');
            let numbers: Vec<_> = page.split(is_word).map(|number| number.trim_end_matches(',')).collect();
            for limit in limits {
                assert!(numbers.contains(&&*written(*limit)), "{code} does not name {limit}");
            }
        }
    }
}
