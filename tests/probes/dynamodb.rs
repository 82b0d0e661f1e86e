//! DynamoDB: conditions, transactions and statements.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum, BatchStatementRequest, BatchStatementResponse,
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use futures_util::future::join_all;

use crate::world::{Item, World, item, n, s, unique};

/// The number of concurrent writers.
const WRITERS: i64 = 32;

pub async fn a_conditional_put_wins_once(world: &World) {
    let table = world.table().await;
    let puts = (0..8).map(|writer| {
        let put = world.dynamodb.put_item().table_name(&table).set_item(Some(item("1", [("by", n(writer))])));
        let put = put.condition_expression("attribute_not_exists(id)");
        put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).send()
    });
    let lost: Vec<_> = join_all(puts).await.into_iter().filter_map(Result::err).collect();
    assert_eq!(lost.len(), 7);
    let winner = world.get(&table, "1").await;
    for error in lost {
        match error.into_service_error() {
            PutItemError::ConditionalCheckFailedException(failed) => assert_eq!(failed.item, winner),
            other => panic!("{other:?}"),
        }
    }
}

fn put(table: &str, item: Item) -> TransactWriteItem {
    let put = Put::builder().table_name(table).set_item(Some(item));
    let put = put.condition_expression("attribute_not_exists(id)");
    let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    TransactWriteItem::builder().put(put.build().unwrap()).build()
}

/// An action that adds to the attribute `sum`.
fn add(table: &str, id: &str, amount: i64) -> TransactWriteItem {
    let update = Update::builder().table_name(table).key("id", s(id)).update_expression("ADD #sum :amount");
    let update =
        update.expression_attribute_names("#sum", "sum").expression_attribute_values(":amount", n(amount));
    TransactWriteItem::builder().update(update.build().unwrap()).build()
}

async fn transact(
    world: &World,
    token: &str,
    actions: impl IntoIterator<Item = TransactWriteItem>,
) -> Result<(), TransactWriteItemsError> {
    let transact = world.dynamodb.transact_write_items().client_request_token(token);
    let transact = transact.set_transact_items(Some(actions.into_iter().collect()));
    transact.send().await.map(drop).map_err(|error| error.into_service_error())
}

fn reasons(error: &TransactWriteItemsError) -> &[CancellationReason] {
    match error {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => cancelled.cancellation_reasons(),
        other => panic!("{other:?}"),
    }
}

/// A request token, of at most 36 characters.
fn token() -> String {
    unique()
}

pub async fn a_transaction_is_all_or_nothing(world: &World) {
    let table = world.table().await;
    let held = item("2", [("by", s("another"))]);
    world.put(&table, held.clone()).await;
    let actions = ["1", "2", "3"].map(|id| put(&table, item(id, [])));
    let error = transact(world, &token(), actions).await.unwrap_err();
    let reasons = reasons(&error);
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code.as_deref().unwrap_or("None")).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed", "None"]);
    assert_eq!(reasons[1].item.as_ref(), Some(&held));
    assert_eq!((world.get(&table, "1").await, world.get(&table, "3").await), (None, None));
    // Each action whose condition failed has its reason, though one alone would cancel the transaction.
    world.put(&table, item("also held", [])).await;
    let actions = ["2", "4", "also held"].map(|id| put(&table, item(id, [])));
    let error = transact(world, &token(), actions).await.unwrap_err();
    let codes = self::reasons(&error).iter().map(|reason| reason.code.as_deref().unwrap_or("None"));
    let failed = "ConditionalCheckFailed";
    assert_eq!(codes.collect::<Vec<_>>(), [failed, "None", failed]);

    transact(world, &token(), ["1", "3"].map(|id| put(&table, item(id, [])))).await.unwrap();
    assert!(world.get(&table, "1").await.is_some() && world.get(&table, "3").await.is_some());
}

pub async fn a_transaction_checks_one_item_and_deletes_another(world: &World) {
    let table = world.table().await;
    for (id, by) in [("checked", "a"), ("deleted", "b")] {
        world.put(&table, item(id, [("by", s(by))])).await;
    }
    // As a mark does: it is the own one, or there is none; nothing is registered.
    let actions = |checked: &str, own: &str| {
        let check = ConditionCheck::builder().table_name(&table).key("id", s(checked));
        let check =
            check.condition_expression("attribute_not_exists(#by)").expression_attribute_names("#by", "by");
        let delete = Delete::builder().table_name(&table).key("id", s("deleted"));
        let delete = delete.condition_expression("(attribute_not_exists(#by) OR #by = :own)");
        let delete =
            delete.expression_attribute_names("#by", "by").expression_attribute_values(":own", s(own));
        [
            TransactWriteItem::builder().condition_check(check.build().unwrap()).build(),
            TransactWriteItem::builder().delete(delete.build().unwrap()).build(),
            TransactWriteItem::builder()
                .delete(Delete::builder().table_name(&table).key("id", s("absent")).build().unwrap())
                .build(),
        ]
    };
    for (checked, own, failed) in [("checked", "b", 0), ("absent-1", "another", 1)] {
        let error = transact(world, &token(), actions(checked, own)).await.unwrap_err();
        assert_eq!(reasons(&error)[failed].code.as_deref(), Some("ConditionalCheckFailed"));
        assert!(world.get(&table, "deleted").await.is_some());
    }
    // Once more for what is deleted by then.
    for _ in 0..2 {
        transact(world, &token(), actions("absent-1", "b")).await.unwrap();
        assert_eq!(world.get(&table, "deleted").await, None);
    }
    assert!(world.get(&table, "checked").await.is_some());
}

pub async fn a_repeated_transaction_has_no_second_effect(world: &World) {
    let (table, token) = (world.table().await, token());
    for _ in 0..3 {
        transact(world, &token, [add(&table, "1", 5), add(&table, "2", 7)]).await.unwrap();
    }
    assert_eq!(world.get(&table, "1").await, Some(item("1", [("sum", n(5))])));
    assert_eq!(world.get(&table, "2").await, Some(item("2", [("sum", n(7))])));
}

pub async fn a_token_belongs_to_one_content(world: &World) {
    let (table, token) = (world.table().await, token());
    transact(world, &token, [add(&table, "1", 5)]).await.unwrap();
    let error = transact(world, &token, [add(&table, "1", 6)]).await.unwrap_err();
    assert!(matches!(error, TransactWriteItemsError::IdempotentParameterMismatchException(_)), "{error:?}");
    assert_eq!(world.get(&table, "1").await, Some(item("1", [("sum", n(5))])));
}

/// Makes many concurrent transactions add 1 to an item, each retried until it succeeds. Returns the codes
/// with which they were cancelled meanwhile.
async fn add_concurrently(world: &World, table: &str) -> Vec<Option<String>> {
    let config = world.dynamodb.config().to_builder().retry_config(RetryConfig::disabled()).build();
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(config);
    let writers = (0..WRITERS).map(async |_| {
        let mut cancelled = Vec::new();
        loop {
            let transact = dynamodb.transact_write_items().transact_items(add(table, "1", 1));
            let Err(error) = transact.send().await else { return cancelled };
            cancelled.push(reasons(&error.into_service_error())[0].code.clone());
            tokio::time::sleep(Duration::from_millis(fastrand::u64(10..100))).await;
        }
    });
    join_all(writers).await.concat()
}

pub async fn no_concurrent_transaction_is_lost(world: &World) {
    let table = world.table().await;
    add_concurrently(world, &table).await;
    assert_eq!(world.get(&table, "1").await, Some(item("1", [("sum", n(WRITERS))])));
}

pub async fn concurrent_transactions_conflict(world: &World) {
    let cancelled = add_concurrently(world, &world.table().await).await;
    assert!(!cancelled.is_empty(), "no transaction was cancelled");
    assert!(cancelled.iter().all(|code| code.as_deref() == Some("TransactionConflict")), "{cancelled:?}");
}

fn statement(text: String, parameters: impl IntoIterator<Item = AttributeValue>) -> BatchStatementRequest {
    let statement = BatchStatementRequest::builder().statement(text);
    let statement = statement.set_parameters(Some(parameters.into_iter().collect()));
    let returned = ReturnValuesOnConditionCheckFailure::AllOld;
    statement.return_values_on_condition_check_failure(returned).build().unwrap()
}

async fn execute(world: &World, statements: Vec<BatchStatementRequest>) -> Vec<BatchStatementResponse> {
    let execute = world.dynamodb.batch_execute_statement().set_statements(Some(statements));
    execute.send().await.unwrap().responses.unwrap()
}

pub async fn each_statement_has_its_own_outcome(world: &World) {
    let table = world.table().await;
    let done_before = item("1", [("state", s("done"))]);
    world.put(&table, done_before.clone()).await;
    world.put(&table, item("2", [("state", s("pending"))])).await;
    world.put(&table, item("3", [])).await;
    let insert = |id: &str| statement(format!("INSERT INTO \"{table}\" VALUE {{'id': ?}}"), [s(id)]);
    let done = |id: &str| {
        let text = format!("UPDATE \"{table}\" SET \"state\"=? WHERE \"id\"=? AND \"state\"=?");
        statement(text, [s("done"), s(id), s("pending")])
    };
    let outcomes = execute(world, vec![insert("4"), insert("3"), done("1"), done("2")]).await;
    let errors: Vec<_> = outcomes.iter().map(|outcome| outcome.error.as_ref()).collect();
    let codes: Vec<_> = errors.iter().map(|error| error.and_then(|error| error.code.clone())).collect();
    use BatchStatementErrorCodeEnum::{ConditionalCheckFailed, DuplicateItem};
    assert_eq!(codes, [None, Some(DuplicateItem), Some(ConditionalCheckFailed), None]);
    assert_eq!(errors[2].unwrap().item.as_ref(), Some(&done_before));
    assert_eq!(world.get(&table, "2").await, Some(item("2", [("state", s("done"))])));
    assert_eq!(world.get(&table, "4").await, Some(item("4", [])));
}

/// A record with one destination.
fn record(state: &str, open: i64) -> Item {
    let refund = AttributeValue::M([("state".to_owned(), s(state))].into());
    let destinations = AttributeValue::M([("refund".to_owned(), refund)].into());
    item("1", [("destinations", destinations), ("open", n(open))])
}

/// A mark, as `src/record/update.rs` writes it as a statement.
pub async fn a_statement_can_mark(world: &World) {
    let table = world.table().await;
    let mut pending = record("pending", 2);
    pending.insert("expires_at".to_owned(), n(9));
    world.put(&table, pending).await;
    let mark = || {
        let text = format!(
            r#"UPDATE "{table}" SET "destinations"."refund"."state"=? SET "open"=1 REMOVE "expires_at" WHERE "id"=? AND "destinations"."refund"."state"=? AND "open">1"#
        );
        statement(text, [s("done"), s("1"), s("pending")])
    };
    let marked = record("done", 1);
    assert_eq!(execute(world, vec![mark()]).await[0].error, None);
    assert_eq!(world.get(&table, "1").await.as_ref(), Some(&marked));

    let again = execute(world, vec![mark()]).await;
    let error = again[0].error.as_ref().unwrap();
    assert_eq!(error.code, Some(BatchStatementErrorCodeEnum::ConditionalCheckFailed));
    assert_eq!(error.item.as_ref(), Some(&marked));
    assert_eq!(world.get(&table, "1").await, Some(marked));
}

/// A condition with an OR, as for a lease.
pub async fn a_statement_condition_can_have_an_or(world: &World) {
    let table = world.table().await;
    world.put(&table, item("1", [("version", n(1))])).await;
    let lease = || {
        let text = format!(
            r#"UPDATE "{table}" SET "lease"=? SET "version"=2 WHERE "id"=? AND ("lease" IS MISSING OR "lease"<5)"#
        );
        statement(text, [n(9), s("1")])
    };
    assert_eq!(execute(world, vec![lease()]).await[0].error, None);
    let code = execute(world, vec![lease()]).await[0].error.as_ref().unwrap().code.clone();
    assert_eq!(code, Some(BatchStatementErrorCodeEnum::ConditionalCheckFailed));
    assert_eq!(world.get(&table, "1").await, Some(item("1", [("lease", n(9)), ("version", n(2))])));
}

pub async fn an_item_above_400_kb_is_refused(world: &World) {
    let table = world.table().await;
    // Names count too: `id` and `data`, with the value `1`.
    let sized = |bytes: usize| item("1", [("data", s("x".repeat(bytes - 7)))]);
    world.put(&table, sized(400 * 1024)).await;
    let put = world.dynamodb.put_item().table_name(&table).set_item(Some(sized(400 * 1024 + 1)));
    assert_eq!(put.send().await.unwrap_err().code(), Some("ValidationException"));
}

pub async fn a_consistent_read_sees_what_was_written(world: &World) {
    let table = world.table().await;
    for version in 0..20 {
        let written = item("1", [("version", n(version))]);
        world.put(&table, written.clone()).await;
        assert_eq!(world.get(&table, "1").await, Some(written));
    }
}
