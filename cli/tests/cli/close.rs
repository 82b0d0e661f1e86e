//! `handover close` where AWS fails, and what cannot be printed. These tests need no deployed stack.

use std::fs::OpenOptions;
use std::process::Stdio;
use std::sync::Mutex;

use handover::dynamodb::Client;
use handover::dynamodb::config::{BehaviorVersion, Config};
use handover::dynamodb::types::AttributeValue;
use handover::record::Dispatch;
use handover::{Checked, Clock, Draft, Ledger, Outbox};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::scripted::{Answer, Aws, item};
use crate::text;

/// The record of an event with the destinations `a` and `b`, in these states.
pub fn record(states: [&str; 2]) -> Value {
    let routes = r#"{"t":{"kind":"event","destinations":["a","b"]}}"#.parse().unwrap();
    let client = Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build());
    let outbox = Outbox::new(Ledger::new(client, "none"), routes, Clock::system());
    let event = br#"{"specversion":"1.0","id":"1","type":"t","kind":"event","source":"s","data":{}}"#;
    let message = outbox.accept(Checked::decode(event).unwrap()).unwrap();
    let mut record = message.action().put.unwrap().item;
    let count = |state| states.iter().filter(|at| **at == state).count();
    let status = match (count("pending"), count("dead")) {
        (0, 0) => "CLOSED",
        (0, _) => "DEAD",
        _ => "INIT",
    };
    record.insert("status".into(), AttributeValue::S(status.into()));
    for (name, state) in [("open", "pending"), ("dead", "dead"), ("closed", "closed")] {
        record.insert(name.into(), AttributeValue::N(count(state).to_string()));
    }
    let AttributeValue::M(destinations) = record.get_mut("destinations").unwrap() else { panic!() };
    for (name, state) in ["a", "b"].into_iter().zip(states) {
        let AttributeValue::M(delivery) = destinations.get_mut(name).unwrap() else { panic!() };
        delivery.insert("state".into(), AttributeValue::S(state.into()));
    }
    item(&record)
}

/// A stack whose queues have a dead letter of this notification each, and whose table answers reads with these records
/// in turn, the last one from then on. What `answer` knows an answer to is answered so.
pub fn stack(
    records: Vec<Value>,
    answer: impl Fn(&str, &Value) -> Option<Answer> + Send + Sync + 'static,
) -> Aws {
    let dispatch = Dispatch {
        notification: Draft::event("t", "s", &0).build("1").unwrap().into(),
        destinations: vec!["a".into(), "b".into()],
        sequenced: vec![],
        number: 1,
        redispatched: false,
        version: Some(1),
        accepted_at: Timestamp::UNIX_EPOCH,
        relayed_at: Timestamp::UNIX_EPOCH,
    };
    let dispatch = String::from_utf8(dispatch.encode()).unwrap();
    let (reads, received) = (Mutex::new(0), Mutex::new(Vec::new()));
    let usual = move |call: &str, body: &Value| match call {
        "GetItem" => {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            (200, json!({ "Item": records[(*reads).min(records.len()) - 1] }))
        }
        "GetQueueUrl" => (200, json!({ "QueueUrl": format!("http://sqs/{}", body["QueueName"]) })),
        "ReceiveMessage" => {
            let mut received = received.lock().unwrap();
            let is_first = !received.contains(&body["QueueUrl"]);
            received.push(body["QueueUrl"].clone());
            let letter = json!({ "MessageId": "m", "ReceiptHandle": "r", "Body": dispatch });
            (200, json!({ "Messages": if is_first { vec![letter] } else { vec![] } }))
        }
        _ => (200, json!({})),
    };
    Aws::new(move |call, body| answer(call, body).unwrap_or_else(|| usual(call, body)))
}

pub fn denied(call: &str) -> Answer {
    (400, json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "message": call }))
}

/// What the command says, with its exit code, and how many dead letters it deletes.
fn closed(stack: &Aws, arguments: &[&str]) -> (String, String, Option<i32>, usize) {
    let output = stack.handover(arguments, Stdio::piped());
    let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| text(bytes).to_owned());
    (said, errors, output.status.code(), stack.calls("DeleteMessage").len())
}

const CLOSE: [&str; 8] = ["close", "1", "--source", "s", "--reason", "paid", "--ledger-days", "90"];

#[test]
fn a_fault_at_one_destination_does_not_keep_the_others_from_being_closed() {
    let is_of_a = |body: &Value| body["ExpressionAttributeNames"].to_string().contains("\"a\"");
    let stack = stack(vec![record(["dead", "dead"])], move |call, body| {
        (call == "UpdateItem" && is_of_a(body)).then(|| denied("UpdateItem"))
    });
    let (said, errors, code, deleted) = closed(&stack, &CLOSE);
    assert_eq!((&*said, code, deleted), ("1 closed at 1 of 2 destinations\n", Some(1), 1), "{errors}");
    assert!(errors.starts_with("a: "), "{errors}");
    let (said, ..) = closed(&stack, &[&CLOSE[..], &["--json"]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    let [a, b] = [0, 1].map(|at| &said["destinations"][at]);
    assert_eq!([&said["id"], &said["source"], &a["name"], &a["code"]], ["1", "s", "a", "denied"], "{said}");
    assert!(a["error"].as_str().unwrap().contains("UpdateItem"), "{said}");
    assert_eq!(*b, json!({ "name": "b", "state": "closed" }));
    let deleted = stack.calls("DeleteMessage");
    assert!(deleted[0]["QueueUrl"].as_str().unwrap().contains("scripted-b-dead-letters"), "{deleted:?}");
}

#[test]
fn what_is_closed_in_spite_of_a_fault_has_no_dead_letters() {
    let records = vec![record(["dead", "done"]), record(["closed", "done"])];
    let stack = stack(records, |call, _| (call == "UpdateItem").then(|| denied(call)));
    let (said, errors, code, deleted) = closed(&stack, &CLOSE);
    assert_eq!((&*said, code, deleted), ("1 closed at 1 of 2 destinations\n", Some(1), 1), "{errors}");
}

#[test]
fn closing_again_deletes_what_is_left_and_succeeds() {
    let was = record(["closed", "done"]);
    let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    let failed = json!({ "__type": code, "Item": was });
    let stack = stack(vec![was], move |call, _| (call == "UpdateItem").then(|| (400, failed.clone())));
    let (said, errors, code, deleted) = closed(&stack, &CLOSE);
    assert_eq!(said, "a: already closed\n1 closed at 1 of 2 destinations\n", "{errors}");
    assert_eq!((code, deleted), (Some(0), 1));
    let (said, errors, code, deleted) = closed(&stack, &[&CLOSE[..], &["--destination", "b"]].concat());
    assert_eq!(said, "b: already done\n1 closed at 0 of 2 destinations\n", "{errors}");
    assert_eq!((code, deleted), (Some(1), 1));
    let (said, ..) = closed(&stack, &[&CLOSE[..], &["--destination", "b", "--json"]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["destinations"], json!([{ "name": "b", "state": "done", "note": "already done" }]));
}

#[test]
fn a_dead_letter_that_is_not_deleted_is_released() {
    let record = record(["dead", "done"]);
    let stack = stack(vec![record], |call, _| (call == "DeleteMessage").then(|| denied(call)));
    let (said, errors, code, _) = closed(&stack, &CLOSE);
    assert_eq!((&*said, code), ("1 closed at 1 of 2 destinations\n", Some(1)), "{errors}");
    let released = stack.calls("ChangeMessageVisibilityBatch");
    assert_eq!(released[0]["Entries"][0]["ReceiptHandle"], "r", "{released:?}");
}

#[test]
fn a_destination_without_a_queue_has_no_dead_letters() {
    let absent = (400, json!({ "__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no" }));
    let record = record(["pending", "done"]);
    let stack = stack(vec![record], move |call, _| (call == "GetQueueUrl").then(|| absent.clone()));
    let (said, errors, code, deleted) = closed(&stack, &CLOSE);
    assert_eq!((&*said, &*errors), ("1 closed at 1 of 2 destinations\n", ""));
    assert_eq!((code, deleted), (Some(0), 0));
}

#[test]
fn a_full_disk_is_said_once_and_what_was_begun_is_ended() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let stack = stack(vec![record(["dead", "dead"])], |_, _| None);
    for arguments in [&["status", "1", "--source", "s"][..], &CLOSE] {
        let output = stack.handover(arguments, full());
        let errors = text(&output.stderr);
        assert!(errors.starts_with("error: the output cannot be written: "), "{errors}");
        assert_eq!((errors.lines().count(), output.status.code()), (1, Some(1)), "{errors}");
    }
    assert_eq!(stack.calls("DeleteMessage").len(), 2);
}
