//! `handover send`.

use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::close::denied;
use crate::connect::File;
use crate::scripted::Aws;
use crate::{WAIT_SECONDS_MAX, command, handover, interrupt, open_account, refund, status, text, unique};

#[tokio::test]
async fn send_reports_each_invalid_line_and_sends_the_others() {
    open_account().await;
    let id = unique("cli");
    let extended =
        refund(&id).replace(r#""data""#, r#""priority":7,"tenant":"shop-1","dataschema":"s","data""#);
    let mut input = format!("{extended}\nnot json\n\n{}\n", refund("a b")).into_bytes();
    input.extend(refund("x").replace("refund.requested", "refund.requestd").bytes());
    input.extend(b"\n\"\xff\"\n");
    let output = handover(&["send", "-"], &input);
    let errors: Vec<&str> = text(&output.stderr).lines().collect();
    assert_eq!(text(&output.stdout), "1 sent, 4 not sent\n");
    assert_eq!(output.status.code(), Some(1));
    for (line, start) in errors.iter().zip([
        "line 2: malformed-json: column 2",
        "line 4: invalid: `id`",
        "line 5: unknown-type: no route takes the type `refund.requestd`",
        "line 6: not-utf8: byte 1",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    let lines = handover(&["send", "-", "--json"], b"\nnot json\n");
    let lines: Value = serde_json::from_slice(&lines.stdout).unwrap();
    let reason = "column 2 is not JSON; write each message on one line, as one JSON object";
    let not_sent = json!([{ "line": 2, "code": "malformed-json", "reason": reason }]);
    assert_eq!(lines, json!({ "sent": 0, "not_sent": not_sent }));
    // The valid line is accepted.
    let shown = status(&id, "DONE");
    assert_eq!((shown["id"].as_str(), shown["kind"].as_str()), (Some(id.as_str()), Some("command")));
    assert_eq!(
        (&shown["timeline"][0]["what"], &shown["timeline"][1]["what"]),
        (&"sent".into(), &"accepted".into())
    );
    assert_eq!(shown["extensions"], json!({ "priority": 7, "tenant": "shop-1" }));
    assert_eq!(shown["dataschema"], "s");
    assert_eq!(shown.get("data"), None, "data is shown on request only");
    let shown = handover(&["status", &id, "--data"], b"");
    assert!(text(&shown.stdout).contains(r#"{"account":"cli","amount":7}"#), "{shown:?}");
    let recent = handover(&["list", "--recent", "1h", "--destination", "refund"], b"");
    let is_listed = text(&recent.stdout).lines().any(|line| line.contains(&id) && line.contains(" done "));
    // So many may have been accepted in an hour that not all are read.
    assert!(is_listed || text(&recent.stderr).contains("note: these are some"), "{recent:?}");
}

#[tokio::test]
async fn a_line_is_sent_while_the_input_stays_open_and_an_interrupt_ends_it_with_a_summary() {
    open_account().await;
    let id = unique("cli");
    let mut child = command(&["send", "-"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "\n{}", refund(&id)).unwrap();
    status(&id, "DONE");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "1 sent, 0 not sent\n");
    assert!(text(&output.stderr).ends_with("no line after line 2 was sent\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(130));
    drop(input);
}

/// The queue of the stack takes 72 KiB.
#[test]
fn a_line_that_the_queue_refuses_for_its_size_is_reported_with_both_sizes() {
    let output = handover(&["send", "-", "--unchecked"], &vec![b'x'; 72 * 1024 + 1]);
    assert_eq!(text(&output.stdout), "0 sent, 1 not sent\n");
    let errors = text(&output.stderr);
    assert!(errors.starts_with("line 1: sqs: InvalidParameterValue"), "{errors}");
    assert!(
        errors.contains("; the line takes 73729 bytes, and the stack's parameter UpstreamMessageBytes "),
        "{errors}"
    );
}

#[test]
fn json_says_where_it_stopped() {
    let aws = Aws::new(|call, _| match call {
        "GetQueueUrl" => (200, json!({ "QueueUrl": "http://sqs/upstream" })),
        _ => denied(call),
    });
    let routes = r#"{"refund.requested":{"kind":"command","destinations":["refund"]}}"#;
    let (routes, input) = (File::new(routes), File::new(&format!("not json\n\n{}\n", refund("1"))));
    let arguments = ["send", "--json", "--routes", routes.path(), input.path()];
    let output = aws.handover(&arguments, Stdio::piped());
    let (said, errors) = (&output.stdout, text(&output.stderr));
    let said: Value = serde_json::from_slice(said).unwrap_or_else(|_| panic!("{errors}"));
    assert_eq!([&said["sent"], &said["not_sent"][0]["line"], &said["stopped_at"]], [0, 1, 3], "{said}");
    assert!(errors.contains("\nerror[denied]: stopped at line 3; "), "{errors}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn json_says_where_an_interrupt_ended_it() {
    let aws = Aws::new(|call, _| match call {
        "GetQueueUrl" => (200, json!({ "QueueUrl": "http://sqs/upstream" })),
        _ => (200, json!({ "Successful": [], "Failed": [] })),
    });
    let mut child =
        aws.command(&["send", "--json", "--unchecked", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "\n{}", refund("1")).unwrap();
    let begun = Instant::now();
    while aws.calls("SendMessageBatch").is_empty() {
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "it sends nothing");
        thread::sleep(Duration::from_millis(10));
    }
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(said, json!({ "sent": 1, "not_sent": [], "last_line": 2 }));
    assert_eq!(output.status.code(), Some(130));
    drop(input);
}
