//! The simulated AWS, and the connector by which the SDK's clients reach it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use futures_util::FutureExt;
use handover::runtime::CALL_TIMEOUT_MS;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use crate::coverage::{OF_CURSOR, OF_HANDLER, OF_POSITION, Site};
use crate::draw::{happens, of_name};
use crate::dynamodb::{Answer, DynamoDb};
use crate::fault::{Call, Fault, Purpose};
use crate::history::History;
use crate::plan::{Plan, Strike};
use crate::provider::{self, PROVIDER, Provider};
use crate::rules::{self, Leases, Turns};
use crate::sqs::Queues;
use crate::stream::Stream;
use crate::time::Time;

/// The table of records.
pub const NOTIFICATIONS: &str = "notifications";
/// The table of reconcile's cursor.
pub const RECONCILE: &str = "reconcile";
/// The table of the positions of sequenced destinations.
pub const POSITIONS: &str = "positions";
/// How long a call that takes long takes longer, in milliseconds: longer than its caller waits, so that
/// it takes effect after its own repeat.
const SLOW_MS: u64 = 4_000;
/// How far a read that is not consistent lags behind at most, in milliseconds.
const LAG_MS_MAX: u64 = 2_000;
/// What a read says that has to show every write before it.
const CONSISTENT: &[u8] = br#""ConsistentRead":true"#;

/// Everything that AWS keeps.
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    plan: Plan,
    time: Time,
    dynamodb: DynamoDb,
    state: Mutex<State>,
    /// Something came into a stream.
    streamed: Notify,
    /// Something came into a queue, or out.
    queued: Notify,
}

/// What changes.
#[derive(Default)]
pub struct State {
    /// The stream of the table of records.
    pub changes: Stream,
    /// The Kinesis stream.
    pub offers: Stream,
    pub queues: Queues,
    pub provider: Provider,
    pub leases: Leases,
    pub turns: Turns,
    pub history: History,
    /// What did not hold on the way.
    pub violations: Vec<String>,
    /// Faults have stopped.
    pub calm: bool,
}

/// One run of a function, or of a program elsewhere.
#[derive(Debug)]
pub struct Invocation {
    /// As in `refund#3`.
    pub name: String,
    pub stage: &'static str,
    calls: AtomicU64,
    /// Calls whose answer it does not have.
    under_way: Mutex<BTreeMap<u64, Site>>,
}

impl Invocation {
    pub fn new(name: String, stage: &'static str) -> Arc<Invocation> {
        Arc::new(Invocation { name, stage, calls: AtomicU64::new(0), under_way: Mutex::default() })
    }

    /// It has made a call, and waits for the answer as long as it keeps what this returns.
    fn waits(self: &Arc<Self>, nth: u64, site: Site) -> Waits {
        self.under_way.lock().expect("no panic holds it").insert(nth, site);
        Waits(self.clone(), nth)
    }

    /// The calls whose answer it does not have.
    pub fn under_way(&self) -> Vec<Site> {
        self.under_way.lock().expect("no panic holds it").values().cloned().collect()
    }
}

tokio::task_local! {
    /// The invocation that makes a call.
    pub static INVOCATION: Arc<Invocation>;
}

impl Aws {
    pub fn new(plan: Plan, time: Time, dynamodb: DynamoDb) -> Aws {
        let (streamed, queued) = (Notify::new(), Notify::new());
        Aws(Arc::new(Inner { plan, time, dynamodb, state: Mutex::default(), streamed, queued }))
    }

    pub fn time(&self) -> Time {
        self.0.time
    }

    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    pub fn seed(&self) -> u64 {
        self.0.plan.seed
    }

    pub fn dynamodb(&self) -> &DynamoDb {
        &self.0.dynamodb
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        // What panics with it in hand is a violation; see `watched`.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn streamed(&self) -> &Notify {
        &self.0.streamed
    }

    pub fn queued(&self) -> &Notify {
        &self.0.queued
    }

    /// Clients of this AWS, as a function builds them.
    pub fn clients(&self) -> (aws_sdk_dynamodb::Client, aws_sdk_kinesis::Client, aws_sdk_sqs::Client) {
        macro_rules! client {
            ($sdk:ident) => {
                $sdk::Client::from_conf(
                    $sdk::Config::builder()
                        .behavior_version($sdk::config::BehaviorVersion::latest())
                        .region($sdk::config::Region::from_static("us-east-1"))
                        // Signatures are a tenth of the time, and nobody reads them.
                        .allow_no_auth()
                        .http_client(self.clone())
                        .sleep_impl(TokioSleep::new())
                        .time_source(self.clone())
                        .stalled_stream_protection($sdk::config::StalledStreamProtectionConfig::disabled())
                        .timeout_config(
                            $sdk::config::timeout::TimeoutConfig::builder()
                                .operation_attempt_timeout(Duration::from_millis(CALL_TIMEOUT_MS))
                                .build(),
                        )
                        // The default one is shared by the whole process.
                        .retry_partition($sdk::config::retry::RetryPartition::custom("sim").build())
                        .build(),
                )
            };
        }
        (client!(aws_sdk_dynamodb), client!(aws_sdk_kinesis), client!(aws_sdk_sqs))
    }

    /// A call on its way: there, its effect, and back. Nobody can call it off.
    async fn carry(self, call: Call, body: Vec<u8>, caller: Arc<Invocation>) -> Result<Answer, Lost> {
        let draw = |purpose, end| call.draw(self.seed(), purpose, end);
        let label = format!("{} {}#{}", caller.name, call.operation, call.nth);
        let fault = self.strike(&caller, &call);
        let slow_ms = if fault == Some(Fault::Slow) { SLOW_MS } else { 0 };
        sleep(Duration::from_millis(1 + draw(Purpose::WayThere, 20) + slow_ms)).await;
        if fault == Some(Fault::LostRequest) {
            self.note(&label, "lost on its way");
            return Err(Lost);
        }
        let answer = self.answer(&call, &body, fault);
        self.follow(&caller.name);
        let verdict = if fault == Some(Fault::LostAnswer) { "answer lost" } else { "answered" };
        self.note(&label, format!("{verdict}: {} {}", answer.0, summary(&answer.1)).trim_end());
        sleep(Duration::from_millis(1 + draw(Purpose::WayBack, 20))).await;
        if fault == Some(Fault::LostAnswer) { Err(Lost) } else { Ok(answer) }
    }

    /// The fault that a call meets, if any.
    fn strike(&self, caller: &Invocation, call: &Call) -> Option<Fault> {
        let mut state = self.state();
        state.history.coverage.called(call.site.clone());
        if state.calm {
            return None;
        }
        let place = |fault| Strike { who: caller.name.clone(), fault, at: call.nth, for_ms: 0 };
        let meets = Fault::ALL.into_iter().filter(|fault| fault.meets(&call.site, call.consistent));
        state.history.places.extend(meets.map(place));
        let fault = self.plan().of_call(&caller.name, call, self.time().elapsed_ms())?;
        // Whether a read shows what was, and is no longer so, is seen when it is answered.
        let site = (fault != Fault::Stale).then(|| call.site.clone());
        state.history.struck(place(fault), site);
        Some(fault)
    }

    /// What a request does, at one moment.
    fn answer(&self, call: &Call, body: &[u8], fault: Option<Fault>) -> Answer {
        let (seed, now_ms) = (self.seed(), self.time().now_ms());
        if call.service == PROVIDER {
            return match fault {
                Some(Fault::Throttle) => (429, "{}".to_owned()),
                _ => self.state().provider.answer(&call.operation, body, seed, now_ms),
            };
        }
        if fault == Some(Fault::Throttle) {
            return (400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }).to_string());
        }
        let part = |at: usize| {
            let purpose = [Purpose::Part as u64, call.invocation, call.nth, at as u64];
            fault == Some(Fault::Partial) && (at == 0 || happens(500, seed, &purpose))
        };
        if call.service.starts_with("DynamoDB") {
            let draw = |purpose, end| call.draw(seed, purpose, end);
            let dynamodb = self.dynamodb();
            let answer = match (fault, call.operation.as_str()) {
                (Some(Fault::Conflict), "TransactWriteItems") => {
                    cancelled(body, |actions| draw(Purpose::Part, actions), "TransactionConflict")
                }
                (Some(Fault::Conflict), "BatchExecuteStatement") => {
                    dynamodb.call_in_part(body, |at| at == 0, "TransactionConflict")
                }
                (Some(Fault::Conflict), _) => exception("TransactionConflictException"),
                (Some(Fault::Missing), "GetItem" | "BatchGetItem") => (200, "{}".to_owned()),
                (Some(Fault::Missing), "TransactWriteItems") => {
                    cancelled(body, |_| 0, "ConditionalCheckFailed")
                }
                (Some(Fault::Missing), "BatchExecuteStatement") => {
                    dynamodb.call_in_part(body, |at| at == 0, "ConditionalCheckFailed")
                }
                (Some(Fault::Missing), _) => exception("ConditionalCheckFailedException"),
                (Some(Fault::Partial), "BatchGetItem") => dynamodb.get_in_part(body, part),
                (Some(Fault::Partial), _) => dynamodb.call_in_part(body, part, "ThrottlingError"),
                (Some(Fault::Stale), operation) => {
                    let lag_ms = 1 + draw(Purpose::Lag, LAG_MS_MAX);
                    let at_ms = now_ms - lag_ms.min(self.time().elapsed_ms());
                    let was = dynamodb.call_before(operation, body, at_ms);
                    if was != dynamodb.call(operation, body) {
                        self.state().history.coverage.struck(call.site.clone(), Fault::Stale);
                    }
                    was
                }
                (_, operation) => dynamodb.call(operation, body),
            };
            self.0.streamed.notify_waiters();
            return answer;
        }
        let request: Value = serde_json::from_slice(body).expect("JSON");
        let mut state = self.state();
        let answer = match call.service.as_str() {
            "Kinesis_20131202" => state.offers.put_records(&request, now_ms, part),
            "AmazonSQS" => state.queues.call(&call.operation, &request, now_ms, part),
            service => panic!("the simulated AWS has no {service}"),
        };
        drop(state);
        self.0.streamed.notify_waiters();
        self.0.queued.notify_waiters();
        (200, answer.to_string())
    }

    /// Notes that somebody asks the provider for a payment, until what this returns is dropped. G5: it has
    /// a lease, and nobody else does so meanwhile.
    fn pays(&self, who: &str, body: &[u8]) -> Paying {
        let (at, key) = provider::about(body);
        let now_ms = self.time().now_ms() as i64;
        let records = self.dynamodb().items(NOTIFICATIONS);
        let record = records.iter().find(|it| rules::text(it, "id") == key);
        let is_held = record.and_then(|it| rules::destinations(it).get(at.as_str()).copied());
        let is_held = is_held.is_some_and(|it| rules::number(it, "lease_until") > now_ms);
        let mut state = self.state();
        if !is_held {
            state.violations.push(format!("G5: {who} pays {key} at {at} without a lease"));
        }
        let paying = state.provider.under_way.entry((at.clone(), key.clone())).or_default();
        *paying += 1;
        if *paying > 1 {
            state.violations.push(format!("G5: {who} pays {key} at {at} while another does"));
        }
        Paying { aws: self.clone(), about: (at, key) }
    }

    /// Takes over what somebody changed in the table of records, and holds each change to the table of moves.
    pub fn follow(&self, who: &str) {
        let changes = self.dynamodb().changes();
        let mut state = self.state();
        let now_ms = self.time().now_ms();
        for change in changes {
            let State { leases, turns, .. } = &mut *state;
            let broken = rules::broken_by(&change, who, leases, turns);
            state.violations.extend(broken);
            state.changes.add_change(change, now_ms);
        }
    }

    /// Runs something that must not panic: that is a violation, and no answer.
    pub async fn watched<T>(&self, who: &str, work: impl Future<Output = T>) -> Option<T> {
        let worked = AssertUnwindSafe(work).catch_unwind().await;
        let panicked = |said| self.state().violations.push(format!("{who} panicked: {}", message(said)));
        worked.map_err(panicked).ok()
    }

    /// Spawns a part of this AWS.
    pub fn spawn(self, who: &'static str, work: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(async move { self.watched(who, work).await });
    }

    /// Writes a line of history.
    pub fn note(&self, who: &str, what: &str) {
        let elapsed_ms = self.time().elapsed_ms();
        self.state().history.note(elapsed_ms, who, what);
    }
}

/// A call of DynamoDB that was refused.
fn exception(name: &str) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    (400, json!({ "__type": kind, "message": "refused" }).to_string())
}

/// A transaction that was cancelled for one of its actions.
fn cancelled(body: &[u8], at: impl FnOnce(u64) -> u64, code: &str) -> Answer {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    let actions = request["TransactItems"].as_array().map_or(0, Vec::len);
    let met = at(actions as u64) as usize;
    let reasons = (0..actions).map(|at| json!({ "Code": if at == met { code } else { "None" } }));
    let answer = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": reasons.collect::<Vec<_>>(),
    });
    (400, answer.to_string())
}

/// What an answer says, in short.
fn summary(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let kind = answer["__type"].as_str().and_then(|it| it.rsplit('#').next()).unwrap_or_default();
    let reasons = answer["CancellationReasons"].as_array().into_iter().flatten();
    let reasons = reasons.map(|it| it["Code"].as_str().unwrap_or_default());
    let statements = answer["Responses"].as_array().into_iter().flatten();
    let statements = statements.map(|it| it["Error"]["Code"].as_str().unwrap_or("ok"));
    let parts: Vec<&str> = std::iter::once(kind).chain(reasons).chain(statements).collect();
    parts.join(" ").trim().to_owned()
}

/// What a call is for, beside its operation: see `coverage.rs`.
fn called(service: &str, operation: &str, body: &[u8]) -> String {
    let says = |text: &str| body.windows(text.len()).any(|it| it == text.as_bytes());
    match operation {
        "SendMessage" if says("-retry\"") => format!("{operation} to retry"),
        "SendMessage" => format!("{operation} to dead letters"),
        // As a table's name, in JSON and in a statement.
        _ if says("\"notifications\"") || says("\\\"notifications\\\"") => operation.to_owned(),
        _ if says("\"reconcile\"") => format!("{operation} {OF_CURSOR}"),
        _ if says("\"positions\"") => format!("{operation} {OF_POSITION}"),
        _ if service.starts_with("DynamoDB") => format!("{operation} {OF_HANDLER}"),
        _ => operation.to_owned(),
    }
}

/// What a panic said.
pub fn message(said: Box<dyn Any + Send>) -> String {
    match said.downcast::<String>() {
        Ok(text) => *text,
        Err(said) => said.downcast_ref::<&str>().copied().unwrap_or("without a text").to_owned(),
    }
}

/// A call without an answer.
struct Lost;

/// A caller that waits for the answer to its nth call.
struct Waits(Arc<Invocation>, u64);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.under_way.lock().expect("no panic holds it").remove(&self.1);
    }
}

/// Somebody who waits for the provider.
struct Paying {
    aws: Aws,
    about: (String, String),
}

impl Drop for Paying {
    fn drop(&mut self) {
        *self.aws.state().provider.under_way.entry(self.about.clone()).or_default() -= 1;
    }
}

impl HttpConnector for Aws {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        // The other services, but for the provider, are AWS's, and called by JSON protocols.
        let target = request.headers().get("x-amz-target").map(str::to_owned);
        let target = target.unwrap_or_else(|| format!("{PROVIDER}.{} payment", request.method()));
        let (service, operation) = target.split_once('.').expect("service and operation");
        let body = match service {
            PROVIDER => provider::asked(&request).to_string().into_bytes(),
            _ => request.take_body().bytes().expect("a body in memory").to_vec(),
        };
        // Lambda freezes what an invocation leaves behind when it returns; it may never go on.
        let Ok(caller) = INVOCATION.try_with(Arc::clone) else {
            let said = format!("{operation} is called from a task that was spawned; await it instead");
            self.state().violations.push(said.clone());
            return HttpConnectorFuture::ready(Err(ConnectorError::user(said.into())));
        };
        let nth = caller.calls.fetch_add(1, Ordering::Relaxed);
        let payment = (operation == provider::TAKE).then(|| self.pays(&caller.name, &body));
        let site = Site { stage: caller.stage, call: called(service, operation, &body) };
        let waits = caller.waits(nth, site.clone());
        let call = Call {
            service: service.to_owned(),
            operation: operation.to_owned(),
            site,
            consistent: body.windows(CONSISTENT.len()).any(|it| it == CONSISTENT),
            invocation: of_name(&caller.name),
            nth,
        };
        let carry = self.clone().carry(call, body, caller);
        // It goes on when the caller dies, so it is a task of its own.
        let (done, answer) = oneshot::channel();
        let aws = self.clone();
        tokio::spawn(async move {
            // Until it is answered, whatever becomes of the caller.
            let _payment = payment;
            if let Some(answer) = aws.watched("AWS", carry).await {
                let _ = done.send(answer);
            }
        });
        HttpConnectorFuture::new(async move {
            let _waits = waits;
            match answer.await {
                Ok(Ok((status, body))) => {
                    let status = StatusCode::try_from(status).expect("a status");
                    Ok(HttpResponse::new(status, SdkBody::from(body)))
                }
                _ => Err(ConnectorError::io("the connection broke".into())),
            }
        })
    }
}

impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl TimeSource for Aws {
    fn now(&self) -> SystemTime {
        self.time().system()
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("Aws")
    }
}
