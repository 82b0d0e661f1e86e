//! Destinations that fail: attempts, dead letters, and what a person does then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::MessageAttributeValue;
use handover::store::OperatorOutcome;
use handover::record::Dispatch;
use handover::record::{Record, State, Status};
use handover::{Draft, Failure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::effects::{By, Tested, accepted};
use crate::world::{FUNCTIONS, World, kinesis_event, dispatch, refund, refunds, routes, unique};

/// G3, G7: six attempts, then the dead letter with payload, error and attempts; after the
/// cause is mended, a redrive brings it to DONE.
#[tokio::test]
async fn g3_g7_what_always_fails_is_dead_after_six_attempts_and_can_be_redriven() {
    let world = World::connect().await;
    let (id, account) = (unique("refund"), unique("absent"));
    world.send(&[refund(&id, &account, 7)]).await;
    let dead = world.record_when(&id, |record| record.status == Status::Dead).await;
    let delivery = &dead.destinations["refund"];
    assert_eq!((delivery.attempts, delivery.failures.len(), dead.expires_at), (6, 6, None));
    assert!(delivery.failures["6"].error.contains("write 0 of the effect was refused"), "{delivery:?}");

    let letter = world.dead_letter("refund", &id).await;
    assert_eq!((letter["attempts"].as_str(), letter["destination"].as_str()), ("6", "refund"));
    assert_eq!(letter["error"], delivery.failures["6"].error);
    assert_eq!(Dispatch::decode(letter["body"].as_bytes()).unwrap().notification, dead.notification());

    world.open(&account).await;
    let redriven = world.ledger().redrive(&id, "refund", Timestamp::now()).await.unwrap();
    assert_eq!(redriven, OperatorOutcome::Applied);
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    assert_eq!((done.dispatches, done.dead, world.balance(&account).await), (2, 0, 7));
    let again = world.ledger().redrive(&id, "refund", Timestamp::now()).await.unwrap();
    assert_eq!(again, OperatorOutcome::Was(State::Done));
}

/// G3: what fails twice and then works ends DONE, its attempts in the timeline.
#[tokio::test]
async fn g3_what_fails_twice_and_then_works_is_done() {
    let world = World::connect().await;
    let (id, account) = (unique("refund"), unique("late"));
    world.send(&[refund(&id, &account, 7)]).await;
    world.record_when(&id, |record| record.destinations["refund"].attempts == 2).await;
    world.open(&account).await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    assert!(done.destinations["refund"].attempts >= 2);
    assert_eq!((world.balance(&account).await, world.entries(&account).await.len()), (7, 1));
}

/// G8: a poison message among 99 good ones holds none of them up.
#[tokio::test]
async fn g8_one_poison_message_does_not_hold_up_its_neighbours() {
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
        let ended = record.destinations["refund"].ended_at.unwrap();
        // Those accepted later were never behind it. Between its first attempt and its fourth are
        // seven seconds, more than a slow machine needs for the others.
        assert!(record.accepted_at > first || ended < fourth, "{id} ended {ended}, after {fourth}");
        assert_eq!(record.destinations["refund"].attempts, 0);
    }
    assert_eq!(world.balance(&account).await, 99);
}

/// Contention is nobody's failure: many refunds to one account at once count no attempt.
#[tokio::test]
async fn g7_a_storm_on_one_account_counts_no_attempt() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let (ids, messages) = refunds(&account, 500);
    for messages in messages.chunks(50) {
        world.send(messages).await;
    }
    world.until(&ids, Status::Done).await;
    for id in &ids {
        assert_eq!(world.record(id).await.unwrap().destinations["refund"].attempts, 0);
    }
    assert_eq!(world.balance(&account).await, 500);
}

/// A dead letter that is moved to the retry queue, as the SQS console does, has one attempt.
#[tokio::test]
async fn a_dead_letter_moved_back_has_one_attempt() {
    let world = World::connect().await;
    let (id, account) = (unique("refund"), unique("absent"));
    world.send(&[refund(&id, &account, 7)]).await;
    world.record_when(&id, |record| record.status == Status::Dead).await;
    let retry_queue = world.queue_url("refund-retry").await;
    let move_back = async |letter: &std::collections::HashMap<String, String>| {
        let attribute = |value: &str| {
            MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
        };
        let send = world.sqs.send_message().queue_url(&retry_queue).message_body(&letter["body"]);
        let send = send.message_attributes("error", attribute(&letter["error"]));
        send.message_attributes("attempts", attribute(&letter["attempts"])).send().await.unwrap();
    };
    // In vain: it is buried again, and the record stays dead.
    move_back(&world.dead_letter("refund", &id).await).await;
    let letter = world.dead_letter("refund", &id).await;
    assert_eq!(letter["attempts"], "7");
    assert_eq!(world.record(&id).await.unwrap().destinations["refund"].state, State::Dead);
    // With the cause mended: done.
    world.open(&account).await;
    move_back(&letter).await;
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
    world.record_when(&id, |record| record.status == Status::Dead).await;
    let keep = SignedDuration::from_hours(24);
    let (ledger, positions) = (world.ledger(), world.positions());
    let closed = ledger.close(&positions, &id, "refund", "paid by hand", Timestamp::now(), keep);
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

/// G3: a function that died after it sent the dead letter, and before it wrote so: the copy
/// comes again, fails again, and the record is dead, with a dead letter.
#[tokio::test]
async fn g3_a_death_between_dead_letter_and_mark_is_made_good() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let data = json!({ "account": unique("absent"), "amount": 7 });
    let notification = Draft::command("refund.requested", "orders", &data).build(unique("died")).unwrap();
    let mut record = Record::accept(notification.clone(), &routes(), Timestamp::now()).unwrap();
    record.destinations.get_mut("refund").unwrap().attempts = 5;
    record.change = handover::record::Change::Attempt;
    world.put(&record).await;
    world.invoke("refund", &kinesis_event(&[dispatch(notification.clone().into(), &["refund"]).encode()])).await;
    let dead = world.record(&notification.id).await.unwrap();
    assert_eq!((dead.status, dead.destinations["refund"].attempts), (Status::Dead, 6));
    assert_eq!(world.dead_letter("refund", &notification.id).await["attempts"], "6");
}

/// G7: copies of one notification in both lanes share one count: the handler is called six
/// times in all.
#[tokio::test]
async fn g7_two_copies_share_one_count() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 1).await;
    let tested = Tested::new(&world, "audit").await;
    let calls = Arc::new(AtomicU32::new(0));
    let fails = || {
        let calls = calls.clone();
        By(move |_: &handover::Notification<Value>| {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(Failure::transient("never"))
        })
    };
    // The stream brings it twice, as after a crash: two copies are parked.
    tested.deliver(fails(), &facts, 20).await;
    tested.deliver(fails(), &facts, 20).await;
    let begun = Instant::now();
    while world.record(&facts[0].id).await.unwrap().status != Status::Dead {
        assert!(begun.elapsed() < Duration::from_secs(90));
        tested.retry(fails()).await;
    }
    tested.retry(fails()).await;
    assert_eq!(calls.load(Ordering::Relaxed), 6);
    let record = world.record(&facts[0].id).await.unwrap();
    let delivery = &record.destinations["audit"];
    assert_eq!((delivery.attempts, delivery.failures.len()), (6, 6));
    assert_eq!(tested.left().await.1, 1);
}

/// A pending notification whose copies were lost is dispatched again, and ends.
#[tokio::test]
async fn g3_a_lost_copy_is_replaced_by_another_offer() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let data = json!({ "account": account, "amount": 7 });
    let notification = Draft::command("refund.requested", "orders", &data).build(unique("lost")).unwrap();
    let mut record = Record::accept(notification, &routes(), Timestamp::now()).unwrap();
    // As if a failed attempt had been its last change: the relay does not pass it on.
    record.change = handover::record::Change::Attempt;
    world.put(&record).await;
    assert_eq!(world.ledger().dispatch_again(&record.id, Timestamp::now()).await.unwrap(), OperatorOutcome::Applied);
    let done = world.record_when(&record.id, |record| record.status == Status::Done).await;
    assert_eq!((done.dispatches, world.balance(&account).await), (2, 7));
    let again = world.ledger().dispatch_again(&record.id, Timestamp::now()).await.unwrap();
    assert_eq!(again, OperatorOutcome::Was(State::Done));
}
