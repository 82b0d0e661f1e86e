//! The `notifications` table: every call that Handover makes to it.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    BatchStatementError, BatchStatementRequest, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use tokio::sync::Mutex;
use tokio::task::yield_now;

use crate::accept::Outcome;
use crate::fault::{Cause, Fault, pause};
use crate::moves::{Form, Lost, Move, Stamp, plan};
use crate::record::{Item, Record, State};
use crate::sequence::Turn;
use crate::transaction::{self, MarkLost, Verdict, judge, mark_lost, token};
use crate::update::{self, key, statement};

/// Most statements of a `BatchExecuteStatement`.
pub(crate) const STATEMENTS_MAX: usize = 25;
/// Most tries of an update of one item alone, within one invocation.
pub(crate) const TRIES_MAX: u32 = 8;

/// The `notifications` table.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) client: Client,
    pub(crate) table: String,
    turnstile: Arc<Mutex<()>>,
}

/// A move to be made: a mark, most of all.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub id: String,
    pub destination: String,
    pub it: Move,
    pub form: Form,
    pub stamp: Stamp,
}

/// How a mark came out, unless it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// By this call.
    Now,
    /// Before, by another copy or by a call whose answer was lost.
    Before(State),
}

/// Why a mark was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMarked {
    /// Nothing was decided; give it back.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The record does not allow this move, ever.
    #[error("the record does not allow this move ({0:?})")]
    Lost(Lost),
    /// AWS does not take the effect: it is over a limit, or a write has a form that its table
    /// does not take. A repeat would be the same.
    #[error(
        "the effect is not valid ({0}); check its writes against their tables and the limits of a transaction"
    )]
    Invalid(Fault),
    /// The effect's write with this number, from 0, was refused.
    #[error("write {at} of the effect was refused ({code})")]
    Write { at: usize, code: String },
    /// An emit whose id holds other content: the handler gave it another content before.
    #[error(
        "the emitted notification {id} holds other content already; a repeat must emit the same under the same name"
    )]
    EmitConflict { id: String },
    /// At a sequenced destination one before it has not ended.
    #[error("its turn has not come: one before it has not ended")]
    Early {
        /// It is written down, and will be woken.
        is_written: bool,
    },
    /// At a sequenced destination another has ended under its number, or waits under it.
    #[error(
        "another notification of its source and `partitionkey` has its `sequence`; close this one, or send it again under an id and a number of its own"
    )]
    Taken,
}

impl Mark {
    fn update(&self) -> update::Update {
        plan(&self.it, &self.destination, self.form, &self.id, &self.stamp)
    }

    /// What a failed condition leaves to do: a result, or `None` for the other form, which
    /// is then set.
    fn lost(&mut self, lost: MarkLost) -> Option<Result<Marked, NotMarked>> {
        match lost {
            MarkLost::Form(form) => {
                self.form = form;
                None
            }
            MarkLost::Lost(Lost::Was(state)) if state.is_final() => Some(Ok(Marked::Before(state))),
            MarkLost::Lost(Lost::Own) => Some(Ok(Marked::Now)),
            MarkLost::Lost(lost) => Some(Err(NotMarked::Lost(lost))),
        }
    }

    fn returned(&self, call: &'static str, item: Option<Item>) -> Result<MarkLost, Fault> {
        match mark_lost(call, item, &self.destination, &self.it, self.stamp.now)? {
            // It was so when it failed and is not so now: others are at work on the record.
            MarkLost::Form(form) if form == self.form => Err(Fault::new(call, Cause::Contended)),
            lost => Ok(lost),
        }
    }
}

impl Ledger {
    /// The table of this name.
    pub fn new(client: Client, table: impl Into<String>) -> Ledger {
        Ledger { client, table: table.into(), turnstile: Arc::default() }
    }

    /// Lets calls that are made at once begin one after another, each on its way before the next is put
    /// together: else the first would be sent when all are ready.
    async fn in_turn(&self) {
        let _turn = self.turnstile.lock().await;
        yield_now().await;
    }

    /// Stores an INIT record, or tells what holds its id. One conditional put.
    ///
    /// # Errors
    /// A [`Fault`]; the record may be stored all the same, and a repeat finds it.
    pub(crate) async fn accept(&self, record: &Record) -> Result<Outcome, Fault> {
        const CALL: &str = "PutItem";
        for tries in 1.. {
            self.in_turn().await;
            let put = self.client.put_item().table_name(&self.table).set_item(Some(record.encode()));
            let put = put
                .condition_expression(ABSENT)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let error = match put.send().await {
                Ok(_) => return Ok(Outcome::Stored),
                Err(error) => error,
            };
            if let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
                return held(CALL, record, failed.item.clone());
            }
            let fault = Fault::of(CALL, &error);
            if !fault.is_retryable() || tries == TRIES_MAX {
                return Err(fault);
            }
            pause(tries).await;
        }
        unreachable!("the last try returns")
    }

    /// The accept of a record as an action of somebody's transaction.
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

    /// The record of an id, read consistently.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn get(&self, id: &str) -> Result<Option<Record>, Fault> {
        const CALL: &str = "GetItem";
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key(id))).consistent_read(true);
        let item = get.send().await.map_err(|error| Fault::of(CALL, &error))?.item;
        item.map(Record::decode).transpose().map_err(|error| Fault::new(CALL, error))
    }

    /// Commits an effect with its mark, all or nothing. Contention, throttling and lost
    /// answers are tried again until the caller's deadline drops the call.
    ///
    /// An effect whose answer was lost is met again by its own mark: it is `Before`. Where it has a turn at
    /// a sequenced destination, that is left as it was taken.
    pub(crate) async fn commit(
        &self,
        mut mark: Mark,
        turn: &mut Option<Turn>,
        writes: &[TransactWriteItem],
        mut emits: Vec<Record>,
    ) -> Result<Marked, NotMarked> {
        for tries in 1.. {
            let fault = match self.transact(&mark, turn.as_ref(), writes, &emits).await {
                Ok(()) => return Ok(Marked::Now),
                Err(Verdict::Mark(lost)) => match mark.lost(lost) {
                    Some(result) => return result,
                    None => continue,
                },
                Err(Verdict::Position(item)) => {
                    let again = turn.as_ref().map(|it| it.again(item.as_ref())).transpose()?.flatten();
                    match again == *turn {
                        // It was otherwise when it failed: others are at work on the key.
                        true => Fault::new(transaction::CALL, Cause::Contended),
                        false => {
                            *turn = again;
                            continue;
                        }
                    }
                }
                Err(Verdict::Emitted(stored)) => {
                    let kept = emits.into_iter().enumerate().filter(|(at, _)| !stored.contains(at));
                    emits = kept.map(|(_, record)| record).collect();
                    continue;
                }
                Err(Verdict::EmitConflict { at }) => {
                    return Err(NotMarked::EmitConflict { id: emits.swap_remove(at).id });
                }
                Err(Verdict::Write { at, code }) => return Err(NotMarked::Write { at, code }),
                Err(Verdict::Fault(fault)) if fault.is_invalid() => return Err(NotMarked::Invalid(fault)),
                Err(Verdict::Fault(fault)) => fault,
            };
            if !fault.is_retryable() {
                return Err(fault.into());
            }
            tracing::debug!(id = mark.id, %fault, tries, "the commit is tried again");
            pause(tries).await;
        }
        unreachable!("it returns or is dropped")
    }

    async fn transact(
        &self,
        mark: &Mark,
        turn: Option<&Turn>,
        writes: &[TransactWriteItem],
        emits: &[Record],
    ) -> Result<(), Verdict> {
        self.in_turn().await;
        let mut actions = vec![update::action(&self.table, key(&mark.id), &mark.update())];
        actions.extend(turn.map(Turn::action));
        actions.extend_from_slice(writes);
        actions.extend(emits.iter().map(|record| self.accept_action(record)));
        let token = token(&actions);
        let call =
            self.client.transact_write_items().set_transact_items(Some(actions)).client_request_token(token);
        let error = match call.send().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                Err(judge(cancelled.cancellation_reasons(), turn.is_some(), writes.len(), emits, |item| {
                    mark.returned(transaction::CALL, item)
                }))
            }
            _ => Err(Verdict::Fault(Fault::of(transaction::CALL, &error))),
        }
    }

    /// Makes one move of a record: an attempt, the end of attempts, or what a person does.
    pub(crate) async fn make(&self, mut mark: Mark) -> Result<Marked, NotMarked> {
        const CALL: &str = "UpdateItem";
        for tries in 1.. {
            let fault = match self.update(&mark.id, &mark.update()).await {
                Ok(None) => return Ok(Marked::Now),
                Ok(Some(item)) => match mark.returned(CALL, Some(item)) {
                    Ok(lost) => match mark.lost(lost) {
                        Some(result) => return result,
                        None => continue,
                    },
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            if !fault.is_retryable() || tries >= TRIES_MAX {
                return Err(fault.into());
            }
            pause(tries).await;
        }
        unreachable!("the last try returns")
    }

    /// One `UpdateItem`: nothing, or the item on which its condition failed, which is empty
    /// where there is none.
    pub(crate) async fn update(&self, id: &str, update: &update::Update) -> Result<Option<Item>, Fault> {
        update::send(&self.client, &self.table, key(id), update).await
    }

    /// Makes marks that change the record alone, many in one call, each under its own
    /// condition. Ids must be distinct. The results stand in the order of the marks.
    pub(crate) async fn mark(&self, mut marks: Vec<Mark>) -> Vec<Result<Marked, NotMarked>> {
        let mut results: Vec<Option<Result<Marked, NotMarked>>> = marks.iter().map(|_| None).collect();
        for tries in 1.. {
            let open: Vec<usize> = (0..marks.len()).filter(|at| results[*at].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let answers = self.execute(open.iter().map(|at| &marks[*at])).await;
            let mut must_pause = false;
            for (at, answer) in open.into_iter().zip(answers) {
                results[at] = match answer {
                    Ok(None) => Some(Ok(Marked::Now)),
                    Ok(Some(lost)) => marks[at].lost(lost),
                    Err(fault) if fault.is_retryable() && tries < TRIES_MAX => {
                        must_pause = true;
                        None
                    }
                    Err(fault) => Some(Err(fault.into())),
                };
            }
            if must_pause {
                pause(tries).await;
            }
        }
        results.into_iter().flatten().collect()
    }

    /// One `BatchExecuteStatement`: per mark nothing, a failed condition, or a fault.
    async fn execute(
        &self,
        marks: impl Iterator<Item = &Mark> + Clone,
    ) -> Vec<Result<Option<MarkLost>, Fault>> {
        const CALL: &str = "BatchExecuteStatement";
        self.in_turn().await;
        let statements = marks.clone().map(|mark| {
            let (statement, parameters) = statement(&self.table, &mark.id, &mark.update());
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
                let answer = |mark: &Mark| match answers.next() {
                    None => Err(Fault::new(CALL, Cause::Unavailable("no response to a statement".into()))),
                    Some(response) => match response.error {
                        None => Ok(None),
                        Some(error) => statement_failed(CALL, mark, error).map(Some),
                    },
                };
                marks.map(answer).collect()
            }
            Err(error) => marks.map(|_| Err(Fault::of(CALL, &error))).collect(),
        }
    }
}

const ABSENT: &str = "attribute_not_exists(id)";

fn statement_failed(call: &'static str, mark: &Mark, error: BatchStatementError) -> Result<MarkLost, Fault> {
    match error.code().map(|code| code.as_str()) {
        Some("ConditionalCheckFailed") => mark.returned(call, error.item),
        code => Err(Fault::new(call, Cause::of_code(code, error.message()))),
    }
}

/// What the record that holds an id means for one that wanted it.
pub(crate) fn held(call: &'static str, record: &Record, item: Option<Item>) -> Result<Outcome, Fault> {
    let item =
        item.ok_or(Fault::new(call, Cause::Unavailable("a failed condition without its item".into())))?;
    let holder = Record::decode(item).map_err(|error| Fault::new(call, error))?;
    Ok(match holder.digest == record.digest {
        true => Outcome::Duplicate(Box::new(holder)),
        false => Outcome::Conflict { source: holder.source },
    })
}
