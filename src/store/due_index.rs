//! The index of the `notifications` table, which reconcile reads, and an operator who looks for what is open.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity::Total as TOTAL;
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, KeysAndAttributes};

use super::call::{QUERY, item_key};
use super::ledger::Ledger;
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::notification::NotificationKey;
use crate::record::attributes::{BUCKET, DUE_INDEX, ID, SOURCE, STATUS};
use crate::record::{Item, Status, text};

/// Most keys of a page, and of a `BatchGetItem`.
pub(crate) const KEYS_MAX: usize = 100;
const BATCH_GET_ITEM: &str = "BatchGetItem";

/// A part of a bucket.
#[non_exhaustive]
pub struct Page {
    /// Its keys.
    pub keys: Vec<NotificationKey>,
    /// The last key of it, if another page follows.
    pub next: Option<NotificationKey>,
    /// The read units that it took.
    pub units: f64,
}

/// Which records of a page have to be looked at.
#[non_exhaustive]
pub struct NotCompleted {
    /// Their keys.
    pub keys: Vec<NotificationKey>,
    /// The read units that it took to know.
    pub units: f64,
}

impl Ledger {
    /// One page of at most 100 keys in a bucket of the index: those after `from`. The index lags behind the table: one that
    /// came a moment ago may be missing.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn page(&self, bucket: &str, from: Option<&NotificationKey>) -> Result<Page, Fault> {
        let query = self.client.query().table_name(&self.table).index_name(DUE_INDEX).limit(KEYS_MAX as i32);
        let query = query.key_condition_expression("#bucket = :bucket");
        let query = query.expression_attribute_names("#bucket", BUCKET);
        let query = query.expression_attribute_values(":bucket", text(bucket));
        let from = from.map(|from| {
            let mut start = item_key(from);
            start.insert(BUCKET.to_owned(), text(bucket));
            start
        });
        let query = query.set_exclusive_start_key(from).return_consumed_capacity(TOTAL);
        let page = query.send().await.map_err(|error| Fault::from_sdk(QUERY, &error))?;
        let units = page.consumed_capacity().and_then(ConsumedCapacity::capacity_units);
        let keys = page.items.unwrap_or_default().into_iter().filter_map(key).collect();
        let next = page.last_evaluated_key.and_then(key);
        Ok(Page { keys, next, units: units.unwrap_or_default() })
    }

    /// Those of at most 100 keys whose records are not seen to be completed. A dead record is not
    /// completed. The read may be stale, so the caller reads a record again before it acts on it.
    ///
    /// AWS answers in part what is over 16 MB, or over the throughput of a partition. So this goes on as long as
    /// each answer brings some of the keys.
    ///
    /// # Errors
    /// A [`Fault`]; a throttle where several answers in a row bring nothing.
    pub async fn not_completed(&self, mut keys: Vec<NotificationKey>) -> Result<NotCompleted, Fault> {
        let mut left: Vec<Item> = keys.iter().map(item_key).collect();
        let (mut units, mut tries) = (0.0, 0);
        while !left.is_empty() {
            let before = left.len();
            let answer = self.statuses(left).await?;
            let completed: HashSet<NotificationKey> = answer.completed.into_iter().collect();
            keys.retain(|key| !completed.contains(key));
            units += answer.units;
            left = answer.unprocessed;
            tries = if left.len() < before { 0 } else { tries + 1 };
            if tries == TRIES_MAX {
                return Err(Fault::new(BATCH_GET_ITEM, Cause::Throttled));
            }
            if !left.is_empty() {
                pause(tries.max(1)).await;
            }
        }
        Ok(NotCompleted { keys, units })
    }

    /// One `BatchGetItem`: the keys whose records are completed, and those that it left out.
    async fn statuses(&self, keys: Vec<Item>) -> Result<Statuses, Fault> {
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .projection_expression("#id, #source, #status")
            .expression_attribute_names("#id", ID)
            .expression_attribute_names("#source", SOURCE)
            .expression_attribute_names("#status", STATUS)
            .build()
            .expect("the keys are set");
        let get = self.client.batch_get_item().request_items(&self.table, wanted);
        let got = get.return_consumed_capacity(TOTAL).send().await;
        let got = got.map_err(|error| Fault::from_sdk(BATCH_GET_ITEM, &error))?;
        let units = got.consumed_capacity().iter().filter_map(ConsumedCapacity::capacity_units).sum();
        let items = got.responses.unwrap_or_default().into_values().flatten();
        let unprocessed = got.unprocessed_keys.unwrap_or_default().into_values();
        Ok(Statuses {
            completed: items.filter(is_completed).filter_map(key).collect(),
            unprocessed: unprocessed.flat_map(|unprocessed| unprocessed.keys).collect(),
            units,
        })
    }
}

/// What one `BatchGetItem` answered.
struct Statuses {
    completed: Vec<NotificationKey>,
    unprocessed: Vec<Item>,
    units: f64,
}

fn is_completed(item: &Item) -> bool {
    // A status of a later release is not known to be one: the record is then read.
    let completed = [Status::Done, Status::Rejected, Status::Closed];
    let status = item.get(STATUS).and_then(|status| status.as_s().ok());
    status.is_some_and(|status| completed.iter().any(|completed| completed.as_str() == status))
}

fn key(mut item: Item) -> Option<NotificationKey> {
    match (item.remove(ID)?, item.remove(SOURCE)?) {
        (AttributeValue::S(id), AttributeValue::S(source)) => Some(NotificationKey { id, source }),
        _ => None,
    }
}
