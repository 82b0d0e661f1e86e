//! `handover dead-letters`, `redrive` and `close`.

use std::io::{BufRead, BufReader, Read};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};
use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{command, handover, interrupt, open_account, refund, status, text, unique};

/// To receive dead letters is to hide them, so one test at a time does that with those of the deployed stack.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A refund to an account that does not exist.
fn absent(id: &str) -> String {
    format!("{}\n", refund(id).replace("\"cli\"", &format!("\"absent-{id}\"")))
}

/// Refunds to an account that does not exist: dead letters, redrive, close.
#[test]
fn dead_letters_are_listed_redriven_and_closed() {
    let (first, second) = (unique("dead"), unique("dead"));
    assert!(handover(&["send", "-"], (absent(&first) + &absent(&second)).as_bytes()).status.success());
    status(&first, "DEAD");
    let shown = status(&second, "DEAD");
    let _alone = ALONE.blocking_lock();
    let moments = shown["timeline"].as_array().unwrap().iter();
    assert_eq!(moments.filter(|moment| moment["what"].as_str().unwrap().ends_with("failed")).count(), 6);

    let ids = || {
        let listed = handover(&["dead-letters", "--destination", "refund", "--json"], b"");
        let groups: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        let dead = groups.iter().flat_map(|group| group["notifications"].as_array().unwrap().clone());
        dead.map(|notification| notification["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!([&first, &second].iter().all(|id| ids().contains(id)));
    let listed = handover(&["list", "--dead", "--destination", "refund", "--json"], b"");
    let rows: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).cloned().unwrap_or_default();
    for id in [&first, &second] {
        let (row, reason) = (row(id), "write 0 of the effect was refused (ConditionalCheckFailed)");
        assert_eq!((&row["attempts"], &row["error"]), (&Value::from(6), &Value::from(reason)), "{rows:?}");
    }

    let shown = handover(&["destinations", "--json"], b"");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let of_refund =
        shown["destinations"].as_array().unwrap().iter().find(|one| one["name"] == "refund").unwrap();
    assert_eq!(of_refund["mappings"]["retry_queue"], "Enabled", "{shown}");
    for count in [&of_refund["dead"], &of_refund["dead_letters"]] {
        assert!(count.as_u64().unwrap() >= 2 || shown["is_cut"] == true, "{shown}");
    }

    let would = handover(&["redrive", "--destination", "refund", "--dry-run"], b"");
    assert!(text(&would.stdout).starts_with("would redrive up to "), "{would:?}");
    assert!([&first, &second].iter().all(|id| ids().contains(id)));
    let refused = handover(&["redrive", "--destination", "refund"], b"y\n");
    assert!(text(&refused.stderr).contains("error[needs-yes]"), "{refused:?}");
    assert_eq!(refused.status.code(), Some(1));
    assert!([&first, &second].iter().all(|id| ids().contains(id)));
    // The cause is not fixed, so it dies again, with one dead letter.
    let redriven = handover(&["redrive", &first], b"");
    assert_eq!(text(&redriven.stdout), "1 redriven, 0 left\n");
    assert!(!ids().contains(&first));
    status(&first, "DEAD");
    assert_eq!(ids().iter().filter(|id| **id == first).count(), 1);

    for id in [&first, &second] {
        let closed = handover(&["close", id, "--reason", "paid by bank transfer"], b"");
        assert_eq!(text(&closed.stdout), format!("{id} closed at 1 of 1 destinations\n"));
        status(id, "CLOSED");
        assert!(!ids().contains(id));
        let again = handover(&["redrive", id], b"");
        assert_eq!(
            (again.status.code(), text(&again.stdout)),
            (Some(1), format!("{id} is CLOSED: nothing to redrive\n").as_str())
        );
    }
}

/// Redrives several dead letters of one cause, and waits for them.
#[tokio::test(flavor = "multi_thread")]
async fn those_of_one_cause_are_redriven_together_until_they_are_done() {
    open_account().await;
    let ids: Vec<String> = (0..30).map(|_| unique("many")).collect();
    let stop = unique("stop");
    let sent: String = ids.iter().map(|id| absent(id)).chain([absent(&stop)]).collect();
    assert!(handover(&["send", "-"], sent.as_bytes()).status.success());
    ids.iter().chain([&stop]).for_each(|id| drop(status(id, "DEAD")));
    let _alone = ALONE.lock().await;

    // Nothing is found by another error.
    let other = handover(&["redrive", "--all", "--yes", "--error", "no such error"], b"");
    assert_eq!(text(&other.stdout), "0 redriven, 0 left\n");
    // It is pending for longer than this command runs.
    let mut child = command(&["redrive", &stop, "--wait"]).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    output.read_line(&mut said).unwrap();
    interrupt(&child);
    output.read_to_string(&mut said).unwrap();
    assert_eq!(said, "1 redriven, 0 left\n1 still pending\n");
    assert_eq!(child.wait().unwrap().code(), Some(130));

    open_accounts_of(&ids).await;
    let redrive =
        ["redrive", "--destination", "refund", "--error", "ConditionalCheckFailed", "--yes", "--wait"];
    let redriven = handover(&redrive, b"");
    let summary = text(&redriven.stdout);
    let (first, second) = summary.trim_end().split_once('\n').unwrap();
    let count: usize = first.split(' ').next().unwrap().parse().unwrap();
    assert!(count >= ids.len(), "{summary}");
    assert!(second.contains(" done") && !second.contains("pending"), "{summary}");
    for id in &ids {
        let shown = handover(&["status", "--json", id], b"");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown[0]["status"], "DONE", "{id}: {summary}");
    }
    assert!(handover(&["close", &stop, "--reason", "not wanted"], b"").status.success());
}

async fn open_accounts_of(ids: &[String]) {
    for id in ids {
        crate::open(&format!("absent-{id}")).await;
    }
}

const ROUTES: &str = r#"{"t":{"kind":"event","destinations":["a","b"]}}"#;

/// A stack of two destinations, `a` with a dead-letter queue and `b` without one.
struct OddStack {
    name: String,
    sqs: aws_sdk_sqs::Client,
    queue: String,
}

impl OddStack {
    async fn deploy() -> OddStack {
        OddStack::deploy_with("ROUTES", ROUTES).await
    }

    /// With this variable in the environment of accept.
    async fn deploy_with(variable: &str, value: &str) -> OddStack {
        let aws = handover::aws::config().unwrap().load().await;
        let name = unique("odd");
        // Nothing calls the function: the command reads its environment.
        let lambda = aws_sdk_lambda::Client::new(&aws);
        let accept = format!("{}-accept", std::env::var("HANDOVER_STACK").unwrap());
        let accept = lambda.get_function_configuration().function_name(accept).send().await.unwrap();
        let function = lambda.create_function().function_name(format!("{name}-accept"));
        let function = function.runtime(Runtime::Providedal2023).handler("bootstrap");
        let function = function.set_role(accept.role);
        let function = function.code(FunctionCode::builder().zip_file(Blob::new(empty_zip())).build());
        let environment = Environment::builder().variables(variable, value).build();
        function.environment(environment).send().await.unwrap();
        let sqs = aws_sdk_sqs::Client::new(&aws);
        let created = sqs.create_queue().queue_name(format!("{name}-a-dead-letters")).send().await.unwrap();
        OddStack { name, queue: created.queue_url.unwrap(), sqs }
    }

    async fn dead_letter(&self, error: &str) {
        let error = MessageAttributeValue::builder().data_type("String").string_value(error).build().unwrap();
        let send = self.sqs.send_message().queue_url(&self.queue).message_body("not a dispatch");
        send.message_attributes("error", error).send().await.unwrap();
    }

    /// The lines of the standard output and error.
    fn handover(&self, arguments: &[&str]) -> (Vec<String>, String) {
        let output = handover(&[&["--stack", &self.name], arguments].concat(), b"");
        let lines = text(&output.stdout).lines().map(|line| line.trim().to_owned());
        (lines.collect(), text(&output.stderr).to_owned())
    }
}

/// A ZIP archive without files.
fn empty_zip() -> Vec<u8> {
    [&b"PK\x05\x06"[..], &[0; 18]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_hides_nothing_and_says_what_it_cannot_see() {
    let stack = OddStack::deploy().await;
    for error in ["no JSON at byte 36", "no JSON at byte 13", "no account"] {
        stack.dead_letter(error).await;
    }
    for _ in 0..2 {
        let (listed, notes) = stack.handover(&["dead-letters"]);
        assert!(listed[1].starts_with("a            2             no JSON at byte …"), "{listed:?}");
        assert!(listed[2].starts_with("a            1             no account"), "{listed:?}");
        assert!(notes.starts_with("note: the destination `b` has no queue "), "{notes}");
    }
    let (would, _) = stack.handover(&["redrive", "--all", "--dry-run", "--error", "no JSON at byte …"]);
    assert_eq!(would, ["would redrive up to 2 dead letters with the error `no JSON at byte …`"]);

    let (_, error) = stack.handover(&["dead-letters", "--destination", "c"]);
    let expected = format!("`c` is not a destination of the stack `{}`; its routes name: a, b", stack.name);
    assert!(error.starts_with(&format!("error[unknown-destination]: {expected}")), "{error}");
    let (_, error) = stack.handover(&["dead-letters", "--destination", "b"]);
    assert!(error.starts_with("error[not-deployed]: the destination `b` has no queue "), "{error}");

    // Another consumer holds one of them.
    let receive = stack.sqs.receive_message().queue_url(&stack.queue).visibility_timeout(60);
    receive.max_number_of_messages(1).send().await.unwrap();
    let (_, notes) = stack.handover(&["dead-letters", "--destination", "a"]);
    assert!(notes.starts_with("note: about 1 more dead letters of a are hidden"), "{notes}");
    stack.sqs.delete_queue().queue_url(&stack.queue).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_are_in_a_file_are_read_from_the_one_that_is_named() {
    let stack = OddStack::deploy_with("ROUTES_FILE", "odd.routes.json").await;
    stack.sqs.create_queue().queue_name(format!("{}-upstream", stack.name)).send().await.unwrap();
    let folder = std::env::temp_dir().join(unique("routes"));
    std::fs::create_dir(&folder).unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let routes = file("odd.routes.json", ROUTES);
    let event =
        file("events", r#"{"specversion":"1.0","id":"1","type":"u","kind":"event","source":"s","data":0}"#);

    let unread = "(they are in the file `odd.routes.json`: name it with --routes or HANDOVER_ROUTES)";
    let (_, error) = stack.handover(&["dead-letters"]);
    assert!(
        error.starts_with(&format!("error[no-routes]: the stack's routes cannot be read {unread}")),
        "{error}"
    );
    let (_, notes) = stack.handover(&["--routes", &routes, "dead-letters"]);
    assert!(notes.starts_with("note: the destination `b` has no queue "), "{notes}");

    let (sent, note) = stack.handover(&["send", &event]);
    assert_eq!(sent, ["1 sent, 0 not sent"]);
    let unchecked = "note: the routes cannot be read, so types are not checked before sending";
    assert_eq!(note, format!("{unchecked} {unread}\n"));
    let (_, refused) = stack.handover(&["--routes", &routes, "send", &event]);
    assert!(refused.starts_with("line 1: unknown-type: "), "{refused}");
    let (_, error) = stack.handover(&["--routes", &event, "send", &event]);
    assert!(error.contains("events` (--routes or HANDOVER_ROUTES) cannot be used: routes: "), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}
