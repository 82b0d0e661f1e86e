//! Numbered notifications, through the deployed `refund`.

use handover::record::{State, Status};
use handover::store::OperatorOutcome;
use handover::{Draft, NotificationKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::world::{World, unique};

/// Refunds of one cent each, numbered from 1 within a key of their own. Returns their ids and messages.
fn numbered(account: &str, count: u64) -> (Vec<String>, Vec<String>) {
    let key = unique("key");
    let refund = |sequence| {
        let draft = Draft::command("refund.numbered", "orders", &json!({ "account": account, "amount": 1 }));
        let refund = draft.partitionkey(&key).sequence(sequence).build(unique("refund")).unwrap();
        let message = String::from_utf8(handover::notification::encode(&refund)).unwrap();
        (refund.id.clone(), message)
    };
    (1..=count).map(refund).unzip()
}

/// G8: they arrive last one first, and are applied in their order.
#[tokio::test]
async fn g8_numbered_refunds_are_applied_in_sequence_whatever_order_they_arrive_in() {
    let world = World::connect().await;
    let account = world.account().await;
    let (ids, messages) = numbered(&account, 6);
    for (id, message) in ids.iter().zip(&messages).skip(1).rev() {
        world.send(&[message]).await;
        world.record_when(id, |_| true).await;
    }
    assert_eq!(world.balance(&account).await, 0, "none is applied before the first");
    world.send(&messages[..1]).await;
    let mut completed_at = Vec::new();
    for id in &ids {
        let done = world.record_when(id, |record| record.status == Status::Done).await;
        assert_eq!(done.destinations["refund"].attempts, 0, "waiting counts no attempt: {done:?}");
        completed_at.push(done.destinations["refund"].ended_at.unwrap());
    }
    assert!(completed_at.is_sorted(), "{completed_at:?}");
    assert_eq!(world.balance(&account).await, 6);
    // A repeat changes nothing.
    world.send(&messages).await;
    let (more, another) = numbered(&account, 1);
    world.send(&another).await;
    world.until(&more, Status::Done).await;
    assert_eq!(world.balance(&account).await, 7);
}

/// G8: a dead notification blocks its key and no other key. A closed one does not, whether it is closed in
/// its turn or before.
#[tokio::test]
async fn g8_a_dead_notification_blocks_its_key_until_it_is_closed() {
    let world = World::connect().await;
    let account = world.account().await;
    let (first, dead) = numbered("nobody", 1);
    let (mut ids, mut messages) = numbered(&account, 4);
    // The first refund of the key is to an account that does not exist.
    let key = serde_json::from_str::<serde_json::Value>(&messages[0]).unwrap()["partitionkey"].clone();
    let mut refund: serde_json::Value = serde_json::from_str(&dead[0]).unwrap();
    refund["partitionkey"] = key;
    (ids[0], messages[0]) = (first[0].clone(), refund.to_string());
    let (others, neighbours) = numbered(&account, 2);
    world.send(&messages).await;
    world.send(&neighbours).await;
    world.until(&others, Status::Done).await;

    let (ledger, positions) = (world.ledger(), world.positions());
    let close = async |id: &str| {
        let retention = SignedDuration::from_hours(1);
        let key = NotificationKey::new(id, "orders");
        ledger.close(&positions, &key, "refund", "a test", Timestamp::now(), retention).await.unwrap()
    };
    assert_eq!(close(&ids[2]).await, OperatorOutcome::Applied, "before its turn");
    let dead = world.record_when(&ids[0], |record| record.status == Status::Dead).await;
    assert_eq!(dead.destinations["refund"].attempts, 6);
    for id in &ids[1..] {
        let waits = world.record(id).await.unwrap();
        let delivery = &waits.destinations["refund"];
        assert_eq!(delivery.attempts, 0, "{waits:?}");
        assert_eq!(delivery.state == State::Closed, *id == ids[2]);
    }
    assert_eq!(close(&ids[0]).await, OperatorOutcome::Applied);
    world.until(&[ids[1].clone(), ids[3].clone()], Status::Done).await;
    assert_eq!(world.balance(&account).await, 4, "two refunds of the key and two of the other key");
}

/// G1: a notification of a sequenced route without a number is refused, and the reason says what to do.
#[tokio::test]
async fn g1_a_notification_without_its_sequence_number_is_refused() {
    let world = World::connect().await;
    let draft = Draft::command("refund.numbered", "orders", &json!({ "account": "a", "amount": 1 }));
    let message = handover::notification::encode(&draft.build(unique("refund")).unwrap());
    let message = String::from_utf8(message).unwrap();
    world.send(&[&message]).await;
    let reasons = world.refusals(&[message]).await;
    assert!(reasons[0].starts_with("not-numbered: ") && reasons[0].contains("`sequence`"), "{reasons:?}");
}
