//! A payment provider for tests: an HTTP server that honours idempotency keys. The name of the account says
//! whether it refuses a payment, is busy, loses its answer, hangs, or hides behind a page of a proxy.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{LazyLock, Mutex, Once};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the provider has seen of each payment, by its key.
static SEEN: LazyLock<Mutex<HashMap<String, Seen>>> = LazyLock::new(Mutex::default);

/// What the provider has seen of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests for it.
    pub requests: u32,
    /// Times it was made.
    pub payments: u32,
}

/// What the provider has seen of the payment with this key.
pub fn seen(key: &str) -> Seen {
    SEEN.lock().expect("no thread panics while it holds the lock").get(key).copied().unwrap_or_default()
}

/// Serves at this address as long as the process runs.
pub fn serve(address: &str) {
    static SERVED: Once = Once::new();
    SERVED.call_once(|| {
        let listener = std::net::TcpListener::bind(address).expect("the address is free");
        listener.set_nonblocking(true).expect("a listener");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(accept(listener))
        });
    });
}

async fn accept(listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let serve = hyper::server::conn::http1::Builder::new();
        tokio::spawn(serve.serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

/// Answers a request as the name of the account says.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/payments"));
    let key = request.headers()["idempotency-key"].to_str().expect("as `payment` sends it").to_owned();
    let body = request.into_body().collect().await.expect("as `payment` sends it").to_bytes();
    let payment: Value = serde_json::from_slice(&body).expect("as `payment` sends it");
    let account = payment["account"].as_str().expect("as `payment` sends it").to_owned();
    let before = {
        let mut all = SEEN.lock().expect("no thread panics while it holds the lock");
        let seen = all.entry(key.clone()).or_default();
        let before = *seen;
        seen.requests += 1;
        let is_taken = !matches!(account.as_str(), "refused" | "busy-once") || before.requests > 0;
        // A key that was paid is not paid again.
        seen.payments += u32::from(is_taken && account != "refused" && before.payments == 0);
        before
    };
    let (status, body) = match account.as_str() {
        "refused" => (402, json!({ "reason": "no cover" })),
        "busy-once" if before.requests == 0 => (429, json!({})),
        "lost-once" if before.requests == 0 => (500, json!({})),
        "page-once" if before.requests == 0 => (200, json!("a page of something in front of the provider")),
        "hangs-once" if before.requests == 0 => std::future::pending().await,
        _ => (201, json!({ "payment": format!("payment of {key}") })),
    };
    let response = Response::builder().status(status).body(Full::from(body.to_string()));
    Ok(response.expect("a valid response"))
}
