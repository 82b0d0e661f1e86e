//! The producer's outbox: a notification commits with the producer's own write.

use handover::dynamodb::types::{AttributeValue, CancellationReason, Put, TransactWriteItem};
use handover::notification::ROUTE_BYTES_MAX;
use handover::pipeline::OutboxMessage;
use handover::record::Status;
use handover::store::Acceptance;
use handover::{Checked, Code, Draft};
use serde_json::json;

use crate::world::{World, routes, unique};

fn refund(id: &str, account: &str, amount: u64) -> Checked {
    let data = json!({ "account": account, "amount": amount });
    Draft::command("refund.requested", "orders", &data).build(id).unwrap()
}

/// Commits a business write (an account named after the order) with a message. Returns the reasons if it was
/// cancelled.
async fn commit(world: &World, order: &str, message: &OutboxMessage) -> Result<(), Vec<CancellationReason>> {
    let put =
        Put::builder().table_name(world.named("accounts")).item("account", AttributeValue::S(order.into()));
    let put = put
        .item("balance", AttributeValue::N("0".into()))
        .condition_expression("attribute_not_exists(account)");
    let order = TransactWriteItem::builder().put(put.build().unwrap()).build();
    let call = world.dynamodb.transact_write_items().transact_items(order).transact_items(message.action());
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) => match error.into_service_error() {
            aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
                cancelled,
            ) => Err(cancelled.cancellation_reasons.unwrap()),
            other => panic!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn a_notification_commits_with_the_producers_write_or_not_at_all() {
    let world = World::connect().await;
    let outbox = world.outbox(&routes());
    let account = world.account().await;
    let (id, order) = (unique("refund"), unique("order"));

    // Both commit, and the refund is applied.
    let message = outbox.accept(refund(&id, &account, 70)).unwrap();
    commit(&world, &order, &message).await.unwrap();
    world.until(std::slice::from_ref(&id), Status::Done).await;
    assert_eq!((world.balance(&account).await, world.balance(&order).await), (70, 0));

    // A repeat, as after a lost answer, finds its own message.
    let reasons = commit(&world, &order, &message).await.unwrap_err();
    let outcome = message.outcome(&reasons[1]).unwrap();
    assert!(matches!(outcome, Some(Acceptance::Duplicate(record)) if record.id == id));

    // Other content with the same id also cancels the business write.
    let other = outbox.accept(refund(&id, &account, 71)).unwrap();
    let order = unique("order");
    let reasons = commit(&world, &order, &other).await.unwrap_err();
    assert_eq!(other.outcome(&reasons[1]).unwrap(), Some(Acceptance::Conflict));
    assert_eq!(other.outcome(&reasons[0]).unwrap(), None);

    // A business write that fails leaves no message.
    let id = unique("refund");
    let message = outbox.accept(refund(&id, &account, 70)).unwrap();
    commit(&world, &account, &message).await.unwrap_err();
    assert_eq!(world.record(&id).await, None);
    assert_eq!(world.balance(&account).await, 70);
}

/// As the manual of `OutboxMessage::action` says: a token goes with the action that it was sent with.
#[tokio::test]
async fn a_request_token_is_for_the_same_action() {
    let world = World::connect().await;
    let account = world.account().await;
    let (id, token) = (unique("refund"), unique("token"));
    let message = world.outbox(&routes()).accept(refund(&id, &account, 70)).unwrap();
    let call = |action: TransactWriteItem| {
        let call = world.dynamodb.transact_write_items().client_request_token(&token);
        call.transact_items(action).send()
    };
    let action = message.action();
    call(action.clone()).await.unwrap();
    call(action).await.unwrap();

    // The clock of an action counts milliseconds.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let refused = call(message.action()).await.unwrap_err().into_service_error();
    assert!(refused.is_idempotent_parameter_mismatch_exception(), "{refused:?}");
    world.until(&[id], Status::Done).await;
    assert_eq!(world.balance(&account).await, 70);
}

#[tokio::test]
async fn the_outbox_refuses_what_accept_would_refuse() {
    let world = World::connect().await;
    let unrouted = Draft::command("refund.requestd", "orders", &1).build("1").unwrap();
    assert_eq!(world.outbox(&routes()).accept(unrouted).unwrap_err().code(), Code::UnknownType);
    let large = noted_refund("1", "a", ROUTE_BYTES_MAX);
    assert_eq!(world.outbox(&routes()).accept(large).unwrap_err().code(), Code::TooLargeForRoute);
}

/// The deployed route takes 64 KiB.
#[tokio::test]
async fn what_was_accepted_under_a_larger_limit_is_carried() {
    let world = World::connect().await;
    let (id, account) = (unique("refund"), world.account().await);
    let route = r#"{"refund.requested":{"kind":"command","destinations":["refund"],"max_bytes":262144}}"#;
    let message = world.outbox(&route.parse().unwrap()).accept(noted_refund(&id, &account, 200_000)).unwrap();
    world.dynamodb.transact_write_items().transact_items(message.action()).send().await.unwrap();
    world.until(&[id], Status::Done).await;
    assert_eq!(world.balance(&account).await, 7);
}

/// A refund of 7 with a note of this length.
fn noted_refund(id: &str, account: &str, bytes: usize) -> Checked {
    let data = json!({ "account": account, "amount": 7, "note": "x".repeat(bytes) });
    Draft::command("refund.requested", "orders", &data).build(id).unwrap()
}
