//! What makes two messages the same message.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::hash::hex;
use super::json::Json;
use super::notification::Notification;

/// What a digest covers. The fields are in the order of RFC 8785, so that plain serialisation is canonical. `time`,
/// `traceparent` and `tracestate` are left out: a producer may set them anew when it repeats a message. So are the
/// extension attributes that Handover does not know, since what is between producer and accept may add some;
/// `dataschema`, whose address may change while the data stays the same; and `kind`, which the route fixes.
#[derive(Serialize)]
struct Content<'a> {
    #[serde(serialize_with = "super::json::verbatim")]
    data: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    r#type: &'a str,
}

/// The rules that there have been for what a digest covers. A digest begins with the name of its rule.
#[derive(Clone, Copy)]
enum Rule {
    /// Without `sequence`: an id with another number was a repeat.
    V1,
    V2,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Rule::V1 => "v1",
            Rule::V2 => "v2",
        }
    }
}

/// SHA-256 of the canonical content, as the name of the rule, a colon and 64 hexadecimal digits.
pub(crate) fn digest(notification: &Notification) -> String {
    digest_by(Rule::V2, notification)
}

/// Whether a notification is a repeat of the accepted one that has this digest. It is compared by the rule
/// under which that one was accepted; where that is a rule of a later release, by the latest one here.
pub(crate) fn is_repeat(notification: &Notification, accepted: &Notification, digest: &str) -> bool {
    match [Rule::V1, Rule::V2].into_iter().find(|rule| digest.split(':').next() == Some(rule.name())) {
        Some(rule) => digest_by(rule, notification) == digest,
        None => digest_by(Rule::V2, notification) == digest_by(Rule::V2, accepted),
    }
}

fn digest_by(rule: Rule, notification: &Notification) -> String {
    let content = Content {
        data: &notification.data,
        partitionkey: notification.partitionkey.as_deref(),
        sequence: match rule {
            Rule::V1 => None,
            Rule::V2 => notification.sequence,
        },
        source: &notification.source,
        subject: notification.subject.as_deref(),
        r#type: &notification.r#type,
    };
    let content = serde_json::to_vec(&content).expect("text and canonical JSON always serialise");
    format!("{}:{}", rule.name(), hex(&Sha256::digest(content)))
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
        assert_eq!(digest_of(EVENT), format!("v2:{}", hex(&Sha256::digest(content))));
    }

    #[test]
    fn data_that_is_left_out_is_null() {
        let null = EVENT.replace(r#"{"b":1.0,"a":"x"}"#, "null");
        assert_eq!(digest_of(&null), digest_of(&EVENT.replace(r#","data":{"b":1.0,"a":"x"}"#, "")));
        assert_ne!(digest_of(&null), digest_of(EVENT));
    }

    #[test]
    fn covers_what_the_message_says_and_nothing_else() {
        let same = [
            r#"{"id":"1","source":"s","type":"t","specversion":"1.0","kind":"event","data":{"a":"x","b":1}}"#,
            r#"{"id":"2","source":"s","type":"t","specversion":"1.0","kind":"command","time":"2026-11-22T00:00:00Z","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=1","dataschema":"s","tenant":"a","data":{"a":"x","b":1}}"#,
        ];
        let other = [
            EVENT.replace("1.0,", "2,"),
            EVENT.replace(r#""type":"t""#, r#""type":"u""#),
            EVENT.replace(r#""source":"s""#, r#""source":"r""#),
            EVENT.replace(r#""source":"s""#, r#""source":"s","subject":"x""#),
            EVENT.replace(r#""source":"s""#, r#""source":"s","partitionkey":"x""#),
            EVENT.replace(r#""source":"s""#, r#""source":"s","partitionkey":"x","sequence":1"#),
            EVENT.replace(r#""source":"s""#, r#""source":"s","partitionkey":"x","sequence":2"#),
        ];
        same.iter().for_each(|text| assert_eq!(digest_of(text), digest_of(EVENT), "{text}"));
        other.iter().for_each(|text| assert_ne!(digest_of(text), digest_of(EVENT), "{text}"));
        let digests: std::collections::BTreeSet<_> = other.iter().map(|text| digest_of(text)).collect();
        assert_eq!(digests.len(), other.len());
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
    fn a_repeat_is_judged_by_the_rule_of_what_was_accepted() {
        let numbered = |sequence: u32| {
            let with = format!(r#""source":"s","partitionkey":"x","sequence":{sequence}"#);
            Notification::from(Checked::decode(EVENT.replace(r#""source":"s""#, &with).as_bytes()).unwrap())
        };
        let (one, two) = (numbered(1), numbered(2));
        let by = |rule| digest_by(rule, &one);
        assert!(is_repeat(&two, &one, &by(Rule::V1)) && is_repeat(&one, &one, &by(Rule::V1)));
        assert!(!is_repeat(&two, &one, &by(Rule::V2)) && is_repeat(&one, &one, &by(Rule::V2)));
        assert!(
            !is_repeat(&two, &one, "v3:of a later release") && is_repeat(&one, &one, "v3:of a later release")
        );
    }
}
