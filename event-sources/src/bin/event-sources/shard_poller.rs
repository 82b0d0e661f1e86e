//! Drives the engine for one shard: carries out its actions and reports what has happened.

use std::time::Duration;

use event_sources::{Action, Batch, Discard, DiscardOrigin, Input, Shard};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{debug, info};

use crate::clients::Clients;
use crate::clock::Clock;
use crate::invoke::invoke;
use crate::mapping::Mapping;
use crate::on_failure;
use crate::reader::Reader;

/// One shard under one mapping, and its calls in flight.
#[derive(Debug)]
pub struct ShardPoller {
    mapping: Mapping,
    shard_id: String,
    shard: Shard,
    clients: Clients,
    clock: Clock,
    /// `None` while a read has it.
    reader: Option<Reader>,
    reads: JoinSet<(Reader, Input)>,
    /// Invocations, and messages to the on-failure destination.
    calls: JoinSet<Input>,
    wake_at: Option<Duration>,
    drained: bool,
}

/// Why a shard's poller has ended.
#[derive(Debug)]
pub enum ShardEnd {
    Drained { shard_id: String },
    Stopped,
}

impl ShardPoller {
    pub fn new(mapping: Mapping, shard_id: String, clients: Clients, reader: Reader) -> Self {
        Self {
            shard: Shard::new(mapping.settings.clone()),
            mapping,
            shard_id,
            clients,
            clock: Clock::start(),
            reader: Some(reader),
            reads: JoinSet::new(),
            calls: JoinSet::new(),
            wake_at: None,
            drained: false,
        }
    }

    /// Polls until the shard is drained, or until `stop` becomes true and the calls in flight have
    /// completed.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> ShardEnd {
        info!(function = self.mapping.function_arn, shard = self.shard_id, "polling");
        let mut input = Input::TimePassed;
        loop {
            self.wake_at = None;
            for action in self.shard.handle(input, self.clock.now()) {
                self.perform(action);
            }
            if self.drained {
                info!(function = self.mapping.function_arn, shard = self.shard_id, "drained");
                return ShardEnd::Drained { shard_id: self.shard_id };
            }
            input = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(completed) = self.calls.join_next() => completed.expect("a call does not panic"),
                Some(read) = self.reads.join_next() => {
                    let (reader, fetched) = read.expect("a read does not panic");
                    self.reader = Some(reader);
                    fetched
                }
                () = sleep_until(self.clock.instant(self.wake_at.unwrap_or_default())),
                    if self.wake_at.is_some() => Input::TimePassed,
            };
        }
        while self.calls.join_next().await.is_some() {}
        ShardEnd::Stopped
    }

    fn perform(&mut self, action: Action) {
        match action {
            // Checkpoints are not stored: after a restart, reading begins with the oldest record.
            Action::Checkpoint(number) => debug!(shard = self.shard_id, number, "checkpoint"),
            Action::Invoke(batch) => self.invoke(batch),
            Action::Discard(discard) => self.discard(discard),
            Action::Fetch => self.fetch(),
            Action::WaitUntil(time) => self.wake_at = Some(time),
            Action::Drained => self.drained = true,
        }
    }

    fn invoke(&mut self, batch: Batch) {
        let lambda = self.clients.lambda.clone();
        let (mapping, shard_id) = (self.mapping.clone(), self.shard_id.clone());
        self.calls.spawn(async move {
            let id = batch.id;
            let outcome = invoke(&lambda, &mapping, &shard_id, batch).await;
            Input::Invoked { batch: id, outcome }
        });
    }

    fn discard(&mut self, discard: Discard) {
        let origin = DiscardOrigin {
            stream_kind: self.mapping.stream.kind,
            stream_arn: self.mapping.stream.arn.clone(),
            shard_id: self.shard_id.clone(),
            function_arn: self.mapping.function_arn.clone(),
        };
        let (sqs, queue) = (self.clients.sqs.clone(), self.mapping.on_failure.clone());
        let now = self.clock.now();
        self.calls.spawn(async move {
            let written = on_failure::write(queue.as_ref(), &sqs, &discard, &origin, now).await;
            Input::Discarded { batch: discard.id, written }
        });
    }

    fn fetch(&mut self) {
        if let Some(mut reader) = self.reader.take() {
            self.reads.spawn(async move {
                let fetched = reader.read().await;
                (reader, fetched)
            });
        }
    }
}
