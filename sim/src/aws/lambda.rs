//! Lambda: functions, and how they are invoked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use event_sources::InvocationOutcome;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use handover::lambda::MARGIN_MS;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::aws::Aws;
use crate::aws::mortal::Mortal;
use crate::aws::stream::StreamName;
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::faults::site::Site;
use crate::names::FUNCTION_ELSEWHERE;

/// Invocations of a function at which its mapping may be disabled for a day; each is a long run.
const FORGETS: u64 = 2;

/// Handles an event by a certain time.
type Handler = Rc<dyn Fn(Value, Instant) -> LocalBoxFuture<'static, Value>>;

/// A deployed function, as one of its mappings invokes it.
#[derive(Clone)]
pub struct Function {
    pub name: String,
    pub stage: &'static str,
    timeout: Duration,
    handler: Handler,
}

impl Function {
    /// A function whose handler takes an event and the time by which it must return, a margin before the
    /// function's timeout.
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

    pub fn site(&self) -> Site {
        Site::invocation(self.stage)
    }
}

/// Lambda itself.
#[derive(Clone)]
pub struct Lambda {
    pub aws: Aws,
    pub state: Rc<RefCell<State>>,
}

/// A mapping of a shard: its function, stream and shard.
pub type MappingKey = (String, StreamName, usize);

#[derive(Default)]
pub struct State {
    /// How many times each function was invoked.
    invoked: BTreeMap<String, u64>,
    /// The function and the event of each invocation that has not returned.
    running: BTreeMap<String, (String, Value)>,
    /// How many records of its shard each mapping has completed.
    pub done: BTreeMap<MappingKey, usize>,
    /// When the last mapping that was disabled is enabled, in milliseconds of the run.
    pub stopped_until_ms: u64,
    /// While this stack is down, in milliseconds of the run.
    down_ms: Option<Range<u64>>,
}

impl Lambda {
    pub fn new(aws: Aws) -> Lambda {
        Lambda { aws, state: Rc::default() }
    }

    /// Whether nothing runs, and no mapping has anything to deliver.
    pub fn is_idle(&self) -> bool {
        let (state, aws) = (self.state.borrow(), self.aws.state());
        let mut done = state.done.iter();
        state.running.is_empty()
            && aws.under_way == 0
            && done.all(|((_, stream, shard), done)| *done == aws.stream(*stream).shards[*shard].len())
    }

    /// When the last mapping that was disabled is enabled, in milliseconds of the run.
    pub fn stopped_until_ms(&self) -> u64 {
        self.state.borrow().stopped_until_ms
    }

    /// Notes that something is down until then, in milliseconds of the run.
    pub fn is_stopped_until(&self, until_ms: u64) {
        let mut state = self.state.borrow_mut();
        state.stopped_until_ms = state.stopped_until_ms.max(until_ms);
    }

    /// Disables every mapping and schedule of this stack, but none of another one, in these milliseconds of the run.
    pub fn take_down(&self, ms: Range<u64>) {
        self.is_stopped_until(ms.end);
        self.state.borrow_mut().down_ms = Some(ms);
    }

    /// When the stack of a function is down, in milliseconds of the run.
    pub fn down_ms(&self, function: &str) -> Option<Range<u64>> {
        self.state.borrow().down_ms.clone().filter(|_| function != FUNCTION_ELSEWHERE)
    }

    /// Waits while the stack of a function is down.
    pub async fn while_down(&self, function: &str) {
        let down = self.down_ms(function).filter(|ms| ms.contains(&self.aws.time().elapsed_ms()));
        if let Some(ms) = down {
            sleep_until(self.aws.time().at(ms.end)).await;
        }
    }

    /// Runs something as an invocation, for at most `limit`: the invocation's name, and the result unless
    /// it died.
    pub async fn run<T: 'static>(
        &self,
        name: &str,
        stage: &'static str,
        event: Value,
        limit: Duration,
        work: impl Future<Output = T> + 'static,
    ) -> (String, Option<T>) {
        let who = self.begin(name, stage, event);
        let work = Mortal::new(self.aws.clone(), &who, stage, work);
        let result = self.aws.watched(&who, timeout(limit, work)).await;
        let result = result.and_then(Result::ok).flatten();
        self.state.borrow_mut().running.remove(&who);
        (who, result)
    }

    /// Records that an invocation begins, and returns its name.
    fn begin(&self, name: &str, stage: &'static str, event: Value) -> String {
        let mut state = self.state.borrow_mut();
        let nth = state.invoked.entry(name.to_owned()).or_default();
        *nth += 1;
        let (nth, who) = (*nth, format!("{name}#{nth}"));
        let is_at_once = state.has_notification_of(name, &event);
        let skews = self.aws.skews(name);
        let mut aws = self.aws.state();
        let is_exposed = aws.faults_enabled;
        aws.history.coverage.called(Site::invocation(stage), is_exposed);
        if is_at_once {
            aws.history.coverage.hit(Site::invocation(stage), Fault::AtOnce);
        }
        // A clock stays wrong when faults are disabled.
        for skew in skews {
            aws.history.coverage.hit(Site::invocation(stage), skew.fault);
            aws.history.injected.insert(skew);
        }
        let elapsed_ms = self.aws.time().elapsed_ms();
        if aws.faults_enabled {
            let points = &mut aws.history.injection_points;
            if nth == 1 {
                let skew = |fault, at, for_ms| InjectedFault::at(name, fault, at).lasting(for_ms);
                points.extend([skew(Fault::Skew, 0, 600), skew(Fault::Skew, 3, 600)]);
                points.push(skew(Fault::FarSkew, 1, 20 * 60_000));
            }
            if matches!(stage, "relay" | "stream") {
                let disabled = |fault, for_ms| InjectedFault::at(name, fault, elapsed_ms).lasting(for_ms);
                points.push(disabled(Fault::Stop, 10_000));
                points.extend((nth <= FORGETS).then(|| disabled(Fault::Forget, 25 * 3_600_000)));
            }
        }
        let records = records(&event).count();
        aws.history.note(elapsed_ms, &who, &format!("begins with {records}"));
        state.running.insert(who.clone(), (name.to_owned(), event));
        who
    }

    /// Invokes a function: its answer, and, if the event is to be delivered again although it was done,
    /// after how long.
    pub async fn invoke(&self, function: &Function, event: Value) -> (InvocationOutcome, Option<Duration>) {
        if self.is_throttled(function) {
            return (InvocationOutcome::NotInvoked, None);
        }
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
        let is_done = failures(&answer).count() < all.max(1);
        let again = if is_done { self.redelivered_after(function, who) } else { None };
        (InvocationOutcome::Returned(answer.to_string()), again)
    }

    /// Whether a function is throttled when its next invocation is to begin. That has its number all the same.
    fn is_throttled(&self, function: &Function) -> bool {
        let mut lambda = self.state.borrow_mut();
        let nth = lambda.invoked.entry(function.name.clone()).or_default();
        let who = format!("{}#{}", function.name, *nth + 1);
        let mut state = self.aws.state();
        if !state.faults_enabled {
            return false;
        }
        state.history.injection_points.push(InjectedFault::at(&who, Fault::NotInvoked, 0));
        let Some(throttled) = self.aws.plan().fault_of(&who, Fault::NotInvoked, None) else { return false };
        *nth += 1;
        state.history.inject(throttled, [function.site()]);
        state.history.note(self.aws.time().elapsed_ms(), &who, "is throttled");
        true
    }

    /// After how long an event is delivered again although it was done, if it is.
    fn redelivered_after(&self, function: &Function, who: String) -> Option<Duration> {
        let mut state = self.aws.state();
        if !state.faults_enabled {
            return None;
        }
        state.history.injection_points.push(InjectedFault::at(&who, Fault::Again, 0).lasting(1_000));
        let again = self.aws.plan().fault_of(&who, Fault::Again, None)?;
        let after = Duration::from_millis(again.for_ms);
        state.history.inject(again, [function.site()]);
        Some(after)
    }

    /// Invokes a function at regular intervals.
    pub async fn serve_schedule(self, every: Duration, function: Function) {
        for nth in 0.. {
            let at_rest = self.aws.state().schedule_at_rest;
            sleep(at_rest.unwrap_or(every)).await;
            self.while_down(&function.name).await;
            self.aws.clone().spawn("a schedule", self.clone().fire(function.clone(), Duration::ZERO));
            if let Some(after) = self.overlaps_after(&function, nth) {
                self.aws.clone().spawn("a schedule", self.clone().fire(function.clone(), after));
            }
        }
    }

    /// Invokes a function for its schedule, which may fire twice.
    async fn fire(self, function: Function, after: Duration) {
        let mut next = Some(after);
        while let Some(after) = next {
            sleep(after).await;
            if self.state.borrow().running.values().any(|(name, _)| *name == function.name) {
                self.aws.state().history.coverage.hit(function.site(), Fault::Overlap);
            }
            next = self.invoke(&function, json!({})).await.1;
        }
    }

    /// After how long a schedule fires once more, when it fires for the nth time.
    fn overlaps_after(&self, function: &Function, nth: u64) -> Option<Duration> {
        let mut state = self.aws.state();
        if !state.faults_enabled {
            return None;
        }
        let point = InjectedFault::at(&function.name, Fault::Overlap, nth).lasting(100);
        state.history.injection_points.push(point);
        let overlap = self.aws.plan().fault_of(&function.name, Fault::Overlap, Some(nth))?;
        let after = Duration::from_millis(overlap.for_ms);
        // It counts only while the invocation before runs.
        state.history.inject(overlap, []);
        Some(after)
    }
}

impl State {
    /// Whether an instance of the function runs that has a notification of this event.
    fn has_notification_of(&self, function: &str, event: &Value) -> bool {
        let mut others = self.running.values().filter(|(name, _)| name == function).peekable();
        others.peek().is_some() && {
            let ids = ids(event);
            others.flat_map(|(_, event)| self::ids(event)).any(|id| ids.contains(&id))
        }
    }
}

fn records(event: &Value) -> impl Iterator<Item = &Value> {
    event["Records"].as_array().into_iter().flatten()
}

/// Whether an invocation did all of its event.
pub fn is_complete(answer: &InvocationOutcome) -> bool {
    match answer {
        InvocationOutcome::Returned(text) => {
            failures(&serde_json::from_str(text).expect("JSON")).next().is_none()
        }
        _ => false,
    }
}

/// What an answer reports as failed.
pub fn failures(answer: &Value) -> impl Iterator<Item = &str> {
    let failures = answer["batchItemFailures"].as_array().into_iter().flatten();
    failures.filter_map(|failure| failure["itemIdentifier"].as_str())
}

/// The ids of the notifications in an event, whatever their source.
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
