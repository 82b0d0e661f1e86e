//! The command against the deployed stack. `make test` starts a local AWS and runs these tests.

mod arguments;
mod close;
mod connect;
mod dead_letters;
mod destinations;
mod dispatch;
mod list;
mod pause;
mod redrive;
mod refused;
mod replay;
mod repository;
mod scripted;
mod send;
mod status;
mod table;
mod trace;

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use handover::dynamodb::types::AttributeValue;
use serde_json::Value;

/// Longest wait for a status of a refund, in seconds.
const WAIT_SECONDS_MAX: u64 = 120;

/// The command, with pipes for its input and output.
fn command(arguments: &[&str]) -> Command {
    assert!(
        std::env::var("HANDOVER_STACK").is_ok(),
        "no stack to test against: run `make test`, or `make up` and `. .local/env` first"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn handover(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(arguments).spawn().unwrap();
    match child.stdin.take().unwrap().write_all(input) {
        // A command that fails before it reads its input closes it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => (),
        written => written.unwrap(),
    }
    child.wait_with_output().unwrap()
}

/// Sends the signal of Ctrl-C.
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// The first notification with this id as `status --json` shows it, as soon as its status is this one.
fn status(id: &str, status: &str) -> Value {
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
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos())
}

/// Opens the account of these tests' refunds.
async fn open_account() {
    open("cli").await;
}

async fn open(account: &str) {
    let aws = handover::aws::config().unwrap().load().await;
    let table = format!("{}-accounts", std::env::var("HANDOVER_STACK").unwrap());
    let put = handover::dynamodb::Client::new(&aws).put_item().table_name(table);
    put.item("account", AttributeValue::S(account.into())).send().await.unwrap();
}

fn refund(id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","type":"refund.requested","kind":"command","source":"orders","data":{{"account":"cli","amount":7}}}}"#
    )
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
    let error = text(&ambiguous.stderr);
    assert!(error.starts_with("error[several-sources]: "), "{error}");
    assert!(error.contains("`orders`, `shop`; name one with --source"), "{error}");
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
    let expected = "error[unknown-notification]: there is no record of `never-sent`";
    assert!(unknown.starts_with(expected), "{unknown}");
    for arguments in [&["--stack", "absent", "status", "1"][..], &["--stack", "absent", "send", "-"]] {
        let absent = error(arguments);
        assert!(absent.starts_with("error[unknown-stack]: there is no stack `absent`"), "{absent}");
    }
    // Nothing is redriven without a word that says what.
    for arguments in [&["redrive"][..], &["redrive", "--as", "done"], &["redrive", "1", "--all"]] {
        assert_eq!(handover(arguments, b"").status.code(), Some(2), "{arguments:?}");
    }
    let settled = error(&["redrive", "never-sent", "--as", "again"]);
    assert!(settled.contains("there is no record of `never-sent`"), "{settled}");
    let no_file = error(&["send", "no-such-file.jsonl"]);
    assert!(no_file.contains("cannot read no-such-file.jsonl"), "{no_file}");
}
