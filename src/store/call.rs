//! A conditional update as a call to DynamoDB, or as part of a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    ConditionCheck, Delete, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update as UpdateAction,
};

use crate::aws::{Cause, Fault};
use crate::notification::NotificationKey;
use crate::record::attributes::{ID, SOURCE};
use crate::record::{Condition, Expression, Item, Record, Update, text};

pub(crate) const GET_ITEM: &str = "GetItem";
pub(crate) const PUT_ITEM: &str = "PutItem";
pub(crate) const QUERY: &str = "Query";
pub(crate) const UPDATE_ITEM: &str = "UpdateItem";
pub(crate) const TRANSACT: &str = "TransactWriteItems";

/// How a conditional update came out.
#[derive(Debug)]
pub(crate) enum Updated {
    Applied,
    /// The condition failed on this item, which is empty where there is none.
    ConditionFailed(Item),
}

/// The key of a record.
pub(crate) fn item_key(key: &NotificationKey) -> Item {
    HashMap::from([(ID.to_owned(), text(&key.id)), (SOURCE.to_owned(), text(&key.source))])
}

/// One `UpdateItem`.
pub(crate) async fn update_item(
    client: &Client,
    table: &str,
    key: Item,
    update: &Update,
) -> Result<Updated, Fault> {
    let expression = Expression::new(update);
    let call = client.update_item().table_name(table).set_key(Some(key));
    let call = call
        .condition_expression(expression.condition)
        .update_expression(expression.update)
        .set_expression_attribute_names(Some(expression.names))
        .set_expression_attribute_values(Some(expression.values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let Err(error) = call.send().await else { return Ok(Updated::Applied) };
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
            Ok(Updated::ConditionFailed(failed.item.clone().unwrap_or_default()))
        }
        _ => Err(Fault::from_sdk(UPDATE_ITEM, &error)),
    }
}

/// An update as an action of a transaction.
pub(crate) fn update_action(table: &str, key: Item, update: &Update) -> TransactWriteItem {
    let expression = Expression::new(update);
    let update = UpdateAction::builder()
        .table_name(table)
        .set_key(Some(key))
        .condition_expression(expression.condition)
        .update_expression(expression.update)
        .set_expression_attribute_names(Some(expression.names))
        .set_expression_attribute_values(Some(expression.values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("table, key and expression are set");
    TransactWriteItem::builder().update(update).build()
}

/// A check of conditions as an action of a transaction.
pub(crate) fn check_action(table: &str, key: Item, conditions: Vec<Condition>) -> TransactWriteItem {
    let expression = Expression::new(&Update { conditions, ..Update::default() });
    let check = ConditionCheck::builder()
        .table_name(table)
        .set_key(Some(key))
        .condition_expression(expression.condition)
        .set_expression_attribute_names(Some(expression.names))
        .set_expression_attribute_values(values(expression.values))
        .build()
        .expect("table, key and condition are set");
    TransactWriteItem::builder().condition_check(check).build()
}

/// A delete as an action of a transaction.
pub(crate) fn delete_action(table: &str, key: Item, conditions: Vec<Condition>) -> TransactWriteItem {
    let delete = Delete::builder().table_name(table).set_key(Some(key));
    let delete = match conditions.is_empty() {
        true => delete,
        false => {
            let expression = Expression::new(&Update { conditions, ..Update::default() });
            delete
                .condition_expression(expression.condition)
                .set_expression_attribute_names(Some(expression.names))
                .set_expression_attribute_values(values(expression.values))
        }
    };
    TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build()
}

/// DynamoDB refuses an empty map of values.
fn values(values: Item) -> Option<Item> {
    Some(values).filter(|values| !values.is_empty())
}

/// The record that DynamoDB returned with a failed condition.
///
/// # Errors
/// A fault where there is no item (never a duplicate: an effect must not count as applied because its record
/// is gone), or where the item is not a record.
pub(crate) fn returned_record(call: &'static str, item: Option<Item>) -> Result<Record, Fault> {
    let item = item.filter(|item| !item.is_empty()).ok_or(Fault::new(call, Cause::Missing))?;
    decode_record(call, item)
}

pub(crate) fn decode_record(call: &'static str, item: Item) -> Result<Record, Fault> {
    Record::decode(item).map_err(|error| Fault::new(call, Cause::Unreadable(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::event_for;

    #[test]
    fn a_record_that_is_not_there_is_a_fault_never_a_duplicate() {
        for nothing in [None, Some(Item::new())] {
            let fault = returned_record(TRANSACT, nothing).unwrap_err();
            assert!(fault.is_missing_item() && !fault.is_retryable());
        }
        let record = event_for(&["a"]);
        assert_eq!(returned_record(TRANSACT, Some(record.encode())).unwrap(), record);
    }
}
