//! The index of the `notifications` table that reconcile reads, and how far reconcile has come in it.

use std::collections::HashSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use jiff::Timestamp;

use super::call::{GET_ITEM, QUERY, UPDATE_ITEM, item_key};
use super::ledger::Ledger;
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::notification::NotificationKey;
use crate::record::attributes::{BUCKET, CURSOR_NAME, CURSOR_SLOT, DUE_INDEX, ID, SOURCE, STATUS};
use crate::record::{Item, Slot, Status, number, text};

/// Most keys of a `BatchGetItem`.
pub(crate) const KEYS_MAX: usize = 100;
/// The name of the cursor's item.
const RECONCILE: &str = "reconcile";

/// A part of a bucket.
pub(crate) struct Page {
    pub(crate) keys: Vec<NotificationKey>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<Item>,
}

impl Ledger {
    /// One page of the keys in a bucket of the index.
    ///
    /// # Errors
    /// A [`Fault`].
    pub(crate) async fn page(&self, bucket: &str, from: Option<Item>) -> Result<Page, Fault> {
        let query = self.client.query().table_name(&self.table).index_name(DUE_INDEX);
        let query = query.key_condition_expression("#bucket = :bucket");
        let query = query.expression_attribute_names("#bucket", BUCKET);
        let query = query.expression_attribute_values(":bucket", text(bucket)).set_exclusive_start_key(from);
        let page = query.send().await.map_err(|error| Fault::from_sdk(QUERY, &error))?;
        let keys = page.items.unwrap_or_default().into_iter().filter_map(key).collect();
        Ok(Page { keys, next: page.last_evaluated_key })
    }

    /// Those of at most [`KEYS_MAX`] keys whose records are not seen to be completed. The read may be stale, so
    /// the caller reads a record again before it acts on it.
    ///
    /// # Errors
    /// A [`Fault`].
    pub(crate) async fn not_completed(
        &self,
        mut keys: Vec<NotificationKey>,
    ) -> Result<Vec<NotificationKey>, Fault> {
        const CALL: &str = "BatchGetItem";
        let mut left: Vec<Item> = keys.iter().map(item_key).collect();
        for tries in 1..=TRIES_MAX {
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(left))
                .projection_expression("#id, #source, #status")
                .expression_attribute_names("#id", ID)
                .expression_attribute_names("#source", SOURCE)
                .expression_attribute_names("#status", STATUS)
                .build()
                .expect("the keys are set");
            let get = self.client.batch_get_item().request_items(&self.table, wanted);
            let got = get.send().await.map_err(|error| Fault::from_sdk(CALL, &error))?;
            let items = got.responses.unwrap_or_default().into_values().flatten();
            let completed: HashSet<NotificationKey> = items.filter(is_completed).filter_map(key).collect();
            keys.retain(|key| !completed.contains(key));
            let unprocessed = got.unprocessed_keys.unwrap_or_default().into_values();
            left = unprocessed.flat_map(|unprocessed| unprocessed.keys).collect();
            if left.is_empty() {
                return Ok(keys);
            }
            pause(tries).await;
        }
        Err(Fault::new(CALL, Cause::Throttled))
    }
}

fn is_completed(item: &Item) -> bool {
    // A status of a later release is not known to be one: the record is then read.
    let completed = [Status::Done, Status::Rejected, Status::Dead, Status::Closed];
    let status = item.get(STATUS).and_then(|status| status.as_s().ok());
    status.is_some_and(|status| completed.iter().any(|completed| completed.as_str() == status))
}

fn key(mut item: Item) -> Option<NotificationKey> {
    match (item.remove(ID)?, item.remove(SOURCE)?) {
        (AttributeValue::S(id), AttributeValue::S(source)) => Some(NotificationKey { id, source }),
        _ => None,
    }
}

/// How far reconcile has come: it has checked the slots before its cursor. The cursor is an item of a table of
/// its own, since the ledger has notifications alone.
#[derive(Clone, Debug)]
pub struct Cursor {
    client: Client,
    table: String,
}

impl Cursor {
    /// The cursor in the table of this name, whose key is `name`.
    pub fn new(client: Client, table: impl Into<String>) -> Cursor {
        Cursor { client, table: table.into() }
    }

    /// The first slot that is not checked yet, if the cursor was ever set.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn get(&self) -> Result<Option<Slot>, Fault> {
        let get = self.client.get_item().table_name(&self.table).key(CURSOR_NAME, text(RECONCILE));
        let item =
            get.consistent_read(true).send().await.map_err(|error| Fault::from_sdk(GET_ITEM, &error))?.item;
        let second = item.and_then(|item| item.get(CURSOR_SLOT)?.as_n().ok()?.parse().ok());
        Ok(second.and_then(|second| Timestamp::from_second(second).ok()).map(Slot::of))
    }

    /// Moves the cursor forward. It never moves back.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn set(&self, slot: Slot) -> Result<(), Fault> {
        let set = self.client.update_item().table_name(&self.table).key(CURSOR_NAME, text(RECONCILE));
        let set = set
            .update_expression("SET #slot = :slot")
            .condition_expression("attribute_not_exists(#slot) OR #slot < :slot")
            .expression_attribute_names("#slot", CURSOR_SLOT)
            .expression_attribute_values(":slot", number(slot.begin().as_second()));
        match set.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // Another run moved it, or this is our own write, whose answer was lost.
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Fault::from_sdk(UPDATE_ITEM, &error)),
            },
        }
    }
}
