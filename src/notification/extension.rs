//! Extension attributes that Handover does not know: which there may be, and their limits.
//!
//! CloudEvents: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#extension-context-attributes>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::json::shown;
use super::refusal::Refusal;

/// Most extension attributes of a notification.
pub const EXTENSIONS_MAX: usize = 32;
/// Longest name of an extension attribute, in bytes. CloudEvents recommends 20.
pub const EXTENSION_NAME_BYTES_MAX: usize = 64;
/// Longest value of an extension attribute, in bytes.
pub const EXTENSION_BYTES_MAX: usize = 1_024;
/// Most bytes that the extension attributes of a notification take in all, with their names.
pub const EXTENSIONS_BYTES_MAX: usize = 8 * 1_024;

/// The attributes that have a meaning of their own.
const KNOWN: [&str; 16] = [
    "data",
    "data_base64",
    "datacontenttype",
    "dataschema",
    "id",
    "kind",
    "outcometo",
    "partitionkey",
    "sequence",
    "source",
    "specversion",
    "subject",
    "time",
    "traceparent",
    "tracestate",
    "type",
];
/// What other formats put before the names of CloudEvents: HTTP headers have `ce-`, and CloudEvents 0.1 had `event`.
const PREFIXES: [&str; 2] = ["ce", "event"];

/// The value of an extension attribute, in the types that CloudEvents has in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Extension {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i32),
    /// A text, a time, an address, or bytes in base64.
    Text(String),
}

impl Extension {
    /// What it takes as text.
    fn bytes(&self) -> usize {
        match self {
            Extension::Boolean(_) => "false".len(),
            Extension::Integer(number) => number.to_string().len(),
            Extension::Text(text) => text.len(),
        }
    }
}

impl From<bool> for Extension {
    fn from(is: bool) -> Extension {
        Extension::Boolean(is)
    }
}

impl From<i32> for Extension {
    fn from(number: i32) -> Extension {
        Extension::Integer(number)
    }
}

impl From<&str> for Extension {
    fn from(text: &str) -> Extension {
        Extension::Text(text.to_owned())
    }
}

impl From<String> for Extension {
    fn from(text: String) -> Extension {
        Extension::Text(text)
    }
}

/// Checks the extension attributes of a notification.
pub(super) fn check(extensions: &BTreeMap<String, Extension>) -> Result<(), Refusal> {
    check_limits(extensions)?;
    match extensions.keys().find(|name| KNOWN.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let problem = "is no extension attribute; set it by the function of its name, if it has one";
            Err(Refusal::Invalid { field: name.clone().into(), problem })
        }
    }
}

/// Checks those of a stored notification. A later release may know some of them.
pub(super) fn check_limits(extensions: &BTreeMap<String, Extension>) -> Result<(), Refusal> {
    let mut bytes = 0;
    for (name, value) in extensions {
        check_name(name)?;
        let field = || name.clone().into();
        if value.bytes() > EXTENSION_BYTES_MAX {
            return Err(Refusal::TooLong { field: field(), bytes: value.bytes(), max: EXTENSION_BYTES_MAX });
        }
        if matches!(value, Extension::Text(text) if text.chars().any(char::is_control)) {
            let problem = "has control characters; remove them";
            return Err(Refusal::Invalid { field: field(), problem });
        }
        bytes += name.len() + value.bytes();
    }
    let count = extensions.len();
    match count > EXTENSIONS_MAX || bytes > EXTENSIONS_BYTES_MAX {
        true => {
            let (count_max, bytes_max) = (EXTENSIONS_MAX, EXTENSIONS_BYTES_MAX);
            Err(Refusal::TooManyExtensions { count, bytes, count_max, bytes_max })
        }
        false => Ok(()),
    }
}

/// CloudEvents allows lower-case letters and digits in a name.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let is_valid = (1..=EXTENSION_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    match is_valid {
        true => Ok(()),
        false => Err(Refusal::UnknownAttribute { name: shown(name), nearest: nearest(name) }),
    }
}

/// The known attribute that an invalid name probably means: it differs in case, in other characters, in a prefix,
/// or in one or two letters.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > EXTENSION_NAME_BYTES_MAX {
        return None;
    }
    let name = plain(name);
    let without = PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix));
    let spellings: Vec<&str> = without.chain([name.as_str()]).collect();
    let distance = |known: &str| {
        let distances = spellings.iter().map(|spelling| edits(spelling, &plain(known)));
        distances.min().unwrap_or(usize::MAX)
    };
    // A short name has too many neighbours.
    let is_near = |known: &str, edits| edits <= 2.min((known.len() - 1) / 3);
    let near = KNOWN.iter().map(|known| (distance(known), *known));
    near.filter(|(edits, known)| is_near(known, *edits)).min().map(|(_, known)| known)
}

/// The letters and digits of a name, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// How many characters have to be added, removed or replaced (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.bytes().enumerate() {
        let mut diagonal = at;
        row[0] = at + 1;
        for (to_at, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[to_at + 1];
            row[to_at + 1] = replaced.min(diagonal + 1).min(row[to_at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Draft, Notification};
    use proptest::prelude::*;

    fn draft() -> Draft {
        Draft::event("t", "s", &())
    }

    fn refused(draft: Draft) -> String {
        let refusal = draft.build("1").unwrap_err();
        format!("{}: {refusal}", refusal.code())
    }

    #[test]
    fn are_held_to_their_limits() {
        let named =
            |count: usize| (0..count).fold(draft(), |draft, n| draft.extension(format!("e{n}"), true));
        assert_eq!(named(EXTENSIONS_MAX).build("1").unwrap().extensions.len(), EXTENSIONS_MAX);
        assert!(refused(named(EXTENSIONS_MAX + 1)).starts_with("too-many-extensions: the event has 33"));

        let sized = |bytes: usize| draft().extension("e", "x".repeat(bytes));
        assert!(sized(EXTENSION_BYTES_MAX).build("1").is_ok());
        let said = "too-long: `e` takes 1025 bytes, over the limit of 1024; shorten it";
        assert_eq!(refused(sized(EXTENSION_BYTES_MAX + 1)), said);

        let eight = (0..8).fold(draft(), |draft, n| draft.extension(format!("e{n}"), "x".repeat(1_022)));
        assert!(eight.clone().build("1").is_ok(), "names count");
        let said = "too-many-extensions: the event has 9 extension attributes of 8194 bytes in all; at most 32 of 8192 bytes";
        assert!(refused(eight.extension("e", 7)).starts_with(said));

        assert!(refused(draft().extension("e", "a\nb")).starts_with("invalid: `e` has control characters"));
        assert!(refused(draft().extension("type", "a")).starts_with("invalid: `type` is no extension"));
        assert!(draft().extension("x".repeat(EXTENSION_NAME_BYTES_MAX), "").build("1").is_ok());
        for name in ["x".repeat(EXTENSION_NAME_BYTES_MAX + 1), String::new()] {
            let said = refused(draft().extension(name, ""));
            assert!(
                said.starts_with("unknown-attribute:") && said.contains("1 to 64 of a-z and 0-9"),
                "{said}"
            );
        }
    }

    #[test]
    fn an_invalid_name_is_refused_with_the_nearest_known_one() {
        for (name, meant) in [
            ("partitionKey", "partitionkey"),
            ("partition_key", "partitionkey"),
            ("Partition-Keys", "partitionkey"),
            ("parttion-key", "partitionkey"),
            ("Type", "type"),
            ("eventType", "type"),
            ("event_id", "id"),
            ("ce-source", "source"),
            ("dataContentType", "datacontenttype"),
            ("dataBase64", "data_base64"),
            ("trace-parent", "traceparent"),
            ("traceState", "tracestate"),
            ("sequence_", "sequence"),
            ("Typ", "type"),
            (&format!("partition{}key", "-".repeat(52)), "partitionkey"),
        ] {
            assert_eq!(nearest(name), Some(meant), "{name}");
        }
        let long = format!("partition{}key", "-".repeat(53));
        for other in ["confluentRouting", "_x", "", "é", "Priority", "I", "Soarze", &long] {
            assert_eq!(nearest(other), None, "{other}");
        }
        let said = "unknown-attribute: `Type` is not a name of an attribute; do you mean `type`?";
        assert_eq!(refused(draft().extension("Type", "a")), said);
    }

    proptest! {
        #[test]
        fn no_name_is_valid_and_has_other_characters(name in "\\PC{0,70}") {
            let is_valid = !name.is_empty()
                && name.len() <= EXTENSION_NAME_BYTES_MAX
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            prop_assert_eq!(check_name(&name).is_ok(), is_valid);
        }

        #[test]
        fn edits_are_a_distance(a in "[a-c]{0,6}", b in "[a-c]{0,6}", c in "[a-c]{0,6}") {
            prop_assert_eq!(edits(&a, &b) == 0, a == b);
            prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            prop_assert!(edits(&a, &c) <= edits(&a, &b) + edits(&b, &c));
            prop_assert!(edits(&a, &b) <= a.len().max(b.len()));
        }
    }

    #[test]
    fn a_typed_notification_has_them() {
        let built = Notification::from(draft().extension("tenant", "a").build("1").unwrap());
        assert_eq!(built.typed::<()>().unwrap().extensions, built.extensions);
    }
}
