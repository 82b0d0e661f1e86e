//! A destination's two event sources: batches of the Kinesis stream, and batches of its retry queue.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_lambda_events::encodings::Base64Data;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_lambda_events::streams::KinesisEventResponse;
use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::commit::Commits;
use super::destination::Destination;
use super::external::External;
use super::external_call::Calls;
use super::failed_attempt::{Disposition, Source, is_too_soon};
use super::handler::{Deadlines, DestinationSettings, Handler, WorkItem};
use super::process::{Processed, process};
use super::retry_policy::{HeldUp, NotCompleted};
use crate::aws::sqs::{body, id, receives};
use crate::aws::{Cause, Fault};
use crate::metrics::METRICS;
use crate::notification::NotificationKey;
use crate::record::{Basis, Delivery, Dispatch, Refused, State, TransitionOutcome};
use crate::store::{ERROR, GET_ITEM, TransitionError};

const NOT_A_DISPATCH: &str = "this is not a dispatch of a notification";

/// The stage that runs one destination.
pub struct Consumer {
    handler: Box<dyn Handler>,
    settings: DestinationSettings,
}

/// A batch of the Kinesis stream, as Lambda passes it. It deserialises only the fields that are used, since
/// batches are large.
#[derive(Debug, Deserialize)]
pub struct DispatchBatch {
    #[serde(rename = "Records")]
    records: Vec<StreamRecord>,
}

#[derive(Debug, Deserialize)]
struct StreamRecord {
    kinesis: KinesisRecord,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisRecord {
    sequence_number: String,
    data: Base64Data,
}

impl DispatchBatch {
    /// The sequence number of each record, and its data.
    pub(crate) fn copies(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.records.into_iter().map(|record| (record.kinesis.sequence_number, record.kinesis.data.0))
    }
}

/// What a look at the record says of a copy in the retry queue.
enum Looked {
    /// It can be tried. The record has this many attempts.
    Open { attempts: u32 },
    /// It has no use: the notification is completed or dead.
    Useless,
    /// It waits: an attempt failed just now with another copy; or the delivery is in a state of a later release,
    /// and a function of that release decides.
    Wait,
}

impl Looked {
    fn open(delivery: &Delivery) -> Looked {
        Looked::Open { attempts: delivery.attempts }
    }
}

impl Consumer {
    /// Runs this destination.
    pub fn new(destination: impl Destination, settings: DestinationSettings) -> Consumer {
        Consumer { handler: Box::new(Commits(destination)), settings }
    }

    /// Runs this destination, whose effect is a call.
    pub fn external(external: impl External, settings: DestinationSettings) -> Consumer {
        Consumer { handler: Box::new(Calls(external)), settings }
    }

    /// Handles a batch of the Kinesis stream by `until`. A batch item failure is redelivered with all records
    /// after it, so only a copy that could not even be sent to the retry queue is one.
    pub async fn receive(&self, batch: DispatchBatch, until: Instant) -> KinesisEventResponse {
        let (work, undecodable) = self.read(batch.copies());
        let dead_lettered =
            join_all(undecodable.into_iter().map(|(copy, data)| self.send_raw(copy, data, until)));
        let (doubtful, work) = work.into_iter().partition(|work| self.is_doubtful(work));
        let processed = process(&*self.handler, &self.settings, work, Deadlines::until(until));
        let (mut processed, unsent) = tokio::join!(processed, dead_lettered);
        processed.extend(Vec::into_iter(doubtful).map(|work| {
            let other = TransitionError::Refused(Refused::OtherContent);
            Processed { work, result: Err(other.into()) }
        }));
        let dispositions = self.dispositions(processed, until, |_| Source::Stream).await;
        let mut response = KinesisEventResponse::default();
        let redelivered =
            dispositions.into_iter().filter(|(_, disposition)| *disposition != Disposition::Drop);
        let redelivered = redelivered.flat_map(|(copies, _)| copies);
        redelivered.chain(unsent.into_iter().flatten()).for_each(|copy| response.add_failure(copy));
        response
    }

    /// Handles a batch of the destination's retry queue by `until`. A batch item failure waits there for its
    /// next attempt.
    pub async fn retry(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        let messages = Messages::new(&event);
        let copies = event.records.iter().map(|message| (id(message).to_owned(), body(message).into()));
        let (work, undecodable) = self.read(copies);
        let dead_lettered = join_all(undecodable.into_iter().map(|(copy, _)| {
            let message = messages.get(&copy);
            self.send_back(copy, message, until)
        }));
        let handled = self.look_and_handle(work, &messages, until);
        let (unsent, dispositions) = tokio::join!(dead_lettered, handled);
        let kept = self.keep(dispositions, &messages, until).await;
        let mut response = SqsBatchResponse::default();
        response.set_failures(kept.into_iter().chain(unsent.into_iter().flatten()));
        response
    }

    /// Tries what its record says can be tried. Says what to do with the copies of each.
    async fn look_and_handle(
        &self,
        work: Vec<WorkItem>,
        messages: &Messages<'_>,
        until: Instant,
    ) -> Vec<(Vec<String>, Disposition)> {
        let deadlines = Deadlines::until(until);
        let looked = join_all(work.into_iter().map(|work| self.look(work, messages, until))).await;
        let (mut open, mut waiting, mut sources, mut faults) = (vec![], vec![], HashMap::new(), vec![]);
        for (work, looked) in looked {
            let source = |attempts| messages.source(&work.copies, attempts);
            match looked {
                Ok(Looked::Useless) => (),
                Ok(Looked::Wait) => waiting.push((source(0), work)),
                Ok(Looked::Open { attempts }) => {
                    sources.insert(work.key(), source(attempts));
                    open.push(work);
                }
                Err(fault) => {
                    tracing::warn!(id = work.id(), source = work.source(), %fault, "a copy will be redelivered");
                    faults.push(HeldUp::by(&fault));
                    waiting.push((source(0), work));
                }
            }
        }
        count_faults(faults);
        let given_back = join_all(waiting.into_iter().map(async |(source, work)| {
            let given_back = timeout_at(until, self.settings.give_back(&work, source, Duration::ZERO)).await;
            let redeliver = || source.redeliver(self.settings.backoff, Duration::ZERO);
            (work.copies, given_back.ok().and_then(Result::ok).unwrap_or_else(redeliver))
        }));
        let handled = async {
            let processed = process(&*self.handler, &self.settings, open, deadlines).await;
            // What waited for its turn has no copy yet, as if it came by the stream.
            let source = |work: &WorkItem| sources.get(&work.key()).copied().unwrap_or(Source::Stream);
            self.dispositions(processed, until, source).await
        };
        let (mut dispositions, handled) = tokio::join!(given_back, handled);
        dispositions.extend(handled);
        dispositions
    }

    /// Keeps one copy of each notification that is redelivered, for as long as it has to wait.
    async fn keep(
        &self,
        dispositions: Vec<(Vec<String>, Disposition)>,
        messages: &Messages<'_>,
        until: Instant,
    ) -> Vec<String> {
        let kept = dispositions.iter().filter_map(|(copies, disposition)| match disposition {
            Disposition::Redeliver { wait } => Some((messages.kept(copies)?.clone(), *wait)),
            Disposition::Drop => None,
        });
        let kept: Vec<(String, Duration)> = kept.collect();
        let delays = kept
            .iter()
            .filter_map(|(copy, wait)| Some(self.settings.queues.delay(messages.get(copy)?, *wait)));
        // If this fails they are redelivered all the same, only sooner.
        let _ = timeout_at(until, join_all(delays)).await;
        kept.into_iter().map(|(copy, _)| copy).collect()
    }

    /// The notifications for this destination, each with all its copies, and the copies that are not a
    /// dispatch.
    fn read(
        &self,
        copies: impl Iterator<Item = (String, Vec<u8>)>,
    ) -> (Vec<WorkItem>, Vec<(String, Vec<u8>)>) {
        let received_at = self.settings.clock.now();
        let mut work: Vec<WorkItem> = Vec::new();
        let mut by_key: HashMap<NotificationKey, usize> = HashMap::new();
        let mut undecodable = Vec::new();
        for (copy, data) in copies {
            match Dispatch::decode(&data) {
                Ok(dispatch) if !dispatch.is_for(&self.settings.name) => (),
                Ok(dispatch) => match by_key.get(&dispatch.notification.key()) {
                    Some(at) => work[*at].join(copy, dispatch, &self.settings.name),
                    None => {
                        by_key.insert(dispatch.notification.key(), work.len());
                        let sequence_key = dispatch.sequence_key(&self.settings.name);
                        let (copies, delivery, position) = (vec![copy], None, None);
                        let basis = Basis::of_dispatch(&dispatch);
                        work.push(WorkItem {
                            dispatch,
                            received_at,
                            copies,
                            delivery,
                            basis,
                            sequence_key,
                            position,
                        });
                    }
                },
                Err(_) => undecodable.push((copy, data)),
            }
        }
        (work, undecodable)
    }

    /// Whether a copy contradicts the routes in whether it is applied in order here: its record decides, from the retry
    /// queue. Somebody else may have written it, or the routes changed.
    fn is_doubtful(&self, work: &WorkItem) -> bool {
        let DestinationSettings { name, routes, .. } = &self.settings;
        let routed = routes.has_in_sequence(&work.dispatch.notification.r#type, name);
        routed.is_some_and(|is_sequenced| is_sequenced != work.sequence_key.is_some())
    }

    /// Sends a record of the stream that is not a dispatch to the dead-letter queue. Returns the copy if that
    /// failed.
    async fn send_raw(&self, copy: String, data: Vec<u8>, until: Instant) -> Option<String> {
        let DestinationSettings { name, queues, .. } = &self.settings;
        tracing::error!(copy, destination = name, error = NOT_A_DISPATCH, "dead-lettered");
        let sent = timeout_at(until, queues.dead_letters().send_raw(&data, name, NOT_A_DISPATCH)).await;
        (!matches!(sent, Ok(Ok(())))).then_some(copy)
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
    /// notification has no use, unless the next one of its key may have to be notified. A copy of a dead one
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
                        State::Pending if is_too_soon(&self.settings, delivery) => Looked::Wait,
                        State::Pending => Looked::open(delivery),
                        State::Dead if is_dead_letter => Looked::open(delivery),
                        // Its completion may have died before it notified the next one.
                        State::Done | State::Rejected | State::Closed if work.sequence_key.is_some() => {
                            Looked::open(delivery)
                        }
                        State::Dead | State::Done | State::Rejected | State::Closed => Looked::Useless,
                        State::Unknown => Looked::Wait,
                    },
                })
            }
        };
        (work, looked)
    }

    /// Records the failures. Says what to do with the copies of each.
    async fn dispositions(
        &self,
        processed: Vec<Processed>,
        until: Instant,
        event_source: impl Fn(&WorkItem) -> Source,
    ) -> Vec<(Vec<String>, Disposition)> {
        let (mut applied, mut already_applied) = (0, 0);
        let mut not_completed = Vec::new();
        for Processed { work, result } in processed {
            match result {
                Ok(TransitionOutcome::Applied) => applied += 1,
                Ok(TransitionOutcome::AlreadyApplied(_)) => already_applied += 1,
                Err(error) => not_completed.push((work, error)),
            }
        }
        count_faults(not_completed.iter().filter_map(|(_, error)| error.held_up_by()).collect());
        let destination = &self.settings.name;
        tracing::info!(destination, applied, already_applied, failed = not_completed.len(), "consumed");
        join_all(not_completed.into_iter().map(async |(work, error)| {
            let (id, source) = (work.id(), work.source());
            let event_source = event_source(&work);
            match error.is_registered() {
                true => tracing::debug!(id, source, destination, "waits for its turn"),
                false => {
                    let (severity, from) = (error.severity().as_str(), event_source.as_str());
                    tracing::warn!(id, source, destination, %error, severity, from, "not completed")
                }
            }
            let redeliver = || event_source.redeliver(self.settings.backoff, error.retry_after());
            let disposition = match timeout_at(
                until,
                self.settings.record_failure(&work, &error, event_source),
            )
            .await
            {
                Ok(Ok(disposition)) => disposition,
                Ok(Err(error)) => {
                    tracing::warn!(id, source, destination, %error, "the copy will be redelivered as it is");
                    count_faults(NotCompleted::from(error).held_up_by().into_iter().collect());
                    redeliver()
                }
                Err(_) => redeliver(),
            };
            (work.copies, disposition)
        }))
        .await
    }
}

/// Counts what held notifications up, as metrics: by cause, and what lasts until somebody corrects it.
fn count_faults(faults: Vec<HeldUp>) {
    let mut by_cause: BTreeMap<&str, u64> = BTreeMap::new();
    faults.iter().for_each(|held_up| *by_cause.entry(held_up.cause).or_default() += 1);
    for (cause, faults) in by_cause {
        tracing::info!(target: METRICS, Faults = faults, Cause = cause);
    }
    let lasting = faults.iter().filter(|held_up| held_up.lasts).count();
    if lasting > 0 {
        tracing::info!(target: METRICS, LastingFaults = lasting as u64);
    }
}

/// The messages of a batch, by their id.
struct Messages<'a>(HashMap<&'a str, &'a SqsMessage>);

impl<'a> Messages<'a> {
    fn new(event: &'a SqsEvent) -> Messages<'a> {
        Messages(event.records.iter().map(|message| (id(message), message)).collect())
    }

    fn get(&self, copy: &str) -> Option<&'a SqsMessage> {
        self.0.get(copy).copied()
    }

    /// Where these copies came from. The record has this many attempts.
    fn source(&self, copies: &[String], attempts: u32) -> Source {
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
