//! `handover destinations`. These tests need no deployed stack.

use std::process::{Output, Stdio};

use handover::record::{Record, RecordedFault, State, bucket};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::close::denied;
use crate::connect::File;
use crate::scripted::{Answer, Aws};
use crate::table::{accepted, moved, table};
use crate::text;

/// Routes of the destinations `audit`, which is not deployed, and `refund`.
const ROUTES: &str = r#"{ "refund": { "kind": "event", "destinations": ["audit", "refund"] } }"#;

/// The stack with these records, with these event source mappings.
fn stack(records: Vec<Record>, mappings: Answer) -> Aws {
    stack_that_has_checked(None, records, mappings)
}

/// The same, where reconcile has checked what is before this time.
fn stack_that_has_checked(until: Option<Timestamp>, records: Vec<Record>, mappings: Answer) -> Aws {
    let cursor = until.map(|until| json!({ "Item": { "slot": { "N": until.as_second().to_string() } } }));
    table(records, move |call, body| match call {
        "GetItem" if body["TableName"] == "scripted-reconcile" => Some((200, cursor.clone()?)),
        "GetQueueUrl" if body["QueueName"] == "scripted-refund-dead-letters" => {
            Some((200, json!({ "QueueUrl": "http://sqs/refund" })))
        }
        "GetQueueUrl" => {
            Some((400, json!({ "__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no" })))
        }
        "GetQueueAttributes" => {
            let depth =
                json!({ "ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "1" });
            Some((200, json!({ "Attributes": depth })))
        }
        "GET /2015-03-31/event-source-mappings" => Some(mappings.clone()),
        _ => None,
    })
}

/// The mappings of `refund`.
fn mapped() -> Answer {
    let mapping = |source: &str, state: &str| {
        let source = format!("arn:aws:{source}");
        json!({ "EventSourceArn": source, "FunctionArn": "arn:aws:lambda:f", "State": state })
    };
    let of = [
        mapping("kinesis:us-east-1:1:stream/scripted-notifications", "Disabled"),
        mapping("sqs:us-east-1:1:scripted-refund-retry", "Enabled"),
    ];
    (200, json!({ "EventSourceMappings": of }))
}

fn destinations(stack: &Aws, arguments: &[&str]) -> Output {
    let routes = File::new(ROUTES);
    let named = ["destinations", "--routes", routes.path()];
    stack.handover(&[&named, arguments].concat(), Stdio::piped())
}

/// One that is open at `refund` with a fault, and done at `audit`; one that is dead at both; and one that is open where
/// no route leads any more.
fn records() -> Vec<Record> {
    let mut open = moved(accepted("open", "refund", 120), [State::Done, State::Pending]);
    // It was dispatched again, and is checked later.
    open.bucket = accepted("open", "refund", -60).bucket;
    let at = Timestamp::from_second(1_000).unwrap();
    let fault = RecordedFault { since: at, at: at + SignedDuration::from_mins(1), error: "denied".into() };
    open.destinations.get_mut("refund").unwrap().fault = Some(fault);
    let dead = moved(accepted("dead", "refund", 10), [State::Dead; 2]);
    vec![open, dead, accepted("lost", "order", 1)]
}

#[test]
fn each_destination_is_shown_with_what_waits_there() {
    let shown = destinations(&stack(records(), mapped()), &["--json"]);
    let mut view: Value = serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"));
    let oldest = view["destinations"][2]["oldest_open"].take();
    let age = oldest["age_seconds"].as_i64().unwrap();
    assert!((7_200..7_500).contains(&age) && oldest["accepted_at"].is_string(), "{oldest}");
    view["destinations"][1]["oldest_open"].take();
    let expected = json!({ "destinations": [
        { "name": "audit", "is_routed": true, "is_deployed": false, "open": 0, "dead": 1 },
        { "name": "gone", "is_routed": false, "is_deployed": false, "open": 1, "dead": 0, "oldest_open": null },
        {
            "name": "refund",
            "is_routed": true,
            "is_deployed": true,
            "mappings": { "stream": "Disabled", "retry_queue": "Enabled" },
            "open": 1,
            "dead": 1,
            "oldest_open": null,
            "dead_letters": 3,
            "fault": { "since": "1970-01-01T00:16:40.000Z", "at": "1970-01-01T00:17:40.000Z", "error": "denied" },
        },
    ] });
    assert_eq!(view, expected);
}

#[test]
fn what_cannot_be_known_is_left_out() {
    let shown = destinations(&stack(records(), denied("ListEventSourceMappings")), &[]);
    let (lines, notes) = (text(&shown.stdout), text(&shown.stderr));
    let words: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["audit", "not", "deployed", "0", "1"], "{lines}");
    assert_eq!(words[3][..5], ["refund", "deployed", "1", "1", "2h"], "{lines}");
    assert!(lines.trim_end().ends_with("3             1970-01-01T00:17:40.000Z denied"), "{lines}");
    assert!(notes.contains("note: whether the mappings are enabled is not known (ListEvent"), "{notes}");
    assert_eq!(shown.status.code(), Some(0));
}

#[test]
fn a_count_that_is_cut_off_is_marked() {
    let records = (0..1_001).map(|id| accepted(&id.to_string(), "order", 1)).collect();
    let shown = destinations(&stack(records, mapped()), &[]);
    let lines = text(&shown.stdout);
    let words: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["audit", "not", "deployed", "0+", "0+"], "{lines}");
    assert!(words[2].contains(&"1000+"), "{lines}");
    assert!(lines.ends_with("+: there may be more; `handover list` counts all.\n"), "{lines}");
}

#[test]
fn slots_that_reconcile_has_checked_are_not_read() {
    let unchecked = Timestamp::now() - SignedDuration::from_hours(2);
    let stack = stack_that_has_checked(Some(unchecked), vec![], mapped());
    let shown = destinations(&stack, &[]);
    assert_eq!((text(&shown.stderr), shown.status.code()), ("", Some(0)));
    let slot =
        |query: &Value| query["ExpressionAttributeValues"][":bucket"]["S"].as_str().unwrap().to_owned();
    let open = |bucket: &String| !bucket.starts_with("dead");
    let read: Vec<String> = stack.calls("Query").iter().map(slot).filter(open).collect();
    let first = bucket_of(unchecked);
    let (earliest, latest) = (read.iter().min().unwrap(), bucket_of(Timestamp::now()));
    assert!(earliest.starts_with(&first) && read[0] > latest, "{earliest}, {first}, {}", read[0]);
}

/// The slot of a time, as the index has it.
fn bucket_of(time: Timestamp) -> String {
    bucket("any", time).split_once('#').unwrap().0.to_owned()
}

#[test]
fn without_routes_it_says_so() {
    let stack = table(vec![], |call, _| call.starts_with("GET /").then(|| denied(call)));
    let shown = stack.handover(&["destinations"], Stdio::piped());
    let error = text(&shown.stderr);
    assert!(error.starts_with("error[no-routes]: the stack's routes cannot be read ("), "{error}");
    assert_eq!(shown.status.code(), Some(1));
}

/// It is no lack of routes, nor of a permission.
#[test]
fn a_throttle_of_the_routes_is_one() {
    for (status, r#type) in [(429, "TooManyRequestsException"), (400, "ThrottlingException")] {
        let throttled = (status, json!({ "__type": r#type, "message": "slow down" }));
        let stack = table(vec![], move |call, _| call.starts_with("GET /").then(|| throttled.clone()));
        let shown = stack.handover(&["destinations"], Stdio::piped());
        let error = text(&shown.stderr);
        assert!(error.starts_with("error[throttled]: ") && error.contains("GetFunctionConf"), "{error}");
    }
}
