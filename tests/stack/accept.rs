//! accept, behind its queue.

use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use handover::pipeline::Accept;
use handover::record::Status;
use handover::pipeline::Upstream;
use handover::{Clock, Ledger};
use serde_json::json;
use tokio::time::Instant;

use crate::world::{World, refund, routes, unique};

/// G1: each message of a mixed lot is stored, or in the dead-letter queue with its payload
/// and the reason.
#[tokio::test]
async fn g1_an_acknowledged_message_is_stored_or_parked_with_its_reason() {
    let world = World::connect().await;
    let account = world.account().await;
    let good: Vec<String> = (0..7).map(|_| unique("refund")).collect();
    let with = |part: &str, other: &str| {
        let refund = refund(&unique("refund"), &account, 5);
        assert!(refund.contains(part), "{refund}");
        refund.replacen(part, other, 1)
    };
    let long = "9".repeat(129);
    let bad = [
        (unique("this is not JSON"), "malformed-json: line 1"),
        (format!("[\"{}\"]", unique("list")), "not-an-object:"),
        (with("\"amount\"", "\"amount\":1,\"amount\""), "duplicate-key: `data.amount`"),
        (with("\"id\":", "\"di\":"), "missing: `id`"),
        (with("\"refund-", &format!("\"{long}-")), "too-long: `id`"),
        (with("\"source\":\"orders\"", "\"source\":7"), "wrong-type: `source`"),
        (with("\"amount\":5", "\"amount\":9007199254740993"), "number: `data.amount`"),
        (with("\"command\"", "\"query\""), "unknown-kind:"),
        (
            with("refund.requested", "refund.requestd"),
            "unknown-type: no route takes the type `refund.requestd`",
        ),
        (with("\"command\"", "\"event\""), "wrong-kind:"),
        (with("\"source\"", "\"colour\":1,\"source\""), "unknown-attribute: `colour`"),
        (with("\"amount\":5", &format!("\"amount\":\"{}\"", "5".repeat(256 * 1024))), "too-large:"),
    ];
    let mut messages: Vec<String> = good.iter().map(|id| refund(id, &account, 5)).collect();
    let (bodies, wanted): (Vec<String>, Vec<&str>) = bad.into_iter().unzip();
    messages.extend(bodies.clone());
    world.send(&messages).await;

    let reasons = world.refusals(&bodies).await;
    for (reason, wanted) in reasons.iter().zip(wanted) {
        assert!(reason.starts_with(wanted), "{reason}, not {wanted}");
    }
    world.until(&good, Status::Done).await;
    assert_eq!(world.balance(&account).await, 35);
}

/// G1: what can be neither stored nor parked is not acknowledged; the rest of its batch is.
#[tokio::test]
async fn g1_what_is_neither_stored_nor_parked_comes_again() {
    let world = World::connect().await;
    let good = refund(&unique("refund"), &world.account().await, 5);
    let bad = unique("this is not JSON");
    let event = |bodies: &[&String]| -> SqsEvent {
        let message = |(at, body): (usize, &&String)| {
            json!({ "messageId": at.to_string(), "receiptHandle": "none", "body": body,
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
        let upstream = Upstream::new(accept, world.sqs.clone(), "no-such-queue", dead_letters, 1);
        let answer = upstream.receive(event(bodies), Instant::now() + Duration::from_secs(10)).await;
        answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect::<Vec<_>>()
    };
    assert_eq!(failures("no-such-table", &dead_letters, &[&good, &bad]).await, ["0"]);
    assert_eq!(world.refusals(std::slice::from_ref(&bad)).await.len(), 1);
    let no_queue = format!("{dead_letters}-not");
    assert_eq!(failures("notifications", &no_queue, &[&good, &bad]).await, ["1"]);
    assert_eq!(failures("notifications", &dead_letters, &[&good, &bad]).await, Vec::<String>::new());
    world.refusals(&[bad]).await;
}

/// G2: of many copies sent at once one is accepted; other content under the id is refused and
/// changes nothing.
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
        assert!(reason.starts_with("conflict: the id is held by another message of the source `orders`"));
    }
    // A later message of the same queue has come through: nothing of the others is on its way.
    let after = unique("refund");
    world.send(&[refund(&after, &account, 1)]).await;
    world.until(&[after], Status::Done).await;
    assert_eq!(world.record(&id).await.unwrap(), record);
    assert_eq!(world.balance(&account).await, 101);
}
