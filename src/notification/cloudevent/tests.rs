mod cases;

use super::*;
use crate::code::Code;
use crate::notification::{Checked, Draft, EVENT_BYTES_MAX};
use proptest::prelude::*;

const EVENT: &str = r#"{"specversion":"1.0","id":"r-1","type":"refund.requested","kind":"command","source":"orders","data":{"amount":5}}"#;

/// The event with one attribute set to the given JSON, or removed where that is empty.
fn with(name: &str, value: &str) -> Result<Notification, Refusal> {
    let mut event: Map<String, Value> = serde_json::from_str(EVENT).unwrap();
    match value {
        "" => drop(event.remove(name)),
        value => drop(event.insert(name.into(), serde_json::from_str(value).unwrap())),
    }
    Checked::decode(&serde_json::to_vec(&event).unwrap()).map(Notification::from)
}

#[test]
fn decodes_an_event() {
    let notification = Checked::decode(EVENT.as_bytes()).unwrap();
    assert_eq!(notification.id, "r-1");
    assert_eq!(notification.kind, Kind::Command);
    assert_eq!(notification.data.as_str(), r#"{"amount":5}"#);
    assert_eq!(encode(&notification), EVENT.as_bytes());
    assert_eq!(encoded_bytes(&notification), EVENT.len());
}

#[test]
fn each_mistake_has_its_own_reason() {
    for field in ["specversion", "id", "type", "kind", "source"] {
        assert_eq!(with(field, ""), Err(Refusal::Missing { field }));
    }
    for field in
        ["specversion", "id", "type", "kind", "source", "subject", "time", "partitionkey", "dataschema"]
    {
        let refused = Err(Refusal::WrongType { field: field.into(), expected: "a string" });
        assert_eq!(with(field, "7"), refused);
    }
    for wrong in ["1.5", "1.0", "1e0", "-1", "2147483648", "\"\"", "\"+1\"", "\"1.0\"", "[1]"] {
        assert_eq!(with("sequence", wrong).unwrap_err().code(), Code::WrongType, "{wrong}");
    }
    assert_eq!(with("kind", "\"query\""), Err(Refusal::UnknownKind));
    assert_eq!(with("specversion", "\"0.3\"").unwrap_err().code(), Code::Invalid);
    for other in ["text/xml", "text/plain", "application/octet-stream", "json", "/json", ""] {
        assert_eq!(with("datacontenttype", &format!("\"{other}\"")).unwrap_err().code(), Code::Invalid);
    }
    for json in ["application/JSON; charset=utf-8", "text/json", "application/vnd.api+json"] {
        assert!(with("datacontenttype", &format!("\"{json}\"")).is_ok(), "{json}");
    }
    assert_eq!(with("id", "null"), Err(Refusal::Missing { field: "id" }));
    assert_eq!(with("subject", "null").unwrap().subject, None);
    assert_eq!(with("data", "null").unwrap().data.as_str(), "null");
    assert_eq!(with("time", "\"yesterday\"").unwrap_err().code(), Code::Invalid);
    assert_eq!(with("dataschema", "\"\"").unwrap_err().code(), Code::Invalid);
    let nearest = Some("partitionkey");
    let unknown = Refusal::UnknownAttribute { name: "partitionKey".into(), nearest };
    assert_eq!(with("partitionKey", "{}"), Err(unknown));
    let of_0_1 = EVENT.replace("\"type\"", "\"eventType\"");
    let unknown = Refusal::UnknownAttribute { name: "eventType".into(), nearest: Some("type") };
    assert_eq!(Checked::decode(of_0_1.as_bytes()), Err(unknown));
    assert_eq!(Checked::decode(b"[]"), Err(Refusal::NotAnObject));
    assert_eq!(Checked::decode(b"{\xff}"), Err(Refusal::NotUtf8 { at: 1 }));
    assert_eq!(Checked::decode(b"{\"id\":1,\"id\":1}").unwrap_err().code(), Code::DuplicateKey);
    let large = EVENT.replace('5', &format!("\"{}\"", "5".repeat(EVENT_BYTES_MAX)));
    assert_eq!(Checked::decode(large.as_bytes()).unwrap_err().code(), Code::TooLarge);
}

#[test]
fn an_attribute_that_is_null_is_absent() {
    for name in ["subject", "time", "dataschema", "data_base64", "traceparent", "unsetextension"] {
        assert_eq!(encode_of(with(name, "null")), EVENT, "{name}");
    }
}

#[test]
fn a_sequence_is_an_integer_or_digits() {
    let numbered = |sequence: &str| {
        let text =
            EVENT.replace(r#","data""#, &format!(r#","partitionkey":"k","sequence":{sequence},"data""#));
        Checked::decode(text.as_bytes()).map(|event| event.sequence)
    };
    for one in ["1", "\"1\"", "\"0000000001\""] {
        assert_eq!(numbered(one), Ok(Some(1)), "{one}");
    }
    assert_eq!(numbered("2147483647"), Ok(Some(2_147_483_647)));
    assert_eq!(numbered("\"9007199254740991\""), Ok(Some((1 << 53) - 1)));
    assert_eq!(numbered("\"9007199254740992\"").unwrap_err().code(), Code::Invalid);
    assert_eq!(numbered("0").unwrap_err().code(), Code::Invalid);
}

#[test]
fn a_trace_that_does_not_parse_is_left_out() {
    for odd in ["7", "\"\"", "\"123\"", "{}"] {
        assert_eq!(encode_of(with("traceparent", odd)), EVENT, "{odd}");
    }
}

#[test]
fn a_tracestate_goes_with_its_traceparent() {
    const PARENT: &str = "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
    let state = |parent: &str, state: &str| {
        let event = EVENT.replace("\"data\"", &format!("{parent},\"tracestate\":{state},\"data\""));
        Checked::decode(event.as_bytes()).unwrap().tracestate.clone()
    };
    assert_eq!(state(PARENT, "\"a=1 , b=2\"").as_deref(), Some("a=1,b=2"));
    for odd in ["\"\"", "\"a\"", "7", "{}", "null"] {
        assert_eq!(state(PARENT, odd), None, "{odd}");
    }
    for parent in ["\"subject\":\"x\"", "\"traceparent\":\"123\""] {
        assert_eq!(state(parent, "\"a=1\""), None, "{parent}");
    }
}

#[test]
fn an_extension_is_text_a_boolean_or_an_integer() {
    let extension = |value: &str| {
        let event = EVENT.replace("\"data\"", &format!("\"tenant\":{value},\"data\""));
        Checked::decode(event.as_bytes()).map(|event| event.extensions["tenant"].clone())
    };
    for (value, is) in [
        ("\"\"", "".into()),
        ("\"7\"", "7".into()),
        ("false", false.into()),
        ("-2147483648", i32::MIN.into()),
        ("2147483647", i32::MAX.into()),
        ("-0", 0.into()),
    ] {
        assert_eq!(extension(value), Ok(is), "{value}");
    }
    for wrong in ["2147483648", "1.0", "1e0", "0.5", "[]", "{}"] {
        let said = extension(wrong).unwrap_err();
        assert_eq!(
            (said.code(), said.to_string().starts_with("`tenant` is not a string")),
            (Code::WrongType, true)
        );
    }
    assert_eq!(extension("\"a\\u0007\"").unwrap_err().code(), Code::Invalid);
}

#[test]
fn a_time_is_kept_to_the_nanosecond() {
    for (text, kept) in [
        ("2026-11-22T08:15:00.1234567899Z", "2026-11-22T08:15:00.123456789Z"),
        ("0000-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-30T22:00:00Z"),
    ] {
        let time = with("time", &format!("\"{text}\"")).unwrap().time;
        assert_eq!(time, Some(kept.parse().unwrap()), "{text}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(encode_of(Checked::decode(format!("\u{feff}{EVENT}").as_bytes()).map(Into::into)), EVENT);
}

fn encode_of(notification: Result<Notification, Refusal>) -> String {
    String::from_utf8(encode(&notification.unwrap())).unwrap()
}

#[test]
fn no_reason_quotes_a_value() {
    let secret = "s3cr3t-of-the-sender";
    for field in ["specversion", "kind", "time", "datacontenttype", "sequence", "data_base64", "Tenant"] {
        let reason = with(field, &format!("\"{secret}\"")).unwrap_err().to_string();
        assert!(!reason.contains(secret), "{reason}");
    }
}

fn any_extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        any::<bool>().prop_map(Extension::Boolean),
        any::<i32>().prop_map(Extension::Integer),
        "[a-zA-Z0-9 é€😀\u{ffff}]{0,40}".prop_map(Extension::Text),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        id in "[!-~]{1,128}",
        command: bool,
        subject in proptest::option::of("[a-zA-Z0-9 é€😀]{1,40}"),
        nanoseconds in proptest::option::of(0i128..4_102_444_800_000_000_000),
        key in proptest::option::of(("[a-z]{1,20}", proptest::option::of(1u64..=(1 << 53) - 1))),
        dataschema in proptest::option::of("[!-~]{1,40}"),
        extensions in proptest::collection::btree_map("x[a-z0-9]{0,20}", any_extension(), 0..4),
        data in any::<(String, f64, bool)>().prop_filter("finite", |(_, n, _)| n.is_finite()),
    ) {
        let draft = if command { Draft::command("t", "s", &data) } else { Draft::event("t", "s", &data) };
        let mut notification = Notification::from(draft.build(id).unwrap());
        notification.subject = subject;
        notification.time = nanoseconds.map(|time| Timestamp::from_nanosecond(time).unwrap());
        (notification.dataschema, notification.extensions) = (dataschema, extensions);
        if let Some((key, sequence)) = key {
            notification.partitionkey = Some(key);
            notification.sequence = sequence;
        }
        prop_assert_eq!(Notification::from(Checked::decode(&encode(&notification)).unwrap()), notification);
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Checked::decode(&bytes);
    }
}
