//! `handover redrive` where AWS fails, and Ctrl-C. These tests need no deployed stack.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::close::{denied, record, stack};
use crate::scripted::Aws;
use crate::{WAIT_SECONDS_MAX, interrupt, text};

const ONE: [&str; 3] = ["1", "--source", "s"];

fn json(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|_| panic!("{said}"))
}

/// What the command says, with its errors and exit code.
fn redriven(stack: &Aws, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = stack.handover(&[&["redrive"], arguments].concat(), Stdio::piped());
    let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| text(bytes).to_owned());
    (said, errors, output.status.code())
}

#[test]
fn a_redrive_whose_dead_letter_stays_is_said_to_have_taken_effect() {
    let stack =
        stack(vec![record(["dead", "done"])], |call, _| (call == "DeleteMessage").then(|| denied(call)));
    let (said, errors, code) = redriven(&stack, &ONE);
    assert_eq!((&*said, code), ("1 redriven, 0 left\n", Some(1)), "{errors}");
    assert!(
        errors
            .starts_with("error[denied]: `1` at `a`: the redrive took effect, but its dead letter is kept; "),
        "{errors}"
    );
    assert_eq!(stack.calls("ChangeMessageVisibilityBatch").len(), 1);
}

#[test]
fn what_was_redriven_before_a_fault_is_said() {
    let is_of_b = |body: &Value| body["ExpressionAttributeNames"].to_string().contains("\"b\"");
    let stack = stack(vec![record(["dead", "dead"])], move |call, body| {
        (call == "UpdateItem" && is_of_b(body)).then(|| denied(call))
    });
    let (said, errors, code) = redriven(&stack, &ONE);
    assert_eq!((&*said, code), ("1 redriven, 1 left\n", Some(1)), "{errors}");
    let (said, _, code) = redriven(&stack, &[&ONE[..], &["--json", "--wait"]].concat());
    assert_eq!((json(&said), code), (json!({ "redriven": 1, "destinations_left": 1 }), Some(1)));
    assert!(errors.starts_with("error[denied]: `1` at `b`: its dead letters are kept: "), "{errors}");
}

#[test]
fn one_destination_may_be_named() {
    let stack = stack(vec![record(["dead", "dead"])], |_, _| None);
    let (said, errors, code) = redriven(&stack, &[&ONE[..], &["--destination", "b"]].concat());
    assert_eq!((&*said, code), ("1 redriven, 0 left\n", Some(0)), "{errors}");
    let updates = stack.calls("UpdateItem");
    let names = updates.iter().map(|body| body["ExpressionAttributeNames"].to_string());
    assert!(names.clone().count() == 1 && names.clone().all(|names| names.contains("\"b\"")), "{updates:?}");

    let stack = crate::close::stack(vec![record(["dead", "done"])], |_, _| None);
    let (said, _, code) = redriven(&stack, &[&ONE[..], &["--destination", "b"]].concat());
    assert_eq!((&*said, code), ("1 is done at b: nothing to redrive\n", Some(1)));
    let (_, errors, code) = redriven(&stack, &[&ONE[..], &["--destination", "c"]].concat());
    let expected = "error[unknown-destination]: `c` is not a destination of `1`; it has: a, b\n";
    assert_eq!((&*errors, code), (expected, Some(1)));
    assert!(stack.calls("UpdateItem").is_empty());
}

#[test]
fn why_nothing_is_redriven_has_a_code() {
    for (now, settled, code) in
        [("pending", &[][..], "changed"), ("dead", &["--as", "done"], "no-unknown-call")]
    {
        let now = record([now, "done"]);
        let stack = stack(vec![record(["dead", "done"])], move |call, _| {
            let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            (call == "UpdateItem").then(|| (400, json!({ "__type": kind, "Item": now })))
        });
        let (said, errors, exit) = redriven(&stack, &[&ONE[..], settled].concat());
        assert!(
            errors.starts_with(&format!("error[{code}]: `1` at `a`: its dead letters are kept: ")),
            "{errors}"
        );
        assert_eq!((&*said, exit), ("0 redriven, 1 left\n", Some(1)));
    }
}

#[test]
fn what_a_later_release_holds_has_not_ended() {
    let records = vec![record(["dead", "done"]), record(["weighed", "done"]), record(["done", "done"])];
    let stack = stack(records, |_, _| None);
    let (said, errors, code) = redriven(&stack, &["1", "--source", "s", "--wait"]);
    assert_eq!((&*said, code), ("1 redriven, 0 left\n1 done\n", Some(0)), "{errors}");
    assert_eq!(stack.calls("GetItem").len(), 3);
}

#[test]
fn what_came_of_it_is_one_json_document() {
    let stack = stack(vec![record(["dead", "done"]), record(["done", "done"])], |_, _| None);
    let (said, errors, code) = redriven(&stack, &[&ONE[..], &["--json", "--dry-run"]].concat());
    assert_eq!((json(&said), code), (json!({ "redriven": 0, "destinations_left": 1 }), Some(0)), "{errors}");
    let stack = crate::close::stack(vec![record(["dead", "done"]), record(["done", "done"])], |_, _| None);
    let (said, errors, code) = redriven(&stack, &[&ONE[..], &["--json", "--wait"]].concat());
    let expected = json!({ "redriven": 1, "destinations_left": 0, "ended": { "done": 1 }, "pending": 0 });
    assert_eq!((json(&said), code), (expected, Some(0)), "{errors}");
    let (said, errors, code) = redriven(&stack, &[&ONE[..], &["--json"]].concat());
    assert_eq!((json(&said), code), (json!({ "redriven": 0, "destinations_left": 0 }), Some(1)), "{errors}");
}

#[test]
fn of_many_the_dead_letters_are_counted() {
    let stack = stack(vec![], |_, _| None);
    let (said, errors, code) = redriven(&stack, &["--destination", "a", "--dry-run", "--json"]);
    let expected = json!({ "redriven": 0, "dead_letters_left": 1 });
    assert_eq!((json(&said), code), (expected, Some(0)), "{errors}");
}

#[test]
fn an_interrupt_while_dead_letters_are_received_releases_them_and_gives_its_exit_code() {
    let received = AtomicUsize::new(0);
    let stack = stack(vec![record(["dead", "done"])], move |call, _| {
        (call == "ReceiveMessage").then(|| {
            thread::sleep(Duration::from_millis(100));
            let id = received.fetch_add(1, Ordering::Relaxed).to_string();
            (200, json!({ "Messages": [{ "MessageId": id, "ReceiptHandle": id, "Body": "not a dispatch" }] }))
        })
    });
    let child = stack.start(&["dead-letters", "--destination", "a"], Stdio::piped());
    let begun = Instant::now();
    while stack.calls("ReceiveMessage").is_empty() {
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "it receives nothing");
        thread::sleep(Duration::from_millis(10));
    }
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let errors = text(&output.stderr);
    assert!(errors.ends_with("error: interrupted while dead letters were received\n"), "{errors}");
    assert_eq!(output.status.code(), Some(130));
    assert!(!stack.calls("ChangeMessageVisibilityBatch").is_empty());
}
