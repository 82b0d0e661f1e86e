//! A stub of AWS on loopback for one variant. It counts every call and answers it after a fixed time. Items
//! are stored and conditions evaluated.

pub mod dynamodb;
mod expression;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

use dynamodb::Refused;
pub use dynamodb::{DynamoDb, NOTIFICATIONS, Units, joined};
pub use expression::{Attribute, Item};

/// How a stub behaves.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// The time from the arrival of a call to its answer.
    pub latency: Duration,
    /// One write in this many (`PutItem`, or a record of `PutRecords`) is throttled; 0 for none.
    pub throttles_one_in: u64,
    /// Serves TLS, with this certificate.
    pub tls: Option<TlsAcceptor>,
}

/// A running stub.
#[derive(Clone)]
pub struct Stub {
    pub address: SocketAddr,
    /// The number of connections so far.
    connections: Arc<AtomicU64>,
    state: Arc<Mutex<State>>,
}

/// The state of a stub: what it stores and counts.
#[derive(Default)]
pub struct State {
    pub dynamodb: DynamoDb,
    /// The calls by operation.
    pub calls: BTreeMap<String, u64>,
    /// The records that Kinesis took.
    pub streamed: u64,
    /// Their bytes, in units of 25 KB that Kinesis bills.
    pub put_units: u64,
    /// The writes so far, for throttling.
    writes: u64,
    /// A call that the stub does not know. It makes the figures meaningless.
    pub error: Option<String>,
}

impl State {
    /// Resets the counts and keeps the items.
    pub fn reset(&mut self) {
        self.calls.clear();
        self.dynamodb.units = Units::default();
        self.dynamodb.order.violations = 0;
        (self.streamed, self.put_units) = (0, 0);
    }

    fn is_throttled(&mut self, one_in: u64) -> bool {
        self.writes += 1;
        one_in > 0 && self.writes.is_multiple_of(one_in)
    }

    fn answer(&mut self, throttles_one_in: u64, target: &str, body: &[u8]) -> Result<(u16, Value)> {
        let (service, operation) = target.split_once('.').context("no target")?;
        *self.calls.entry(operation.to_owned()).or_default() += 1;
        if operation == "PutItem" && self.is_throttled(throttles_one_in) {
            // A throttled write is not billed.
            return Ok((400, throttled()));
        }
        if service.starts_with("DynamoDB") {
            return Ok(match self.dynamodb.call(operation, body)? {
                Ok(answer) => (200, answer),
                Err(refused) => (400, refused_as(refused)),
            });
        }
        let request: Value = serde_json::from_slice(body)?;
        let request = request.as_object().context("not an object")?;
        let ids = |list: &str| {
            let entries = request.get(list).and_then(Value::as_array).into_iter().flatten();
            entries
                .map(|entry| json!({ "Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": "" }))
        };
        Ok((
            200,
            match operation {
                "PutRecords" => {
                    self.put_records(throttles_one_in, request.get("Records").context("no records")?)
                }
                "GetQueueUrl" => json!({ "QueueUrl": request.get("QueueName") }),
                "SendMessage" => json!({ "MessageId": "1", "MD5OfMessageBody": "" }),
                "SendMessageBatch" | "ChangeMessageVisibilityBatch" => {
                    json!({ "Successful": ids("Entries").collect::<Vec<_>>(), "Failed": [] })
                }
                other => bail!("the stub does not know {other}"),
            },
        ))
    }

    fn put_records(&mut self, throttles_one_in: u64, records: &Value) -> Value {
        let mut failed = 0;
        let mut results = Vec::new();
        for record in records.as_array().into_iter().flatten() {
            if self.is_throttled(throttles_one_in) {
                failed += 1;
                results.push(json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down" }));
                continue;
            }
            self.streamed += 1;
            let bytes = record["Data"].as_str().map_or(0, |data| data.len() / 4 * 3);
            self.put_units += bytes.max(1).div_ceil(25 * 1024) as u64;
            results.push(
                json!({ "SequenceNumber": self.streamed.to_string(), "ShardId": "shardId-000000000000" }),
            );
        }
        json!({ "FailedRecordCount": failed, "Records": results })
    }
}

fn throttled() -> Value {
    json!({ "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow down" })
}

fn refused_as(refused: Refused) -> Value {
    let kind = |name: &str| format!("com.amazonaws.dynamodb.v20120810#{name}");
    match refused {
        Refused::Condition(item) => {
            let mut answer = json!({ "__type": kind("ConditionalCheckFailedException"), "message": "The conditional request failed" });
            if let Some(item) = item {
                answer["Item"] = json!(item);
            }
            answer
        }
        Refused::Cancelled(reasons) => {
            json!({ "__type": kind("TransactionCanceledException"), "Message": "cancelled", "CancellationReasons": reasons })
        }
    }
}

impl Stub {
    /// Starts on a free port, on the current Tokio runtime.
    pub async fn start(behaviour: Behaviour) -> Result<Stub> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let stub =
            Stub { address: listener.local_addr()?, connections: Arc::default(), state: Arc::default() };
        tokio::spawn(stub.clone().accept(listener, Arc::new(behaviour)));
        Ok(stub)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    async fn accept(self, listener: TcpListener, behaviour: Arc<Behaviour>) {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            self.connections.fetch_add(1, Ordering::Relaxed);
            let (stub, behaviour) = (self.clone(), behaviour.clone());
            tokio::spawn(async move {
                match behaviour.tls.clone() {
                    None => stub.serve(stream, behaviour).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            stub.serve(stream, behaviour).await;
                        }
                    }
                }
            });
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin, behaviour: Arc<Behaviour>) {
        let answer = service_fn(|request| self.answer(request, &behaviour));
        // The client decides when a connection ends.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        behaviour: &Behaviour,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let arrived = Instant::now();
        let target =
            request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let target = target.to_owned();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        // On another thread, so that this one receives the next call and sends due answers meanwhile.
        let (stub, throttles_one_in) = (self.clone(), behaviour.throttles_one_in);
        let answer = move || {
            let mut state = stub.state();
            let answer = state.answer(throttles_one_in, &target, &body);
            let (status, answer) = answer.unwrap_or_else(|error| {
                state.error.get_or_insert_with(|| format!("{target}: {error:#}"));
                (500, json!({ "__type": "InternalServerError", "message": "the stub does not know this" }))
            });
            (status, answer.to_string())
        };
        let (status, answer) = spawn_blocking(answer).await.expect("the evaluation does not panic");
        sleep_until(arrived + behaviour.latency).await;
        let response =
            Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
        Ok(response.body(Full::from(answer)).expect("a response"))
    }
}
