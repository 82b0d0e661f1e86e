//! Lambda: functions that die and stand still, and the mappings that invoke them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use event_sources::{Action, Input, InvocationOutcome, MappingSettings, Record, Shard};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use handover::parking::ERROR;
use handover::runtime::MARGIN_MS;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use crate::aws::{self, Aws, INVOCATION, Invocation};
use crate::coverage::Site;
use crate::draw::{below, of_name};
use crate::fault::{Fault, Purpose};
use crate::plan::Strike;
use crate::sqs::Message;
use crate::stream::{RETENTION_MS, Stream};

/// Lambda looks for more after so long at most, in milliseconds.
const FETCH_MS_MAX: u64 = 250;
/// Invocations of a function at which its mapping may be disabled for a day; each is a long run.
const FORGETS: u64 = 2;
/// Invocations that a queue's mapping has under way at most.
const CONCURRENCY_MAX: usize = 2;

/// What a function makes of an event by a certain time.
type Handler = Rc<dyn Fn(Value, Instant) -> LocalBoxFuture<'static, Value>>;

/// A deployed function, as one of its mappings invokes it.
#[derive(Clone)]
pub struct Function {
    name: String,
    stage: &'static str,
    timeout: Duration,
    handler: Handler,
}

impl Function {
    /// What `handle` makes of an event by a time that lies a margin before the function's end.
    pub fn new<E: DeserializeOwned, A: Serialize>(
        name: &str,
        stage: &'static str,
        timeout: Duration,
        handle: impl AsyncFn(E, Instant) -> A + 'static,
    ) -> Function {
        let handle = Rc::new(handle);
        let handler = Rc::new(move |event: Value, until| {
            let handle = handle.clone();
            async move {
                let event = serde_json::from_value(event).expect("an event of Lambda");
                serde_json::to_value(handle(event, until).await).expect("JSON")
            }
            .boxed_local()
        });
        Function { name: name.to_owned(), stage, timeout, handler }
    }
}

/// A stream, and how its mapping reads it.
#[derive(Clone)]
pub struct Mapping {
    pub settings: MappingSettings,
    pub function: Function,
    pub source: Source,
    pub shard: usize,
}

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Of the table of records.
    Changes,
    /// The Kinesis stream.
    Offers,
}

/// Lambda itself.
#[derive(Clone)]
pub struct Lambda {
    aws: Aws,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    /// How often each function was invoked.
    invoked: BTreeMap<String, u64>,
    /// What is under way: whom it runs as, the function, and its event.
    running: BTreeMap<String, (String, Value)>,
    /// Up to where each mapping has done its shard.
    done: BTreeMap<(String, Source, usize), usize>,
    /// When the last mapping that was disabled is enabled, in milliseconds of the run.
    stopped_until_ms: u64,
}

impl Lambda {
    pub fn new(aws: Aws) -> Lambda {
        Lambda { aws, state: Rc::default() }
    }

    /// Whether nothing is under way, and no mapping has anything to deliver.
    pub fn is_idle(&self) -> bool {
        let (state, aws) = (self.state.borrow(), self.aws.state());
        let mut done = state.done.iter();
        state.running.is_empty()
            && done.all(|((_, source, shard), done)| *done == source.of(&aws).shards[*shard].len())
    }

    /// When the last mapping that was disabled is enabled, in milliseconds of the run.
    pub fn stopped_until_ms(&self) -> u64 {
        self.state.borrow().stopped_until_ms
    }

    /// Runs something as an invocation, for so long at most: whom it ran as, and what it came to,
    /// unless it died.
    pub async fn run<T: 'static>(
        &self,
        name: &str,
        stage: &'static str,
        event: Value,
        limit: Duration,
        work: impl Future<Output = T> + 'static,
    ) -> (String, Option<T>) {
        let who = self.begin(name, stage, event);
        let plan = self.aws.plan();
        let invocation = Invocation::new(who.clone(), stage);
        let work = Mortal {
            work: Some(INVOCATION.scope(invocation.clone(), work).boxed_local()),
            polls: 0,
            death: plan.strike(&who, Fault::Death, None),
            freeze: plan.strike(&who, Fault::Freeze, None),
            frozen: None,
            aws: self.aws.clone(),
            invocation,
        };
        let result = self.aws.watched(&who, timeout(limit, work)).await;
        let result = result.and_then(Result::ok).flatten();
        self.state.borrow_mut().running.remove(&who);
        (who, result)
    }

    /// Notes what begins, and gives it a name of its own.
    fn begin(&self, name: &str, stage: &'static str, event: Value) -> String {
        let mut state = self.state.borrow_mut();
        let nth = state.invoked.entry(name.to_owned()).or_default();
        *nth += 1;
        let (nth, who) = (*nth, format!("{name}#{nth}"));
        let site = Site { stage, call: String::new() };
        let others = state.running.values().filter(|(other, _)| other == name);
        let at_once = others.clone().next().is_some() && {
            let ids = ids(&event);
            others.flat_map(|(_, event)| self::ids(event)).any(|id| ids.contains(&id))
        };
        let mut aws = self.aws.state();
        aws.history.coverage.called(site.clone());
        if at_once {
            aws.history.coverage.struck(site.clone(), Fault::AtOnce);
        }
        // A clock is what it is, however calm all else.
        if let Some(strike) = self.aws.plan().strike(name, Fault::Skew, None) {
            aws.history.strikes.insert(strike);
            aws.history.coverage.struck(site, Fault::Skew);
        }
        let elapsed_ms = self.aws.time().elapsed_ms();
        if !aws.calm {
            let place = |fault, at, for_ms| Strike { who: name.to_owned(), fault, at, for_ms };
            aws.history.places.extend((nth == 1).then(|| place(Fault::Skew, 0, 600)));
            if matches!(stage, "relay" | "stream") {
                let forget = (nth <= FORGETS).then(|| place(Fault::Forget, elapsed_ms, 25 * 3_600_000));
                aws.history.places.extend([place(Fault::Stop, elapsed_ms, 10_000)].into_iter().chain(forget));
            }
        }
        let records = records(&event).count();
        aws.history.note(elapsed_ms, &who, &format!("begins with {records}"));
        state.running.insert(who.clone(), (name.to_owned(), event));
        who
    }

    /// Invokes a function: what it returns, or that it failed; and after how long what it did comes
    /// again, if it does.
    async fn invoke(&self, function: &Function, event: Value) -> (InvocationOutcome, Option<Duration>) {
        let until = Instant::now() + function.timeout - Duration::from_millis(MARGIN_MS);
        let work = (function.handler)(event.clone(), until);
        let all = records(&event).count();
        let (who, answer) = self.run(&function.name, function.stage, event, function.timeout, work).await;
        let Some(answer) = answer else {
            self.aws.note(&who, "dies");
            return (InvocationOutcome::FunctionError, None);
        };
        self.aws.note(&who, &format!("returns {answer}"));
        // A schedule passes no records.
        let done = failures(&answer).count() < all.max(1);
        let again = if done { self.comes_again(function, who) } else { None };
        (InvocationOutcome::Returned(answer.to_string()), again)
    }

    fn comes_again(&self, function: &Function, who: String) -> Option<Duration> {
        let mut state = self.aws.state();
        if state.calm {
            return None;
        }
        let strike = self.aws.plan().strike(&who, Fault::Again, None);
        state.history.places.push(Strike { who, fault: Fault::Again, at: 0, for_ms: 1_000 });
        let strike = strike?;
        let after = Duration::from_millis(strike.for_ms);
        state.history.struck(strike, [Site { stage: function.stage, call: String::new() }]);
        Some(after)
    }

    /// Serves the mapping of a queue: up to ten messages an invocation; what the function does not
    /// report as failed is deleted.
    pub async fn serve_queue(self, url: String, function: Function) {
        let here = Rc::new(());
        let seed = self.aws.seed();
        loop {
            // Made before we look, it misses nothing that happens after.
            let changed = self.aws.queued().notified();
            let next = self.aws.state().queues.next_visible(&url).map(|(at_ms, it)| {
                (at_ms, [Purpose::Receive as u64, of_name(&it.id), u64::from(it.receives)])
            });
            let now_ms = self.aws.time().now_ms();
            let is_full = Rc::strong_count(&here) > CONCURRENCY_MAX;
            let about = match next.filter(|_| !is_full) {
                Some((next_ms, _)) if next_ms > now_ms => {
                    tokio::select! {
                        biased;
                        () = changed => (),
                        () = sleep(Duration::from_millis(next_ms - now_ms)) => (),
                    }
                    continue;
                }
                Some((_, about)) => about,
                None => {
                    changed.await;
                    continue;
                }
            };
            let draw = |most, what| below(most, seed, &[&about[..], &[what]].concat());
            sleep(Duration::from_millis(draw(FETCH_MS_MAX, 0))).await;
            let most = if draw(2, 1) == 0 { 10 } else { 1 + draw(9, 2) as usize };
            let messages = self.receive(&url, most, function.stage);
            if messages.is_empty() {
                continue;
            }
            let (it, function, url, here) = (self.clone(), function.clone(), url.clone(), here.clone());
            self.aws.clone().spawn("a queue's mapping", async move {
                let event = json!({ "Records": messages.iter().map(|it| it.event()).collect::<Vec<_>>() });
                let (answer, again) = it.invoke(&function, event).await;
                // Standard queues deliver a message again, now and then, though it was deleted.
                if let InvocationOutcome::Returned(answer) = answer
                    && again.is_none()
                {
                    let answer: Value = serde_json::from_str(&answer).expect("JSON");
                    let failed: Vec<&str> = failures(&answer).collect();
                    let done = messages.iter().filter(|it| !failed.contains(&it.id.as_str()));
                    done.for_each(|message| it.aws.state().queues.delete(&url, message.receipt()));
                }
                drop(here);
                it.aws.queued().notify_waiters();
            });
        }
    }

    /// Serves a mapping of a shard, by the engine that serves local AWSs too. Where the plan says so,
    /// it is disabled for a while, and begins again behind what was done, if the stream has it still.
    pub async fn serve_shard(self, mapping: Mapping) {
        let key = (mapping.function.name.clone(), mapping.source, mapping.shard);
        self.state.borrow_mut().done.insert(key, 0);
        let name = &mapping.function.name;
        let stops = [Fault::Stop, Fault::Forget].map(|fault| self.aws.plan().strike(name, fault, None));
        if let Some(strike) = stops.into_iter().flatten().next() {
            let (from_ms, to_ms) = (strike.at, strike.at + strike.for_ms);
            let (from, to) = (self.aws.time().at(from_ms), self.aws.time().at(to_ms));
            tokio::select! {
                biased;
                () = sleep_until(from) => (),
                () = self.poll(&mapping) => (),
            }
            self.stopped(&mapping.function, strike);
            sleep_until(to).await;
            self.aws.note(name, "its mapping is enabled");
        }
        self.poll(&mapping).await;
    }

    fn stopped(&self, function: &Function, strike: Strike) {
        self.aws.note(&function.name, "its mapping is disabled");
        let mut lambda = self.state.borrow_mut();
        lambda.stopped_until_ms = lambda.stopped_until_ms.max(strike.at + strike.for_ms);
        let site = Site { stage: function.stage, call: String::new() };
        self.aws.state().history.struck(strike, [site]);
    }

    /// Reads a shard from behind what was done, and never ends.
    async fn poll(&self, mapping: &Mapping) {
        let key = (mapping.function.name.clone(), mapping.source, mapping.shard);
        let (mut read, seed) = (self.state.borrow().done[&key], self.aws.seed());
        let now = || Duration::from_millis(self.aws.time().now_ms());
        let mut shard = Shard::new(mapping.settings.clone());
        let (send, mut receive) = mpsc::unbounded_channel();
        let (mut fetching, mut due, mut fetch_at) = (false, None::<Duration>, None::<Duration>);
        let mut event = Input::TimePassed;
        loop {
            let actions = shard.handle(event, now());
            due = due.filter(|due| *due > now());
            for action in actions {
                match action {
                    Action::Fetch => fetching = true,
                    Action::WaitUntil(at) => due = Some(at),
                    Action::Drained => (),
                    Action::Checkpoint(number) => {
                        let at = self.with_shard(mapping, |records| {
                            records.iter().position(|(_, it)| it.sequence_number() == number)
                        });
                        let done = at.expect("it was read") + 1;
                        // What was read since may never be delivered, and be done with.
                        self.state.borrow_mut().done.entry(key.clone()).and_modify(|it| *it = done.max(*it));
                    }
                    Action::Discard(discard) => {
                        self.aws.note(&key.0, &format!("gives up {:?}", discard.sequence_numbers));
                        let _ = send.send(Input::Discarded { batch: discard.id, written: true });
                    }
                    Action::Invoke(batch) => {
                        let (it, function, send) = (self.clone(), mapping.function.clone(), send.clone());
                        self.aws.clone().spawn("a shard's mapping", async move {
                            let event: Value = serde_json::from_str(&batch.payload).expect("JSON");
                            let (answer, mut again) = it.invoke(&function, event.clone()).await;
                            let _ = send.send(Input::Invoked { batch: batch.id, outcome: answer });
                            // A poller that was replaced delivers what another one has done.
                            while let Some(after) = again {
                                sleep(after).await;
                                let (answer, next) = it.invoke(&function, event.clone()).await;
                                // Nobody repeats the repeat.
                                it.aws.state().history.repeat_failed |= !is_whole(&answer);
                                again = next;
                            }
                        });
                    }
                }
            }
            event = loop {
                let changed = self.aws.streamed().notified();
                let there = self.with_shard(mapping, <[_]>::len);
                if fetching && there > read && fetch_at.is_none() {
                    let about = [Purpose::Fetch as u64, of_name(&key.0), key.2 as u64, read as u64];
                    let wait_ms = below(FETCH_MS_MAX, seed, &about)
                        + self.strikes(&mapping.function, Fault::Late, read, 3_000).unwrap_or_default();
                    fetch_at = Some(now() + Duration::from_millis(wait_ms));
                }
                if fetch_at.is_some_and(|at| at <= now()) {
                    (fetching, fetch_at) = (false, None);
                    let oldest_ms = self.aws.time().now_ms() - RETENTION_MS;
                    let is_unread = self.strikes(&mapping.function, Fault::Unread, read, 0).is_some();
                    let records = self.with_shard(mapping, |records| {
                        let is_kept = |arrived_ms: u64| arrived_ms >= oldest_ms && !is_unread;
                        let kept = records[read..].iter().filter(|(arrived_ms, _)| is_kept(*arrived_ms));
                        let arrived = |(arrived_ms, it): &(u64, Record)| {
                            it.clone().arrived_at(Some(Duration::from_millis(*arrived_ms)))
                        };
                        kept.map(arrived).collect::<Vec<_>>()
                    });
                    if records.is_empty() {
                        self.state.borrow_mut().done.insert(key.clone(), there);
                    }
                    read = there;
                    break Input::Fetched { records, closed: false };
                }
                if due.is_some_and(|due| due <= now()) {
                    break Input::TimePassed;
                }
                let next = due.into_iter().chain(fetch_at).min();
                tokio::select! {
                    biased;
                    event = receive.recv() => break event.expect("we hold a sender"),
                    () = changed => (),
                    () = sleep(next.unwrap_or_default().saturating_sub(now())), if next.is_some() => (),
                }
            };
        }
    }

    /// For how many milliseconds a fault strikes a fetch from behind this place, if it does; where it is
    /// enumerated, for `for_ms`.
    fn strikes(&self, function: &Function, fault: Fault, read: usize, for_ms: u64) -> Option<u64> {
        let mut state = self.aws.state();
        if state.calm {
            return None;
        }
        let (who, at) = (function.name.clone(), read as u64);
        let strike = self.aws.plan().strike(&who, fault, Some(at));
        state.history.places.push(Strike { who, fault, at, for_ms });
        let strike = strike?;
        let for_ms = strike.for_ms;
        state.history.struck(strike, [Site { stage: function.stage, call: String::new() }]);
        Some(for_ms)
    }

    /// Receives messages of a queue, some of which are overtaken, or are deleted.
    fn receive(&self, url: &str, most: usize, stage: &'static str) -> Vec<Message> {
        let now_ms = self.aws.time().now_ms();
        let aws::State { queues, history, calm, .. } = &mut *self.aws.state();
        let mut is_struck = |it: &Message, fault, at: u32| {
            if *calm {
                return false;
            }
            let at = u64::from(at);
            let strike = self.aws.plan().strike(&it.id, fault, Some(at));
            history.places.push(Strike { who: it.id.clone(), fault, at, for_ms: 0 });
            let is_struck = strike.is_some();
            strike.into_iter().for_each(|it| history.struck(it, [Site { stage, call: String::new() }]));
            is_struck
        };
        let messages = queues.receive(url, now_ms, most, |it| is_struck(it, Fault::Overtaken, it.receives));
        if stage != "retry" {
            return messages;
        }
        // Whoever deletes a dead letter that was moved here deletes what there is to see.
        let is_letter = |it: &Message| !it.attribute(ERROR).is_empty();
        let (purged, received): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|it| !is_letter(it) && is_struck(it, Fault::Purged, it.receives));
        purged.iter().for_each(|it| queues.delete(url, it.receipt()));
        received
    }

    /// Invokes a function every so often.
    pub async fn serve_schedule(self, every: Duration, function: Function) {
        loop {
            sleep(every).await;
            let (it, function) = (self.clone(), function.clone());
            self.aws.clone().spawn("a schedule", async move {
                let mut again = it.invoke(&function, json!({})).await.1;
                // A schedule may fire twice.
                while let Some(after) = again {
                    sleep(after).await;
                    again = it.invoke(&function, json!({})).await.1;
                }
            });
        }
    }

    fn with_shard<T>(&self, mapping: &Mapping, look: impl FnOnce(&[(u64, Record)]) -> T) -> T {
        look(&mapping.source.of(&self.aws.state()).shards[mapping.shard])
    }
}

impl Source {
    fn of(self, state: &aws::State) -> &Stream {
        match self {
            Source::Changes => &state.changes,
            Source::Offers => &state.offers,
        }
    }
}

fn records(event: &Value) -> impl Iterator<Item = &Value> {
    event["Records"].as_array().into_iter().flatten()
}

/// Whether an invocation did all that it was to do.
fn is_whole(answer: &InvocationOutcome) -> bool {
    match answer {
        InvocationOutcome::Returned(text) => {
            failures(&serde_json::from_str(text).expect("JSON")).next().is_none()
        }
        _ => false,
    }
}

/// What an answer reports as failed.
fn failures(answer: &Value) -> impl Iterator<Item = &str> {
    let failures = answer["batchItemFailures"].as_array().into_iter().flatten();
    failures.filter_map(|it| it["itemIdentifier"].as_str())
}

/// The ids of the notifications in an event.
fn ids(event: &Value) -> BTreeSet<String> {
    let id = |record: &Value| {
        let body = record["body"].as_str().and_then(|body| serde_json::from_str::<Value>(body).ok());
        let keys = [
            record["kinesis"]["partitionKey"].as_str(),
            record["dynamodb"]["Keys"]["id"]["S"].as_str(),
            body.as_ref().and_then(|body| body["id"].as_str()),
        ];
        keys.into_iter().flatten().next().map(str::to_owned)
    };
    records(event).filter_map(id).collect()
}

/// Work that dies, or stands still for a while, at a certain poll.
struct Mortal<T> {
    /// None when it has died.
    work: Option<LocalBoxFuture<'static, T>>,
    polls: u64,
    death: Option<Strike>,
    freeze: Option<Strike>,
    frozen: Option<Pin<Box<Sleep>>>,
    aws: Aws,
    invocation: Arc<Invocation>,
}

impl<T> Mortal<T> {
    /// What strikes at this poll, if it is this.
    fn struck(&self, strike: &Option<Strike>) -> Option<Strike> {
        let strike = strike.clone().filter(|it| it.at == self.polls)?;
        self.aws.state().history.struck(strike.clone(), self.invocation.under_way());
        Some(strike)
    }
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
        if !it.aws.state().calm {
            let who = &it.invocation.name;
            let place = |fault, for_ms| Strike { who: who.clone(), fault, at: it.polls, for_ms };
            it.aws.state().history.places.extend([place(Fault::Death, 0), place(Fault::Freeze, 3_000)]);
            if it.struck(&it.death).is_some() {
                it.work = None;
            } else if let Some(strike) = it.struck(&it.freeze) {
                let mut frozen = Box::pin(sleep(Duration::from_millis(strike.for_ms)));
                let _ = frozen.as_mut().poll(context);
                it.frozen = Some(frozen);
                return Poll::Pending;
            }
        }
        match &mut it.work {
            None => Poll::Ready(None),
            Some(work) => work.as_mut().poll(context).map(Some),
        }
    }
}
