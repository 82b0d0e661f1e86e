//! A handler that blocks its thread: it computes for long, or waits without `.await`. Nothing else of its invocation
//! runs then, not even its own time-out (G8).
//!
//! So an invocation has a thread of its own, and the main thread looks on. When handlers are out of time and one is
//! still being polled, its notification has failed, and the main thread decides for all others in place of that thread.
//! The thread is left behind. If its handler goes on later, that is like a late copy: it is applied once at most.

use std::panic::resume_unwind;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::streams::KinesisEventResponse;
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::batch::Consumer;
use super::failed_attempt::{Disposition, SOON, Source};
use super::failure::Failure;
use super::handler::{Deadlines, WorkItem};
use super::process::{CONCURRENCY_MAX, Processed};
use super::retry_batch::{self, Messages, RetryBatch};
use super::retry_policy::{BLOCKED, NotCompleted};
use super::stream_batch::{self, DispatchBatch};
use super::watch::{Begun, Polled, Undecided, Watch};
use crate::aws::patiently;
use crate::notification::NotificationKey;
use crate::record::State;

/// How often the main thread looks whether a handler is in the same poll.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// At this number of blocked threads the process ends, since they may use up its processor. Lambda then starts a new
/// one.
const BLOCKED_MAX: usize = 4;

static BLOCKED_THREADS: AtomicUsize = AtomicUsize::new(0);

/// Whether this process ends before another invocation.
fn ends_process() -> bool {
    BLOCKED_THREADS.load(Ordering::Relaxed) >= BLOCKED_MAX
}

fn end_process() -> ! {
    tracing::error!("handlers have blocked several threads of this process, which ends");
    exit(1)
}

/// Does the work of an invocation on a thread of its own. If a handler blocks that thread, returns that handler.
async fn apart<F>(
    watch: &Arc<Watch>,
    until: Instant,
    work: impl FnOnce(Arc<Watch>) -> F + Send + 'static,
) -> Option<Begun>
where
    F: Future<Output = ()>,
{
    let (runtime, watched) = (Handle::current(), watch.clone());
    let mut work = spawn_blocking(move || runtime.block_on(work(watched)));
    let (mut look_at, mut seen) = (Deadlines::until(until).blocked_by(), None);
    loop {
        if let Ok(done) = timeout_at(look_at, &mut work).await {
            done.unwrap_or_else(|error| resume_unwind(error.into_panic()));
            return None;
        }
        let polled = watch.polled();
        if let Some(Polled { begun, .. }) = polled.clone().filter(|_| polled == seen) {
            let NotificationKey { id, source } = &begun.key;
            tracing::error!(id, source, error = BLOCKED, "its batch is set aside");
            leave_behind(work);
            return Some(begun);
        }
        (look_at, seen) = (look_at + LOOK_EVERY, polled);
    }
}

/// Counts a thread that is blocked. It may end after all.
fn leave_behind(work: JoinHandle<()>) {
    BLOCKED_THREADS.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let _ = work.await;
        BLOCKED_THREADS.fetch_sub(1, Ordering::Relaxed);
    });
}

impl Consumer {
    /// Handles a batch of the Kinesis stream, as [`Consumer::receive`] does, on a thread of its own.
    pub(crate) async fn receive_apart(
        self: Arc<Self>,
        batch: DispatchBatch,
        until: Instant,
    ) -> KinesisEventResponse {
        if ends_process() {
            end_process();
        }
        let (consumer, watch) = (self.clone(), Arc::default());
        let work =
            move |watch: Arc<Watch>| async move { consumer.receive_watched(batch, until, &watch).await };
        if let Some(blocker) = apart(&watch, until, work).await {
            self.set_aside(&blocker.key, &watch, until).await;
        }
        stream_batch::response(&watch)
    }

    /// Handles a batch of the retry queue, as [`Consumer::retry`] does, on a thread of its own.
    pub(crate) async fn retry_apart(self: Arc<Self>, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        if ends_process() {
            let waits: Vec<_> = event.records.iter().map(|message| (message, SOON)).collect();
            self.settings.queues.delay(&waits).await;
            end_process();
        }
        let (consumer, watch, event) = (self.clone(), Arc::default(), Arc::new(event));
        let of_work = event.clone();
        let work =
            move |watch: Arc<Watch>| async move { consumer.retry_watched(&of_work, until, &watch).await };
        if let Some(blocker) = apart(&watch, until, work).await {
            self.set_aside_retries(&blocker, &watch, &event, until).await;
        }
        retry_batch::response(&watch)
    }

    /// Sends what is undecided of a batch of the stream to the retry queue; the notification that blocks has failed.
    async fn set_aside(&self, blocker: &NotificationKey, watch: &Watch, until: Instant) {
        let mut undecided = watch.undecided();
        // It may have waited for its turn behind another one.
        if !undecided.iter().any(|undecided| undecided.key == *blocker) {
            undecided.push(Undecided { key: blocker.clone(), copies: vec![] });
        }
        let read_by = half_until(until);
        let read = stream::iter(undecided).map(async |Undecided { key, copies }| {
            let read = timeout_at(read_by, patiently(|| self.settings.delivery(&key))).await;
            let Ok(Ok((record, delivery))) = read else {
                watch.redelivers(copies);
                return None;
            };
            let has_a_use = matches!(delivery.state, State::Pending | State::Unknown) || delivery.sequenced;
            let work = WorkItem::of(&record, delivery, copies, &self.settings);
            has_a_use.then(|| failed(work, blocker))
        });
        let processed: Vec<_> = read.buffer_unordered(CONCURRENCY_MAX).collect().await;
        let processed = processed.into_iter().flatten().collect();
        for (copies, disposition) in self.dispositions(processed, until, |_| Source::Stream).await {
            watch.decides(&copies, disposition);
        }
    }

    /// Lets what is undecided of a batch of the retry queue be received again soon; the notification that blocks has
    /// failed.
    async fn set_aside_retries(&self, blocker: &Begun, watch: &Watch, event: &SqsEvent, until: Instant) {
        let deadlines = Deadlines::until(until);
        let batch = RetryBatch { messages: Messages::new(event), watch, deadlines, until };
        let undecided = watch.undecided().into_iter();
        let (blocking, others): (Vec<_>, Vec<_>) =
            undecided.partition(|undecided| undecided.key == blocker.key);
        let copies: Vec<String> = blocking.into_iter().flat_map(|undecided| undecided.copies).collect();
        let mut dispositions: Vec<_> =
            others.into_iter().map(|undecided| (undecided.copies, Disposition::SOON)).collect();
        match timeout_at(half_until(until), patiently(|| self.settings.delivery(&blocker.key))).await {
            Ok(Ok((record, delivery))) => {
                let source = source_of(blocker, &copies, &batch.messages, delivery.attempts);
                let work = WorkItem::of(&record, delivery, copies, &self.settings);
                let failed = vec![failed(work, &blocker.key)];
                dispositions.extend(self.dispositions(failed, until, |_| source).await);
            }
            _ => dispositions.push((copies, Disposition::SOON)),
        }
        self.keep(dispositions, &batch).await;
    }
}

/// Where the copies of what blocks came from, and the attempts that were known before its handler: where another copy
/// has failed since, the record has more by now, and that is one attempt (G7).
fn source_of(blocker: &Begun, copies: &[String], messages: &Messages, attempts_now: u32) -> Source {
    match copies.is_empty() {
        true => Source::Stream,
        false => messages.source(copies, blocker.attempts.unwrap_or(attempts_now)),
    }
}

/// Until when records are read: the other half of the time is for what follows.
fn half_until(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}

/// What follows for a notification of an invocation that this one blocks.
fn failed(mut work: WorkItem, blocker: &NotificationKey) -> Processed {
    let result = match work.key() == *blocker {
        true => Err(Failure::transient(BLOCKED).into()),
        false => {
            // It may be one that kills the function.
            work.dispatch.redispatched = true;
            Err(NotCompleted::OutOfTime)
        }
    };
    Processed { work, result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g7_two_copies_that_block_at_once_are_one_attempt() {
        let message = serde_json::json!({ "Records": [{ "messageId": "copy" }] });
        let event: SqsEvent = serde_json::from_value(message).unwrap();
        let (messages, copies) = (Messages::new(&event), ["copy".to_owned()]);
        let attempts = |before: Option<u32>, copies: &[String]| {
            let blocker = Begun { key: NotificationKey::new("1", "s"), attempts: before };
            match source_of(&blocker, copies, &messages, 1) {
                Source::RetryQueue { attempts, .. } => Some(attempts),
                Source::Stream => None,
            }
        };
        assert_eq!(attempts(Some(0), &copies), Some(0), "the other copy has counted one");
        assert_eq!(attempts(None, &copies), Some(1));
        assert_eq!(attempts(Some(0), &[]), None, "what waited for its turn has no copy");
    }
}
