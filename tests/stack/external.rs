//! External effects, through the deployed `payment` and a provider that is a real HTTP server: it
//! honours keys or forgets them, hangs, loses answers and refuses.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use handover::Draft;
use handover::record::{Settled, State, Status};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{World, unique};

/// What the provider has seen of each payment, by its key.
static SEEN: LazyLock<Mutex<HashMap<String, Seen>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    requests: u32,
    payments: u32,
}

fn seen(key: &str) -> Seen {
    SEEN.lock().unwrap().get(key).copied().unwrap_or_default()
}

/// The provider: what it does with a payment is what the account is called.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/payments"));
    let key = request.headers()["idempotency-key"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let payment: Value = serde_json::from_slice(&body).unwrap();
    let account = payment["account"].as_str().unwrap().to_owned();
    let before = {
        let mut all = SEEN.lock().unwrap();
        let seen = all.entry(key.clone()).or_default();
        let before = *seen;
        seen.requests += 1;
        let is_taken = !matches!(account.as_str(), "refused" | "busy-once") || before.requests > 0;
        // It honours keys, but for those whose answer it loses.
        seen.payments += u32::from(is_taken && account != "refused" && before.payments == 0);
        before
    };
    let (status, said) = match account.as_str() {
        "refused" => (402, json!({ "reason": "no cover" })),
        "busy-once" if before.requests == 0 => (429, json!({})),
        "lost-once" if before.requests == 0 => (500, json!({})),
        "hangs-once" if before.requests == 0 => std::future::pending().await,
        _ => (201, json!({ "payment": format!("payment of {key}") })),
    };
    let response = Response::builder().status(status).body(Full::from(said.to_string()));
    Ok(response.unwrap())
}

/// Serves where the deployed function calls, for as long as the tests run.
static SERVED: LazyLock<()> = LazyLock::new(|| {
    let address = std::env::var("HANDOVER_PROVIDER").expect("where the provider is: run `make test`");
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serve = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(serve);
            }
        })
    });
});

/// Sends a payment that the provider treats so; its id.
async fn pay(world: &World, account: &str) -> String {
    LazyLock::force(&SERVED);
    let id = unique("payment");
    let data = json!({ "account": account, "amount": 5 });
    let payment = Draft::command("payment.requested", "orders", &data).with_id(&id).unwrap();
    world.send(&[String::from_utf8(handover::event::encode(&payment)).unwrap()]).await;
    id
}

/// G5: a payment is made once, within a lease; its receipt stays on the record.
#[tokio::test]
async fn g5_a_payment_is_made_once() {
    let world = World::connect().await;
    let id = pay(&world, "good").await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    let delivery = &done.destinations["payment"];
    assert_eq!(seen(&id), Seen { requests: 1, payments: 1 });
    assert_eq!((delivery.fence, delivery.attempts), (1, 0));
    assert!(delivery.result.as_ref().unwrap().as_str().contains(&format!("payment of {id}")));
}

/// A definite refusal rejects the command.
#[tokio::test]
async fn g5_what_the_provider_refuses_is_rejected() {
    let world = World::connect().await;
    let id = pay(&world, "refused").await;
    let rejected = world.record_when(&id, |record| record.status == Status::Rejected).await;
    assert_eq!(rejected.destinations["payment"].reason.as_deref(), Some("no cover"));
    assert_eq!(seen(&id), Seen { requests: 1, payments: 0 });
}

/// What was surely not done is a failed attempt, and gives its lease back.
#[tokio::test]
async fn g5_what_was_surely_not_done_is_tried_again() {
    let world = World::connect().await;
    let id = pay(&world, "busy-once").await;
    let done = world.record_when(&id, |record| record.status == Status::Done).await;
    let delivery = &done.destinations["payment"];
    assert_eq!((seen(&id), delivery.attempts), (Seen { requests: 2, payments: 1 }, 1));
    assert!(delivery.failures["1"].error.contains("429"), "{delivery:?}");
}

/// Where the outcome is not known, the same key is used again, once the lease is over.
#[tokio::test]
async fn g5_a_call_without_an_outcome_is_repeated_with_its_key_and_paid_once() {
    let world = World::connect().await;
    let ids = [pay(&world, "lost-once").await, pay(&world, "hangs-once").await];
    for id in &ids {
        let tried = world.record_when(id, |record| record.destinations["payment"].attempts == 1).await;
        assert!(tried.destinations["payment"].called_at.is_some(), "{tried:?}");
        let done = world.record_when(id, |record| record.status == Status::Done).await;
        let delivery = &done.destinations["payment"];
        assert_eq!(seen(id), Seen { requests: 2, payments: 1 });
        assert_eq!(delivery.fence, 2);
        let between = delivery.ended_at.unwrap() - delivery.failures["1"].at;
        assert!(between.get_seconds() >= 5, "the lease outlasts the call: {between}");
    }
}

/// Nothing is to be settled where every outcome is known.
#[tokio::test]
async fn g5_only_what_is_not_known_is_settled() {
    let world = World::connect().await;
    let id = pay(&world, "good").await;
    world.record_when(&id, |record| record.destinations["payment"].state == State::Done).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let settled = world.ledger().settle(&id, "payment", Settled::Again, Timestamp::now()).await.unwrap();
    assert_ne!(settled, handover::by_hand::Answer::Now);
    assert_eq!(seen(&id).requests, 1);
}
