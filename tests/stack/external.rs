//! External effects, through the deployed `payment` and a provider that is an HTTP server.

use std::time::Duration;

use handover::record::{Delivery, Settled, State, Status};
use handover::store::OperatorOutcome;
use handover::{Draft, NotificationKey};
use handover_provider::Seen;
use jiff::Timestamp;
use serde_json::json;

use crate::world::{World, serve_provider, unique};

/// Sends a payment to this account, whose name says how the provider treats it. Returns its id.
async fn pay(world: &World, account: &str) -> String {
    serve_provider();
    let id = unique("payment");
    let data = json!({ "account": account, "amount": 5 });
    let payment = Draft::command("payment.requested", "orders", &data).build(&id).unwrap();
    world.send(&[String::from_utf8(handover::notification::encode(&payment)).unwrap()]).await;
    id
}

/// What the provider has seen of a payment.
fn seen(world: &World, id: &str) -> Seen {
    world.seen_by_provider("payment", &NotificationKey::new(id, "orders"))
}

/// G5: a payment is made once, within a lease. The record keeps its receipt.
#[tokio::test]
async fn g5_a_payment_is_made_once() {
    let world = World::connect().await;
    let id = pay(&world, "good").await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    let delivery = &done.destinations["payment"];
    assert_eq!(seen(&world, &id), Seen { requests: 1, made: 1 });
    assert_eq!((delivery.fence, delivery.attempts), (1, 0));
    assert!(delivery.result.as_ref().unwrap().as_str().contains("payment of "));
}

/// G5: a refusal for good rejects the command.
#[tokio::test]
async fn g5_a_payment_that_the_provider_refuses_is_rejected() {
    let world = World::connect().await;
    let id = pay(&world, "refused").await;
    let rejected = world.record_when(&id, |record| record.status == Status::Rejected).await;
    assert_eq!(rejected.destinations["payment"].reason.as_deref(), Some("no cover"));
    assert_eq!(seen(&world, &id), Seen { requests: 1, made: 0 });
}

/// G5, G7: a provider that is busy leaves no call of unknown outcome, and counts no attempt. It says how long to wait.
#[tokio::test]
async fn g5_a_call_that_a_busy_provider_refuses_is_made_again_when_it_says() {
    let world = World::connect().await;
    let id = pay(&world, "busy-once").await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    let delivery = &done.destinations["payment"];
    assert_eq!((seen(&world, &id), delivery.attempts), (Seen { requests: 2, made: 1 }, 0));
    let waited = delivery.ended_at.unwrap() - done.accepted_at;
    assert!(waited.get_seconds() >= handover_provider::RETRY_AFTER_SECONDS, "{waited}");
}

/// G7: a token that the provider refuses counts no attempt, and shows. When its secret is rotated, the function reads
/// it again.
#[tokio::test]
async fn a_token_that_is_refused_counts_no_attempt_until_it_is_rotated() {
    let world = World::connect().await;
    let id = pay(&world, "rotated").await;
    let is_held_up = |delivery: &Delivery| {
        delivery.present_fault().is_some_and(|fault| fault.error.starts_with("the provider answered 401"))
    };
    let held_up = world.record_when(&id, |record| is_held_up(&record.destinations["payment"])).await;
    let delivery = &held_up.destinations["payment"];
    assert_eq!((delivery.state, delivery.attempts, delivery.called_at), (State::Pending, 0, None));

    world.rotate_provider_token().await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    let delivery = &done.destinations["payment"];
    assert_eq!((delivery.attempts, delivery.present_fault()), (0, None));
    assert_eq!(seen(&world, &id).made, 1);
}

/// G5: a page with the status 404 does not say that nothing was paid.
#[tokio::test]
async fn g5_a_page_in_front_of_the_provider_leaves_the_outcome_unknown() {
    let world = World::connect().await;
    let id = pay(&world, "lost-page-once").await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    let delivery = &done.destinations["payment"];
    assert_eq!(seen(&world, &id), Seen { requests: 2, made: 1 });
    assert_eq!((delivery.fence, delivery.attempts), (2, 0));
    let waited = delivery.ended_at.unwrap() - done.accepted_at;
    assert!(waited.get_seconds() >= 10, "the lease outlasts the call: {waited}");
}

/// G5: after a call of unknown outcome, the next call has the same key and begins after the lease expired.
#[tokio::test]
async fn g5_a_call_of_unknown_outcome_is_repeated_with_its_key_and_paid_once() {
    let world = World::connect().await;
    let ids =
        [pay(&world, "lost-once").await, pay(&world, "hangs-once").await, pay(&world, "page-once").await];
    for id in &ids {
        let tried = world.record_when(id, |record| record.destinations["payment"].attempts == 1).await;
        assert!(tried.destinations["payment"].called_at.is_some(), "{tried:?}");
        let done = world.record_when(id, |record| record.status == Status::Done).await;
        let delivery = &done.destinations["payment"];
        assert_eq!(seen(&world, id), Seen { requests: 2, made: 1 });
        assert_eq!(delivery.fence, 2);
        let between = delivery.ended_at.unwrap() - delivery.failures["1"].at;
        assert!(between.get_seconds() >= 5, "the lease outlasts the call: {between}");
    }
}

/// G5: settling changes nothing if the outcome of every call is known.
#[tokio::test]
async fn g5_only_a_call_of_unknown_outcome_can_be_settled() {
    let world = World::connect().await;
    let id = pay(&world, "good").await;
    let paid = world.record_when(&id, |record| record.destinations["payment"].state == State::Done).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (ledger, key) = (world.ledger(), paid.key());
    let settled = ledger.settle(&key, "payment", Settled::Again, Timestamp::now()).await.unwrap();
    assert_ne!(settled, OperatorOutcome::Applied);
    assert_eq!(seen(&world, &id).requests, 1);
}
