//! The command against the deployed stack. `make test` starts a local AWS and runs these tests.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use handover::dynamodb::types::AttributeValue;
use serde_json::Value;

/// Longest wait for a status of a refund, in seconds.
const WAIT_SECONDS_MAX: u64 = 120;

fn handover(arguments: &[&str], input: &[u8]) -> Output {
    assert!(
        std::env::var("HANDOVER_STACK").is_ok(),
        "no stack to test against: run `make test`, or `make up` and `. .local/env` first"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    match child.stdin.take().unwrap().write_all(input) {
        // A command that fails before it reads its input closes it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => (),
        written => written.unwrap(),
    }
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos())
}

/// Opens the account of these tests' refunds.
async fn open_account() {
    let aws = handover::aws::config().unwrap().load().await;
    let table = format!("{}-accounts", std::env::var("HANDOVER_STACK").unwrap());
    let put = handover::dynamodb::Client::new(&aws).put_item().table_name(table);
    put.item("account", AttributeValue::S("cli".into())).send().await.unwrap();
}

fn refund(id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","type":"refund.requested","kind":"command","source":"orders","data":{{"account":"cli","amount":7}}}}"#
    )
}

#[tokio::test]
async fn send_reports_each_invalid_line_and_sends_the_others() {
    open_account().await;
    let id = unique("cli");
    let mut input = format!("{}\nnot json\n\n{}\n", refund(&id), refund("a b")).into_bytes();
    input.extend(refund("x").replace("refund.requested", "refund.requestd").bytes());
    input.extend(b"\n\"\xff\"\n");
    let output = handover(&["send", "-"], &input);
    let errors: Vec<&str> = text(&output.stderr).lines().collect();
    assert_eq!(text(&output.stdout), "1 sent, 4 not sent\n");
    assert_eq!(output.status.code(), Some(1));
    for (line, start) in errors.iter().zip([
        "line 2: malformed-json: line 1, column 2",
        "line 4: invalid: `id`",
        "line 5: unknown-type: no route takes the type `refund.requestd`",
        "line 6: not-utf8: byte 1",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    // The valid line is accepted.
    let begun = Instant::now();
    while !handover(&["status", &id], b"").status.success() {
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "{id} was not accepted");
        std::thread::sleep(Duration::from_millis(500));
    }
    let shown = handover(&["status", "--json", &id], b"");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let shown = &shown[0];
    assert_eq!((shown["id"].as_str(), shown["kind"].as_str()), (Some(id.as_str()), Some("command")));
    assert_eq!(
        (&shown["timeline"][0]["what"], &shown["timeline"][1]["what"]),
        (&"sent".into(), &"accepted".into())
    );
    assert_eq!(shown.get("data"), None, "data is shown on request only");
    let shown = handover(&["status", &id, "--data"], b"");
    assert!(text(&shown.stdout).contains(r#"{"account":"cli","amount":7}"#), "{shown:?}");
}

/// One id of two sources: `status` shows both, and what acts takes `--source`.
#[tokio::test]
async fn an_id_of_several_sources_is_shown_and_has_to_be_named() {
    open_account().await;
    let id = unique("cli");
    let sent = [refund(&id), refund(&id).replace("\"orders\"", "\"shop\"")].join("\n");
    assert!(handover(&["send", "-"], sent.as_bytes()).status.success());
    let shown = |arguments: &[&str]| -> Vec<Value> {
        let output = handover(&[&["status", "--json", &id], arguments].concat(), b"");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    let begun = Instant::now();
    while shown(&[]).iter().filter(|shown| shown["status"] == "DONE").count() < 2 {
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "{:?}", shown(&[]));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(shown(&["--source", "shop"]).len(), 1);
    let ambiguous = handover(&["redrive", &id], b"");
    assert!(text(&ambiguous.stderr).contains("`orders`, `shop`; name one with --source"), "{ambiguous:?}");
    let done = handover(&["redrive", &id, "--source", "shop"], b"");
    assert_eq!(text(&done.stdout), format!("{id} is DONE: nothing to redrive\n"));
    let done = handover(&["dispatch", &id, "--source", "orders"], b"");
    assert_eq!(text(&done.stdout), format!("{id} is DONE: nothing to dispatch\n"));
}

#[test]
fn an_error_names_what_is_missing() {
    let error = |arguments: &[&str]| {
        let output = handover(arguments, b"{}\n");
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr).to_owned()
    };
    let unknown = error(&["status", "never-sent"]);
    assert!(unknown.contains("`never-sent` is not in the ledger"), "{unknown}");
    for arguments in [&["--stack", "absent", "status", "1"][..], &["--stack", "absent", "send", "-"]] {
        let absent = error(arguments);
        assert!(absent.contains("there is no stack `absent`"), "{absent}");
    }
    // Nothing is redriven without a word that says what.
    for arguments in [&["redrive"][..], &["redrive", "--as", "done"], &["redrive", "1", "--all"]] {
        assert_eq!(handover(arguments, b"").status.code(), Some(2), "{arguments:?}");
    }
    let settled = error(&["redrive", "never-sent", "--as", "again"]);
    assert!(settled.contains("`never-sent` is not in the ledger"), "{settled}");
    let no_file = error(&["send", "no-such-file.jsonl"]);
    assert!(no_file.contains("cannot read no-such-file.jsonl"), "{no_file}");
}

#[test]
fn an_error_names_the_endpoint_that_does_not_answer() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    // Nothing listens on port 9, the discard port.
    let output =
        command.args(["status", "1"]).env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output().unwrap();
    assert!(text(&output.stderr).contains("http://127.0.0.1:9 does not answer"), "{output:?}");
}

/// Refunds to an account that does not exist: dead letters, redrive, close.
#[test]
fn dead_letters_are_listed_redriven_and_closed() {
    let (first, second) = (unique("dead"), unique("dead"));
    let absent = |id: &str| format!("{}\n", refund(id).replace("\"cli\"", &format!("\"absent-{id}\"")));
    assert!(handover(&["send", "-"], (absent(&first) + &absent(&second)).as_bytes()).status.success());
    let until = |id: &str, status: &str| {
        let begun = Instant::now();
        loop {
            let shown = handover(&["status", "--json", id], b"");
            let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
            if shown[0]["status"] == status {
                return shown[0].clone();
            }
            assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "{id} is {shown}, not {status}");
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    until(&first, "DEAD");
    let shown = until(&second, "DEAD");
    let moments = shown["timeline"].as_array().unwrap().iter();
    assert_eq!(moments.filter(|moment| moment["what"].as_str().unwrap().ends_with("failed")).count(), 6);

    let ids = || {
        let listed = handover(&["dead-letters", "--destination", "refund", "--json"], b"");
        let groups: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        let dead = groups.iter().flat_map(|group| group["notifications"].as_array().unwrap().clone());
        dead.map(|notification| notification["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!([&first, &second].iter().all(|id| ids().contains(id)));

    let would = handover(&["redrive", "--destination", "refund", "--dry-run"], b"");
    assert!(text(&would.stdout).starts_with("would redrive up to "), "{would:?}");
    assert!([&first, &second].iter().all(|id| ids().contains(id)));
    // The cause is not fixed, so it dies again, with one dead letter.
    let redriven = handover(&["redrive", &first], b"");
    assert_eq!(text(&redriven.stdout), "1 redriven, 0 left\n");
    assert!(!ids().contains(&first));
    until(&first, "DEAD");
    assert_eq!(ids().iter().filter(|id| **id == first).count(), 1);

    for id in [&first, &second] {
        let closed = handover(&["close", id, "--reason", "paid by bank transfer"], b"");
        assert_eq!(text(&closed.stdout), format!("{id} closed at 1 of 1 destinations\n"));
        until(id, "CLOSED");
        assert!(!ids().contains(id));
        let again = handover(&["redrive", id], b"");
        assert_eq!(
            (again.status.code(), text(&again.stdout)),
            (Some(1), format!("{id} is CLOSED: nothing to redrive\n").as_str())
        );
    }
}
