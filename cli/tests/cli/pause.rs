//! `handover pause` and `handover resume`. The first test needs the deployed stack.

use std::process::{Output, Stdio};
use std::sync::Mutex;

use handover::record::Record;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::connect::File;
use crate::scripted::Aws;
use crate::table::{accepted, table};
use crate::{handover, open_account, status, text, unique};

/// What `stock` has is not handed over while it is paused, and `books` goes on.
#[tokio::test]
async fn what_goes_to_a_paused_destination_waits_until_it_is_resumed() {
    open_account().await;
    let paused = handover(&["pause", "stock", "--reason", "it is moved", "--json"], b"");
    let view: Value = serde_json::from_slice(&paused.stdout).unwrap_or_else(|_| panic!("{paused:?}"));
    assert_eq!((&view["paused"]["reason"], &view["was_paused"]), (&json!("it is moved"), &json!(false)));
    // A function may remember for so long that it is not paused.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let id = unique("approved");
    let event = format!(
        r#"{{"specversion":"1.0","id":"{id}","type":"refund.approved","kind":"event","source":"orders","data":{{"account":"cli","amount":7}}}}"#
    );
    assert!(handover(&["send", "-"], event.as_bytes()).status.success());
    let state = |name: &str| {
        let shown = handover(&["status", "--json", &id], b"");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        let all = shown[0]["destinations"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|delivery| delivery["name"] == name).unwrap_or_default()
    };
    let begun = std::time::Instant::now();
    while ["books", "crm", "refund"].iter().any(|name| state(name)["state"] != "done") {
        assert!(begun.elapsed().as_secs() < crate::WAIT_SECONDS_MAX, "{}", state("books"));
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let waits = state("stock");
    assert_eq!((&waits["state"], &waits["attempts"]), (&json!("pending"), &json!(0)));
    assert_eq!(waits["paused"]["reason"], "it is moved", "{waits}");
    let traced = handover(&["trace", &id], b"");
    let held = format!("{id} of orders, for stock: waits, since the destination is paused, since ");
    assert!(text(&traced.stdout).contains(&held), "{traced:?}");
    assert!(text(&traced.stdout).trim_end().ends_with("; paused: it is moved"), "{traced:?}");

    let again = handover(&["pause", "stock", "--reason", "another"], b"");
    assert!(text(&again.stdout).contains(": it is moved; nothing changed"), "{again:?}");
    let shown = handover(&["destinations"], b"");
    assert!(text(&shown.stdout).contains("paused since"), "{shown:?}");

    let resumed = handover(&["resume", "stock"], b"");
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert!(
        text(&resumed.stderr).contains("stock is resumed; what waits there is dispatched"),
        "{resumed:?}"
    );
    status(&id, "DONE");
    let repeated = handover(&["resume", "stock"], b"");
    assert!(text(&repeated.stderr).contains("stock was resumed at"), "{repeated:?}");
    assert_eq!(repeated.status.code(), Some(0), "{repeated:?}");
}

/// The stack with these records, whose destination `refund` is paused.
fn stack(records: Vec<Record>) -> Aws {
    let paused = Mutex::new(json!({ "paused_at": { "N": "1000" }, "reason": { "S": "it loses" } }));
    table(records, move |call, body| {
        if body["TableName"] != "scripted-positions" || body["Key"]["key"]["S"] != "refund" {
            return None;
        }
        let mut item = paused.lock().unwrap();
        let is_pause =
            body["UpdateExpression"].as_str().is_some_and(|update| update.contains("#paused_at = "));
        match (call, item["paused_at"].is_object()) {
            ("GetItem", _) => Some((200, json!({ "Item": *item }))),
            ("UpdateItem", _) if !is_pause => {
                *item = json!({ "resumed_at": { "N": "2000" } });
                Some((200, json!({})))
            }
            ("UpdateItem", _) => {
                let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
                Some((400, json!({ "__type": kind, "message": "no", "Item": *item })))
            }
            _ => None,
        }
    })
}

fn run(stack: &Aws, arguments: &[&str]) -> Output {
    let routes = File::new(r#"{ "refund": { "kind": "event", "destinations": ["audit", "refund"] } }"#);
    stack.handover(&[arguments, &["--routes", routes.path()]].concat(), Stdio::piped())
}

#[test]
fn a_repeat_changes_nothing_and_says_so() {
    let stack = stack(vec![]);
    let paused = run(&stack, &["pause", "refund", "--reason", "another"]);
    let said = "refund has been paused since 1970-01-01T00:00:01.000Z: it loses; nothing changed\n";
    assert_eq!((text(&paused.stdout), paused.status.code()), (said, Some(0)));
    for was_paused in [true, false] {
        let resumed = run(&stack, &["resume", "refund", "--json"]);
        let view: Value = serde_json::from_slice(&resumed.stdout).unwrap_or_else(|_| panic!("{resumed:?}"));
        assert_eq!(view["was_paused"], was_paused);
        assert_eq!((&view["dispatched"], &view["left"]), (&json!(0), &json!(0)));
    }
    let never = run(&stack, &["resume", "audit"]);
    // The table answers every update of it as made.
    assert_eq!(never.status.code(), Some(0), "{never:?}");
}

/// What was dispatched just before the resume may have been dropped; what is dispatched after it is on its way.
#[test]
fn a_resume_dispatches_what_waits_and_no_more() {
    let (waits, elsewhere) = (accepted("waits", "refund", 0), accepted("elsewhere", "order", 5));
    let mut later = accepted("later", "refund", 0);
    later.updated_at += SignedDuration::from_hours(1);
    let stack = stack(vec![waits, elsewhere, later]);
    let resumed = run(&stack, &["resume", "refund", "--rate", "1000", "--json"]);
    let view: Value = serde_json::from_slice(&resumed.stdout).unwrap_or_else(|_| panic!("{resumed:?}"));
    assert_eq!((&view["dispatched"], &view["left"]), (&json!(1), &json!(0)), "{resumed:?}");
    let updates = stack.calls("UpdateItem");
    let ids: Vec<&Value> = updates.iter().map(|update| &update["Key"]["id"]["S"]).collect();
    assert_eq!(ids, [&Value::Null, &json!("waits")]);
}

#[test]
fn an_unknown_destination_is_an_error_that_names_those_there_are() {
    let stack = stack(vec![]);
    let unknown = run(&stack, &["pause", "refnd", "--reason", "a mistake"]);
    let error = text(&unknown.stderr);
    assert!(error.starts_with("error[unknown-destination]: `refnd` is not a destination"), "{error}");
    assert!(error.ends_with("its routes name: audit, refund\n"), "{error}");
    assert_eq!((unknown.status.code(), stack.calls("UpdateItem").len()), (Some(1), 0));
    let without = stack.handover(&["pause", "refund"], Stdio::piped());
    assert_eq!(without.status.code(), Some(2), "it needs a reason");
}
