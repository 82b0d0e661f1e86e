//! The HTTP interface, through its function URL, by callers who sign.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use handover::Draft;
use handover::client::{Answer, Client, ClientError, End, SignedClient};
use handover::record::Status;
use serde_json::{Value, json};

use crate::world::{WAIT_SECONDS_MAX, World, aws, is_not_run, refund, unique, when};

const WAIT_MAX: Duration = Duration::from_secs(WAIT_SECONDS_MAX);
const EVENT: &[(&str, &str)] = &[("content-type", "application/cloudevents+json")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// Who calls: root, who is an operator of the local stack.
struct Api(SignedClient);

impl Api {
    async fn connect() -> Api {
        Api::with(&handover::aws::config().unwrap().load().await)
    }

    fn with(aws: &SdkConfig) -> Api {
        Api(SignedClient::new(aws, &url()).unwrap())
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.0.send("POST", path, headers, body.as_bytes()).await.unwrap()
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.0.send("GET", path, headers, b"").await.unwrap()
    }

    /// Hands the event over, and repeats that until it has ended: a wait ends after 20 seconds, or at once where no place
    /// is free.
    async fn until_ended(&self, headers: &[(&str, &str)], event: &str) -> Answer {
        let headers = with(headers, "prefer", "wait=20");
        when(
            async || Some(self.post("/notifications", &headers, event).await),
            |answer| answer.status >= 300 || body(answer)["status"] != "INIT",
        )
        .await
    }
}

/// The output of the stack.
fn url() -> String {
    let stack = std::env::var("HANDOVER_STACK").unwrap();
    let query = "Stacks[0].Outputs[?OutputKey=='ApiUrl'].OutputValue";
    aws(&["cloudformation", "describe-stacks", "--stack-name", &stack, "--query", query])
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

fn with<'a>(headers: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    [headers, &[(name, value)]].concat()
}

/// The credentials of a new user who may call the interface and nothing else.
fn user(name: &str) -> Credentials {
    aws(&["iam", "create-user", "--user-name", name]);
    let policy = handover::templates::PRODUCER_POLICY;
    aws(&[
        "iam",
        "put-user-policy",
        "--user-name",
        name,
        "--policy-name",
        "call",
        "--policy-document",
        policy,
    ]);
    let query = "AccessKey.[AccessKeyId, SecretAccessKey]";
    let key = aws(&["iam", "create-access-key", "--user-name", name, "--query", query]);
    let (id, secret) = key.split_once('\t').unwrap();
    Credentials::new(id, secret, None, None, "test")
}

/// G1, G2, G10: an event is in custody once, whatever is repeated; and its end can be waited for.
#[tokio::test]
async fn g2_what_is_handed_over_twice_is_accepted_once_and_its_end_is_waited_for() {
    let (world, api) = (World::connect().await, Api::connect().await);
    let (account, id) = (world.account().await, unique("refund"));
    let event = refund(&id, &account, 5);
    let taken = api.post("/notifications", EVENT, &event).await;
    assert_eq!((taken.status, &body(&taken)["status"]), (202, &json!("INIT")), "{taken:?}");
    let (location, etag) = (taken.header("location").unwrap(), taken.header("etag").unwrap());
    let path = format!("/{location}");

    let for_news = with(&[("if-none-match", etag)], "prefer", "wait=20");
    let news = when(async || Some(api.get(&path, &for_news).await), |answer| answer.status != 304).await;
    assert_eq!((news.status, news.header("preference-applied")), (200, Some("wait=20")), "{news:?}");
    let for_the_end = [("prefer", "wait=20")];
    let ended =
        when(async || Some(api.get(&path, &for_the_end).await), |answer| body(answer)["status"] != "INIT")
            .await;
    let shown = body(&ended);
    assert_eq!(
        (&shown["status"], &shown["destinations"][0]["state"]),
        (&json!("DONE"), &json!("done")),
        "{shown}"
    );
    let ends = shown["timeline"].as_array().unwrap().iter().map(|moment| &moment["what"]).collect::<Vec<_>>();
    assert_eq!((ends[0], *ends.last().unwrap()), (&json!("accepted"), &json!("done")));
    assert_eq!(shown.get("data"), None, "the payload was not asked for");
    let with_data = api.get(&format!("{path}&data=true"), &[]).await;
    assert_eq!(body(&with_data)["data"]["amount"], 5);

    let unchanged = api.get(&path, &[("if-none-match", ended.header("etag").unwrap())]).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let repeated = api.post("/notifications", EVENT, &event).await;
    assert_eq!((repeated.status, &body(&repeated)["status"]), (200, &json!("DONE")));
    let other = api.post("/notifications", EVENT, &refund(&id, &account, 6)).await;
    assert_eq!((other.status, &body(&other)["code"]), (409, &json!("conflict")));
    assert_eq!(other.header("content-type"), Some("application/problem+json"));
    assert_eq!(world.balance(&account).await, 5);
}

/// A key stands in for a missing id. It is of its caller.
#[tokio::test]
async fn g2_an_idempotency_key_stands_in_for_an_id() {
    let (world, api) = (World::connect().await, Api::connect().await);
    let (account, key) = (world.account().await, unique("key"));
    let event = |amount: u64| {
        let mut event: Value = serde_json::from_str(&refund("1", &account, amount)).unwrap();
        event.as_object_mut().unwrap().remove("id");
        event.to_string()
    };
    let keyed = with(EVENT, "idempotency-key", &key);
    let first = api.until_ended(&keyed, &event(5)).await;
    assert_eq!((first.status, &body(&first)["status"]), (200, &json!("DONE")), "{first:?}");
    let quoted = format!("\"{key}\"");
    let repeated = api.post("/notifications", &with(EVENT, "idempotency-key", &quoted), &event(5)).await;
    assert_eq!((repeated.status, &body(&repeated)["id"]), (200, &body(&first)["id"]));
    let other = api.post("/notifications", &keyed, &event(6)).await;
    assert_eq!((other.status, &body(&other)["code"]), (422, &json!("key-reused")));
    let both = api.post("/notifications", &keyed, &refund(&unique("refund"), &account, 5)).await;
    assert_eq!((both.status, &body(&both)["code"]), (400, &json!("key-and-id")));
    let neither = api.post("/notifications", EVENT, &event(5)).await;
    assert_eq!((neither.status, &body(&neither)["code"]), (400, &json!("no-id")));
    let same = api.post("/notifications", &keyed, &refund(&key, &account, 7)).await;
    assert_eq!((same.status, &body(&same)["id"]), (202, &json!(key)), "an id that is the key");
    world.until(&[key], Status::Done).await;
    assert_eq!(world.balance(&account).await, 12);
}

/// Each bad request has its code, and nothing is stored.
#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong_and_nothing_is_stored() {
    let (world, api) = (World::connect().await, Api::connect().await);
    let (account, id) = (world.account().await, unique("refund"));
    let event = refund(&id, &account, 5);
    let large =
        event.replacen("\"amount\":5", &format!("\"amount\":5,\"note\":\"{}\"", "x".repeat(70_000)), 1);
    let unknown = event.replacen("refund.requested", "refund.requestd", 1);
    let plain = [("content-type", "text/plain")];
    let (long, keys) = ("k".repeat(256), "a,b");
    let deep =
        event.replacen("\"amount\":5", &format!("\"amount\":{}1{}", "[".repeat(200), "]".repeat(200)), 1);
    for (headers, path, sent, status, code) in [
        (EVENT.to_vec(), "", "{", 400, "malformed-json"),
        (EVENT.to_vec(), "", "[]", 400, "not-an-object"),
        (EVENT.to_vec(), "", &deep, 400, "too-deep"),
        (plain.to_vec(), "", &event, 415, "unsupported-media-type"),
        (EVENT.to_vec(), "", &large, 413, "too-large-for-route"),
        (EVENT.to_vec(), "", &unknown, 400, "unknown-type"),
        (EVENT.to_vec(), "?source=a", &event, 400, "unknown-parameter"),
        (with(EVENT, "idempotency-key", &long), "", &event, 400, "invalid-key"),
        (with(EVENT, "idempotency-key", keys), "", &event, 400, "duplicate-header"),
        (with(EVENT, "prefer", "wait=soon"), "", &event, 400, "invalid-header"),
        (EVENT.to_vec(), "/x", &event, 405, "method-not-allowed"),
        (EVENT.to_vec(), "s", &event, 404, "unknown-path"),
    ] {
        let answer = api.post(&format!("/notifications{path}"), &headers, sent).await;
        let problem = body(&answer);
        assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{problem}");
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&json!(status), &json!(format!("/errors/{code}")))
        );
    }
    let page = api.get("/errors/unknown-type", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/markdown; charset=utf-8")));
    let nothing = api.get(&format!("/notifications/{id}"), &[]).await;
    assert_eq!((nothing.status, &body(&nothing)["code"]), (404, &json!("unknown-notification")));
    let changed = api.get(&format!("/notifications/{id}"), &[("if-none-match", "\"AQ\"")]).await;
    assert_eq!(changed.status, 404);
    let changed =
        api.get(&format!("/notifications/{id}?source=orders"), &[("if-none-match", "\"AQ\"")]).await;
    assert_eq!((changed.status, &body(&changed)["code"]), (400, &json!("invalid-token")));
    let page = api.get("/notifications?state=recent&cursor=AQ", &[]).await;
    assert_eq!((page.status, &body(&page)["code"]), (400, &json!("invalid-cursor")));
    let unsigned = api.0.send_unsigned("POST", "/notifications", EVENT, event.as_bytes()).await.unwrap();
    assert_eq!(unsigned.status, 403);
    assert_eq!(world.record(&id).await, None);
}

/// Of a batch each event is accepted or refused for itself.
#[tokio::test]
async fn a_bad_event_of_a_batch_fails_alone() {
    let (world, api) = (World::connect().await, Api::connect().await);
    let account = world.account().await;
    let ids = [unique("refund"), unique("refund")];
    let [one, other] = ids.clone().map(|id| refund(&id, &account, 5));
    let bad = one.replacen("refund.requested", "refund.requestd", 1);
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let sent = api.post("/notifications/batch", &batch, &format!("[{one},{bad},{one},{other},7]")).await;
    let shown = body(&sent);
    let statuses: Vec<_> =
        shown["items"].as_array().unwrap().iter().map(|item| item["status"].as_u64()).collect();
    assert_eq!(
        (sent.status, statuses[1], statuses[3], statuses[4]),
        (200, Some(400), Some(202), Some(400)),
        "{shown}"
    );
    // Which of the two is the repeat is not said: they are stored concurrently.
    let mut twice = [statuses[0], statuses[2]];
    twice.sort();
    assert_eq!(twice, [Some(200), Some(202)], "{shown}");
    assert_eq!(shown["items"][1]["code"], "unknown-type");
    world.until(&ids, Status::Done).await;
    assert_eq!(world.balance(&account).await, 10);
    let many = format!("[{}]", vec!["{}"; 101].join(","));
    let many = api.post("/notifications/batch", &batch, &many).await;
    assert_eq!((many.status, &body(&many)["code"]), (400, &json!("too-many-items")));
}

/// What is dead is listed, redriven and closed.
#[tokio::test]
async fn what_is_dead_is_listed_redriven_and_closed() {
    let (world, api) = (World::connect().await, Api::connect().await);
    // Without its account a refund fails.
    let (account, other) = (unique("account"), unique("account"));
    let ids = [unique("refund"), unique("refund")];
    world.send(&[refund(&ids[0], &account, 5), refund(&ids[1], &other, 5)]).await;
    world.until(&ids, Status::Dead).await;
    let has = |rows: &[Value]| ids.iter().all(|id| rows.iter().any(|row| row["id"] == json!(id)));
    let listed = list(&api, "state=dead&destination=refund&type=refund.requested", has).await;
    for id in &ids {
        let row = listed.iter().find(|row| row["id"] == json!(id)).expect("it is listed");
        assert_eq!(
            (&row["destinations"][0]["state"], &row["status"]),
            (&json!("dead"), &json!("DEAD")),
            "{row}"
        );
    }
    world.open(&account).await;
    let redrive = json!({ "reason": "the account is open now" }).to_string();
    let redriven =
        api.post(&format!("/notifications/{}/redrive?source=orders", ids[0]), JSON, &redrive).await;
    assert_eq!((redriven.status, &body(&redriven)["status"]), (200, &json!("INIT")), "{redriven:?}");
    world.until(&ids[..1], Status::Done).await;
    let again = api.post(&format!("/notifications/{}/redrive", ids[0]), JSON, &redrive).await;
    assert_eq!((again.status, &body(&again)["status"]), (200, &json!("DONE")), "a repeat changes nothing");

    let close = json!({ "reason": "paid by hand", "destination": "refund" }).to_string();
    let closed = api.post(&format!("/notifications/{}/close", ids[1]), JSON, &close).await;
    let shown = body(&closed);
    assert_eq!((closed.status, &shown["status"]), (200, &json!("CLOSED")), "{shown}");
    assert_eq!(shown["destinations"][0]["reason"], "paid by hand");
    for (order, code) in [
        (json!({}), "invalid-body"),
        (json!({ "reason": "" }), "invalid-body"),
        (json!({ "reason": "a", "to": "refund" }), "invalid-body"),
        (json!({ "reason": "a", "destination": "payment" }), "unknown-destination"),
    ] {
        let refused = api.post(&format!("/notifications/{}/close", ids[1]), JSON, &order.to_string()).await;
        assert_eq!((refused.status, &body(&refused)["code"]), (400, &json!(code)));
    }
    assert_eq!(world.balance(&account).await, 5);
}

/// The rows of a list, page by page, until they are enough: the parts of the index are many.
async fn list(api: &Api, query: &str, is_enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = body(&api.get(&format!("/notifications?{query}{cursor}"), &[]).await);
        rows.extend(page["notifications"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
        let next = page["cursor"].as_str().filter(|_| !is_enough(&rows));
        let Some(next) = next else { return rows };
        cursor = format!("&cursor={next}");
    }
}

/// Where callers see what is theirs, another's notification is not there for them.
#[tokio::test]
async fn a_caller_sees_what_it_sent_itself() {
    if is_not_run("a_caller_sees_what_it_sent_itself") {
        return;
    }
    let (world, api) = (World::connect().await, Api::connect().await);
    let (account, name) = (world.account().await, unique("shop"));
    let config = handover::aws::config().unwrap().load().await;
    let as_user = SharedCredentialsProvider::new(user(&name));
    let user = Api::with(&config.into_builder().credentials_provider(as_user).build());
    let [own, others] = [unique("refund"), unique("refund")];
    let sent = user.until_ended(EVENT, &refund(&own, &account, 5)).await;
    assert_eq!((sent.status, &body(&sent)["status"]), (200, &json!("DONE")), "{sent:?}");
    let of_other = refund(&others, &account, 5);
    api.until_ended(EVENT, &of_other).await;

    let hidden = user.get(&format!("/notifications/{others}"), &[]).await;
    assert_eq!((hidden.status, &body(&hidden)["code"]), (404, &json!("unknown-notification")));
    let seen = api.get(&format!("/notifications/{own}"), &[]).await;
    assert_eq!(seen.status, 200, "an operator sees it");
    let repeated = user.post("/notifications", EVENT, &of_other).await;
    let shown = body(&repeated);
    assert_eq!(
        (repeated.status, &shown["id"], shown.get("status")),
        (200, &json!(others), None),
        "in custody"
    );
    let with_token = [("if-none-match", seen.header("etag").unwrap())];
    let hidden = user.get(&format!("/notifications/{others}?source=orders"), &with_token).await;
    assert_eq!((hidden.status, &body(&hidden)["code"]), (400, &json!("invalid-token")), "it is of another");
    let listed = user.get("/notifications?state=recent", &[]).await;
    assert_eq!(
        (listed.status, &body(&listed)["code"]),
        (403, &json!("forbidden")),
        "lists are for operators"
    );
    let mut reserved: Value = serde_json::from_str(&refund(&unique("refund"), &account, 5)).unwrap();
    reserved["id"] = json!(format!("key:{}", "0".repeat(32)));
    let reserved = user.post("/notifications", EVENT, &reserved.to_string()).await;
    assert_eq!((reserved.status, &body(&reserved)["code"]), (400, &json!("reserved-id")));
    let close = json!({ "reason": "a test" }).to_string();
    let refused = user.post(&format!("/notifications/{own}/close"), JSON, &close).await;
    assert_eq!((refused.status, &body(&refused)["code"]), (403, &json!("forbidden")));
    assert_eq!(world.balance(&account).await, 10);
}

/// The client hands over, repeats what got no answer, and tells how it ended.
#[tokio::test]
async fn the_client_tells_how_it_ended() {
    let world = World::connect().await;
    let config = handover::aws::config().unwrap().load().await;
    let client = Client::new(&config, &url()).unwrap();
    let (account, nobody) = (world.account().await, unique("account"));
    let draft = |account: &str| {
        Draft::command("refund.requested", "orders", &json!({ "account": account, "amount": 5 }))
    };
    let refund = draft(&account).build(unique("refund")).unwrap();
    let receipt = client.send(&refund, WAIT_MAX).await.unwrap();
    assert!(matches!(client.wait(&receipt, WAIT_MAX).await.unwrap(), Some(End::Done { .. })));
    assert!(client.send(&refund, WAIT_MAX).await.unwrap().end.is_some(), "a repeat finds its end");
    let lost = draft(&nobody).build(unique("refund")).unwrap();
    let receipt = client.send(&lost, WAIT_MAX).await.unwrap();
    assert!(matches!(client.wait(&receipt, WAIT_MAX).await.unwrap(), Some(End::Dead { .. })));
    let unknown = Draft::command("refund.requestd", "orders", &5).build(unique("refund")).unwrap();
    let Err(ClientError::Refused(problem)) = client.send(&unknown, WAIT_MAX).await else {
        panic!("it is refused")
    };
    assert_eq!((problem.status, problem.code.as_str()), (400, "unknown-type"));
    let nowhere = Client::new(&config, "http://127.0.0.1:1").unwrap();
    let error = nowhere.send(&refund, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unanswered { tries: 2.., .. }), "{error}");
}
