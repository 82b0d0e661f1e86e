//! The simulated AWS, and the connector by which the SDK's clients reach it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
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
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::draw::{below, happens};
use crate::dynamodb::{Answer, DynamoDb};
use crate::fault::{Fault, Faults, Purpose};
use crate::history::History;
use crate::kinesis::Stream;
use crate::sqs::Queues;
use crate::time::Time;

/// Longest time for one try of a call, as the functions set it, in milliseconds.
const CALL_TIMEOUT_MS: u64 = 3_000;

/// Everything that AWS keeps.
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    seed: u64,
    time: Time,
    dynamodb: DynamoDb,
    state: Mutex<State>,
}

/// What changes.
pub struct State {
    pub stream: Stream,
    pub queues: Queues,
    pub history: History,
    pub faults: Faults,
}

/// One run of a function: what its calls' faults are drawn for.
#[derive(Debug)]
pub struct Invocation {
    pub number: u64,
    pub function: &'static str,
    calls: AtomicU64,
}

impl Invocation {
    pub fn new(number: u64, function: &'static str) -> Arc<Invocation> {
        Arc::new(Invocation { number, function, calls: AtomicU64::new(0) })
    }
}

tokio::task_local! {
    /// The invocation that makes a call.
    pub static INVOCATION: Arc<Invocation>;
}

impl Aws {
    pub fn new(seed: u64, time: Time, dynamodb: DynamoDb, state: State) -> Aws {
        Aws(Arc::new(Inner { seed, time, dynamodb, state: Mutex::new(state) }))
    }

    pub fn time(&self) -> Time {
        self.0.time
    }

    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    pub fn dynamodb(&self) -> &DynamoDb {
        &self.0.dynamodb
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic holds it")
    }

    /// Clients of this AWS, as a function builds them.
    pub fn clients(&self) -> (aws_sdk_dynamodb::Client, aws_sdk_kinesis::Client, aws_sdk_sqs::Client) {
        macro_rules! client {
            ($sdk:ident) => {
                $sdk::Client::from_conf(
                    $sdk::Config::builder()
                        .behavior_version($sdk::config::BehaviorVersion::latest())
                        .region($sdk::config::Region::from_static("us-east-1"))
                        .credentials_provider($sdk::config::Credentials::new(
                            "id", "secret", None, None, "sim",
                        ))
                        .identity_cache($sdk::config::IdentityCache::no_cache())
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
    async fn carry(
        self,
        service: String,
        operation: String,
        body: Vec<u8>,
        invocation: Arc<Invocation>,
        call: u64,
    ) -> Result<Answer, Lost> {
        let (seed, number) = (self.seed(), invocation.number);
        let draw = |purpose, most| below(most, seed, &[purpose as u64, number, call]);
        let elapsed_ms = self.time().elapsed().as_millis() as u64;
        let faults = self.state().faults;
        let fault = match number {
            0 => None,
            _ if faults.is_out(&service, seed, elapsed_ms) => Some(Fault::LostRequest),
            _ => faults.of_call(&operation, seed, number, call),
        };
        let slow_ms = if fault == Some(Fault::Slow) { 2_000 } else { 0 };
        sleep(Duration::from_millis(1 + draw(Purpose::WayThere, 20) + slow_ms)).await;
        let label = format!("{}#{number} {operation}#{call}", invocation.function);
        if let Some(fault) = fault {
            self.state().history.injected(invocation.function, &operation, fault);
        }
        if fault == Some(Fault::LostRequest) {
            self.note(&label, "lost on its way");
            return Err(Lost);
        }
        let answer = self.answer(&service, &operation, &body, fault, number, call);
        let verdict = if fault == Some(Fault::LostAnswer) { "answer lost" } else { "answered" };
        self.note(&label, &format!("{verdict}: {} {}", answer.0, summary(&answer.1)));
        sleep(Duration::from_millis(1 + draw(Purpose::WayBack, 20))).await;
        if fault == Some(Fault::LostAnswer) { Err(Lost) } else { Ok(answer) }
    }

    /// What a request does, at one moment.
    fn answer(
        &self,
        service: &str,
        operation: &str,
        body: &[u8],
        fault: Option<Fault>,
        number: u64,
        call: u64,
    ) -> Answer {
        if fault == Some(Fault::Throttle) {
            return (400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }).to_string());
        }
        let part = |at: usize| {
            let purpose = [Purpose::Part as u64, number, call, at as u64];
            fault == Some(Fault::Partial) && happens(500, self.seed(), &purpose)
        };
        let now_ms = self.time().now_ms();
        if service.starts_with("DynamoDB") {
            if fault == Some(Fault::Conflict) {
                return conflict(body);
            }
            return self.0.dynamodb.call(operation, body);
        }
        let request: Value = serde_json::from_slice(body).expect("JSON");
        let mut state = self.state();
        let answer = match service {
            "Kinesis_20131202" => state.stream.put_records(&request, now_ms, part),
            "AmazonSQS" => state.queues.call(operation, &request, now_ms, part),
            _ => panic!("the simulated AWS has no {service}"),
        };
        (200, answer.to_string())
    }

    /// Writes a line of history.
    pub fn note(&self, who: &str, what: &str) {
        let elapsed_ms = self.time().elapsed().as_millis();
        self.state().history.note(elapsed_ms, who, what);
    }
}

/// A transaction that met another on its first item.
fn conflict(body: &[u8]) -> Answer {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    let actions = request["TransactItems"].as_array().map_or(0, Vec::len);
    let reasons = (0..actions).map(|at| match at {
        0 => json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" }),
        _ => json!({ "Code": "None" }),
    });
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

/// A call without an answer.
struct Lost;

impl HttpConnector for Aws {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a call of a JSON protocol").to_owned();
        let (service, operation) = target.split_once('.').expect("service and operation");
        let body = request.take_body().bytes().expect("a body in memory").to_vec();
        let invocation = INVOCATION.try_with(Arc::clone).unwrap_or_else(|_| Invocation::new(0, "test"));
        let call = invocation.calls.fetch_add(1, Ordering::Relaxed);
        let carry = self.clone().carry(service.to_owned(), operation.to_owned(), body, invocation, call);
        // It goes on when the caller dies, so it is a task of its own.
        let (done, answer) = oneshot::channel();
        tokio::spawn(async move {
            let _ = done.send(carry.await);
        });
        HttpConnectorFuture::new(async move {
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
