//! What follows when a notification is not completed (G3, G7, G8).
//!
//! A failing notification never holds up its shard: its copy moves to the retry queue. After a failed attempt,
//! in this order: the copy for the next attempt, or the dead letter; then the record; then the answer to the
//! event source. If the function dies in between, a copy is redelivered and the record still counts right: a
//! crash can add a copy or a try, never an effect.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::handler::{DestinationSettings, WorkItem};
use super::retry_policy::{
    NotCompleted, RECEIVES_RENEWED, Severity, due_after_uncounted, fault_to_record, gives_up, has_blocked,
    leaves_no_trace, rest_of_wait,
};
use super::retry_schedule::RetrySchedule;
use crate::aws::{Fault, patiently};
use crate::record::{Called, Delivery, FIRST_DUE_AFTER, Refused, State, Transition, TransitionOutcome};
use crate::store::TransitionError;

/// What to do with the copies of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Drop them: the notification is completed or dead, or another copy is in the retry queue.
    Drop,
    /// Redeliver them: with their batch, or from the retry queue after this wait.
    Redeliver { wait: Duration },
}

/// Where the copies came from, and what is known of the record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The stream. A copy for another attempt has to be sent to the retry queue.
    Stream,
    /// The retry queue. The copy stays there.
    RetryQueue {
        /// The recorded attempts.
        attempts: u32,
        /// How often SQS delivered the copy.
        receives: u32,
        /// Whether it is a dead letter that somebody moved there.
        is_dead_letter: bool,
    },
}

/// Longest wait of a copy from the stream that counted no attempt and was not asked to wait longer: long enough for a
/// throttle to end. In the retry queue it waits longer each time.
const UNCOUNTED_WAIT: Duration = Duration::from_secs(10);
/// The wait of a copy that nothing was found out about.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// Longest time that a fault may take to be recorded: the copy was given back before.
const RECORD_FAULT_WITHIN: Duration = Duration::from_secs(3);

impl Disposition {
    /// Redeliver what nothing was found out about.
    pub(crate) const SOON: Disposition = Disposition::Redeliver { wait: SOON };
}

impl Source {
    /// For logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Source::Stream => "stream",
            Source::RetryQueue { .. } => "retry queue",
        }
    }

    /// The copy is redelivered as it came: with its batch, or after a growing wait.
    pub(crate) fn redeliver(self, schedule: &RetrySchedule, retry_after: Duration) -> Disposition {
        let wait = match self {
            Source::Stream => schedule.first_uncounted_wait(UNCOUNTED_WAIT),
            Source::RetryQueue { receives, .. } => {
                schedule.uncounted_wait(receives, retry_after, fastrand::f64())
            }
        };
        Disposition::Redeliver { wait }
    }

    /// Whether a copy in the retry queue may kill its function, by what is known of its delivery. What has failed did
    /// not, so that a redrive of many is not slow.
    pub(crate) fn is_suspect(self, work: &WorkItem) -> bool {
        let Source::RetryQueue { attempts, receives, is_dead_letter } = self else { return false };
        let never_failed = work.delivery.as_ref().is_none_or(|delivery| delivery.failures.is_empty());
        never_failed && (work.dispatch.redispatched || is_dead_letter)
            || leaves_no_trace(attempts, receives)
            || has_blocked(work.delivery.as_ref())
    }

    fn is_dead_letter(self) -> bool {
        match self {
            Source::Stream => false,
            Source::RetryQueue { is_dead_letter, .. } => is_dead_letter,
        }
    }
}

/// What the record says of a copy from the stream that failed.
enum FailedCopy {
    /// It is a failed attempt, the first after these; with the dispatch whose copy is in the retry queue then.
    Counts { attempts: u32, dispatch: u32 },
    /// The last attempt failed just now, with another copy.
    TooSoon,
    /// There is no record that can be read, or it does not name this destination.
    NotRead,
    /// The copy has other content than the record, which is tried from the retry queue.
    OtherContent,
    /// A function of a later release decides. A copy in the retry queue waits for it.
    Held,
    /// The notification is completed or dead, or its copy is in the retry queue.
    Repeat,
    /// The notification is completed, and this copy goes on with those that wait for their turn behind it.
    GoesOn,
}

/// Sends for a copy, and repeats that for one of the stream as long as its fault may pass: the copy holds up its shard,
/// and its batch is redelivered only a few times.
async fn send_from<F>(source: Source, send: impl Fn() -> F) -> Result<(), Fault>
where
    F: Future<Output = Result<(), Fault>>,
{
    match source {
        Source::Stream => patiently(send).await,
        Source::RetryQueue { .. } => send().await,
    }
}

/// Whether a copy of what is completed has a use: at a sequenced destination others may wait behind it.
fn is_gone_on_with(work: &WorkItem, state: State) -> bool {
    work.sequence_key.is_some() && state.is_final()
}

impl DestinationSettings {
    /// Sends the copy or the dead letter, then writes the attempt to the record. Where the record has another
    /// count than was known, it decides again with that.
    pub(crate) async fn record_failure(
        &self,
        work: &WorkItem,
        error: &NotCompleted,
        source: Source,
    ) -> Result<Disposition, TransitionError> {
        let (severity, retry_after) = (error.severity(), error.retry_after());
        // A dead letter has to stay: nobody notifies what is dead, or about to be.
        if error.needs_no_copy() && !source.is_dead_letter() {
            return Ok(Disposition::Drop);
        }
        if severity == Severity::Uncounted {
            self.release(work, error, Some(due_after_uncounted(self.clock.now()))).await;
            let given_back = self.give_back(work, source, retry_after).await?;
            self.record_fault(work, error, source).await;
            return Ok(given_back);
        }
        // It never goes back: a copy of an earlier dispatch may fail after one of a later dispatch.
        let mut dispatch = work.dispatch.number;
        let (mut recorded, mut needs_copy) = match source {
            Source::Stream => match self.look_at_failed(work, severity).await? {
                FailedCopy::Counts { attempts, dispatch: latest } => {
                    dispatch = latest;
                    (attempts, true)
                }
                // The attempt of just now has said when reconcile checks it.
                FailedCopy::TooSoon => {
                    self.release(work, error, None).await;
                    return Ok(self.give_back(work, source, retry_after).await?);
                }
                FailedCopy::NotRead | FailedCopy::OtherContent | FailedCopy::Held | FailedCopy::GoesOn => {
                    self.release(work, error, Some(due_after_uncounted(self.clock.now()))).await;
                    return Ok(self.give_back(work, source, retry_after).await?);
                }
                FailedCopy::Repeat => {
                    self.release(work, error, None).await;
                    return Ok(Disposition::Drop);
                }
            },
            Source::RetryQueue { attempts, .. } => {
                let known = work.delivery.as_ref().map(|delivery| delivery.in_retry_queue);
                dispatch = dispatch.max(known.unwrap_or_default());
                (attempts, false)
            }
        };
        let (mut dispatches, mut needs_dead_letter) = (work.dispatch.number, true);
        let call = error.called();
        loop {
            let number = recorded + 1;
            let (transition, disposition) = if gives_up(severity, number, &self.retries) {
                if needs_dead_letter {
                    send_from(source, || self.send_dead_letter(work, number, error)).await?;
                    needs_dead_letter = false;
                }
                let reason = error.to_string();
                let dead = Transition::Dead { attempts: recorded, dispatches, fails: true, reason, call };
                (dead, Disposition::Drop)
            } else {
                let wait = self.retries.wait(number, retry_after, fastrand::f64());
                if needs_copy {
                    send_from(source, || self.queues.enqueue_retry(&work.dispatch, number, wait)).await?;
                    needs_copy = false;
                }
                let due_at = self.clock.now() + FIRST_DUE_AFTER + wait;
                let disposition = match source {
                    Source::Stream => Disposition::Drop,
                    Source::RetryQueue { .. } => Disposition::Redeliver { wait },
                };
                (
                    Transition::Attempt {
                        number,
                        error: error.to_string(),
                        retry_after: retry_after.as_secs() as u32,
                        due_at,
                        dispatch,
                        call,
                    },
                    disposition,
                )
            };
            match self.ledger.apply(self.transition(work, transition)).await {
                Ok(TransitionOutcome::Applied) => return Ok(disposition),
                // Whoever completed it may have died before it went on: the next receive of this copy does.
                Ok(TransitionOutcome::AlreadyApplied(state)) if is_gone_on_with(work, state) => {
                    return Ok(self.give_back(work, source, Duration::ZERO).await?);
                }
                Ok(TransitionOutcome::AlreadyApplied(_)) => return Ok(Disposition::Drop),
                // Another copy failed at the same time: that is one attempt. Or it was redriven, and has failed
                // since: this failure is of before.
                Err(TransitionError::Refused(Refused::Counted(attempts)))
                    if severity == Severity::Attempt && attempts > 0 =>
                {
                    self.release(work, error, None).await;
                    return match source {
                        Source::Stream if needs_copy => Ok(self.give_back(work, source, retry_after).await?),
                        Source::Stream => Ok(Disposition::Drop),
                        Source::RetryQueue { .. } => {
                            let wait = self.retries.wait(attempts, retry_after, fastrand::f64());
                            Ok(Disposition::Redeliver { wait })
                        }
                    };
                }
                // A redrive reset them, or this attempt is the last whatever its number.
                Err(TransitionError::Refused(Refused::Counted(attempts))) => recorded = attempts,
                // If that was a redrive, it may have removed the dead letter.
                Err(TransitionError::Refused(Refused::Dispatched(number))) => {
                    dispatches = number;
                    needs_dead_letter = true;
                }
                // Whoever marked it dead sent its dead letter before. But where an operator moved that here for
                // this attempt, there has to be another.
                Err(TransitionError::Refused(Refused::Was(State::Dead))) => {
                    if needs_dead_letter && source.is_dead_letter() {
                        self.send_dead_letter(work, number, error).await?;
                    }
                    return Ok(Disposition::Drop);
                }
                // A function of a later release decides. A copy in the retry queue waits for it.
                Err(TransitionError::Refused(Refused::Was(State::Unknown))) => {
                    return match source {
                        Source::Stream if !needs_copy => Ok(Disposition::Drop),
                        Source::Stream | Source::RetryQueue { .. } => {
                            Ok(self.give_back(work, source, retry_after).await?)
                        }
                    };
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Reads the record of a copy from the stream that failed. A batch of the stream is delivered again when one
    /// of its records could not be handled, and then the others must neither count nor be sent once more.
    async fn look_at_failed(&self, work: &WorkItem, severity: Severity) -> Result<FailedCopy, Fault> {
        let record = match self.ledger.get(&work.key()).await {
            Ok(record) => record,
            Err(fault) if fault.is_retryable() => return Err(fault),
            // A repeat would fail again, and hold up the shard.
            Err(_) => return Ok(FailedCopy::NotRead),
        };
        let Some((record, delivery)) =
            record.as_ref().and_then(|record| Some((record, record.destinations.get(&self.name)?)))
        else {
            return Ok(FailedCopy::NotRead);
        };
        let Delivery { attempts, in_retry_queue, .. } = *delivery;
        // Somebody else may have written another number.
        let number = work.dispatch.number.min(record.dispatches);
        if !work.agrees_with(record, delivery) {
            return Ok(FailedCopy::OtherContent);
        }
        Ok(match delivery.state {
            State::Pending | State::Unknown if in_retry_queue >= number => FailedCopy::Repeat,
            State::Pending if severity == Severity::Attempt && self.rest_of_wait(delivery).is_some() => {
                FailedCopy::TooSoon
            }
            State::Pending => FailedCopy::Counts { attempts, dispatch: number.max(in_retry_queue) },
            State::Unknown => FailedCopy::Held,
            state if is_gone_on_with(work, state) => FailedCopy::GoesOn,
            // Whoever marked it dead sent its dead letter before.
            State::Done | State::Rejected | State::Closed | State::Dead => FailedCopy::Repeat,
        })
    }

    /// Notes that a call is known not to have taken effect, where no attempt is counted that would say so.
    /// If that fails the next copy takes its outcome for unknown, whoever delivers it. Reconcile checks it at `due_at`,
    /// or when an attempt said.
    async fn release(&self, work: &WorkItem, error: &NotCompleted, due_at: Option<Timestamp>) {
        let Some(Called { fence, is_unknown: false }) = error.called() else { return };
        let release = Transition::Release { fence, due_at };
        match self.ledger.apply(self.transition(work, release)).await {
            // Another holder has the lease, or the notification is completed.
            Ok(_) | Err(TransitionError::Refused(_)) => (),
            Err(error) => {
                tracing::warn!(id = work.id(), source = work.source(), %error, "its call counts as of unknown outcome");
            }
        }
    }

    /// Records what holds up a copy of the retry queue, where that is known to last.
    async fn record_fault(&self, work: &WorkItem, error: &NotCompleted, source: Source) {
        let (Source::RetryQueue { receives, .. }, Some(delivery)) = (source, &work.delivery) else { return };
        let fault = fault_to_record(error, delivery, receives, self.clock.now());
        let Some(fault) = fault else { return };
        // It is for whoever looks: the copy waits all the same.
        let recorded = timeout(RECORD_FAULT_WITHIN, self.ledger.apply(self.transition(work, fault))).await;
        if !matches!(recorded, Ok(Ok(_))) {
            tracing::debug!(id = work.id(), source = work.source(), "its fault is not recorded");
        }
    }

    /// How long a copy has to wait still whose last attempt failed just now.
    pub(crate) fn rest_of_wait(&self, delivery: &Delivery) -> Option<Duration> {
        rest_of_wait(delivery, &self.retries, self.clock.now())
    }

    /// Gives back what was not decided, to wait for `retry_after` in addition to its usual wait. It counts no attempt.
    pub(crate) async fn give_back(
        &self,
        work: &WorkItem,
        source: Source,
        retry_after: Duration,
    ) -> Result<Disposition, Fault> {
        let random = fastrand::f64();
        let wait = match source {
            Source::Stream => self.retries.uncounted_wait_within(UNCOUNTED_WAIT, retry_after, random),
            Source::RetryQueue { receives, .. } => self.retries.uncounted_wait(receives, retry_after, random),
        };
        self.give_back_for(work, source, wait).await
    }

    /// Gives back what waits for this time. A copy that was received often is replaced by a new one.
    pub(crate) async fn give_back_for(
        &self,
        work: &WorkItem,
        source: Source,
        wait: Duration,
    ) -> Result<Disposition, Fault> {
        match source {
            // A dead letter is kept as it is.
            Source::RetryQueue { receives, is_dead_letter, .. }
                if receives < RECEIVES_RENEWED || is_dead_letter =>
            {
                return Ok(Disposition::Redeliver { wait });
            }
            Source::Stream | Source::RetryQueue { .. } => (),
        }
        send_from(source, || self.queues.enqueue_retry(&work.dispatch, 0, wait)).await?;
        Ok(Disposition::Drop)
    }

    async fn send_dead_letter(
        &self,
        work: &WorkItem,
        attempts: u32,
        error: &NotCompleted,
    ) -> Result<(), Fault> {
        let destination = &self.name;
        tracing::error!(id = work.id(), source = work.source(), destination, attempts, %error, "dead-lettered");
        let queue = self.queues.dead_letters();
        queue.send(&work.dispatch, destination, attempts, &error.to_string()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Draft;
    use crate::record::tests::at;
    use crate::record::{Dispatch, Record};

    /// G3: else whoever waits behind a completed notification waits for reconcile, where the function that completed it
    /// died just then.
    #[test]
    fn g3_what_is_completed_at_a_sequenced_destination_is_gone_on_with() {
        let work = |sequenced: &str| {
            let routes =
                format!(r#"{{"t":{{"kind":"command","destinations":["a"],"sequenced":[{sequenced}]}}}}"#);
            let numbered = Draft::command("t", "s", &"x").partitionkey("k").sequence(1).build("1").unwrap();
            let record = Record::accept(numbered, &routes.parse().unwrap(), at(1_000)).unwrap();
            let dispatch = Dispatch::new(&record, vec!["a".to_owned()], at(2_000));
            WorkItem::of_copy("copy".to_owned(), dispatch, at(2_000), "a")
        };
        let (sequenced, other) = (work(r#""a""#), work(""));
        for completed in [State::Done, State::Rejected, State::Closed] {
            assert!(is_gone_on_with(&sequenced, completed), "{completed:?}");
            assert!(!is_gone_on_with(&other, completed), "{completed:?}");
        }
        for open in [State::Pending, State::Dead, State::Unknown] {
            assert!(!is_gone_on_with(&sequenced, open), "{open:?}");
        }
    }
}
