//! The `positions` table: how far each sequenced destination has come with each key.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::TransactWriteItem;

use super::call::{GET_ITEM, UPDATE_ITEM, Updated, update_action, update_item};
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::record::{Item, Position, PositionUpdate, Readiness, Record, SequenceKey, Update};

/// The `positions` table: an item for each destination, source and partition key.
#[derive(Clone, Debug)]
pub struct Positions {
    client: Client,
    table: String,
}

/// How a registration came out.
enum Registration {
    Registered,
    /// The position is another one now.
    Moved(Position),
}

impl Positions {
    /// The table of this name, whose key is `key`.
    pub fn new(client: Client, table: impl Into<String>) -> Positions {
        Positions { client, table: table.into() }
    }

    /// The sequence that a destination completed last with the key of a notification, 0 before the first.
    /// `None` where the notification is not numbered.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn position(&self, record: &Record, destination: &str) -> Result<Option<u64>, Fault> {
        match SequenceKey::new(&record.notification(), destination) {
            None => Ok(None),
            Some(sequence_key) => self.get(&sequence_key).await.map(|position| Some(position.at())),
        }
    }

    /// The position of a key, read consistently.
    pub(crate) async fn get(&self, sequence_key: &SequenceKey) -> Result<Position, Fault> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(sequence_key.item_key()));
        let get = get.consistent_read(true);
        let item = get.send().await.map_err(|error| Fault::from_sdk(GET_ITEM, &error))?.item;
        decode_position(GET_ITEM, &item.unwrap_or_default())
    }

    /// Whether it is the turn of a notification. An early one is registered, so that the one before it finds
    /// it. `position`, as it was read, is brought up to date.
    pub(crate) async fn readiness(
        &self,
        sequence_key: &SequenceKey,
        position: &mut Position,
    ) -> Result<Readiness, Fault> {
        loop {
            let readiness = position.readiness(sequence_key);
            let is_early = matches!(readiness, Readiness::Early { .. });
            let Some(registration) = position.registration(sequence_key).filter(|_| is_early) else {
                return Ok(readiness);
            };
            match self.register(sequence_key, &registration).await? {
                Registration::Registered => return Ok(Readiness::Early { is_registered: true }),
                // The condition failed on another position: other writers are changing it.
                Registration::Moved(moved) if moved == *position => {
                    return Err(Fault::new(UPDATE_ITEM, Cause::Contended));
                }
                Registration::Moved(moved) => *position = moved,
            }
        }
    }

    async fn register(&self, sequence_key: &SequenceKey, update: &Update) -> Result<Registration, Fault> {
        for tries in 1.. {
            match update_item(&self.client, &self.table, sequence_key.item_key(), update).await {
                Ok(Updated::Applied) => return Ok(Registration::Registered),
                Ok(Updated::ConditionFailed(item)) => {
                    return decode_position(UPDATE_ITEM, &item).map(Registration::Moved);
                }
                Err(fault) if fault.is_retryable() && tries < TRIES_MAX => pause(tries).await,
                Err(fault) => return Err(fault),
            }
        }
        unreachable!("the last try returns")
    }

    /// A position update as an action of the mark's transaction.
    pub(super) fn action(&self, update: &PositionUpdate) -> TransactWriteItem {
        update_action(&self.table, update.item_key(), &update.update())
    }
}

pub(super) fn decode_position(call: &'static str, item: &Item) -> Result<Position, Fault> {
    Position::decode(item).map_err(|error| Fault::new(call, Cause::Unreadable(error.to_string())))
}
