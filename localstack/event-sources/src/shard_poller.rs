//! Drives the engine for one shard.

use std::time::Duration;

use aws_sdk_lambda::Client;
use event_sources::{Action, Batch, Event, Shard};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use crate::invoke::invoke;
use crate::mapping::Mapping;
use crate::reader::Reader;

/// One shard under one mapping, and the calls for it that are under way.
#[derive(Debug)]
pub struct ShardPoller {
    function_arn: String,
    shard_id: String,
    shard: Shard,
    lambda: Client,
    /// With the read while one is under way.
    reader: Option<Reader>,
    reads: JoinSet<(Reader, Event)>,
    invocations: JoinSet<Event>,
    wake_at: Option<Duration>,
    drained: bool,
}

impl ShardPoller {
    pub fn new(mapping: &Mapping, shard_id: String, lambda: Client, reader: Reader) -> Self {
        Self {
            function_arn: mapping.function_arn.clone(),
            shard_id,
            shard: Shard::new(mapping.settings.clone()),
            lambda,
            reader: Some(reader),
            reads: JoinSet::new(),
            invocations: JoinSet::new(),
            wake_at: None,
            drained: false,
        }
    }

    /// Polls until the shard is drained, and returns its id; or until `stop` becomes true and
    /// the invocations under way have ended.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Option<String> {
        info!(function = self.function_arn, shard = self.shard_id, "polling");
        let started = Instant::now();
        let mut event = Event::TimePassed;
        loop {
            self.wake_at = None;
            for action in self.shard.handle(event, started.elapsed()) {
                self.perform(action);
            }
            if self.drained {
                info!(function = self.function_arn, shard = self.shard_id, "drained");
                return Some(self.shard_id);
            }
            event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(answered) = self.invocations.join_next() => {
                    answered.expect("an invocation does not panic")
                }
                Some(read) = self.reads.join_next() => {
                    let (reader, fetched) = read.expect("a read does not panic");
                    self.reader = Some(reader);
                    fetched
                }
                () = sleep_until(started + self.wake_at.unwrap_or_default()),
                    if self.wake_at.is_some() => Event::TimePassed,
            };
        }
        while self.invocations.join_next().await.is_some() {}
        None
    }

    fn perform(&mut self, action: Action) {
        match action {
            // In memory only, in the engine: nothing is stored that a restart could go on from.
            Action::Checkpoint(number) => debug!(shard = self.shard_id, number, "checkpoint"),
            Action::Invoke(batch) => self.invoke(batch),
            Action::Fetch => self.read(),
            Action::WaitUntil(time) => self.wake_at = Some(time),
            Action::Drained => self.drained = true,
        }
    }

    fn invoke(&mut self, batch: Batch) {
        let lambda = self.lambda.clone();
        let (function_arn, shard_id) = (self.function_arn.clone(), self.shard_id.clone());
        self.invocations.spawn(async move {
            let id = batch.id;
            let answer = invoke(&lambda, &function_arn, &shard_id, batch).await;
            Event::Answered { batch: id, answer }
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
