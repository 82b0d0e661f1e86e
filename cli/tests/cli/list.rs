//! `handover list --recent`. These tests need no deployed stack.

use std::process::Stdio;

use handover::record::State;
use serde_json::Value;

use crate::scripted::Aws;
use crate::table::{accepted, moved, table};
use crate::text;

/// The ids, destinations and states that the command lists, and its notes.
fn listed(stack: &Aws, arguments: &[&str]) -> (Vec<String>, String) {
    let output = stack.handover(&[&["list", "--json"], arguments].concat(), Stdio::piped());
    let errors = text(&output.stderr).to_owned();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
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

#[test]
fn a_list_of_some_says_that_it_is_one() {
    let stack = table((0..1_001).map(|id| accepted(&id.to_string(), "order", 1)).collect(), |_, _| None);
    let (rows, notes) = listed(&stack, &["--recent"]);
    assert_eq!(rows.len(), 1_000);
    assert!(notes.starts_with("note: these are some of what was accepted: 1000 records "), "{notes}");
}
