//! How far reconcile has come in its index. The item is in a table of its own, since the ledger has notifications
//! alone.
//!
//! A walk through the index has a cursor: the slots before it are checked. Of its slot the item also says how many
//! pages of each partition are checked, and where the next one begins. So a slot of any size ends, however often a
//! run stops in it. Every write moves forward: of two runs at once neither takes back what the other noted.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::call::{GET_ITEM, UPDATE_ITEM};
use crate::aws::Fault;
use crate::notification::NotificationKey;
use crate::record::attributes::{CURSOR_NAME, CURSOR_SLOT, ID, PAGES, SOURCE};
use crate::record::{Item, PARTITIONS_PER_SLOT, Slot, SlotKind, number, text};

/// A walk through the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Walk {
    /// Open records, when they are due.
    Due,
    /// The same slots a day later, for what came into them late.
    DueAgain,
    /// Dead records.
    Dead,
}

impl Walk {
    /// The name of its item.
    pub fn name(self) -> &'static str {
        match self {
            Walk::Due => "due",
            Walk::DueAgain => "due again",
            Walk::Dead => "dead",
        }
    }

    /// What is in its slots.
    pub fn slots(self) -> SlotKind {
        match self {
            Walk::Due | Walk::DueAgain => SlotKind::Open,
            Walk::Dead => SlotKind::Dead,
        }
    }
}

/// How far a walk has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// The first slot that is not checked.
    pub(crate) slot: Slot,
    /// The partitions of it that were begun.
    pub(crate) partitions: BTreeMap<u32, PartitionProgress>,
}

/// How much of a partition is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PartitionProgress {
    /// The pages that are checked.
    pub(crate) pages: u64,
    /// The last key that is checked; none where all are.
    pub(crate) last: Option<NotificationKey>,
}

impl PartitionProgress {
    pub(crate) fn is_complete(&self) -> bool {
        self.pages > 0 && self.last.is_none()
    }
}

/// The table of cursors.
#[derive(Clone, Debug)]
pub struct Cursors {
    client: Client,
    table: String,
}

impl Cursors {
    /// The table of this name, whose key is `name`.
    pub fn new(client: Client, table: impl Into<String>) -> Cursors {
        Cursors { client, table: table.into() }
    }

    /// The first slot that a walk has not checked, if it was ever begun.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn unchecked(&self, walk: Walk) -> Result<Option<Slot>, Fault> {
        Ok(self.get(walk).await?.map(|place| place.slot))
    }

    /// How far a walk has come, if it was ever begun.
    pub(crate) async fn get(&self, walk: Walk) -> Result<Option<Place>, Fault> {
        let get = self.client.get_item().table_name(&self.table).key(CURSOR_NAME, text(walk.name()));
        let got = get.consistent_read(true).send().await;
        let item = got.map_err(|error| Fault::from_sdk(GET_ITEM, &error))?.item;
        Ok(item.and_then(|item| place(walk, &item)))
    }

    /// Notes that a slot is checked. The cursor never moves back.
    pub(crate) async fn move_to(&self, walk: Walk, slot: Slot) -> Result<(), Fault> {
        let partitions = (0..PARTITIONS_PER_SLOT).map(placeholder).collect::<Vec<_>>().join(", ");
        let update = self.client.update_item().table_name(&self.table).key(CURSOR_NAME, text(walk.name()));
        let update = update
            .update_expression(format!("SET #slot = :slot REMOVE {partitions}"))
            .condition_expression("attribute_not_exists(#slot) OR #slot < :slot")
            .expression_attribute_names("#slot", CURSOR_SLOT)
            .expression_attribute_values(":slot", number(slot.begin().as_second()));
        let names = (0..PARTITIONS_PER_SLOT).map(|partition| (placeholder(partition), attribute(partition)));
        let update = names
            .fold(update, |update, (name, attribute)| update.expression_attribute_names(name, attribute));
        ignore_failed_condition(update.send().await.map(drop))
    }

    /// Notes how much of a partition is checked, unless the slot or more pages of it are by now.
    pub(crate) async fn note(
        &self,
        walk: Walk,
        slot: Slot,
        partition: u32,
        checked: &PartitionProgress,
    ) -> Result<(), Fault> {
        let update = self.client.update_item().table_name(&self.table).key(CURSOR_NAME, text(walk.name()));
        let update = update
            .update_expression("SET #slot = :slot, #partition = :checked")
            .condition_expression(
                "attribute_not_exists(#slot) OR #slot = :slot AND (attribute_not_exists(#partition) OR #partition.#pages < :pages)",
            )
            .expression_attribute_names("#slot", CURSOR_SLOT)
            .expression_attribute_names("#partition", attribute(partition))
            .expression_attribute_names("#pages", PAGES)
            .expression_attribute_values(":slot", number(slot.begin().as_second()))
            .expression_attribute_values(":pages", number(checked.pages))
            .expression_attribute_values(":checked", AttributeValue::M(encode(checked)));
        ignore_failed_condition(update.send().await.map(drop))
    }
}

/// Another run came further, or this is our own write, whose answer was lost.
fn ignore_failed_condition(
    updated: Result<(), aws_sdk_dynamodb::error::SdkError<UpdateItemError>>,
) -> Result<(), Fault> {
    match updated {
        Ok(()) => Ok(()),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(Fault::from_sdk(UPDATE_ITEM, &error)),
        },
    }
}

fn attribute(partition: u32) -> String {
    format!("{partition:02}")
}

fn placeholder(partition: u32) -> String {
    format!("#p{partition:02}")
}

fn encode(checked: &PartitionProgress) -> Item {
    let mut item = Item::from([(PAGES.to_owned(), number(checked.pages))]);
    if let Some(last) = &checked.last {
        item.extend([(ID.to_owned(), text(&last.id)), (SOURCE.to_owned(), text(&last.source))]);
    }
    item
}

fn place(walk: Walk, item: &Item) -> Option<Place> {
    let second = item.get(CURSOR_SLOT)?.as_n().ok()?.parse().ok()?;
    let slot = Slot::of(walk.slots(), Timestamp::from_second(second).ok()?);
    let checked = |partition| Some((partition, decode(item.get(&attribute(partition))?.as_m().ok()?)?));
    Some(Place { slot, partitions: (0..PARTITIONS_PER_SLOT).filter_map(checked).collect() })
}

fn decode(item: &Item) -> Option<PartitionProgress> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok().cloned());
    let last = text(ID).zip(text(SOURCE)).map(|(id, source)| NotificationKey { id, source });
    Some(PartitionProgress { pages: item.get(PAGES)?.as_n().ok()?.parse().ok()?, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_item() {
        let slot = Slot::of(SlotKind::Open, Timestamp::from_second(1_800).unwrap());
        let half = PartitionProgress { pages: 2, last: Some(NotificationKey::new("1", "s")) };
        let whole = PartitionProgress { pages: 7, last: None };
        let mut item = Item::from([(CURSOR_SLOT.to_owned(), number(slot.begin().as_second()))]);
        item.insert(attribute(3), AttributeValue::M(encode(&half)));
        item.insert(attribute(15), AttributeValue::M(encode(&whole)));
        let expected = Place { slot, partitions: [(3, half), (15, whole)].into() };
        assert_eq!(place(Walk::Due, &item), Some(expected));
        assert_eq!(place(Walk::Due, &Item::new()), None);
    }
}
