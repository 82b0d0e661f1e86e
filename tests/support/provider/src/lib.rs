//! A provider of payments and mail for tests: an HTTP server that honours idempotency keys. The name of the account, or of
//! the mailbox, says whether it refuses a request, is busy, takes a rotated token alone, loses its answer, hangs, or hides
//! behind a page of a proxy.

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

/// What the provider has seen of each payment and each email, by its key.
static SEEN: LazyLock<Mutex<HashMap<String, Seen>>> = LazyLock::new(Mutex::default);

/// What the provider has seen of a payment or an email.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests for it.
    pub requests: u32,
    /// Times it was paid or sent.
    pub made: u32,
}

/// What the provider has seen of the payment or the email with this key.
pub fn seen(key: &str) -> Seen {
    SEEN.lock().expect("no thread panics while it holds the lock").get(key).copied().unwrap_or_default()
}

/// How long a busy provider asks to wait, in seconds.
pub const RETRY_AFTER_SECONDS: i64 = 3;

/// The token that follows this one.
pub fn rotated(token: &str) -> String {
    format!("{token}-rotated")
}

/// Serves at this address as long as the process runs. Callers have this token, or the one that follows it.
pub fn serve(address: &str, token: &str) {
    static SERVED: Once = Once::new();
    SERVED.call_once(|| {
        let token = token.to_owned();
        let listener = std::net::TcpListener::bind(address).expect("the address is free");
        listener.set_nonblocking(true).expect("a listener");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(accept(listener, token.leak()))
        });
    });
}

async fn accept(listener: std::net::TcpListener, token: &'static str) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let serve = hyper::server::conn::http1::Builder::new();
        let answer = service_fn(move |request| answer(request, token));
        tokio::spawn(serve.serve_connection(TokioIo::new(stream), answer));
    }
}

/// What a request asks for.
#[derive(Clone, Copy)]
enum Asked {
    Payment,
    Email,
}

impl Asked {
    /// What this request asks for, and the name that says how it is treated.
    fn read(path: &str, body: &Value) -> Option<(Asked, String)> {
        match path {
            "/payments" => Some((Asked::Payment, body["account"].as_str()?.to_owned())),
            "/emails" => {
                let is_text = |name| body[name].as_str().is_some_and(|text| !text.is_empty());
                let is_whole = ["subject", "text", "reference"].into_iter().all(is_text);
                let (mailbox, _) = body["to"].as_str()?.split_once('@')?;
                is_whole.then(|| (Asked::Email, mailbox.to_owned()))
            }
            _ => None,
        }
    }

    fn made(self, key: &str) -> (u16, Value) {
        match self {
            Asked::Payment => (201, json!({ "payment": format!("payment of {key}") })),
            Asked::Email => (200, json!({ "id": format!("email of {key}") })),
        }
    }

    fn refused(self) -> (u16, Value) {
        match self {
            Asked::Payment => (402, json!({ "reason": "no cover" })),
            Asked::Email => (422, json!({ "error": "this is no address" })),
        }
    }
}

/// Answers a request as the name in it says.
async fn answer(request: Request<Incoming>, token: &str) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.method(), Method::POST);
    let bearer = request.headers()["authorization"].to_str().expect("a destination sends it").to_owned();
    let is_rotated = bearer == format!("Bearer {}", rotated(token));
    assert!(is_rotated || bearer == format!("Bearer {token}"), "the token of the secret");
    let key = request.headers()["idempotency-key"].to_str().expect("a destination sends it").to_owned();
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.expect("a destination sends it").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("a destination sends it");
    let (asked, name) = Asked::read(&path, &body).expect("as `payment` or `receipt` sends it");
    let before = {
        let mut all = SEEN.lock().expect("no thread panics while it holds the lock");
        let seen = all.entry(key.clone()).or_default();
        let before = *seen;
        seen.requests += 1;
        let is_taken = match name.as_str() {
            "refused" => false,
            "busy-once" => before.requests > 0,
            "rotated" => is_rotated,
            _ => true,
        };
        // What was made with a key is not made again.
        seen.made += u32::from(is_taken && before.made == 0);
        before
    };
    let (status, body) = match name.as_str() {
        "refused" => asked.refused(),
        "busy-once" if before.requests == 0 => (429, json!({ "error": "too many requests" })),
        "rotated" if !is_rotated => (401, json!({ "error": "the token is not valid" })),
        "lost-once" if before.requests == 0 => (500, json!({})),
        "page-once" if before.requests == 0 => (200, json!("a page of something in front of the provider")),
        "lost-page-once" if before.requests == 0 => {
            (404, json!("a page of something in front of the provider"))
        }
        "hangs-once" if before.requests == 0 => std::future::pending().await,
        _ => asked.made(&key),
    };
    let mut response = Response::builder().status(status);
    if status == 429 {
        response = response.header("retry-after", RETRY_AFTER_SECONDS);
    }
    Ok(response.body(Full::from(body.to_string())).expect("a valid response"))
}
