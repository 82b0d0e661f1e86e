//! Drives the engine for one shard.

use std::time::Duration;

use event_sources::{Action, Batch, Discard, Event, Origin, Shard};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::invoke::invoke;
use crate::mapping::Mapping;
use crate::poller::Clients;
use crate::reader::Reader;

/// One shard under one mapping, and the calls for it that are under way.
#[derive(Debug)]
pub struct ShardPoller {
    mapping: Mapping,
    shard_id: String,
    shard: Shard,
    clients: Clients,
    clock: Clock,
    /// With the read while one is under way.
    reader: Option<Reader>,
    reads: JoinSet<(Reader, Event)>,
    /// Invocations, and messages to the on-failure destination.
    calls: JoinSet<Event>,
    wake_at: Option<Duration>,
    drained: bool,
}

impl ShardPoller {
    pub fn new(mapping: Mapping, shard_id: String, clients: Clients, reader: Reader) -> Self {
        Self {
            shard: Shard::new(mapping.settings.clone()),
            mapping,
            shard_id,
            clients,
            clock: Clock::set(),
            reader: Some(reader),
            reads: JoinSet::new(),
            calls: JoinSet::new(),
            wake_at: None,
            drained: false,
        }
    }

    /// Polls until the shard is drained, and returns its id; or until `stop` becomes true and
    /// the calls under way have ended.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Option<String> {
        info!(function = self.mapping.function_arn, shard = self.shard_id, "polling");
        let mut event = Event::TimePassed;
        loop {
            self.wake_at = None;
            for action in self.shard.handle(event, self.clock.now()) {
                self.perform(action);
            }
            if self.drained {
                info!(function = self.mapping.function_arn, shard = self.shard_id, "drained");
                return Some(self.shard_id);
            }
            event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = self.calls.join_next() => ended.expect("a call does not panic"),
                Some(read) = self.reads.join_next() => {
                    let (reader, fetched) = read.expect("a read does not panic");
                    self.reader = Some(reader);
                    fetched
                }
                () = sleep_until(self.clock.instant(self.wake_at.unwrap_or_default())),
                    if self.wake_at.is_some() => Event::TimePassed,
            };
        }
        while self.calls.join_next().await.is_some() {}
        None
    }

    fn perform(&mut self, action: Action) {
        match action {
            // In memory only, in the engine: nothing is stored that a restart could go on from.
            Action::Checkpoint(number) => debug!(shard = self.shard_id, number, "checkpoint"),
            Action::Invoke(batch) => self.invoke(batch),
            Action::Discard(discard) => self.discard(discard),
            Action::Fetch => self.read(),
            Action::WaitUntil(time) => self.wake_at = Some(time),
            Action::Drained => self.drained = true,
        }
    }

    fn invoke(&mut self, batch: Batch) {
        let lambda = self.clients.lambda.clone();
        let (mapping, shard_id) = (self.mapping.clone(), self.shard_id.clone());
        self.calls.spawn(async move {
            let id = batch.id;
            let answer = invoke(&lambda, &mapping, &shard_id, batch).await;
            Event::Answered { batch: id, answer }
        });
    }

    fn discard(&mut self, discard: Discard) {
        let origin = Origin {
            source: self.mapping.stream.source,
            stream_arn: self.mapping.stream.arn.clone(),
            shard_id: self.shard_id.clone(),
            function_arn: self.mapping.function_arn.clone(),
        };
        let (sqs, queue) = (self.clients.sqs.clone(), self.mapping.on_failure.clone());
        let now = self.clock.now();
        self.calls.spawn(async move {
            let told = match &queue {
                Some(queue) => queue.tell(&sqs, &discard, &origin, now).await,
                None => Ok(()),
            };
            log(&discard, &origin, queue.is_some(), told.as_ref().err());
            Event::Discarded { batch: discard.id, written: told.is_ok() }
        });
    }

    fn read(&mut self) {
        if let Some(mut reader) = self.reader.take() {
            self.reads.spawn(async move {
                let (records, closed) = reader.read().await;
                (reader, Event::Fetched { records, closed })
            });
        }
    }
}

fn log(discard: &Discard, origin: &Origin, has_destination: bool, error: Option<&anyhow::Error>) {
    let (function, shard) = (&origin.function_arn, &origin.shard_id);
    let (condition, records) = (discard.reason.condition(), discard.sequence_numbers.len());
    let (first, last) = (discard.sequence_numbers.first(), discard.sequence_numbers.last());
    match error {
        None => info!(function, shard, condition, records, first, last, has_destination, "discarded"),
        Some(error) => {
            let error = format!("{error:#}");
            warn!(function, shard, condition, records, first, last, error, "not discarded yet");
        }
    }
}
