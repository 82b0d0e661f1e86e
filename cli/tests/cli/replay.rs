//! `handover replay`. The first test needs the deployed stack.

use std::process::{Output, Stdio};
use std::time::Duration;

use handover::pipeline::{Accept, AcceptOutcome, Envelope};
use handover::record::{Record, State};
use handover::store::Acceptance;
use handover::{Clock, Ledger};
use serde_json::{Value, json};

use crate::connect::File;
use crate::scripted::{Answer, Aws};
use crate::table::{accepted, moved, table};
use crate::{handover, status, text, unique};

/// An event that was accepted by routes of an earlier release, without `books`, is handed over there once.
#[tokio::test]
async fn what_was_accepted_before_a_destination_was_there_goes_to_it() {
    let aws = handover::aws::config().unwrap().load().await;
    let name = format!("{}-notifications", std::env::var("HANDOVER_STACK").unwrap());
    let ledger = Ledger::new(handover::dynamodb::Client::new(&aws), name);
    let routes = r#"{ "refund.approved": { "kind": "event", "destinations": ["crm"] } }"#;
    let accept = Accept::new(ledger, routes.parse().unwrap(), Clock::system());
    let id = unique("earlier");
    let event = json!({
        "specversion": "1.0", "id": id, "type": "refund.approved", "kind": "event", "source": "orders",
        "data": { "account": "cli", "amount": 7 },
    });
    let outcome = accept.accept(event.to_string().as_bytes(), Envelope::default()).await;
    assert!(matches!(outcome, Ok(AcceptOutcome::Decided(Acceptance::Stored))), "{outcome:?}");
    let before = status(&id, "DONE");
    assert_eq!(before["destinations"].as_array().map(Vec::len), Some(1), "{before}");
    // The index lags behind the table.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let to_books = ["replay", "--destination", "books", "--since", "30m"];
    let planned = handover(&[&to_books[..], &["--dry-run"]].concat(), b"");
    assert!(text(&planned.stdout).starts_with("would add 1 event to books, accepted since "), "{planned:?}");
    let replayed = handover(&[&to_books[..], &["--yes", "--json"]].concat(), b"");
    let view: Value = serde_json::from_slice(&replayed.stdout).unwrap_or_else(|_| panic!("{replayed:?}"));
    assert_eq!((&view["added"], &view["left"]), (&json!(1), &json!(0)), "{view}");
    let after = status(&id, "DONE");
    let states = after["destinations"].as_array().unwrap().iter();
    let states: Vec<_> =
        states.map(|at| (at["name"].as_str().unwrap(), at["state"].as_str().unwrap())).collect();
    assert_eq!(states, [("books", "done"), ("crm", "done")]);
    let timeline = after["timeline"].as_array().unwrap();
    assert!(timeline.iter().any(|moment| moment["what"] == "replayed"), "{after}");

    let again = handover(&[&to_books[..], &["--yes"]].concat(), b"");
    assert_eq!(text(&again.stdout), "0 events added to books and dispatched, 0 left\n", "{again:?}");
    assert!(text(&again.stderr).contains(" have the destination already"), "{again:?}");
}

const ROUTES: &str = r#"{
    "refund": { "kind": "event", "destinations": ["audit", "refund", "search"] },
    "order":  { "kind": "event", "destinations": ["gone"] }
}"#;

/// The stack with these records, whose destinations have their queues.
fn stack(
    records: Vec<Record>,
    answer: impl Fn(&str, &Value) -> Option<Answer> + Send + Sync + 'static,
) -> Aws {
    table(records, move |call, body| match call {
        "GetQueueUrl" => answer(call, body).or_else(|| Some((200, json!({ "QueueUrl": "https://queue" })))),
        _ => answer(call, body),
    })
}

fn run(stack: &Aws, arguments: &[&str]) -> Output {
    let routes = File::new(ROUTES);
    let replay = ["replay", "--destination", "search", "--routes", routes.path()];
    stack.handover(&[&replay, arguments].concat(), Stdio::piped())
}

fn view(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn three() -> Vec<Record> {
    let done = |id, minutes| moved(accepted(id, "refund", minutes), [State::Done, State::Done]);
    vec![done("one", 5), accepted("two", "refund", 10), done("early", 90), accepted("other", "order", 5)]
}

#[test]
fn what_was_accepted_since_then_is_added_and_nothing_else() {
    let stack = stack(three(), |_, _| None);
    let planned = view(&run(&stack, &["--since", "1h", "--dry-run", "--json"]));
    assert_eq!((&planned["added"], &planned["left"]), (&json!(0), &json!(2)), "{planned}");
    assert_eq!(stack.calls("UpdateItem").len(), 0);
    let added = view(&run(&stack, &["--since", "1h", "--yes", "--rate", "1000", "--json"]));
    assert_eq!((&added["added"], &added["left"]), (&json!(2), &json!(0)), "{added}");
    let updates = stack.calls("UpdateItem");
    let mut ids: Vec<_> = updates.iter().filter_map(|update| update["Key"]["id"]["S"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["one", "two"]);
    assert!(updates[0]["UpdateExpression"].as_str().unwrap().contains("#destinations.#search = "));
}

#[test]
fn after_a_fault_the_same_command_goes_on() {
    let stack = stack(three(), |call, _| {
        let denied = json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "message": "no" });
        (call == "UpdateItem").then_some((400, denied))
    });
    let failed = run(&stack, &["--since", "1h", "--yes"]);
    assert!(text(&failed.stdout).contains(", 2 left; to go on, repeat it with --since "), "{failed:?}");
    assert!(text(&failed.stderr).contains("error[denied]: "), "{failed:?}");
    assert_eq!(failed.status.code(), Some(1));
}

#[test]
fn what_cannot_be_replayed_is_an_error_before_anything_is_read() {
    let without_queue = stack(three(), |call, _| {
        let kind = "com.amazonaws.sqs#QueueDoesNotExist";
        (call == "GetQueueUrl").then(|| (400, json!({ "__type": kind, "message": "no" })))
    });
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--since", "1h", "--yes"], 1, "error[not-deployed]: `search` is not deployed"),
        (&["--since", "1h"], 1, "a replay asks before it begins"),
        (&["--since", "yesterday", "--yes"], 2, "a time such as 2026-01-31T00:00:00Z"),
        (&["--since", "2999-01-01T00:00:00Z", "--yes"], 1, "which is to come"),
        (&["--yes"], 2, "--since"),
    ];
    for (arguments, code, error) in cases {
        let refused = run(&without_queue, arguments);
        assert_eq!(refused.status.code(), Some(code), "{refused:?}");
        assert!(text(&refused.stderr).contains(error), "{refused:?}");
    }
    let routes = File::new(ROUTES);
    let unknown = ["replay", "--destination", "serch", "--since", "1h", "--yes", "--routes", routes.path()];
    let unknown = without_queue.handover(&unknown, Stdio::piped());
    assert!(text(&unknown.stderr).starts_with("error[unknown-destination]: `serch`"), "{unknown:?}");
    assert_eq!(without_queue.calls("Query").len(), 0);
}
