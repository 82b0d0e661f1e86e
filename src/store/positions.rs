//! The `positions` table: how far each sequenced destination has come with each key, and which notifications wait.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::TransactWriteItem;

use super::call::{GET_ITEM, QUERY, TRANSACT, check_action, delete_action, update_action};
use super::token::token;
use super::transaction::judge_registration;
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::record::attributes::{POSITION_KEY, SEQUENCE};
use crate::record::{
    NotAPosition, Position, PositionUpdate, Readiness, Record, SequenceKey, Write, number, text,
};

/// Most registrations of one read. An invocation goes on with about as many before it reads again.
const REGISTRATIONS_READ: i32 = 100;

/// The `positions` table: an item for each destination, source and partition key, and one beside it for each
/// notification that waits.
#[derive(Clone, Debug)]
pub struct Positions {
    pub(super) client: Client,
    pub(super) table: String,
}

impl Positions {
    /// The table of this name, whose key is `key` and `sequence`.
    pub fn new(client: Client, table: impl Into<String>) -> Positions {
        Positions { client, table: table.into() }
    }

    /// The sequence that a destination completed last with the key of a notification, 0 before the first.
    /// `None` where the notification is not numbered.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn position(&self, record: &Record, destination: &str) -> Result<Option<u64>, Fault> {
        match SequenceKey::of(record, destination) {
            None => Ok(None),
            Some(sequence_key) => self.get(&sequence_key).await.map(|position| Some(position.at())),
        }
    }

    /// The position of a key, read consistently and without registrations.
    pub(crate) async fn get(&self, sequence_key: &SequenceKey) -> Result<Position, Fault> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(sequence_key.item_key(0)));
        let get = get.consistent_read(true);
        let item = get.send().await.map_err(|error| Fault::from_sdk(GET_ITEM, &error))?.item;
        Position::decode(&item.unwrap_or_default()).map_err(|error| unreadable(GET_ITEM, &error))
    }

    /// The position of a key as it is now, with the registrations that decide on a notification.
    pub(crate) async fn current(&self, sequence_key: &SequenceKey) -> Result<Position, Fault> {
        let mut position = self.get(sequence_key).await?;
        self.read_on(sequence_key, &mut position).await?;
        Ok(position)
    }

    /// Reads the registrations that decide on a notification and were not read.
    async fn read_on(&self, sequence_key: &SequenceKey, position: &mut Position) -> Result<(), Fault> {
        while let Some(from) = position.unread(sequence_key.sequence) {
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let query = query
                .key_condition_expression("#key = :key AND #sequence >= :from")
                .expression_attribute_names("#key", POSITION_KEY)
                .expression_attribute_names("#sequence", SEQUENCE)
                .expression_attribute_values(":key", text(&sequence_key.key))
                .expression_attribute_values(":from", number(from))
                .limit(REGISTRATIONS_READ);
            let page = query.send().await.map_err(|error| Fault::from_sdk(QUERY, &error))?;
            let is_last = page.last_evaluated_key.is_none();
            let read = position.read(from, &page.items.unwrap_or_default(), is_last);
            read.map_err(|error| unreadable(QUERY, &error))?;
        }
        Ok(())
    }

    /// Whether it is the turn of a notification. What is not known of `position` is read.
    pub(crate) async fn readiness(
        &self,
        sequence_key: &SequenceKey,
        position: &mut Position,
    ) -> Result<Readiness, Fault> {
        self.read_on(sequence_key, position).await?;
        Ok(position.readiness(sequence_key))
    }

    /// Registers an early notification, so that the one before it finds it; or says that its turn has come meanwhile.
    /// `position` is brought up to date.
    pub(crate) async fn register(
        &self,
        sequence_key: &SequenceKey,
        position: &mut Position,
    ) -> Result<Readiness, Fault> {
        let mut refused = None;
        while let Some(registration) = position.registration(sequence_key) {
            // Other writers are changing it.
            if refused.as_ref() == Some(&registration) {
                return Err(Fault::new(TRANSACT, Cause::Contended));
            }
            if self.transact(&registration).await? {
                return Ok(Readiness::Early { is_registered: true });
            }
            *position = self.current(sequence_key).await?;
            refused = Some(registration);
        }
        Ok(position.readiness(sequence_key))
    }

    /// Makes a registration, unless a condition of it fails.
    async fn transact(&self, registration: &PositionUpdate) -> Result<bool, Fault> {
        let actions: Vec<_> = self.actions(registration).collect();
        let token = token(&actions);
        for tries in 1.. {
            let call = self.client.transact_write_items().set_transact_items(Some(actions.clone()));
            let Err(error) = call.client_request_token(&token).send().await else { return Ok(true) };
            let fault = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    match judge_registration(cancelled.cancellation_reasons()) {
                        Some(fault) => fault,
                        None => return Ok(false),
                    }
                }
                _ => Fault::from_sdk(TRANSACT, &error),
            };
            if !fault.is_retryable() || tries == TRIES_MAX {
                return Err(fault);
            }
            pause(tries).await;
        }
        unreachable!("the last try returns")
    }

    /// A position update as actions of a transaction.
    pub(super) fn actions(&self, update: &PositionUpdate) -> impl Iterator<Item = TransactWriteItem> {
        update.writes().into_iter().map(|(sequence, write)| {
            let key = update.sequence_key().item_key(sequence);
            match write {
                Write::Update(update) => update_action(&self.table, key, &update),
                Write::Check(conditions) => check_action(&self.table, key, conditions),
                Write::Delete(conditions) => delete_action(&self.table, key, conditions),
            }
        })
    }
}

fn unreadable(call: &'static str, error: &NotAPosition) -> Fault {
    Fault::new(call, Cause::Unreadable(error.to_string()))
}
