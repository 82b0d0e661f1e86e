//! A batch of the Kinesis stream.

use std::time::Duration;

use aws_lambda_events::encodings::Base64Data;
use aws_lambda_events::streams::KinesisEventResponse;
use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::batch::{Consumer, NOT_A_DISPATCH};
use super::failed_attempt::{Disposition, Source};
use super::handler::{Deadlines, DestinationSettings, WorkItem};
use super::process::process;
use super::watch::{Watch, Watched};

/// A batch of the Kinesis stream, as Lambda passes it. It deserialises only the fields that are used, since
/// batches are large.
#[derive(Clone, Debug, Deserialize)]
pub struct DispatchBatch {
    #[serde(rename = "Records")]
    records: Vec<StreamRecord>,
}

#[derive(Clone, Debug, Deserialize)]
struct StreamRecord {
    kinesis: KinesisRecord,
}

#[derive(Clone, Debug, Deserialize)]
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

impl Consumer {
    /// Handles a batch of the Kinesis stream by `until`. A batch item failure is redelivered with all records
    /// after it, so only a copy that could not even be sent to the retry queue is one.
    pub async fn receive(&self, batch: DispatchBatch, until: Instant) -> KinesisEventResponse {
        let watch = Watch::default();
        self.receive_watched(batch, until, &watch).await;
        response(&watch)
    }

    /// Handles a batch of the Kinesis stream. `watch` has what it decides.
    pub(crate) async fn receive_watched(&self, batch: DispatchBatch, until: Instant, watch: &Watch) {
        let deadlines = Deadlines::until(until);
        let (work, undecodable) = self.read(batch.copies());
        watch.takes(&work);
        let unsent = undecodable.into_iter().map(|(copy, data)| self.send_raw(copy, data, until));
        watch.redelivers(join_all(unsent).await.into_iter().flatten());
        if self.is_paused(&work, deadlines).await {
            return work.iter().for_each(|work| watch.decides(&work.copies, Disposition::Drop));
        }
        let work = self.put_off(work, deadlines, watch).await;
        let handler = Watched { handler: &self.handler, watch };
        let processed = process(&handler, &self.settings, work, deadlines).await;
        for (copies, disposition) in self.dispositions(processed, until, |_| Source::Stream).await {
            watch.decides(&copies, disposition);
        }
    }

    /// Sends what was dispatched again to the retry queue, before any handler begins. Returns all else, and what could
    /// not be sent in half of the time in which handlers may begin.
    async fn put_off(&self, work: Vec<WorkItem>, deadlines: Deadlines, watch: &Watch) -> Vec<WorkItem> {
        let (again, mut work): (Vec<_>, _) = work.into_iter().partition(|work| work.dispatch.redispatched);
        let sent = join_all(again.into_iter().map(async |work| {
            let send = self.settings.queues.enqueue_retry(&work.dispatch, 0, Duration::ZERO);
            let is_sent = matches!(timeout_at(deadlines.prepared_by(), send).await, Ok(Ok(())));
            (work, is_sent)
        }));
        for (again, is_sent) in sent.await {
            match is_sent {
                true => watch.decides(&again.copies, Disposition::Drop),
                false => work.push(again),
            }
        }
        work
    }

    /// Sends a record of the stream that is not a dispatch to the dead-letter queue. Returns the copy if that
    /// failed.
    async fn send_raw(&self, copy: String, data: Vec<u8>, until: Instant) -> Option<String> {
        let DestinationSettings { name, queues, .. } = &self.settings;
        tracing::error!(copy, destination = name, error = NOT_A_DISPATCH, "dead-lettered");
        let sent = timeout_at(until, queues.dead_letters().send_raw(&data, name, NOT_A_DISPATCH)).await;
        (!matches!(sent, Ok(Ok(())))).then_some(copy)
    }
}

/// The answer of an invocation that decided this.
pub(super) fn response(watch: &Watch) -> KinesisEventResponse {
    let mut response = KinesisEventResponse::default();
    watch.redelivered().into_iter().for_each(|copy| response.add_failure(copy));
    response
}
