//! The mapping of a shard: reads it by the engine that serves local AWSs, too, and invokes the function.

use std::time::Duration;

use event_sources::{Action, Batch, Input, MappingSettings, Record, Shard};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, sleep_until};

use crate::aws::lambda::{Function, Lambda, MappingKey, is_complete};
use crate::aws::stream::{RETENTION_MS, StreamName};
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::faults::rng::{Purpose, below, of_name};

/// How long Lambda takes to fetch at most, in milliseconds.
const FETCH_MS_MAX: u64 = 250;

/// A shard of a stream, and how a mapping reads it.
#[derive(Clone)]
pub struct Mapping {
    pub settings: MappingSettings,
    pub function: Function,
    pub stream: StreamName,
    pub shard: usize,
}

impl Mapping {
    fn key(&self) -> MappingKey {
        (self.function.name.clone(), self.stream, self.shard)
    }
}

impl Lambda {
    /// Serves a mapping of a shard. Where the plan says so, or its stack is down, it is disabled for a while, and begins
    /// again behind what was done, if the stream still has it.
    pub async fn serve_shard(self, mapping: Mapping) {
        self.state.borrow_mut().done.insert(mapping.key(), 0);
        let name = &mapping.function.name;
        let stops = [Fault::Stop, Fault::Forget].map(|fault| self.aws.plan().fault_of(name, fault, None));
        let stop =
            stops.into_iter().flatten().next().map(|stop| (stop.at..stop.at + stop.for_ms, Some(stop)));
        let down = self.down_ms(name).map(|ms| (ms, None));
        let mut away: Vec<_> = stop.into_iter().chain(down).collect();
        away.sort_by_key(|(ms, _)| ms.start);
        for (ms, stop) in away {
            let (from, to) = (self.aws.time().at(ms.start), self.aws.time().at(ms.end));
            tokio::select! {
                biased;
                () = sleep_until(from) => (),
                () = self.poll(&mapping) => (),
            }
            self.aws.note(name, "its mapping is disabled");
            if let Some(stop) = stop {
                self.is_stopped_until(ms.end);
                self.aws.state().history.inject(stop, [mapping.function.site()]);
            }
            sleep_until(to).await;
            self.aws.note(name, "its mapping is enabled");
        }
        self.poll(&mapping).await;
    }

    /// Reads a shard from behind what was done, and never returns.
    async fn poll(&self, mapping: &Mapping) {
        let mut poller = Poller::new(self, mapping);
        let mut shard = Shard::new(mapping.settings.clone());
        let mut event = Input::TimePassed;
        loop {
            let actions = shard.handle(event, poller.now());
            poller.wake_at = poller.wake_at.filter(|at| *at > poller.now());
            actions.into_iter().for_each(|action| poller.act(action));
            event = poller.next_event().await;
        }
    }

    fn with_shard<T>(&self, mapping: &Mapping, look: impl FnOnce(&[(u64, Record)]) -> T) -> T {
        look(&self.aws.state().stream(mapping.stream).shards[mapping.shard])
    }

    /// Injects a fault into a fetch from behind the first `read` records, if it has one: for how many
    /// milliseconds. Where the injection points are enumerated, it is for `for_ms`.
    fn inject_into_fetch(&self, function: &Function, fault: Fault, read: usize, for_ms: u64) -> Option<u64> {
        let mut state = self.aws.state();
        if !state.faults_enabled {
            return None;
        }
        let at = read as u64;
        state.history.injection_points.push(InjectedFault::at(&function.name, fault, at).lasting(for_ms));
        let injected = self.aws.plan().fault_of(&function.name, fault, Some(at))?;
        let for_ms = injected.for_ms;
        state.history.inject(injected, [function.site()]);
        Some(for_ms)
    }
}

/// Reads a shard for the engine.
struct Poller<'a> {
    lambda: &'a Lambda,
    mapping: &'a Mapping,
    key: MappingKey,
    /// How many records it has read.
    read: usize,
    /// The engine waits for records.
    is_fetching: bool,
    /// When the records that there are will be fetched.
    fetch_at: Option<Duration>,
    /// When the engine wants to be called.
    wake_at: Option<Duration>,
    send: UnboundedSender<Input>,
    receive: UnboundedReceiver<Input>,
}

impl Poller<'_> {
    fn new<'a>(lambda: &'a Lambda, mapping: &'a Mapping) -> Poller<'a> {
        let key = mapping.key();
        let read = lambda.state.borrow().done[&key];
        let (send, receive) = unbounded_channel();
        let (is_fetching, fetch_at, wake_at) = (false, None, None);
        Poller { lambda, mapping, key, read, is_fetching, fetch_at, wake_at, send, receive }
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.lambda.aws.time().now_ms())
    }

    /// Does what the engine asks for.
    fn act(&mut self, action: Action) {
        match action {
            Action::Fetch => self.is_fetching = true,
            Action::WaitUntil(at) => self.wake_at = Some(at),
            Action::Drained => (),
            Action::Checkpoint(number) => {
                let at = self.lambda.with_shard(self.mapping, |records| {
                    records.iter().position(|(_, record)| record.sequence_number() == number)
                });
                let done = at.expect("it was read") + 1;
                // A fetch that was never delivered may have moved it on already.
                let mut state = self.lambda.state.borrow_mut();
                state.done.entry(self.key.clone()).and_modify(|before| *before = done.max(*before));
            }
            Action::Discard(discard) => {
                self.lambda.aws.note(&self.key.0, &format!("gives up {:?}", discard.sequence_numbers));
                self.lambda.aws.state().history.gave_up = true;
                let _ = self.send.send(Input::Discarded { batch: discard.id, written: true });
            }
            Action::Invoke(batch) => {
                let deliver =
                    deliver(self.lambda.clone(), self.mapping.function.clone(), batch, self.send.clone());
                self.lambda.aws.clone().spawn("a shard's mapping", deliver);
            }
        }
    }

    /// Waits for what the engine is told next.
    async fn next_event(&mut self) -> Input {
        loop {
            let changed = self.lambda.aws.streamed().notified();
            let there = self.lambda.with_shard(self.mapping, <[_]>::len);
            if self.is_fetching && there > self.read && self.fetch_at.is_none() {
                self.fetch_at = Some(self.now() + Duration::from_millis(self.fetch_ms()));
            }
            if self.fetch_at.is_some_and(|at| at <= self.now()) {
                return Input::Fetched { records: self.fetch(there), closed: false };
            }
            if self.wake_at.is_some_and(|at| at <= self.now()) {
                return Input::TimePassed;
            }
            let next = self.wake_at.into_iter().chain(self.fetch_at).min();
            let wait = next.unwrap_or_default().saturating_sub(self.now());
            tokio::select! {
                biased;
                event = self.receive.recv() => return event.expect("we hold a sender"),
                () = changed => (),
                () = sleep(wait), if next.is_some() => (),
            }
        }
    }

    /// How long the next fetch takes, in milliseconds.
    fn fetch_ms(&self) -> u64 {
        let about = [Purpose::Fetch as u64, of_name(&self.key.0), self.key.2 as u64, self.read as u64];
        let late_ms = self.lambda.inject_into_fetch(&self.mapping.function, Fault::Late, self.read, 3_000);
        below(FETCH_MS_MAX, self.lambda.aws.seed(), &about) + late_ms.unwrap_or_default()
    }

    /// The records that were not read yet, of the first `there`, if the stream still has them.
    fn fetch(&mut self, there: usize) -> Vec<Record> {
        (self.is_fetching, self.fetch_at) = (false, None);
        let oldest_ms = self.lambda.aws.time().now_ms() - RETENTION_MS;
        let unread = self.lambda.inject_into_fetch(&self.mapping.function, Fault::Unread, self.read, 0);
        let records = self.lambda.with_shard(self.mapping, |records| {
            let is_kept = |arrived_ms: u64| arrived_ms >= oldest_ms && unread.is_none();
            let kept = records[self.read..].iter().filter(|(arrived_ms, _)| is_kept(*arrived_ms));
            let arrived = |(arrived_ms, record): &(u64, Record)| {
                record.clone().arrived_at(Some(Duration::from_millis(*arrived_ms)))
            };
            kept.map(arrived).collect::<Vec<_>>()
        });
        if records.is_empty() {
            self.lambda.state.borrow_mut().done.insert(self.key.clone(), there);
        }
        self.read = there;
        records
    }
}

/// Invokes the function with a batch, and tells the engine the answer.
async fn deliver(lambda: Lambda, function: Function, batch: Batch, send: UnboundedSender<Input>) {
    let event: Value = serde_json::from_str(&batch.payload).expect("JSON");
    let (answer, mut again) = lambda.invoke(&function, event.clone()).await;
    let _ = send.send(Input::Invoked { batch: batch.id, outcome: answer });
    // A poller that was replaced delivers what another one has done.
    while let Some(after) = again {
        sleep(after).await;
        let (answer, next) = lambda.invoke(&function, event.clone()).await;
        // A repeat that fails is not repeated.
        lambda.aws.state().history.repeat_failed |= !is_complete(&answer);
        again = next;
    }
}
