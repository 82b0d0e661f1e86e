//! Reconcile's index of the `notifications` table, and how far reconcile has come in it.

use std::collections::HashSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use jiff::Timestamp;

use crate::due::Slot;
use crate::fault::{Cause, Fault, pause};
use crate::ledger::Ledger;
use crate::record::{Item, Status};
use crate::update::{key, number, text};

/// The name of the index.
const INDEX: &str = "due";
/// Most keys of a `BatchGetItem`.
pub(crate) const KEYS_MAX: usize = 100;
/// Most tries of a `BatchGetItem` of which a part was left.
const TRIES_MAX: u32 = 8;

/// A part of a bucket.
pub(crate) struct Page {
    pub ids: Vec<String>,
    /// Where the next one begins, if there is one.
    pub next: Option<Item>,
}

impl Ledger {
    /// The ids in a bucket of the index, one page of them.
    ///
    /// # Errors
    /// A [`Fault`].
    pub(crate) async fn page(&self, bucket: &str, from: Option<Item>) -> Result<Page, Fault> {
        const CALL: &str = "Query";
        let query = self.client.query().table_name(&self.table).index_name(INDEX);
        let query = query.key_condition_expression("#bucket = :bucket");
        let query = query.expression_attribute_names("#bucket", "bucket");
        let query = query.expression_attribute_values(":bucket", text(bucket)).set_exclusive_start_key(from);
        let page = query.send().await.map_err(|error| Fault::of(CALL, &error))?;
        let ids = page.items.unwrap_or_default().into_iter().filter_map(id).collect();
        Ok(Page { ids, next: page.last_evaluated_key })
    }

    /// Those of these, at most [`KEYS_MAX`], that are not seen to have ended. The read may show what was a
    /// moment ago; whoever acts on it reads again.
    ///
    /// # Errors
    /// A [`Fault`].
    pub(crate) async fn not_ended(&self, mut ids: Vec<String>) -> Result<Vec<String>, Fault> {
        const CALL: &str = "BatchGetItem";
        let mut left: Vec<Item> = ids.iter().map(|id| key(id)).collect();
        for tries in 1..=TRIES_MAX {
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(left))
                .projection_expression("id, #status")
                .expression_attribute_names("#status", "status")
                .build()
                .expect("the keys are set");
            let get = self.client.batch_get_item().request_items(&self.table, keys);
            let got = get.send().await.map_err(|error| Fault::of(CALL, &error))?;
            let items = got.responses.unwrap_or_default().into_values().flatten();
            let ended: HashSet<String> = items.filter(has_ended).filter_map(id).collect();
            ids.retain(|id| !ended.contains(id));
            let unprocessed = got.unprocessed_keys.unwrap_or_default().into_values();
            left = unprocessed.flat_map(|it| it.keys).collect();
            if left.is_empty() {
                return Ok(ids);
            }
            pause(tries).await;
        }
        Err(Fault::new(CALL, Cause::Throttled))
    }
}

fn has_ended(item: &Item) -> bool {
    let status = item.get("status").and_then(|it| it.as_s().ok());
    status.is_some_and(|status| status != Status::Init.as_str())
}

fn id(mut item: Item) -> Option<String> {
    match item.remove("id")? {
        AttributeValue::S(id) => Some(id),
        _ => None,
    }
}

/// How far reconcile has come: the slots before its cursor have been looked at. An item of a table of
/// its own, for the ledger holds notifications alone.
#[derive(Clone, Debug)]
pub struct Cursor {
    client: Client,
    table: String,
}

impl Cursor {
    /// In the table of this name, whose key is `name`.
    pub fn new(client: Client, table: impl Into<String>) -> Cursor {
        Cursor { client, table: table.into() }
    }

    /// The first slot that has not been looked at, if it was ever set.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn get(&self) -> Result<Option<Slot>, Fault> {
        const CALL: &str = "GetItem";
        let get = self.client.get_item().table_name(&self.table).key("name", text("reconcile"));
        let item = get.consistent_read(true).send().await.map_err(|error| Fault::of(CALL, &error))?.item;
        let second = item.and_then(|item| item.get("slot")?.as_n().ok()?.parse().ok());
        Ok(second.and_then(|second| Timestamp::from_second(second).ok()).map(Slot::of))
    }

    /// Moves it on; it never goes back.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn set(&self, slot: Slot) -> Result<(), Fault> {
        const CALL: &str = "UpdateItem";
        let set = self.client.update_item().table_name(&self.table).key("name", text("reconcile"));
        let set = set
            .update_expression("SET slot = :slot")
            .condition_expression("attribute_not_exists(slot) OR slot < :slot")
            .expression_attribute_values(":slot", number(slot.begin().as_second()));
        match set.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // Another run was faster, or this is its own write, whose answer was lost.
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Fault::of(CALL, &error)),
            },
        }
    }
}
