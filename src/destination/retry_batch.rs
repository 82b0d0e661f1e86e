//! A batch of the destination's retry queue.

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::batch::{Consumer, NOT_A_DISPATCH};
use super::failed_attempt::{Disposition, Source};
use super::handler::{Deadlines, DestinationSettings, WorkItem};
use super::process::process;
use super::watch::{Watch, Watched};
use crate::aws::sqs::{body, id, receives};
use crate::aws::{Cause, Fault, HeldUp};
use crate::record::{Delivery, State};
use crate::store::{ERROR, GET_ITEM};

/// For how long after this invocation has to stop work the messages of its batch stay hidden.
const HIDDEN_LONGER: Duration = Duration::from_secs(5);

/// What a look at the record says of a copy in the retry queue.
enum Looked {
    /// It can be tried. The record has this many attempts.
    Open { attempts: u32 },
    /// It has no use: the notification is completed or dead.
    Useless,
    /// It waits for the rest of a wait that is longer than the delay of a message; or since an attempt failed just now
    /// with another copy.
    Wait { rest: Duration },
    /// It waits: the delivery is in a state of a later release, and a function of that release decides.
    Held,
}

impl Looked {
    fn open(delivery: &Delivery) -> Looked {
        Looked::Open { attempts: delivery.attempts }
    }
}

/// A notification of a batch, and where its copies came from.
type Received = (WorkItem, Source);

/// A notification of a batch that waits, where its copies came from, and for how long where that is known.
type Waiting = (WorkItem, Source, Option<Duration>);

/// A batch of the retry queue while it is handled.
pub(super) struct RetryBatch<'a> {
    pub(super) messages: Messages<'a>,
    pub(super) watch: &'a Watch,
    pub(super) deadlines: Deadlines,
    pub(super) until: Instant,
}

impl Consumer {
    /// Handles a batch of the destination's retry queue by `until`. A batch item failure waits there for its
    /// next attempt.
    pub async fn retry(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        let watch = Watch::default();
        self.retry_watched(&event, until, &watch).await;
        response(&watch)
    }

    /// Handles a batch of the retry queue. `watch` has what it decides.
    pub(crate) async fn retry_watched(&self, event: &SqsEvent, until: Instant, watch: &Watch) {
        let deadlines = Deadlines::until(until);
        let batch = RetryBatch { messages: Messages::new(event), watch, deadlines, until };
        let copies = event.records.iter().map(|message| (id(message).to_owned(), body(message).into()));
        let (work, undecodable) = self.read(copies);
        watch.takes(&work);
        let unsent = undecodable.into_iter().map(|(copy, _)| {
            let message = batch.messages.get(&copy);
            self.send_back(copy, message, until)
        });
        watch.redelivers(join_all(unsent).await.into_iter().flatten());
        if self.is_paused(&work, deadlines).await {
            return self.drop_copies(work, &batch).await;
        }
        let ((open, waiting), ()) =
            tokio::join!(self.look_at_all(work, &batch), self.hide_for_now(event, &batch));
        let (suspects, sound) = open.into_iter().partition(|(work, source)| source.is_suspect(work));
        tokio::join!(self.give_all_back(waiting, &batch), self.try_again(sound, &batch));
        self.try_one_by_one(suspects, &batch).await;
    }

    /// Drops what a paused destination has. A dead letter that somebody moved here stays: what is dead needs one.
    async fn drop_copies(&self, work: Vec<WorkItem>, batch: &RetryBatch<'_>) {
        let is_dead_letter = |work: &WorkItem| batch.messages.dead_letter(&work.copies).is_some();
        let (dead_letters, copies): (Vec<_>, Vec<_>) = work.into_iter().partition(is_dead_letter);
        copies.iter().for_each(|work| batch.watch.decides(&work.copies, Disposition::Drop));
        let dead_letters = dead_letters.into_iter().map(|work| {
            let source = batch.messages.source(&work.copies, 0);
            (work, source, None)
        });
        self.give_all_back(dead_letters.collect(), batch).await;
    }

    /// Hides the messages of a batch until shortly after this invocation has to end, so that they wait no longer if one
    /// of them kills the function: the queue's own visibility time-out is six times as long.
    async fn hide_for_now(&self, event: &SqsEvent, batch: &RetryBatch<'_>) {
        if event.records.len() > 1 {
            let wait = batch.until.saturating_duration_since(Instant::now()) + HIDDEN_LONGER;
            let waits: Vec<_> = event.records.iter().map(|message| (message, wait)).collect();
            // If this fails they wait longer, where the function is killed.
            let _ = timeout_at(batch.deadlines.prepared_by(), self.settings.queues.delay(&waits)).await;
        }
    }

    /// Looks at the records. Returns what can be tried, and what waits.
    async fn look_at_all(
        &self,
        work: Vec<WorkItem>,
        batch: &RetryBatch<'_>,
    ) -> (Vec<Received>, Vec<Waiting>) {
        let RetryBatch { messages, watch, until, .. } = batch;
        let looked = join_all(work.into_iter().map(|work| self.look(work, messages, *until))).await;
        let (mut open, mut waiting, mut faults) = (vec![], vec![], vec![]);
        let waits = |work: WorkItem, rest| {
            let source = messages.source(&work.copies, 0);
            (work, source, rest)
        };
        for (work, looked) in looked {
            match looked {
                Ok(Looked::Useless) => watch.decides(&work.copies, Disposition::Drop),
                Ok(Looked::Wait { rest }) => waiting.push(waits(work, Some(rest))),
                Ok(Looked::Held) => waiting.push(waits(work, None)),
                Ok(Looked::Open { attempts }) => {
                    let source = messages.source(&work.copies, attempts);
                    open.push((work, source));
                }
                Err(fault) => {
                    tracing::warn!(id = work.id(), source = work.source(), %fault, "a copy will be redelivered");
                    faults.push(HeldUp::by(&fault));
                    waiting.push(waits(work, None));
                }
            }
        }
        HeldUp::count(faults);
        (open, waiting)
    }

    async fn give_all_back(&self, waiting: Vec<Waiting>, batch: &RetryBatch<'_>) {
        let given_back = join_all(waiting.into_iter().map(async |(work, source, rest)| {
            let given_back = async {
                match rest {
                    Some(rest) => self.settings.give_back_for(&work, source, rest).await,
                    None => self.settings.give_back(&work, source, Duration::ZERO).await,
                }
            };
            let given_back = timeout_at(batch.until, given_back).await;
            let redeliver = || source.redeliver(&self.settings.retries, Duration::ZERO);
            (work.copies, given_back.ok().and_then(Result::ok).unwrap_or_else(redeliver))
        }));
        self.keep(given_back.await, batch).await;
    }

    /// Tries what may kill its function, after all others. The order is drawn, so that none is always behind the same
    /// one that does.
    async fn try_one_by_one(&self, mut suspects: Vec<Received>, batch: &RetryBatch<'_>) {
        fastrand::shuffle(&mut suspects);
        for suspect in suspects {
            self.try_again(vec![suspect], batch).await;
        }
    }

    /// Tries these concurrently, and decides for their copies.
    async fn try_again(&self, open: Vec<Received>, batch: &RetryBatch<'_>) {
        if open.is_empty() {
            return;
        }
        let sources: HashMap<_, _> = open.iter().map(|(work, source)| (work.key(), *source)).collect();
        let work: Vec<_> = open.into_iter().map(|(work, _)| work).collect();
        let tried: Vec<_> = work.iter().map(|work| work.copies.clone()).collect();
        let handler = Watched { handler: &self.handler, watch: batch.watch };
        let processed = process(&handler, &self.settings, work, batch.deadlines).await;
        // What waited for its turn has no copy yet, as if it came by the stream.
        let source = |work: &WorkItem| sources.get(&work.key()).copied().unwrap_or(Source::Stream);
        let dispositions = self.dispositions(processed, batch.until, source).await;
        self.keep(dispositions, batch).await;
        tried.iter().for_each(|copies| batch.watch.decides(copies, Disposition::Drop));
    }

    /// Keeps one copy of each notification that is redelivered, for as long as it has to wait.
    pub(super) async fn keep(&self, dispositions: Vec<(Vec<String>, Disposition)>, batch: &RetryBatch<'_>) {
        let RetryBatch { messages, watch, until, .. } = batch;
        let mut kept: Vec<(String, Duration)> = Vec::new();
        for (copies, disposition) in dispositions {
            if let (Disposition::Redeliver { wait }, Some(copy)) = (disposition, messages.kept(&copies)) {
                watch.redelivers([copy.clone()]);
                kept.push((copy.clone(), wait));
            }
            watch.decides(&copies, Disposition::Drop);
        }
        let waits = kept.iter().filter_map(|(copy, wait)| Some((messages.get(copy)?, *wait)));
        let waits: Vec<_> = waits.collect();
        // If this fails they are redelivered all the same, only later or sooner.
        let _ = timeout_at(*until, self.settings.queues.delay(&waits)).await;
    }

    /// Sends a message of the retry queue that is not a dispatch to the dead-letter queue. Returns the copy if
    /// that failed.
    async fn send_back(&self, copy: String, message: Option<&SqsMessage>, until: Instant) -> Option<String> {
        let DestinationSettings { name, queues, .. } = &self.settings;
        tracing::error!(copy, destination = name, error = NOT_A_DISPATCH, "dead-lettered");
        let sent = timeout_at(until, queues.dead_letters().send_back(message?, name, NOT_A_DISPATCH)).await;
        (!matches!(sent, Ok(Ok(())))).then_some(copy)
    }

    /// Reads the record before a copy from the retry queue is tried: what it says counts. A copy of a completed
    /// notification has no use, unless the next one of its key may have to be gone on with. A copy of a dead one
    /// has none, unless it is a dead letter that somebody moved here.
    async fn look(
        &self,
        mut work: WorkItem,
        messages: &Messages<'_>,
        until: Instant,
    ) -> (WorkItem, Result<Looked, Fault>) {
        let is_dead_letter = messages.dead_letter(&work.copies).is_some();
        let looked = match timeout_at(until, self.settings.ledger.get(&work.key())).await {
            Err(_) => Err(Fault::out_of_time(GET_ITEM)),
            Ok(Err(fault)) => Err(fault),
            Ok(Ok(None)) => Err(Fault::new(GET_ITEM, Cause::Missing)),
            Ok(Ok(Some(record))) => {
                work.look_at(&record, &self.settings.name);
                Ok(match &work.delivery {
                    None => Looked::Useless,
                    Some(delivery) => match delivery.state {
                        State::Pending => match self.settings.rest_of_wait(delivery) {
                            Some(rest) => Looked::Wait { rest },
                            None => Looked::open(delivery),
                        },
                        State::Dead if is_dead_letter => Looked::open(delivery),
                        // Who completed it may have died before it went on with the next one.
                        State::Done | State::Rejected | State::Closed if work.sequence_key.is_some() => {
                            Looked::open(delivery)
                        }
                        State::Dead | State::Done | State::Rejected | State::Closed => Looked::Useless,
                        State::Unknown => Looked::Held,
                    },
                })
            }
        };
        (work, looked)
    }
}

/// The answer of an invocation that decided this.
pub(super) fn response(watch: &Watch) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.set_failures(watch.redelivered());
    response
}

/// The messages of a batch, by their id.
pub(super) struct Messages<'a>(HashMap<&'a str, &'a SqsMessage>);

impl<'a> Messages<'a> {
    pub(super) fn new(event: &'a SqsEvent) -> Messages<'a> {
        Messages(event.records.iter().map(|message| (id(message), message)).collect())
    }

    fn get(&self, copy: &str) -> Option<&'a SqsMessage> {
        self.0.get(copy).copied()
    }

    /// Where these copies came from. The record has this many attempts.
    pub(super) fn source(&self, copies: &[String], attempts: u32) -> Source {
        let receives = copies.iter().filter_map(|copy| self.get(copy)).map(receives).max().unwrap_or(1);
        Source::RetryQueue { attempts, receives, is_dead_letter: self.dead_letter(copies).is_some() }
    }

    /// The copy among these that is a dead letter which somebody moved to the retry queue.
    fn dead_letter<'c>(&self, copies: &'c [String]) -> Option<&'c String> {
        let is_dead_letter =
            |copy: &str| self.get(copy).is_some_and(|message| message.message_attributes.contains_key(ERROR));
        copies.iter().find(|copy| is_dead_letter(copy))
    }

    /// The copy of these that is kept: a dead letter before any other, since only a dead letter tries what is dead.
    fn kept<'c>(&self, copies: &'c [String]) -> Option<&'c String> {
        self.dead_letter(copies).or(copies.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g3_of_a_dead_letter_and_a_copy_the_dead_letter_is_kept() {
        let error = serde_json::json!({ ERROR: { "dataType": "String", "stringValue": "no" } });
        let message =
            |id: &str, attributes| serde_json::json!({ "messageId": id, "messageAttributes": attributes });
        let records = [message("copy", serde_json::json!({})), message("dead letter", error)];
        let event: SqsEvent = serde_json::from_value(serde_json::json!({ "Records": records })).unwrap();
        let messages = Messages::new(&event);
        let kept = |copies: &[&str]| {
            let copies: Vec<String> = copies.iter().map(|copy| copy.to_string()).collect();
            messages.kept(&copies).cloned()
        };
        assert_eq!(kept(&["copy", "dead letter"]).as_deref(), Some("dead letter"));
        assert_eq!(kept(&["copy"]).as_deref(), Some("copy"));
        assert_eq!(kept(&[]), None);
    }
}
