//! Destinations that fail: attempts, dead letters, and operator actions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::MessageAttributeValue;
use handover::record::{Change, Dispatch, Record, State, Status};
use handover::store::OperatorOutcome;
use handover::{Draft, Effect, Failure, Notification};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::effects::{By, Tested, accepted};
use crate::world::{FUNCTIONS, World, dispatch, kinesis_event, refund, refunds, routes, unique};

/// G3, G7: after six attempts there is a dead letter with payload, error and number of attempts. After the
/// cause is fixed, a redrive completes the notification.
#[tokio::test]
async fn g3_g7_a_notification_that_always_fails_is_dead_after_six_attempts_and_can_be_redriven() {
    let world = World::connect().await;
    let (id, account) = (unique("refund"), unique("absent"));
    // SQS takes neither U+FFFE nor U+FFFF in a body.
    let odd = r#""subject":"order \ufffe","partitionkey":"key \uffff","#;
    let extended =
        odd.to_owned() + r#""tenant":"shop-1","version":7,"time":"2026-11-22T08:15:00.123456789Z","data""#;
    let event = refund(&id, &account, 7).replace(r#""data""#, &extended);
    world.send(&[event.replace(r#""amount""#, r#""memo":"\uffff \ufffe","amount""#)]).await;
    let dead = world.record_when(&id, |record| record.status == Status::Dead).await;
    let delivery = &dead.destinations["refund"];
    assert_eq!((delivery.attempts, delivery.failures.len(), dead.expires_at), (6, 6, None));
    assert!(delivery.failures["6"].error.contains("write 0 of the effect was refused"), "{delivery:?}");

    let dead_letter = world.dead_letter("refund", &id).await;
    assert_eq!((dead_letter["attempts"].as_str(), dead_letter["destination"].as_str()), ("6", "refund"));
    assert_eq!(dead_letter["error"], delivery.failures["6"].error);
    let notification = Dispatch::decode(dead_letter["body"].as_bytes()).unwrap().notification;
    assert_eq!(notification, dead.notification());
    let odd = (notification.subject.as_deref(), notification.partitionkey.as_deref());
    assert_eq!(odd, (Some("order \u{fffe}"), Some("key \u{ffff}")));
    assert_eq!(notification.data.deserialize::<Value>().unwrap()["memo"], "\u{ffff} \u{fffe}");
    assert_eq!(
        notification.extensions,
        [("tenant".into(), "shop-1".into()), ("version".into(), 7.into())].into()
    );
    assert_eq!(notification.time, Some("2026-11-22T08:15:00.123456789Z".parse().unwrap()));

    world.open(&account).await;
    let redriven = world.ledger().redrive(&dead.key(), "refund", Timestamp::now()).await.unwrap();
    assert_eq!(redriven, OperatorOutcome::Applied);
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    assert_eq!((done.dispatches, done.dead, world.balance(&account).await), (2, 0, 7));
    let again = world.ledger().redrive(&dead.key(), "refund", Timestamp::now()).await.unwrap();
    assert_eq!(again, OperatorOutcome::Was(State::Done));
}

/// G3: a notification that fails twice and then succeeds is DONE, with its attempts on the record.
#[tokio::test]
async fn g3_a_notification_that_fails_twice_and_then_succeeds_is_done() {
    let world = World::connect().await;
    let (id, account) = (unique("refund"), unique("late"));
    world.send(&[refund(&id, &account, 7)]).await;
    world.record_when(&id, |record| record.destinations["refund"].attempts == 2).await;
    world.open(&account).await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    assert!(done.destinations["refund"].attempts >= 2);
    assert_eq!((world.balance(&account).await, world.entries(&account).await.len()), (7, 1));
}

/// G8: a poison message among 99 valid ones delays none of them.
#[tokio::test]
async fn g8_a_poison_message_does_not_delay_its_neighbours() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let (ids, mut messages) = refunds(&account, 99);
    let poison = unique("poison");
    messages.insert(50, refund(&poison, &unique("absent"), 7));
    world.send(&messages).await;
    world.until(&ids, Status::Done).await;
    let dead = world.record_when(&poison, |record| record.status == Status::Dead).await;
    let [first, fourth] = ["1", "4"].map(|attempt| dead.destinations["refund"].failures[attempt].at);
    for id in &ids {
        let record = world.record(id).await.unwrap();
        let completed_at = record.destinations["refund"].ended_at.unwrap();
        // A refund accepted later was never behind the poison message. Seven seconds pass between its first
        // attempt and its fourth, more than a slow machine needs for the others.
        let is_in_time = record.accepted_at > first || completed_at < fourth;
        assert!(is_in_time, "{id} was completed at {completed_at}, after {fourth}");
        assert_eq!(record.destinations["refund"].attempts, 0);
    }
    assert_eq!(world.balance(&account).await, 99);
}

/// G7: contention is no failed attempt: many refunds to one account at once count none.
#[tokio::test]
async fn g7_contention_on_one_account_counts_no_attempt() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let (ids, messages) = refunds(&account, 300);
    for messages in messages.chunks(50) {
        world.send(messages).await;
    }
    world.until(&ids, Status::Done).await;
    for id in &ids {
        assert_eq!(world.record(id).await.unwrap().destinations["refund"].attempts, 0);
    }
    assert_eq!(world.balance(&account).await, 300);
}

/// A dead letter that is moved to the retry queue, as the SQS console does, gets one attempt.
#[tokio::test]
async fn a_dead_letter_moved_back_has_one_attempt() {
    let world = World::connect().await;
    let (id, account) = (unique("refund"), unique("absent"));
    world.send(&[refund(&id, &account, 7)]).await;
    world.record_when(&id, |record| record.status == Status::Dead).await;
    let retry_queue = world.queue_url("refund-retry").await;
    let move_back = async |dead_letter: &HashMap<String, String>| {
        let attribute = |value: &str| {
            MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
        };
        let send = world.sqs.send_message().queue_url(&retry_queue).message_body(&dead_letter["body"]);
        let send = send.message_attributes("error", attribute(&dead_letter["error"]));
        send.message_attributes("attempts", attribute(&dead_letter["attempts"])).send().await.unwrap();
    };
    // The cause is not fixed: it is dead-lettered again, and the record stays dead.
    move_back(&world.dead_letter("refund", &id).await).await;
    let dead_letter = world.dead_letter("refund", &id).await;
    assert_eq!(dead_letter["attempts"], "7");
    assert_eq!(world.record(&id).await.unwrap().destinations["refund"].state, State::Dead);
    // The cause is fixed: it is done.
    world.open(&account).await;
    move_back(&dead_letter).await;
    world.until(&[id], Status::Done).await;
    assert_eq!(world.balance(&account).await, 7);
}

/// G6: a copy that arrives after `close` applies nothing.
#[tokio::test]
async fn g6_a_copy_after_close_applies_nothing() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let (id, account) = (unique("refund"), unique("absent"));
    world.send(&[refund(&id, &account, 7)]).await;
    let dead = world.record_when(&id, |record| record.status == Status::Dead).await;
    let retention = SignedDuration::from_hours(24);
    let (ledger, positions) = (world.ledger(), world.positions());
    let (key, reason) = (dead.key(), "paid by bank transfer");
    let closed = ledger.close(&positions, &key, "refund", reason, Timestamp::now(), retention);
    let closed = closed.await.unwrap();
    assert_eq!(closed, OperatorOutcome::Applied);
    let closed = world.record(&id).await.unwrap();
    assert_eq!((closed.status, closed.closed, closed.dead), (Status::Closed, 1, 0));
    assert!(closed.expires_at.is_some());
    world.open(&account).await;
    world.invoke("refund", &kinesis_event(&[dispatch(closed.notification(), &["refund"]).encode()])).await;
    assert_eq!(world.record(&id).await.unwrap(), closed);
    assert_eq!(world.balance(&account).await, 0);
}

/// G3: a function dies after it sent the dead letter, and before it marked the record dead. The copy is
/// redelivered and fails again; the record is dead, and there is a dead letter.
#[tokio::test]
async fn g3_a_crash_between_dead_letter_and_mark_is_recovered() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let data = json!({ "account": unique("absent"), "amount": 7 });
    let notification = Draft::command("refund.requested", "orders", &data).build(unique("died")).unwrap();
    let mut record = Record::accept(notification.clone(), &routes(), Timestamp::now()).unwrap();
    record.destinations.get_mut("refund").unwrap().attempts = 5;
    record.change = Change::Attempt;
    world.put(&record).await;
    world
        .invoke("refund", &kinesis_event(&[dispatch(notification.clone().into(), &["refund"]).encode()]))
        .await;
    let dead = world.record(&notification.id).await.unwrap();
    assert_eq!((dead.status, dead.destinations["refund"].attempts), (Status::Dead, 6));
    assert_eq!(world.dead_letter("refund", &notification.id).await["attempts"], "6");
}

/// G7: copies of one notification from the stream and the retry queue share one attempt count, and a replay of
/// the stream counts nothing.
#[tokio::test]
async fn g7_two_copies_share_one_attempt_count() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 1).await;
    let tested = Tested::new(&world, "audit").await;
    let calls = Arc::new(AtomicU32::new(0));
    let fails = || {
        let calls = calls.clone();
        By(move |_: &Notification<Value>| {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(Failure::transient("never"))
        })
    };
    // The stream delivers it twice, as after a crash: the second time counts nothing.
    tested.deliver(fails(), &facts, 20).await;
    tested.deliver(fails(), &facts, 20).await;
    assert_eq!(world.record(&facts[0].id).await.unwrap().destinations["audit"].attempts, 1);
    let begun = Instant::now();
    while world.record(&facts[0].id).await.unwrap().status != Status::Dead {
        assert!(begun.elapsed() < Duration::from_secs(90));
        tested.retry(fails()).await;
    }
    tested.retry(fails()).await;
    assert_eq!(calls.load(Ordering::Relaxed), 7);
    let record = world.record(&facts[0].id).await.unwrap();
    let delivery = &record.destinations["audit"];
    assert_eq!((delivery.attempts, delivery.failures.len()), (6, 6));
    assert_eq!(tested.left().await.1, 1);
}

/// A fault that counts no attempt, such as a wrong table, is recorded by the first copy that it keeps in the retry
/// queue. When it is cured, a dispatch ends the wait.
#[tokio::test]
async fn a_fault_that_counts_no_attempt_shows_on_the_record() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 1).await;
    let tested = Tested::new(&world, "audit").await;
    let absent = world.named("a-table-that-is-not-there");
    let wrong_table = || {
        let absent = absent.clone();
        By(move |_: &Notification<Value>| Ok(Effect::new().put(&absent, &json!({ "id": "1" }))))
    };
    tested.deliver(wrong_table(), &facts, 20).await;
    tested.retry(wrong_table()).await;
    let record = world.record(&facts[0].id).await.unwrap();
    let delivery = &record.destinations["audit"];
    assert_eq!((delivery.state, delivery.attempts, record.change), (State::Pending, 0, Change::Fault));
    let fault = delivery.present_fault().expect("it is recorded");
    assert!(fault.error.starts_with("TransactWriteItems: there is no such table"), "{}", fault.error);

    let again = world.ledger().dispatch_again(&record.key(), Timestamp::now()).await.unwrap();
    assert_eq!(again, OperatorOutcome::Applied);
    tested.deliver(By(|_: &Notification<Value>| Ok(Effect::new())), &facts, 20).await;
    let done = world.record(&facts[0].id).await.unwrap();
    assert_eq!((done.status, done.destinations["audit"].present_fault()), (Status::Done, None));
}

/// G3: a pending notification whose copies were lost is dispatched again and completed.
#[tokio::test]
async fn g3_a_lost_copy_is_replaced_by_another_dispatch() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let data = json!({ "account": account, "amount": 7 });
    let notification = Draft::command("refund.requested", "orders", &data).build(unique("lost")).unwrap();
    let mut record = Record::accept(notification, &routes(), Timestamp::now()).unwrap();
    // Its last change looks like a failed attempt, so relay does not dispatch it.
    record.change = Change::Attempt;
    world.put(&record).await;
    assert_eq!(
        world.ledger().dispatch_again(&record.key(), Timestamp::now()).await.unwrap(),
        OperatorOutcome::Applied
    );
    let done = world.record_when(&record.id, |record| record.status == Status::Done).await;
    assert_eq!((done.dispatches, world.balance(&account).await), (2, 7));
    let again = world.ledger().dispatch_again(&record.key(), Timestamp::now()).await.unwrap();
    assert_eq!(again, OperatorOutcome::Was(State::Done));
}
