//! Runs the notifications of a batch: distinct ones concurrently (G8), those of one key in order, and marks
//! that change the record alone in batches.

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::handler::{Deadlines, DestinationSettings, Handled, Handler, WorkItem};
use super::ordered::{Group, group_by_key, process_in_order};
use super::retry_policy::NotCompleted;
use crate::record::{PendingTransition, TransitionOutcome};
use crate::store::STATEMENTS_MAX;

/// Most notifications applied concurrently, unless an operator sets fewer. Each may need a connection of its own, which
/// takes memory, and more concurrent transactions keep a processor busy for longer than one of them takes (`make bench`).
pub const CONCURRENCY_MAX: usize = 48;
/// Most batches of marks sent concurrently.
const MARK_CALLS_MAX: usize = 4;

/// How a notification came out.
#[derive(Debug)]
pub(crate) struct Processed {
    pub(crate) work: WorkItem,
    pub(crate) result: Result<TransitionOutcome, NotCompleted>,
}

/// What is left to do for a notification after its handler.
enum Progress {
    /// Its mark is to be sent with others.
    ToMark(Box<PendingTransition>, WorkItem),
    Processed(Processed),
}

/// Applies each notification once.
pub(crate) async fn process(
    handler: &dyn Handler,
    settings: &DestinationSettings,
    work: Vec<WorkItem>,
    deadlines: Deadlines,
) -> Vec<Processed> {
    let progress = stream::iter(group_by_key(work)).map(|group| async move {
        match group {
            Group::Single(work) => vec![handle(handler, settings, *work, deadlines).await],
            Group::Ordered(work) => {
                let processed = process_in_order(handler, settings, work, deadlines).await;
                let processed = processed.into_iter();
                processed.map(|(work, result)| Progress::Processed(Processed { work, result })).collect()
            }
        }
    });
    let progress = progress.buffer_unordered(settings.concurrency).flat_map(stream::iter);
    // Unbounded, but for the semaphore: waiting for marks must not keep handlers from running.
    let mark_calls = Semaphore::new(MARK_CALLS_MAX);
    let processed = progress
        .ready_chunks(STATEMENTS_MAX)
        .map(|progress| mark_together(settings, progress, &mark_calls, deadlines));
    processed.buffer_unordered(usize::MAX).concat().await
}

async fn handle(
    handler: &dyn Handler,
    settings: &DestinationSettings,
    work: WorkItem,
    deadlines: Deadlines,
) -> Progress {
    let processed = |work, result| Progress::Processed(Processed { work, result });
    if Instant::now() >= deadlines.start_by {
        return processed(work, Err(NotCompleted::OutOfTime));
    }
    match handler.handle(settings, &work, deadlines).await {
        Ok(Handled::Completed { outcome, .. }) => processed(work, Ok(outcome)),
        Ok(Handled::ToMark(mark)) => Progress::ToMark(mark, work),
        Err(error) => processed(work, Err(error)),
    }
}

/// Sends the marks among these in one call.
async fn mark_together(
    settings: &DestinationSettings,
    progress: Vec<Progress>,
    mark_calls: &Semaphore,
    deadlines: Deadlines,
) -> Vec<Processed> {
    let (mut marks, mut marked, mut processed) = (Vec::new(), Vec::new(), Vec::new());
    for progress in progress {
        match progress {
            Progress::Processed(done) => processed.push(done),
            Progress::ToMark(mark, work) => {
                marked.push((work, mark.transition.fence()));
                marks.push(*mark);
            }
        }
    }
    if marks.is_empty() {
        return processed;
    }
    let apply = async {
        let _permit = mark_calls.acquire().await;
        settings.ledger.apply_all(marks).await
    };
    let results = match timeout_at(deadlines.end_by, apply).await {
        Ok(results) => results.into_iter().map(|result| result.map_err(NotCompleted::from)).collect(),
        Err(_) => marked.iter().map(|_| Err(NotCompleted::OutOfTime)).collect::<Vec<_>>(),
    };
    processed.extend(marked.into_iter().zip(results).map(|((work, fence), result)| Processed {
        work,
        result: result.map_err(|error| error.after_call(fence)),
    }));
    processed
}
