//! `handover list --recent`. These tests need no deployed stack.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use handover::record::{Record, State};
use handover::{Draft, Routes};
use serde_json::{Value, json};

use crate::connect::File;
use crate::scripted::{Aws, item};
use crate::table::{ROUTES, accepted, moved, table};
use crate::{WAIT_SECONDS_MAX, interrupt, text};

/// The ids, destinations and states that the command lists, and its notes.
fn listed(stack: &Aws, arguments: &[&str]) -> (Vec<String>, String) {
    let output = stack.handover(&[&["list", "--json"], arguments].concat(), Stdio::piped());
    let errors = text(&output.stderr).to_owned();
    let mut view: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    if arguments.contains(&"--recent") {
        assert_eq!(view["is_cut"] == true, errors.contains("these are some"), "{errors}");
        view = view["notifications"].take();
    }
    let rows = view.as_array().unwrap();
    let row = |row: &Value| {
        let shown = ["id", "destination", "state"].map(|name| row[name].as_str().unwrap_or("-").to_owned());
        shown.join(" ")
    };
    (rows.iter().map(row).collect(), errors)
}

#[test]
fn what_was_accepted_lately_is_listed_whatever_became_of_it() {
    let stack = table(
        vec![
            moved(accepted("early", "refund", 20), [State::Done; 2]),
            moved(accepted("dead", "order", 10), [State::Dead]),
            moved(accepted("done", "refund", 8), [State::Done; 2]),
            accepted("nowhere", "told", 5),
            accepted("open", "order", 1),
        ],
        |_, _| None,
    );
    let late =
        ["dead gone dead", "done audit done", "done refund done", "nowhere - done", "open gone pending"];
    assert_eq!(listed(&stack, &["--recent"]), (late.map(str::to_owned).to_vec(), String::new()));
    let all = [&["early audit done", "early refund done"], &late[..]].concat();
    assert_eq!(listed(&stack, &["--recent", "1h"]).0, all);
    assert_eq!(
        listed(&stack, &["--recent", "1h", "--type", "refund", "--destination", "audit"]).0,
        ["early audit done", "done audit done"]
    );
    assert_eq!(listed(&stack, &["--recent", "--older-than", "9m"]).0, late[..1]);
    assert_eq!(listed(&stack, &["--open", "--type", "order"]).0, late[4..]);
    let none = stack.handover(&["list", "--recent", "--type", "other"], Stdio::piped());
    assert_eq!(text(&none.stdout), "nothing was accepted\n");
}

/// A stack whose index has this many keys on each page, and a further page after each.
fn endless(keys: usize) -> Aws {
    let next = AtomicUsize::new(0);
    table(vec![], move |call, body| match call {
        "Query" => {
            let first = next.fetch_add(keys, Ordering::Relaxed);
            let key = |id: usize| json!({ "id": { "S": id.to_string() }, "source": { "S": "s" } });
            let page: Vec<Value> = (first..first + keys).map(key).collect();
            Some((200, json!({ "Items": page, "LastEvaluatedKey": key(first + keys) })))
        }
        "GetItem" if body["TableName"] == "scripted-notifications" => {
            let record = accepted(body["Key"]["id"]["S"].as_str().unwrap(), "order", 1);
            Some((200, json!({ "Item": item(&record.encode()) })))
        }
        _ => None,
    })
}

#[test]
fn a_list_of_some_has_the_latest_and_says_that_it_is_one() {
    let orders = (0..1_000).map(|id| accepted(&id.to_string(), "order", 40));
    let others = [accepted("refund", "refund", 55), accepted("zz", "order", 1)];
    let stack = table(orders.chain(others).collect(), |_, _| None);
    let (rows, notes) = listed(&stack, &["--recent", "1h", "--destination", "gone"]);
    assert_eq!((rows.len(), &*rows[999]), (1_000, "zz gone pending"));
    assert!(notes.starts_with("note: these are some of what was accepted: 1000 notifications "), "{notes}");
    let refunds = listed(&stack, &["--recent", "1h", "--destination", "refund"]);
    assert_eq!(refunds, (vec!["refund refund pending".to_owned()], String::new()));
}

#[test]
fn what_is_dead_for_longer_does_not_hide_what_was_accepted_lately() {
    let dead = (0..1_001).map(|id| moved(accepted(&id.to_string(), "order", 20), [State::Dead]));
    let stack = table(dead.chain([accepted("late", "order", 1)]).collect(), |_, _| None);
    assert_eq!(listed(&stack, &["--recent"]), (vec!["late gone pending".to_owned()], String::new()));
    let first = stack.calls("GetItem")[0]["Key"]["id"]["S"].clone();
    assert_eq!(first, "late");
}

#[test]
fn what_was_read_of_a_part_of_the_index_counts_before_its_end() {
    let (rows, notes) = listed(&endless(100), &["--recent"]);
    assert_eq!(rows.len(), 1_000, "{notes}");
}

#[test]
fn records_are_read_at_a_pace() {
    let routes: Routes = ROUTES.parse().unwrap();
    // Each takes 15 read units.
    let large = |id: usize| {
        let event = Draft::event("order", "s", &"x".repeat(60_000)).build(id.to_string()).unwrap();
        Record::accept(event, &routes, jiff::Timestamp::now()).unwrap()
    };
    let stack = table((0..150).map(large).collect(), |_, _| None);
    let begun = Instant::now();
    assert_eq!(listed(&stack, &["--recent"]).0.len(), 150);
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4), "2,250 units in {took:?}");
}

#[test]
fn a_command_that_reads_ends_at_the_first_interrupt() {
    let routes = File::new(ROUTES);
    for arguments in [&["list", "--open"][..], &["destinations", "--routes", routes.path()]] {
        let stack = endless(0);
        let child = stack.start(arguments, Stdio::piped());
        let begun = Instant::now();
        while stack.calls("Query").is_empty() {
            assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "it reads nothing");
            thread::sleep(Duration::from_millis(10));
        }
        let interrupted = Instant::now();
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert!(text(&output.stderr).ends_with("\ninterrupted\n"), "{output:?}");
        assert_eq!((text(&output.stdout), output.status.code()), ("", Some(130)));
        assert!(interrupted.elapsed() < Duration::from_secs(10));
    }
}
