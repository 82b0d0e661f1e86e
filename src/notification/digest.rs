//! What makes two messages the same message.

use std::fmt::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::json::Json;
use super::notification::Notification;

/// What the digest covers. The fields are in the order of RFC 8785, so that plain serialisation is
/// canonical. `time` and `traceparent` are left out: a producer may set them anew when it repeats a message.
/// So are `kind`, which the route fixes, and `sequence`: an id with another number is a duplicate.
#[derive(Serialize)]
struct Content<'a> {
    #[serde(serialize_with = "super::json::verbatim")]
    data: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<&'a str>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    r#type: &'a str,
}

/// SHA-256 of the canonical content, as `v1:` and 64 hexadecimal digits. The prefix changes with what the
/// digest covers, so that an older record is never compared by a newer rule.
pub(crate) fn digest(notification: &Notification) -> String {
    let content = Content {
        data: &notification.data,
        partitionkey: notification.partitionkey.as_deref(),
        source: &notification.source,
        subject: notification.subject.as_deref(),
        r#type: &notification.r#type,
    };
    let content = serde_json::to_vec(&content).expect("text and canonical JSON always serialise");
    format!("v1:{}", hex(&Sha256::digest(content)))
}

/// The id of an emitted notification: a repeat of the emit has the same id and finds its own record. The
/// hash covers each part's length, so that no two triples have the same text.
pub(crate) fn emitted_id(parent: &str, destination: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    for part in [parent, destination, name] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Checked;
    use proptest::prelude::*;

    fn digest_of(text: &str) -> String {
        digest(&Checked::decode(text.as_bytes()).unwrap())
    }

    const EVENT: &str =
        r#"{"specversion":"1.0","id":"1","type":"t","kind":"event","source":"s","data":{"b":1.0,"a":"x"}}"#;

    #[test]
    fn is_sha256_over_the_canonical_content() {
        let content = br#"{"data":{"a":"x","b":1},"source":"s","type":"t"}"#;
        assert_eq!(digest_of(EVENT), format!("v1:{}", hex(&Sha256::digest(content))));
    }

    #[test]
    fn covers_what_the_message_says_and_nothing_else() {
        let same = [
            r#"{"id":"1","source":"s","type":"t","specversion":"1.0","kind":"event","data":{"a":"x","b":1}}"#,
            r#"{"id":"2","source":"s","type":"t","specversion":"1.0","kind":"command","time":"2026-11-22T00:00:00Z","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"a":"x","b":1}}"#,
        ];
        let other = [
            EVENT.replace("1.0,", "2,"),
            EVENT.replace(r#""type":"t""#, r#""type":"u""#),
            EVENT.replace(r#""source":"s""#, r#""source":"r""#),
            EVENT.replace(r#""source":"s""#, r#""source":"s","subject":"x""#),
            EVENT.replace(r#""source":"s""#, r#""source":"s","partitionkey":"x""#),
        ];
        same.iter().for_each(|text| assert_eq!(digest_of(text), digest_of(EVENT), "{text}"));
        other.iter().for_each(|text| assert_ne!(digest_of(text), digest_of(EVENT), "{text}"));
    }

    proptest! {
        #[test]
        fn respelling_keeps_it_and_another_meaning_changes_it(
            data in prop::collection::btree_map("[a-z]{1,5}", -1_000_000i64..1_000_000, 1..6), which in 0usize..6,
        ) {
            let event = |data: &str| EVENT.replace(r#"{"b":1.0,"a":"x"}"#, data);
            let plain = serde_json::to_string(&data).unwrap();
            let fields = data.iter().rev().map(|(key, value)| format!("\n \"{key}\" : {value}.0"));
            let respelled = format!("{{{} }}", fields.collect::<Vec<_>>().join(","));
            prop_assert_eq!(digest_of(&event(&plain)), digest_of(&event(&respelled)));
            let mut other = data.clone();
            *other.values_mut().nth(which % data.len()).unwrap() += 1;
            let other = serde_json::to_string(&other).unwrap();
            prop_assert_ne!(digest_of(&event(&plain)), digest_of(&event(&other)));
        }
    }

    #[test]
    fn an_emitted_id_depends_on_every_part_and_on_where_they_end() {
        let id = emitted_id("a", "b", "c");
        assert_eq!(id, emitted_id("a", "b", "c"));
        assert_eq!(id.len(), 32);
        for (parent, destination, name) in [("ab", "", "c"), ("a", "bc", ""), ("a", "c", "b")] {
            assert_ne!(id, emitted_id(parent, destination, name));
        }
    }
}
