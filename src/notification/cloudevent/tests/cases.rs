//! What producers of other systems send, from specifications, vendors' samples and public reports of bugs: each is
//! taken, or refused with its cause.

use super::*;
use crate::notification::Routes;

/// The event with these attributes. An attribute that is not among them has a usual value.
fn event(attributes: &str) -> String {
    let usual = [
        ("specversion", r#""1.0""#),
        ("id", r#""1""#),
        ("type", r#""t""#),
        ("source", r#""orders""#),
        ("data", r#"{"account":"acc-1","amount":5}"#),
    ];
    let missing = usual.iter().filter(|(name, _)| !attributes.contains(&format!("\"{name}\":")));
    let missing: String = missing.map(|(name, value)| format!(",\"{name}\":{value}")).collect();
    format!("{{{attributes}{missing}}}")
}

fn decoded(attributes: &str) -> Result<Checked, Refusal> {
    let routes: Routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
    routes.decode(event(attributes).as_bytes())
}

fn taken(attributes: &str) -> Checked {
    decoded(attributes).unwrap_or_else(|refusal| panic!("{attributes}: {refusal}"))
}

/// Each is refused with this code, and says this.
fn refused(cases: &[(&str, &str, &str)]) {
    for (attributes, code, said) in cases {
        let refusal = decoded(attributes).expect_err(attributes);
        assert_eq!(refusal.code().as_str(), *code, "{attributes}");
        assert!(refusal.to_string().contains(said), "{refusal}, not {said}");
    }
}

#[test]
fn null_is_absent() {
    let plain = Notification::from(taken(r#""subject":null"#));
    for attributes in [
        r#""unsetextension":null"#,
        r#""dataschema":null"#,
        r#""subject":null,"time":null,"dataschema":null,"datacontenttype":"application/json""#,
        r#""data_base64":null"#,
        r#""kind":null"#,
    ] {
        assert_eq!(Notification::from(taken(attributes)), plain, "{attributes}");
    }
}

#[test]
fn data_is_json_or_the_cause_is_named() {
    for json in [
        "application/json",
        "application/json; charset=utf-8",
        "text/json",
        "application/vnd.api+json",
        "application/cloudevents+json",
    ] {
        taken(&format!(r#""datacontenttype":"{json}""#));
    }
    let null = taken(r#""data":null"#);
    assert_eq!(null.data.as_str(), "null");
    let without = r#"{"specversion":"1.0","id":"1","type":"t","source":"orders","kind":"event"}"#;
    assert_eq!(Checked::decode(without.as_bytes()), Ok(null));
    assert_eq!(taken(r#""data":"{\"amount\":5}""#).data.as_str(), r#""{\"amount\":5}""#);
    refused(&[
        (
            r#""datacontenttype":"application/xml","data":"<msg/>""#,
            "invalid",
            "`datacontenttype` is no media type",
        ),
        (
            r#""datacontenttype":"text/plain","data":"Hello, World!""#,
            "invalid",
            "`datacontenttype` is no media",
        ),
        (
            r#""datacontenttype":"application/octet-stream","data_base64":"AAARSGVsbG8gV29ybGQ=""#,
            "invalid",
            "`data_base64` holds binary data",
        ),
        (r#""data_base64":"\u002B\u002B\u002B\u002B""#, "invalid", "`data_base64` holds binary data"),
    ]);
}

#[test]
fn tracing_is_carried_or_left_out() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = |attributes: &str| {
        let taken = taken(attributes);
        (taken.traceparent.clone(), taken.tracestate.clone())
    };
    let parent = Some(PARENT.to_owned());
    assert_eq!(trace(&format!(r#""traceparent":"{PARENT}""#)), (parent.clone(), None));
    let state = trace(&format!(r#""traceparent":"{PARENT}","tracestate":"rojo=00f067aa0ba902b7""#));
    assert_eq!(state, (parent.clone(), Some("rojo=00f067aa0ba902b7".into())));
    assert_eq!(trace(r#""traceparent":"123""#), (None, None));
    assert_eq!(trace(r#""traceparent":"""#), (None, None));
    let later = PARENT.replacen("00", "01", 1) + "-extra";
    assert_eq!(trace(&format!(r#""traceparent":"{later}""#)), (parent.clone(), None));
    let dapr = taken(&format!(
        r#""topic":"orders","pubsubname":"order_pub_sub","traceid":"{PARENT}","tracestate":"","traceparent":"{PARENT}","time":"2020-09-23T06:23:21Z""#
    ));
    assert_eq!((&dapr.traceparent, &dapr.tracestate), (&parent, &None));
    assert_eq!(dapr.extensions.keys().collect::<Vec<_>>(), ["pubsubname", "topic", "traceid"]);
}

#[test]
fn a_sequence_is_a_number_or_digits() {
    let numbered = |sequence: &str| taken(&format!(r#""partitionkey":"k","sequence":{sequence}"#));
    for one in [r#""1""#, r#""0000000001","sequencetype":"Integer""#, "1"] {
        assert_eq!(numbered(one).sequence, Some(1), "{one}");
    }
    assert_eq!(numbered(r#""4294967296""#).sequence, Some(1 << 32));
    refused(&[
        (
            r#""partitionkey":"k","sequence":4294967296"#,
            "wrong-type",
            "`sequence` is not an integer up to 2^31",
        ),
        (r#""partitionkey":"k","sequence":1.0"#, "wrong-type", "`sequence` is not an integer"),
        (r#""partitionkey":"k","sequence":1e0"#, "wrong-type", "`sequence` is not an integer"),
        (r#""sequence":3"#, "invalid", "send a `partitionkey`"),
    ]);
}

/// The rest of RFC 3339 is tested in `rfc3339.rs`.
#[test]
fn a_time_is_that_of_rfc_3339() {
    let time = |text: &str| decoded(&format!(r#""time":"{text}""#)).map(|taken| taken.time.unwrap());
    for (text, same) in [
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.52Z"),
        ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.87Z"),
        ("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59Z"),
        ("2026-11-22T08:15:00.123456789Z", "2026-11-22T08:15:00.123456789Z"),
        ("2026-11-22T08:15:00.1234567890123Z", "2026-11-22T08:15:00.123456789Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00Z"),
    ] {
        assert_eq!(time(text), Ok(same.parse().unwrap()), "{text}");
    }
    for text in ["2026-11-22T08:15Z", "2023-01-25T19:07:06.370582GMT", "2026-11-22T08:15:00+25:00"] {
        assert!(
            time(text).unwrap_err().to_string().starts_with("`time` is not a time of RFC 3339"),
            "{text}"
        );
    }
}

/// The rest of numbers is tested in `json/tests.rs`.
#[test]
fn a_number_is_a_double() {
    let number =
        |text: &str| decoded(&format!(r#""data":{text}"#)).map(|taken| taken.data.as_str().to_owned());
    for (text, kept) in [
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.10000000000000001", "0.1"),
        ("4.9E-324", "5e-324"),
        ("2E23", "2e+23"),
        ("9007199254740992", "9007199254740992"),
        ("-0", "0"),
        ("100.10", "100.1"),
    ] {
        assert_eq!(number(text).as_deref(), Ok(kept), "{text}");
    }
    let lost = ["9007199254740993", "1524831183200260097", "1E400", "79228162514264337593543950335"];
    for text in lost {
        assert_eq!(number(text), Err(Refusal::Number { path: "data".into() }), "{text}");
    }
}

#[test]
fn vendors_events_are_taken_with_their_extensions() {
    let azure = r#""source":"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/a-resource-group-of-a-realistic-length/providers/Microsoft.Storage/storageAccounts/examplestorageaccount","time":"2019-11-18T15:13:39.4589254Z""#;
    for length in [64, 512, 1_024] {
        taken(&format!(r#"{azure},"subject":"{}""#, "x".repeat(length)));
    }
    let knative = taken(
        r#""id":"A8A6BD24B2AE5FF-0000000000000017","time":"2021-11-17T22:48:50.306Z","knativearrivaltime":"2021-11-17T22:48:50.315578709Z""#,
    );
    assert_eq!(knative.extensions["knativearrivaltime"], "2021-11-17T22:48:50.315578709Z".into());
    let google = taken(
        r#""source":"//storage.googleapis.com/projects/_/buckets/my-bucket","subject":"objects/my-file.txt","bucket":"my-bucket","data":{"size":"352"}"#,
    );
    assert_eq!(google.extensions["bucket"], "my-bucket".into());
    taken(r#""datacontenttype":"application/cloudevents+json","data":{"data":{"grandchild":"other"}}"#);
    let confluent =
        r#""source":"crn:///kafka=example","confluentRouting":{"route":"confluent-audit-log-events"}"#;
    refused(&[(confluent, "unknown-attribute", "`confluentRouting` is not a name of an attribute")]);
}

#[test]
fn odd_characters_are_taken() {
    let mark = format!("\u{feff}{}\r\n", event(r#""kind":"event""#));
    assert!(Checked::decode(mark.as_bytes()).is_ok());
    assert_eq!(taken("\"subject\":\"\u{fffe}\"").subject.as_deref(), Some("\u{fffe}"));
    assert_eq!(taken(r#""data":"\uffff""#).data.as_str(), "\"\u{ffff}\"");
}
