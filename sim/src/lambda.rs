//! Lambda: functions that die and stand still, and the mappings that invoke them.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use event_sources::{Action, Answer, Event, Record, Settings, Shard};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::aws::{Aws, INVOCATION, Invocation};
use crate::draw::{below, happens};
use crate::fault::Purpose;
use crate::kinesis;

/// Time before a function's time-out at which its work stops, in milliseconds: as in the library.
const MARGIN_MS: u64 = 500;
/// Lambda looks for more after so long, in milliseconds.
const POLL_MS: u64 = 250;
/// Invocations that a queue's mapping has under way at most.
const CONCURRENCY_MAX: usize = 2;

/// What a function makes of an event by a certain time.
pub type Handler = Rc<dyn Fn(Value, Instant) -> LocalBoxFuture<'static, Value>>;

/// A deployed function.
#[derive(Clone)]
pub struct Function {
    pub name: &'static str,
    pub timeout: Duration,
    pub handler: Handler,
}

/// Lambda itself.
#[derive(Clone)]
pub struct Lambda {
    aws: Aws,
    begun: Rc<Cell<u64>>,
    running: Rc<Cell<usize>>,
}

impl Lambda {
    pub fn new(aws: Aws) -> Lambda {
        Lambda { aws, begun: Rc::default(), running: Rc::default() }
    }

    /// How many invocations are under way.
    pub fn running(&self) -> usize {
        self.running.get()
    }

    /// Invokes a function: what it returns, or that it failed.
    async fn invoke(&self, function: &Function, payload: Value) -> Answer {
        self.begun.set(self.begun.get() + 1);
        self.running.set(self.running.get() + 1);
        let number = self.begun.get();
        let (seed, faults) = (self.aws.seed(), self.aws.state().faults);
        let who = format!("{}#{number}", function.name);
        self.aws.note(&who, &format!("begins with {}", payload["Records"].as_array().map_or(0, Vec::len)));
        let until = Instant::now() + function.timeout - Duration::from_millis(MARGIN_MS);
        let work = (function.handler)(payload, until);
        let work = Mortal {
            work: Some(INVOCATION.scope(Invocation::new(number, function.name), work).boxed_local()),
            polls: 0,
            death: faults.death(seed, number),
            freeze: faults.freeze(seed, number),
            frozen: None,
        };
        let answer = match timeout(function.timeout, work).await {
            Ok(Some(answer)) => Answer::Returned(answer.to_string()),
            Ok(None) | Err(_) => Answer::FunctionError,
        };
        self.aws.note(
            &who,
            &match &answer {
                Answer::Returned(answer) => format!("returns {answer}"),
                _ => "dies".to_owned(),
            },
        );
        self.running.set(self.running.get() - 1);
        answer
    }

    /// Serves the mapping of a queue: up to ten messages an invocation; what the function does not
    /// report as failed is deleted.
    pub async fn serve_queue(self, url: &'static str, function: Function) {
        let here: Rc<Cell<usize>> = Rc::default();
        loop {
            sleep(Duration::from_millis(POLL_MS)).await;
            if here.get() >= CONCURRENCY_MAX {
                continue;
            }
            let now_ms = self.aws.time().now_ms();
            let messages = self.aws.state().queues.receive(url, now_ms);
            if messages.is_empty() {
                continue;
            }
            here.set(here.get() + 1);
            let (it, function, here) = (self.clone(), function.clone(), here.clone());
            tokio::task::spawn_local(async move {
                let payload = json!({ "Records": messages.iter().map(|it| it.event()).collect::<Vec<_>>() });
                if let Answer::Returned(answer) = it.invoke(&function, payload).await {
                    let answer: Value = serde_json::from_str(&answer).expect("JSON");
                    let failed = answer["batchItemFailures"].as_array().into_iter().flatten();
                    let failed: Vec<&str> = failed.filter_map(|it| it["itemIdentifier"].as_str()).collect();
                    for message in messages.iter().filter(|it| !failed.contains(&it.id.as_str())) {
                        // Standard queues deliver a message again, now and then, though it was deleted.
                        let number = it.begun.get();
                        let again = it.aws.state().faults.again;
                        if !happens(again, it.aws.seed(), &[Purpose::Again as u64, number, hash(&message.id)])
                        {
                            it.aws.state().queues.delete(url, message.receipt());
                        }
                    }
                }
                here.set(here.get() - 1);
            });
        }
    }

    /// Serves the mapping of a shard, by the engine that serves local AWSs too. `fetch` returns
    /// what came since.
    pub async fn serve_shard(
        self,
        settings: Settings,
        function: Function,
        mut fetch: impl FnMut() -> Vec<Record>,
    ) {
        let mut shard = Shard::new(settings);
        let (send, mut receive) = mpsc::unbounded_channel();
        let (mut fetching, mut due) = (false, None::<Duration>);
        let mut event = Event::TimePassed;
        loop {
            let now = Duration::from_millis(self.aws.time().now_ms());
            let mut actions = shard.handle(event, now);
            due = due.filter(|due| *due > now);
            for action in actions.drain(..) {
                match action {
                    Action::Fetch => fetching = true,
                    Action::WaitUntil(at) => due = Some(at),
                    Action::Checkpoint(_) | Action::Drained => (),
                    Action::Discard(discard) => {
                        self.aws.note(function.name, &format!("gives up {:?}", discard.sequence_numbers));
                        let _ = send.send(Event::Discarded { batch: discard.id, written: true });
                    }
                    Action::Invoke(batch) => {
                        let (it, function, send) = (self.clone(), function.clone(), send.clone());
                        tokio::task::spawn_local(async move {
                            let payload: Value = serde_json::from_str(&batch.payload).expect("JSON");
                            let answer = it.invoke(&function, payload.clone()).await;
                            let number = it.begun.get();
                            let again = it.aws.state().faults.again;
                            let _ = send.send(Event::Answered { batch: batch.id, answer });
                            if happens(again, it.aws.seed(), &[Purpose::Again as u64, number]) {
                                // A poller that was replaced delivers what another one has done.
                                it.invoke(&function, payload).await;
                            }
                        });
                    }
                }
            }
            event = loop {
                let now = Duration::from_millis(self.aws.time().now_ms());
                let wait = due.map_or(Duration::from_millis(POLL_MS), |due| {
                    due.saturating_sub(now).clamp(Duration::from_millis(1), Duration::from_millis(POLL_MS))
                });
                tokio::select! {
                    biased;
                    event = receive.recv() => break event.expect("we hold a sender"),
                    () = sleep(wait) => (),
                }
                let now = Duration::from_millis(self.aws.time().now_ms());
                if due.is_some_and(|due| due <= now) {
                    break Event::TimePassed;
                }
                if fetching {
                    let records = fetch();
                    if !records.is_empty() {
                        fetching = false;
                        break Event::Fetched { records, closed: false };
                    }
                }
            };
        }
    }
}

/// The records of a table's stream, as its mapping fetches them.
pub fn changes(aws: Aws, table: &'static str) -> impl FnMut() -> Vec<Record> {
    let mut iterator = aws.dynamodb().stream(table);
    move || {
        let (changes, next) = aws.dynamodb().changes(&iterator);
        iterator = next;
        let record = |change: Value| {
            let sequence_number = change["dynamodb"]["SequenceNumber"].as_str().expect("a text").to_owned();
            let key = change["dynamodb"]["Keys"].to_string();
            Record::new(sequence_number, key, change)
        };
        changes.into_iter().map(record).collect()
    }
}

/// The records of a shard of the Kinesis stream, as its mapping fetches them.
pub fn records(aws: Aws, shard: usize) -> impl FnMut() -> Vec<Record> {
    let mut read = 0;
    move || {
        let state = aws.state();
        let new = &state.stream.shards[shard][read..];
        read += new.len();
        let record = |record: &kinesis::Record| {
            let event = kinesis::event(shard, record);
            let arrived_at = Duration::from_millis(record.arrived_ms);
            Record::new(record.sequence_number.to_string(), &record.partition_key, event)
                .arrived_at(Some(arrived_at))
        };
        new.iter().map(record).collect()
    }
}

fn hash(text: &str) -> u64 {
    let words: Vec<u64> = text.bytes().map(u64::from).collect();
    below(u64::MAX, 0, &words)
}

/// Work that dies, or stands still for a while, at a certain poll.
struct Mortal<T> {
    /// None when it has died.
    work: Option<LocalBoxFuture<'static, T>>,
    polls: u64,
    death: Option<u64>,
    /// At which poll, and for how many milliseconds.
    freeze: Option<(u64, u64)>,
    frozen: Option<Pin<Box<Sleep>>>,
}

impl<T> Future for Mortal<T> {
    /// None when it died.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<T>> {
        let it = self.get_mut();
        if it.frozen.as_mut().is_some_and(|frozen| frozen.as_mut().poll(context).is_pending()) {
            return Poll::Pending;
        }
        it.frozen = None;
        it.polls += 1;
        if it.death == Some(it.polls) {
            it.work = None;
        }
        if let Some((at, ms)) = it.freeze
            && at == it.polls
        {
            let mut frozen = Box::pin(sleep(Duration::from_millis(ms)));
            let _ = frozen.as_mut().poll(context);
            it.frozen = Some(frozen);
            return Poll::Pending;
        }
        match &mut it.work {
            None => Poll::Ready(None),
            Some(work) => work.as_mut().poll(context).map(Some),
        }
    }
}
