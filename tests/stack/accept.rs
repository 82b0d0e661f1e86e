//! Accept behind the upstream queue.

use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_sqs::types::MessageAttributeValue;
use handover::pipeline::{Accept, Upstream, UpstreamQueue};
use handover::record::{Record, Status};
use handover::{Clock, Ledger, NotificationKey};
use serde_json::json;
use tokio::time::Instant;

use crate::world::{FUNCTIONS, World, refund, routes, unique};

/// G1: each message of a mixed batch is stored, or it is in the dead-letter queue with its payload and the
/// reason.
#[tokio::test]
async fn g1_an_acknowledged_message_is_stored_or_dead_lettered_with_its_reason() {
    let world = World::connect().await;
    let account = world.account().await;
    let valid: Vec<String> = (0..7).map(|_| unique("refund")).collect();
    let refund_with = |part: &str, other: &str| {
        let refund = refund(&unique("refund"), &account, 5);
        assert!(refund.contains(part), "{refund}");
        refund.replacen(part, other, 1)
    };
    let long = "9".repeat(129);
    let invalid = [
        (unique("this is not JSON"), "malformed-json: line 1"),
        (format!("[\"{}\"]", unique("list")), "not-an-object:"),
        (refund_with("\"amount\"", "\"amount\":1,\"amount\""), "duplicate-key: `data.amount`"),
        (refund_with("\"id\":", "\"di\":"), "missing: `id`"),
        (refund_with("\"refund-", &format!("\"{long}-")), "too-long: `id`"),
        (refund_with("\"refund-", "\"emit:refund-"), "reserved-id: `id`"),
        (refund_with("\"source\":\"orders\"", "\"source\":7"), "wrong-type: `source`"),
        (refund_with("\"amount\":5", "\"amount\":9007199254740993"), "number: `data.amount`"),
        (refund_with("\"command\"", "\"query\""), "unknown-kind:"),
        (
            refund_with("refund.requested", "refund.requestd"),
            "unknown-type: no route takes the type `refund.requestd`",
        ),
        (refund_with("\"command\"", "\"event\""), "wrong-kind:"),
        (refund_with("\"source\"", "\"partitionKey\":\"k\",\"source\""), "unknown-attribute: `partitionKey`"),
        (
            refund_with("\"amount\":5", &format!("\"amount\":5,\"note\":\"{}\"", "5".repeat(64 * 1024))),
            "too-large-for-route: the event takes 65",
        ),
    ];
    let mut messages: Vec<String> = valid.iter().map(|id| refund(id, &account, 5)).collect();
    // As another producer may send it.
    let other = r#""dataschema":null,"traceparent":"1","datacontenttype":"application/vnd.api+json","tenant":"shop-1","#;
    messages[0] = messages[0].replacen(r#""kind":"command","#, other, 1);
    assert!(messages[0].contains(other), "{}", messages[0]);
    let (bodies, wanted): (Vec<String>, Vec<&str>) = invalid.into_iter().unzip();
    messages.extend(bodies.clone());
    world.send(&messages).await;

    let reasons = world.refusals(&bodies).await;
    for (reason, wanted) in reasons.iter().zip(wanted) {
        assert!(reason.starts_with(wanted), "{reason}, not {wanted}");
    }
    world.until(&valid, Status::Done).await;
    assert_eq!(world.balance(&account).await, 35);
}

/// G1: what was refused keeps the attributes that it was sent with.
#[tokio::test]
async fn g1_a_refused_message_keeps_its_attributes() {
    let world = World::connect().await;
    let body = unique("this is not JSON");
    let attribute = MessageAttributeValue::builder().data_type("String").string_value("7");
    let send = world.sqs.send_message().queue_url(world.queue_url("upstream").await).message_body(&body);
    send.message_attributes("ce-id", attribute.build().unwrap()).send().await.unwrap();
    let dead_letter = world.dead_letter("upstream", &body).await;
    assert_eq!(dead_letter["ce-id"], "7");
    assert!(dead_letter["reason"].starts_with("malformed-json:"), "{dead_letter:?}");
}

/// G1: a message that can be neither stored nor dead-lettered is not acknowledged; the rest of its batch is.
#[tokio::test]
async fn g1_a_message_neither_stored_nor_dead_lettered_is_redelivered() {
    let world = World::connect().await;
    let valid = refund(&unique("refund"), &world.account().await, 5);
    let invalid = unique("this is not JSON");
    let event = |bodies: &[&String]| -> SqsEvent {
        let message = |(index, body): (usize, &&String)| {
            json!({ "messageId": index.to_string(), "receiptHandle": "none", "body": body,
                    "attributes": { "ApproximateReceiveCount": "1" } })
        };
        serde_json::from_value(
            json!({ "Records": bodies.iter().enumerate().map(message).collect::<Vec<_>>() }),
        )
        .unwrap()
    };
    let dead_letters = world.queue_url("upstream-dead-letters").await;
    let failures = async |table: &str, dead_letters: &str, bodies: &[&String]| {
        let ledger = Ledger::new(world.dynamodb.clone(), world.named(table));
        let accept = Accept::new(ledger, routes(), Clock::system());
        let queue = UpstreamQueue::new(world.sqs.clone(), "no-such-queue", dead_letters, 1);
        let upstream = Upstream::new(accept, queue);
        let answer = upstream.receive(event(bodies), Instant::now() + Duration::from_secs(10)).await;
        answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect::<Vec<_>>()
    };
    assert_eq!(failures("no-such-table", &dead_letters, &[&valid, &invalid]).await, ["0"]);
    assert_eq!(world.refusals(std::slice::from_ref(&invalid)).await.len(), 1);
    let no_queue = format!("{dead_letters}-not");
    assert_eq!(failures("notifications", &no_queue, &[&valid, &invalid]).await, ["1"]);
    assert_eq!(failures("notifications", &dead_letters, &[&valid, &invalid]).await, Vec::<String>::new());
    world.refusals(&[invalid]).await;
}

/// G1: while its routes cannot be used, accept takes nothing and refuses nothing. Once they are corrected, it takes what
/// has waited.
#[tokio::test]
async fn g1_what_comes_while_the_routes_cannot_be_used_is_accepted_later() {
    let world = World::connect().await;
    let _alone = FUNCTIONS.write().await;
    let id = unique("refund");
    let message = json!({ "messageId": "1", "receiptHandle": "none", "body": refund(&id, &world.account().await, 5),
                          "attributes": { "ApproximateReceiveCount": "1" } });
    let event = json!({ "Records": [message] });
    let elsewhere = r#"{"t":{"kind":"event","destinations":["elsewhere"]}}"#;
    let routes = world.change_variable("accept", "ROUTES", |_| elsewhere.to_owned()).await;
    let (answer, record) = (world.invoke("accept", &event).await, world.record(&id).await);
    world.change_variable("accept", "ROUTES", |_| routes).await;
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "1" }] }));
    assert_eq!(record, None);
    assert_eq!(world.invoke("accept", &event).await, json!({ "batchItemFailures": [] }));
    assert!(world.record(&id).await.is_some());
}

/// And they come back later each time.
#[tokio::test]
async fn what_is_held_back_waits_longer_than_its_visibility_timeout() {
    let world = World::connect().await;
    let url = world.create_queue(unique("held")).await;
    world.sqs.send_message().queue_url(&url).message_body("{}").send().await.unwrap();
    let receive = async || {
        let receive = world.sqs.receive_message().queue_url(&url).visibility_timeout(1);
        receive.send().await.unwrap().messages.unwrap_or_default()
    };
    let received = receive().await.remove(0);
    let message = json!({ "messageId": "1", "receiptHandle": received.receipt_handle, "body": "{}",
                          "attributes": { "ApproximateReceiveCount": "1" } });
    let event = serde_json::from_value(json!({ "Records": [message] })).unwrap();
    let queue = UpstreamQueue::new(world.sqs.clone(), &url, "no-such-queue", 40);
    let answer = queue.hold(event, Instant::now() + Duration::from_secs(10)).await;
    assert_eq!(answer.batch_item_failures.len(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receive().await, []);
}

/// G2: of many copies sent at once, one is accepted. Other content with the same id is refused and changes
/// nothing.
#[tokio::test]
async fn g2_an_id_is_accepted_once_and_other_content_is_refused() {
    let world = World::connect().await;
    let account = world.account().await;
    let id = unique("refund");
    world.send(&vec![refund(&id, &account, 100); 20]).await;
    world.until(std::slice::from_ref(&id), Status::Done).await;
    let record = world.record(&id).await.unwrap();
    assert_eq!((record.version, record.dispatches), (2, 1), "accepted once, marked once");

    let others = vec![refund(&id, &account, 999), refund(&id, "account-of-another", 100)];
    let repeat = format!(" {} ", refund(&id, &account, 100));
    world.send(&[&others[..], &[repeat]].concat()).await;
    for reason in world.refusals(&others).await {
        assert!(reason.starts_with("conflict: its source sent other content under its id"));
    }
    // A later message of the same queue is done, so no effect of the others is still to come.
    let after = unique("refund");
    world.send(&[refund(&after, &account, 1)]).await;
    world.until(&[after], Status::Done).await;
    assert_eq!(world.record(&id).await.unwrap(), record);
    assert_eq!(world.balance(&account).await, 101);
}

/// G2: an id is unique within its source. Two shops have an order 42, and both are accepted and applied.
#[tokio::test]
async fn g2_one_id_of_two_sources_is_two_notifications() {
    let world = World::connect().await;
    let account = world.account().await;
    let id = unique("order");
    let of_orders = refund(&id, &account, 100);
    let of_shop = refund(&id, &account, 7).replacen("\"orders\"", "\"shop\"", 1);
    world.send(&[of_orders, of_shop]).await;
    let keys = ["orders", "shop"].map(|source| NotificationKey::new(&id, source));
    for key in &keys {
        world.key_when(key, |record| record.status == Status::Done).await;
    }
    let found = world.ledger().find(&id).await.unwrap();
    assert_eq!(found.iter().map(Record::key).collect::<Vec<_>>(), keys);
    assert_eq!(world.balance(&account).await, 107);
    assert_eq!(world.entries(&account).await.len(), 2);
}
