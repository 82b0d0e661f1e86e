//! The destinations of one function, which read the stream by one mapping.
//!
//! Each has its own queues, attempts and thread (`blocked.rs`), as if it had a function of its own. But they share the
//! invocation: it ends with the slowest, and where a handler kills it, the work of all is redelivered.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::streams::KinesisEventResponse;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::batch::Consumer;
use super::stream_batch::DispatchBatch;
use crate::aws::sqs::id;
use crate::metrics::METRICS;
use crate::store::destination_of_retry_queue;

/// The stage that runs the destinations of a function.
pub struct Consumers(Vec<Arc<Consumer>>);

impl Consumers {
    /// Runs these destinations. Each name is there once.
    pub fn new(consumers: Vec<Consumer>) -> Consumers {
        Consumers(consumers.into_iter().map(Arc::new).collect())
    }

    /// Handles a batch of the Kinesis stream for each of them by `until`. A batch item failure of one is one of the
    /// batch: the others meet their own marks when it is redelivered.
    pub async fn receive(&self, batch: DispatchBatch, until: Instant) -> KinesisEventResponse {
        self.receive_by(batch, async |consumer, batch| consumer.receive(batch, until).await).await
    }

    /// Handles a batch of the retry queue of one of them by `until`.
    pub async fn retry(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        self.retry_by(event, async |consumer, event| consumer.retry(event, until).await).await
    }

    /// As [`receive`](Consumers::receive), each on a thread of its own.
    pub(crate) async fn receive_apart(&self, batch: DispatchBatch, until: Instant) -> KinesisEventResponse {
        self.receive_by(batch, async |consumer, batch| consumer.receive_apart(batch, until).await).await
    }

    /// As [`retry`](Consumers::retry), on a thread of its own.
    pub(crate) async fn retry_apart(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        self.retry_by(event, async |consumer, event| consumer.retry_apart(event, until).await).await
    }

    async fn receive_by(
        &self,
        batch: DispatchBatch,
        receive: impl AsyncFn(Arc<Consumer>, DispatchBatch) -> KinesisEventResponse,
    ) -> KinesisEventResponse {
        if let [consumer] = &*self.0 {
            return receive(consumer.clone(), batch).await;
        }
        let received = self.0.iter().map(|consumer| receive(consumer.clone(), batch.clone()));
        let mut all = KinesisEventResponse::default();
        for response in join_all(received).await {
            all.batch_item_failures.extend(response.batch_item_failures);
        }
        all
    }

    async fn retry_by(
        &self,
        event: SqsEvent,
        retry: impl AsyncFn(Arc<Consumer>, SqsEvent) -> SqsBatchResponse,
    ) -> SqsBatchResponse {
        match self.of_queue(&event) {
            Some(consumer) => retry(consumer.clone(), event).await,
            None => of_nobody(&event),
        }
    }

    /// The destination whose retry queue the messages are from. A batch has those of one queue. A queue of another name is
    /// one that somebody maps by hand, to a function with one destination.
    fn of_queue(&self, event: &SqsEvent) -> Option<&Arc<Consumer>> {
        let queue = event.records.first().and_then(|message| message.event_source_arn.as_deref());
        match queue.and_then(destination_of_retry_queue) {
            Some(name) => self.0.iter().find(|consumer| consumer.settings.name == name),
            None => self.0.first().filter(|_| self.0.len() == 1),
        }
    }
}

/// What follows for messages of a queue that is of none of the destinations: they stay there, until somebody corrects that
/// or SQS moves them to the dead-letter queue.
fn of_nobody(event: &SqsEvent) -> SqsBatchResponse {
    let queue = event.records.first().and_then(|message| message.event_source_arn.as_deref());
    tracing::error!(
        queue,
        "this function has no destination of this queue; correct its mappings, or its destinations"
    );
    tracing::info!(target: METRICS, LastingFaults = 1_u64);
    let mut response = SqsBatchResponse::default();
    event.records.iter().for_each(|message| response.add_failure(id(message)));
    response
}
