//! `handover refused`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};

use crate::{WAIT_SECONDS_MAX, command, handover, interrupt, open_account, refund, status, text, unique};

/// The upstream queue and its dead-letter queue, of a stack that has nothing else.
struct Queues {
    stack: String,
    sqs: aws_sdk_sqs::Client,
    upstream: String,
    dead_letters: String,
}

impl Queues {
    async fn create() -> Queues {
        let sqs = aws_sdk_sqs::Client::new(&handover::aws::config().unwrap().load().await);
        let stack = unique("refused");
        let create = async |name: &str| {
            let created = sqs.create_queue().queue_name(format!("{stack}-{name}")).send().await.unwrap();
            created.queue_url.unwrap()
        };
        let (upstream, dead_letters) = (create("upstream").await, create("upstream-dead-letters").await);
        Queues { stack, upstream, dead_letters, sqs }
    }

    /// Returns the id that SQS gave it.
    async fn refuse(&self, body: &str, reason: Option<&str>) -> String {
        let text =
            |text: &str| MessageAttributeValue::builder().data_type("String").string_value(text).build();
        let send = self.sqs.send_message().queue_url(&self.dead_letters).message_body(body);
        let send = send.message_attributes("ce-id", text("7").unwrap());
        let send = match reason {
            Some(reason) => send.message_attributes("reason", text(reason).unwrap()),
            None => send,
        };
        send.send().await.unwrap().message_id.unwrap()
    }

    /// The bodies in the upstream queue, and the names of their attributes.
    async fn sent(&self) -> Vec<(String, Vec<String>)> {
        let receive = self.sqs.receive_message().queue_url(&self.upstream).max_number_of_messages(10);
        let received = receive.message_attribute_names("All").wait_time_seconds(2).send().await.unwrap();
        let message = |message: aws_sdk_sqs::types::Message| {
            let names = message.message_attributes.unwrap_or_default().into_keys().collect();
            (message.body.unwrap(), names)
        };
        received.messages.unwrap_or_default().into_iter().map(message).collect()
    }

    fn handover(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = handover(&[&["--stack", &self.stack, "refused"], arguments].concat(), b"");
        (output.status.code(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    }

    fn groups(&self, arguments: &[&str]) -> Vec<Value> {
        let (_, listed, notes) = self.handover(&[&["--json"], arguments].concat());
        serde_json::from_str(&listed).unwrap_or_else(|_| panic!("{listed}{notes}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_are_listed_by_cause_and_sent_again() {
    let queues = Queues::create().await;
    assert_eq!(queues.handover(&[]), (Some(0), "no refused messages\n".into(), String::new()));
    let secret = r#"{"id":"order-7","source":"shop","card":"visa"}"#;
    let unrouted = queues.refuse(secret, Some("unknown-type: no route takes the type `t`")).await;
    let first = queues.refuse("not JSON", Some("malformed-json: line 1, column 2 is not JSON")).await;
    let second =
        queues.refuse("{\"id\":\"8\", x", Some("malformed-json: line 1, column 12 is not JSON")).await;
    let moved = queues.refuse("{}", None).await;

    // A list hides nothing, and shows no payload that was not asked for.
    for _ in 0..2 {
        let (code, listed, _) = queues.handover(&[]);
        assert!(listed.starts_with("2 refused: malformed-json: line …, column … is not JSON\n"), "{listed}");
        let of = |id: &str| listed.lines().find(|line| line.contains(id)).unwrap();
        assert!(of(&unrouted).trim_end().ends_with(" order-7  shop"), "{listed}");
        assert!(
            of(&second).trim_end().ends_with(" 8") && of(&first).trim_end().ends_with(&first),
            "{listed}"
        );
        assert!(listed.contains("1 refused: SQS moved it here after too many receives"), "{listed}");
        assert!(code == Some(0) && !listed.contains("visa"), "{listed}");
    }
    let groups = queues.groups(&["--error", "no route"]);
    assert_eq!((&groups[0]["code"], &groups[0]["dead_letters"]), (&"unknown-type".into(), &1.into()));
    let message = &groups[0]["messages"][0];
    assert_eq!(
        [&message["message_id"], &message["id"], &message["source"], &message["body"]],
        [&Value::from(&*unrouted), &"order-7".into(), &"shop".into(), &Value::Null]
    );
    assert!(message["since"].is_string(), "{message}");
    assert_eq!(queues.groups(&["--body", &unrouted])[0]["messages"][0]["body"], secret);

    let dry = queues.handover(&["--resend", "--error", "malformed-json", "--dry-run"]);
    assert_eq!(dry.1, "would send 2 refused messages with the error `malformed-json` again\n");
    let (code, _, error) = queues.handover(&["--resend"]);
    assert!(code == Some(2) && error.contains("--all"), "all of them only where that is said: {error}");
    let (code, _, error) = queues.handover(&["--resend", "--all"]);
    assert!(code == Some(1) && error.contains("error[needs-yes]"), "{error}");
    assert_eq!(queues.sent().await, []);
    let resent = |arguments: &[&str]| -> Value {
        let (_, said, notes) = queues.handover(&[&["--resend", "--json"], arguments].concat());
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{notes}"))
    };
    assert_eq!(resent(&["--all", "--dry-run"]), json!({ "sent": 0, "left": 4 }));
    assert_eq!(resent(&[&unrouted]), json!({ "sent": 1, "left": 0 }));
    assert_eq!(queues.sent().await, [(secret.to_owned(), vec!["ce-id".to_owned()])]);
    let (code, _, error) = queues.handover(&["--resend", &unrouted]);
    let expected = format!("error[unknown-notification]: no message with the id `{unrouted}`");
    assert!(code == Some(1) && error.starts_with(&expected), "{error}");
    let some = queues.handover(&["--resend", "--yes", "--error", "column … is not JSON"]);
    assert_eq!((some.0, &*some.1), (Some(0), "2 sent again, 0 left\n"));
    assert_eq!(queues.groups(&[])[0]["messages"][0]["message_id"], *moved);

    // Another consumer holds it.
    let receive = queues.sqs.receive_message().queue_url(&queues.dead_letters).visibility_timeout(60);
    receive.send().await.unwrap();
    let (_, listed, notes) = queues.handover(&[]);
    assert_eq!(listed, "no refused messages\n");
    assert!(notes.starts_with("note: about 1 more dead letters of upstream are hidden"), "{notes}");
    for url in [&queues.upstream, &queues.dead_letters] {
        queues.sqs.delete_queue().queue_url(url).send().await.unwrap();
    }
    let (code, _, error) = queues.handover(&[]);
    assert!(error.contains(&format!("no stack `{}`", queues.stack)), "{error}");
    assert!(code == Some(1) && error.starts_with("error[unknown-stack]: "), "{error}");
}

/// What accept takes now is done; what it still refuses comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_accepted_or_refused_again() {
    open_account().await;
    let (valid, unrouted) = (unique("valid"), unique("unrouted"));
    let sqs = aws_sdk_sqs::Client::new(&handover::aws::config().unwrap().load().await);
    let queue = format!("{}-upstream-dead-letters", std::env::var("HANDOVER_STACK").unwrap());
    let url = sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
    let moved = sqs.send_message().queue_url(url).message_body(refund(&valid)).send().await.unwrap();
    let unknown = refund(&unrouted).replace("refund.requested", "refund.requestd");
    assert!(handover(&["send", "--unchecked", "-"], unknown.as_bytes()).status.success());

    let sent = handover(&["refused", "--resend", &moved.message_id.unwrap()], b"");
    assert_eq!(text(&sent.stdout), "1 sent again, 0 left\n", "{sent:?}");
    status(&valid, "DONE");
    let refused = message_id(&unrouted, "");
    let sent = handover(&["refused", "--resend", &refused], b"");
    assert_eq!(text(&sent.stdout), "1 sent again, 0 left\n", "{sent:?}");
    message_id(&unrouted, &refused);
}

/// The id that SQS gave the refused message with this id, as soon as there is one and it is another one than `before`.
fn message_id(id: &str, before: &str) -> String {
    let begun = Instant::now();
    loop {
        let listed = handover(&["refused", "--json", "--error", "refund.requestd"], b"");
        let groups: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        let mut all = groups.iter().flat_map(|group| group["messages"].as_array().unwrap());
        let found = all.find(|message| message["id"] == id && message["message_id"] != before);
        if let Some(found) = found {
            return found["message_id"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "{id}: {groups:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What an SQS with 30,000 messages answers that receives one, and then answers `next`.
fn answer(stream: &mut TcpStream, received: &mut u32, next: (&str, &str)) {
    let mut request = BufReader::new(&*stream);
    let head: Vec<String> =
        request.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let length = header("content-length: ").parse().unwrap_or_default();
    request.take(length).read_to_end(&mut Vec::new()).unwrap();
    let is = |action: &str| header("x-amz-target: ") == format!("AmazonSQS.{action}");
    let message = r#"{"Messages":[{"MessageId":"m-1","ReceiptHandle":"r-1","Body":"{}"}]}"#;
    let (status, body) = match () {
        () if is("GetQueueUrl") => ("200 OK", r#"{"QueueUrl":"http://sqs/q"}"#),
        () if is("ReceiveMessage") => {
            *received += 1;
            if *received == 1 { ("200 OK", message) } else { next }
        }
        () if is("GetQueueAttributes") => (
            "200 OK",
            r#"{"Attributes":{"ApproximateNumberOfMessages":"30000","ApproximateNumberOfMessagesNotVisible":"0"}}"#,
        ),
        () => ("200 OK", r#"{"Successful":[],"Failed":[]}"#),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

#[test]
fn a_list_that_ends_before_the_queue_says_so() {
    let listed = |next: (&'static str, &'static str)| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut received = 0;
            listener
                .incoming()
                .map_while(Result::ok)
                .for_each(|mut stream| answer(&mut stream, &mut received, next));
        });
        let output = command(&["refused"]).env("AWS_ENDPOINT_URL", endpoint).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr).to_owned()
    };
    let says = "note: this is not complete: 1 dead letters of upstream were received, of about 30000 that the queue reports";
    // What was received first is visible again; or so much is hidden that SQS gives no more.
    let again = ("200 OK", r#"{"Messages":[{"MessageId":"m-1","ReceiptHandle":"r-2","Body":"{}"}]}"#);
    let over_limit = ("400 Bad Request", r#"{"__type":"com.amazonaws.sqs#OverLimit"}"#);
    for next in [again, over_limit] {
        let notes = listed(next);
        assert!(notes.starts_with(says), "{notes}");
    }
    assert_eq!(listed(("200 OK", "{}")), "", "it came to the end");
}

#[test]
fn a_second_interrupt_says_how_long_dead_letters_stay_hidden() {
    // It never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = command(&["refused"]);
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut child = child.env("AWS_ENDPOINT_URL", endpoint).spawn().unwrap();
    let connection = listener.accept().unwrap();
    interrupt(&child);
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    errors.read_line(&mut said).unwrap();
    assert!(
        said.contains("and releasing the dead letters that it holds; a second Ctrl-C stops at once"),
        "{said}"
    );
    interrupt(&child);
    errors.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("the dead letters that it holds stay hidden for up to 120 s\n"), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(connection);
}
