//! The `notifications` table: accept, read, commit, mark. The other calls to it are in `due_index.rs` and
//! `operator.rs`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    BatchStatementError, BatchStatementRequest, CancellationReason, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use futures_util::future::join_all;

use super::call::{
    GET_ITEM, PUT_ITEM, QUERY, TRANSACT, UPDATE_ITEM, Updated, decode_record, item_key, returned_record,
    update_action, update_item,
};
use super::error::TransitionError;
use super::positions::Positions;
use super::token::token;
use super::transaction::{CONDITION_FAILED, Cancellation, EffectWrite, judge};
use super::turnstile::Turnstile;
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::metrics::METRICS;
use crate::notification::NotificationKey;
use crate::record::attributes::{ABSENT, ID};
use crate::record::{
    Item, PendingTransition, PositionUpdate, Reconsidered, ReconsideredPosition, Record, TransitionOutcome,
    Update, statement, text,
};

/// Most statements of a `BatchExecuteStatement`.
pub(crate) const STATEMENTS_MAX: usize = 25;
/// Most actions of a `TransactWriteItems`.
const TRANSACTION_ACTIONS_MAX: usize = 100;
const BATCH_EXECUTE: &str = "BatchExecuteStatement";

/// The `notifications` table.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) client: Client,
    pub(super) table: String,
    turnstile: Turnstile,
}

/// What became of a notification that was to be accepted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Acceptance {
    /// It is stored.
    Stored,
    /// It was stored before, with the same content. This is the record as it is now.
    Duplicate(Box<Record>),
    /// Its source sent other content under its id. Send it with an id of its own.
    Conflict,
}

/// The effect that commits with a mark.
#[derive(Debug, Default)]
pub(crate) struct Commit<'a> {
    pub(crate) writes: Vec<EffectWrite<'a>>,
    pub(crate) emits: Vec<Record>,
    /// The change of the position, at a sequenced destination. After the commit it is the one that was made.
    pub(crate) position: Option<(&'a Positions, PositionUpdate)>,
}

impl Acceptance {
    /// Compares the stored record with the new one: duplicate or conflict.
    fn compare(call: &'static str, record: &Record, item: Option<Item>) -> Result<Acceptance, Fault> {
        let item =
            item.ok_or(Fault::new(call, Cause::Unavailable("a failed condition without its item".into())))?;
        let stored = decode_record(call, item)?;
        Ok(match record.is_repeat_of(&stored) {
            true => Acceptance::Duplicate(Box::new(stored)),
            false => Acceptance::Conflict,
        })
    }
}

/// What to do after a condition failed.
enum Next {
    /// Nothing: it is complete.
    Complete(TransitionOutcome),
    SendAgain,
    /// Send again after a pause: other writers are changing the item.
    Pause(Fault),
}

/// Decides on the item that DynamoDB returned with the failed condition of a transition.
fn reconsider(
    pending: &mut PendingTransition,
    call: &'static str,
    item: Option<Item>,
) -> Result<Next, TransitionError> {
    match pending.reconsider(&returned_record(call, item)?) {
        Reconsidered::SendAgain => Ok(Next::SendAgain),
        Reconsidered::Complete(outcome) => Ok(Next::Complete(outcome)),
        Reconsidered::Contended => Ok(Next::Pause(Fault::new(call, Cause::Contended))),
        Reconsidered::Refused(refused) => Err(TransitionError::Refused(refused)),
    }
}

impl Commit<'_> {
    /// Reads the position again, after a condition on it or on a registration failed, and decides on it.
    async fn reconsider_position(&mut self) -> Result<Next, TransitionError> {
        let Some((positions, update)) = &mut self.position else { return Ok(Next::SendAgain) };
        let position = match positions.current(update.sequence_key()).await {
            Ok(position) => position,
            Err(fault) => return Ok(Next::Pause(fault)),
        };
        match position.reconsider(update) {
            ReconsideredPosition::SendAgain(again) => *update = again,
            ReconsideredPosition::Contended => {
                return Ok(Next::Pause(Fault::new(TRANSACT, Cause::Contended)));
            }
            ReconsideredPosition::Unneeded => self.position = None,
            ReconsideredPosition::SequenceTaken => return Err(TransitionError::SequenceTaken),
        }
        Ok(Next::SendAgain)
    }
}

impl Ledger {
    /// The table of this name.
    pub fn new(client: Client, table: impl Into<String>) -> Ledger {
        Ledger { client, table: table.into(), turnstile: Turnstile::default() }
    }

    /// Stores an INIT record with one conditional put.
    ///
    /// # Errors
    /// A [`Fault`]. The record may be stored all the same; a repeat finds it.
    pub(crate) async fn accept(&self, record: &Record) -> Result<Acceptance, Fault> {
        for tries in 1.. {
            self.turnstile.pass().await;
            let put = self.client.put_item().table_name(&self.table).set_item(Some(record.encode()));
            let put = put
                .condition_expression(ABSENT)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let error = match put.send().await {
                Ok(_) => return Ok(Acceptance::Stored),
                Err(error) => error,
            };
            if let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
                return Acceptance::compare(PUT_ITEM, record, failed.item.clone());
            }
            let fault = Fault::from_sdk(PUT_ITEM, &error);
            if !fault.is_retryable() || tries == TRIES_MAX {
                return Err(fault);
            }
            pause(tries).await;
        }
        unreachable!("the last try returns")
    }

    /// The put of a record as an action of a producer's transaction.
    pub(crate) fn accept_action(&self, record: &Record) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(record.encode()))
            .condition_expression(ABSENT)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }

    /// What a cancelled transaction says of the record that it was to accept; `None` where another action
    /// cancelled it.
    pub(crate) fn acceptance(
        &self,
        record: &Record,
        reason: &CancellationReason,
    ) -> Result<Option<Acceptance>, Fault> {
        match reason.code() {
            Some(CONDITION_FAILED) => Acceptance::compare(TRANSACT, record, reason.item().cloned()).map(Some),
            _ => Ok(None),
        }
    }

    /// The record of a notification, read consistently.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn get(&self, key: &NotificationKey) -> Result<Option<Record>, Fault> {
        self.read(key, true).await
    }

    async fn read(&self, key: &NotificationKey, is_consistent: bool) -> Result<Option<Record>, Fault> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(item_key(key)));
        let got = get.consistent_read(is_consistent).send().await;
        let item = got.map_err(|error| Fault::from_sdk(GET_ITEM, &error))?.item;
        item.map(|item| decode_record(GET_ITEM, item)).transpose()
    }

    /// The record of a notification, read at half the price: it may be older than what another call has seen.
    ///
    /// # Errors
    /// A [`Fault`].
    pub(crate) async fn glance(&self, key: &NotificationKey) -> Result<Option<Record>, Fault> {
        self.read(key, false).await
    }

    /// The records of all notifications with this id, one for each source that used it, read consistently.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn find(&self, id: &str) -> Result<Vec<Record>, Fault> {
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query.key_condition_expression("#id = :id").expression_attribute_names("#id", ID);
        let mut items = query.expression_attribute_values(":id", text(id)).into_paginator().items().send();
        let mut records = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| Fault::from_sdk(QUERY, &error))?;
            records.push(decode_record(QUERY, item)?);
        }
        Ok(records)
    }

    /// Commits an effect with its mark, all or nothing. It retries contention, throttling and lost answers
    /// until the caller's deadline drops the call.
    ///
    /// An effect whose answer was lost meets its own mark when it is sent again: it is `AlreadyApplied`, and
    /// the position update is then left as it was.
    pub(crate) async fn commit(
        &self,
        mut mark: PendingTransition,
        commit: &mut Commit<'_>,
    ) -> Result<TransitionOutcome, TransitionError> {
        for tries in 1.. {
            let next = match self.transact(&mark, commit).await {
                Ok(()) => return Ok(TransitionOutcome::Applied),
                Err(Cancellation::Mark(item)) => reconsider(&mut mark, TRANSACT, item)?,
                Err(Cancellation::Position) => commit.reconsider_position().await?,
                Err(Cancellation::Emitted(stored)) => {
                    let emits = std::mem::take(&mut commit.emits).into_iter().enumerate();
                    let kept = emits.filter(|(at, _)| !stored.contains(at));
                    commit.emits = kept.map(|(_, record)| record).collect();
                    Next::SendAgain
                }
                Err(Cancellation::EmitConflict { at }) => {
                    return Err(TransitionError::EmitConflict { id: commit.emits.swap_remove(at).id });
                }
                Err(Cancellation::Condition { at }) => return Err(TransitionError::Condition { at }),
                Err(Cancellation::Write { at, code }) => return Err(TransitionError::Write { at, code }),
                Err(Cancellation::Fault(fault)) if fault.is_invalid() => {
                    return Err(TransitionError::Invalid(fault));
                }
                Err(Cancellation::Fault(fault)) => Next::Pause(fault),
            };
            let fault = match next {
                Next::Complete(outcome) => return Ok(outcome),
                Next::SendAgain => continue,
                Next::Pause(fault) => fault,
            };
            if !fault.is_retryable() {
                return Err(fault.into());
            }
            tracing::debug!(id = mark.key.id, source = mark.key.source, %fault, tries, "commit is retried");
            pause(tries).await;
        }
        unreachable!("it returns or is dropped")
    }

    async fn transact(&self, mark: &PendingTransition, commit: &Commit<'_>) -> Result<(), Cancellation> {
        self.turnstile.pass().await;
        let mut actions = vec![update_action(&self.table, item_key(&mark.key), &mark.update())];
        let outcome = mark.outcome();
        if let Some((positions, update)) = &commit.position {
            let most = TRANSACTION_ACTIONS_MAX - 1 - commit.writes.len() - commit.emits.len();
            actions.extend(positions.actions(update).take(most - outcome.iter().len()));
        }
        let position_actions = actions.len() - 1;
        actions.extend(commit.writes.iter().map(|write| write.action.clone()));
        actions.extend(commit.emits.iter().map(|record| self.accept_action(record)));
        actions.extend(outcome.iter().map(|outcome| self.accept_action(outcome)));
        let token = token(&actions);
        let call =
            self.client.transact_write_items().set_transact_items(Some(actions)).client_request_token(token);
        let error = match call.send().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                Err(judge(cancelled.cancellation_reasons(), position_actions, &commit.writes, &commit.emits))
            }
            _ => Err(Cancellation::Fault(Fault::from_sdk(TRANSACT, &error))),
        }
    }

    /// Applies one transition of a record by an update of its own, with the outcome if it leads to one: a failed attempt,
    /// a lease, the end of attempts, or an operator's action.
    pub(crate) async fn apply(
        &self,
        mut pending: PendingTransition,
    ) -> Result<TransitionOutcome, TransitionError> {
        for tries in 1.. {
            let (call, updated) = match pending.has_outcome() {
                false => (UPDATE_ITEM, self.update(&pending.key, &pending.update()).await),
                true => (TRANSACT, self.end(&pending).await),
            };
            let next = match updated {
                Ok(Updated::Applied) => return Ok(TransitionOutcome::Applied),
                Ok(Updated::ConditionFailed(item)) => reconsider(&mut pending, call, Some(item))?,
                Err(fault) => Next::Pause(fault),
            };
            let fault = match next {
                Next::Complete(outcome) => return Ok(outcome),
                Next::SendAgain => continue,
                Next::Pause(fault) => fault,
            };
            if !fault.is_retryable() || tries >= TRIES_MAX {
                return Err(fault.into());
            }
            pause(tries).await;
        }
        unreachable!("the last try returns")
    }

    /// A transition and its outcome, in one transaction.
    async fn end(&self, pending: &PendingTransition) -> Result<Updated, Fault> {
        match self.transact(pending, &Commit::default()).await {
            Ok(()) => Ok(Updated::Applied),
            Err(Cancellation::Mark(item)) => Ok(Updated::ConditionFailed(item.unwrap_or_default())),
            Err(Cancellation::Fault(fault)) => Err(fault),
            // Of a commit that has more.
            Err(other) => unreachable!("{other:?}"),
        }
    }

    /// One conditional `UpdateItem` of a record.
    pub(crate) async fn update(&self, key: &NotificationKey, update: &Update) -> Result<Updated, Fault> {
        update_item(&self.client, &self.table, item_key(key), update).await
    }

    /// Applies transitions that change the record alone, each under its own condition; those with a known basis in
    /// one call. Their keys must be distinct. The results are in the order of the transitions.
    pub(crate) async fn apply_all(
        &self,
        pending: Vec<PendingTransition>,
    ) -> Vec<Result<TransitionOutcome, TransitionError>> {
        let (batch, single): (Vec<_>, Vec<_>) =
            pending.into_iter().enumerate().partition(|(_, pending)| pending.basis.is_some());
        let (places, batch): (Vec<usize>, Vec<_>) = batch.into_iter().unzip();
        let single = join_all(single.into_iter().map(async |(at, pending)| (at, self.apply(pending).await)));
        let (batch, mut results) = tokio::join!(self.apply_batch(batch), single);
        results.extend(places.into_iter().zip(batch));
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    async fn apply_batch(
        &self,
        mut pending: Vec<PendingTransition>,
    ) -> Vec<Result<TransitionOutcome, TransitionError>> {
        let mut results: Vec<Option<Result<TransitionOutcome, TransitionError>>> =
            pending.iter().map(|_| None).collect();
        for tries in 1.. {
            if results.iter().all(Option::is_some) {
                break;
            }
            let left = (0..pending.len()).filter(|at| results[*at].is_none());
            let (ends, open): (Vec<usize>, Vec<usize>) = left.partition(|at| pending[*at].has_outcome());
            // An outcome takes a transaction.
            let ended = join_all(ends.iter().map(|at| self.apply(pending[*at].clone())));
            let (answers, ended) = tokio::join!(self.execute(open.iter().map(|at| &pending[*at])), ended);
            ends.into_iter().zip(ended).for_each(|(at, ended)| results[at] = Some(ended));
            let mut must_pause = false;
            for (at, answer) in open.into_iter().zip(answers) {
                let next = match answer {
                    // Not expected: AWS refused the statement. `UpdateItem` applies the same update.
                    Err(fault) if fault.is_invalid() => {
                        let NotificationKey { id, source } = &pending[at].key;
                        tracing::error!(id, source, %fault, "a statement is sent as UpdateItem");
                        tracing::info!(target: METRICS, StatementsRefused = 1);
                        results[at] = Some(self.apply(pending[at].clone()).await);
                        continue;
                    }
                    Ok(Updated::Applied) => Ok(Next::Complete(TransitionOutcome::Applied)),
                    Ok(Updated::ConditionFailed(item)) => {
                        reconsider(&mut pending[at], BATCH_EXECUTE, Some(item))
                    }
                    Err(fault) => Ok(Next::Pause(fault)),
                };
                match next {
                    Ok(Next::SendAgain) => (),
                    Ok(Next::Complete(outcome)) => results[at] = Some(Ok(outcome)),
                    Ok(Next::Pause(fault)) if fault.is_retryable() && tries < TRIES_MAX => must_pause = true,
                    Ok(Next::Pause(fault)) => results[at] = Some(Err(fault.into())),
                    Err(error) => results[at] = Some(Err(error)),
                }
            }
            if must_pause {
                pause(tries).await;
            }
        }
        results.into_iter().flatten().collect()
    }

    /// One `BatchExecuteStatement`, and the answer to each of its statements.
    async fn execute(
        &self,
        pending: impl Iterator<Item = &PendingTransition> + Clone,
    ) -> Vec<Result<Updated, Fault>> {
        if pending.clone().next().is_none() {
            return vec![];
        }
        self.turnstile.pass().await;
        let statements = pending.clone().map(|pending| {
            let (statement, parameters) = statement(&self.table, &pending.key, &pending.update());
            BatchStatementRequest::builder()
                .statement(statement)
                .set_parameters(Some(parameters))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .build()
                .expect("the statement is set")
        });
        let call = self.client.batch_execute_statement().set_statements(Some(statements.collect()));
        match call.send().await {
            Ok(output) => {
                let mut answers = output.responses.unwrap_or_default().into_iter();
                let answer = |_| match answers.next() {
                    None => {
                        let cause = Cause::Unavailable("no response to a statement".into());
                        Err(Fault::new(BATCH_EXECUTE, cause))
                    }
                    Some(response) => response.error.map_or(Ok(Updated::Applied), statement_failed),
                };
                pending.map(answer).collect()
            }
            Err(error) => pending.map(|_| Err(Fault::from_sdk(BATCH_EXECUTE, &error))).collect(),
        }
    }
}

fn statement_failed(error: BatchStatementError) -> Result<Updated, Fault> {
    match error.code().map(|code| code.as_str()) {
        Some(CONDITION_FAILED) => Ok(Updated::ConditionFailed(error.item.unwrap_or_default())),
        code => Err(Fault::new(BATCH_EXECUTE, Cause::of_code(code, error.message()))),
    }
}
