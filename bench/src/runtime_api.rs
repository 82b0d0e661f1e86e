//! A stub of the Lambda Runtime API: hands a function its invocations, one at a time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};

/// Longest wait for a function, in seconds.
const PATIENCE_S: u64 = 120;

/// The side of this program.
pub struct RuntimeApi {
    pub address: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    messages: mpsc::UnboundedReceiver<FromFunction>,
}

/// A message from the function, with the time of its arrival.
enum FromFunction {
    /// The function asks for the next invocation.
    Ready(Instant),
    Answer(Instant, Bytes),
    Failed(Bytes),
}

/// The function's side.
struct Service {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    messages: mpsc::UnboundedSender<FromFunction>,
}

impl RuntimeApi {
    /// Starts on a free port, on the current Tokio runtime.
    pub async fn start() -> Result<RuntimeApi> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (events, to_function) = mpsc::unbounded_channel();
        let (to_harness, messages) = mpsc::unbounded_channel();
        let service = Arc::new(Service { events: Mutex::new(to_function), messages: to_harness });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let service = service.clone();
                tokio::spawn(async move {
                    let answer = service_fn(|request| service.answer(request));
                    // The function decides when a connection ends.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(RuntimeApi { address, events, messages })
    }

    /// Waits until the function is ready for an invocation. Returns the time of that.
    pub async fn ready(&mut self) -> Result<Instant> {
        match self.next_message().await? {
            FromFunction::Ready(at) => Ok(at),
            FromFunction::Answer(..) => bail!("the function answered without an invocation"),
            FromFunction::Failed(why) => bail!("the function failed: {}", String::from_utf8_lossy(&why)),
        }
    }

    /// Lets the function handle an event. Returns the time that it took, and its answer.
    pub async fn invoke(&mut self, event: Bytes) -> Result<(Duration, Bytes)> {
        let begun = Instant::now();
        self.events.send(event).ok().context("the stub has stopped")?;
        match self.next_message().await? {
            FromFunction::Answer(at, answer) => Ok((at - begun, answer)),
            FromFunction::Ready(_) => bail!("the function asked for the next invocation before it answered"),
            FromFunction::Failed(why) => bail!("the function failed: {}", String::from_utf8_lossy(&why)),
        }
    }

    async fn next_message(&mut self) -> Result<FromFunction> {
        let message = timeout(Duration::from_secs(PATIENCE_S), self.messages.recv()).await;
        message.context("the function did not call the Runtime API in time")?.context("the stub has stopped")
    }
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        if request.method() == Method::GET && path.ends_with("/invocation/next") {
            let _ = self.messages.send(FromFunction::Ready(Instant::now()));
            let Some(event) = self.events.lock().await.recv().await else {
                return Ok(response(410, Bytes::new()));
            };
            return Ok(invocation(event));
        }
        let arrived = Instant::now();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let _ = self.messages.send(match path.ends_with("/response") {
            true => FromFunction::Answer(arrived, body),
            false => FromFunction::Failed(body),
        });
        Ok(response(202, Bytes::new()))
    }
}

fn invocation(event: Bytes) -> Response<Full<Bytes>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline = now + Duration::from_secs(PATIENCE_S);
    let mut response = response(200, event);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench".to_owned(),
        ),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

fn response(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body)).expect("a response")
}
