//! Services that hand over by HTTP, repeat what got no answer, read with version tokens, and wait.

use std::cell::RefCell;
use std::time::Duration;

use handover::http::Response;
use handover::{NotificationKey, Routes};
use handover_sim::item::text;
use handover_sim::{Request, SentMessage, Stack, Table, Workload};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::applied::{self, Applies};

/// Notifications of a service at most.
const NOTIFICATIONS_MAX: u64 = 4;
/// The two services. They choose the same idempotency keys, and know nothing of each other.
const SERVICES: [&str; 2] = ["AROAORDERS", "AROASHOP"];
/// How often a request is sent that gets no answer.
const TRIES_MAX: u32 = 12;
/// How often a service reads what became of a notification.
const READS_MAX: u64 = 5;
/// What the run keeps of violations that a caller saw, as items of this table.
const SEEN: &str = "seen";

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

impl Workload for Http {
    const REDRIVES: bool = true;

    fn tables(&self) -> Vec<Table> {
        vec![applied::table(), Table::new(SEEN, &["what"])]
    }

    fn routes(&self) -> Routes {
        let routes = json!({ "note.taken": { "kind": "event", "destinations": ["journal", "mirror"] } });
        routes.to_string().parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        for name in ["journal", "mirror"] {
            stack.serve(name, Applies { name, time: stack.time() });
        }
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let sent = RefCell::default();
        tokio::join!(service(stack, 0, &sent), service(stack, 1, &sent));
        sent.into_inner()
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        let seen = stack.items(SEEN);
        let seen = seen.iter().map(|item| text(item, "what").to_owned());
        applied::violations(stack, &["journal", "mirror"]).into_iter().chain(seen).collect()
    }
}

/// What one service does: hands over, repeats, and reads.
async fn service(stack: &Stack, of: u64, sent: &RefCell<Vec<SentMessage>>) {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, 100 * (of + 1) + at);
    let count = 1 + draw(NOTIFICATIONS_MAX, 0, 0);
    for at in 0..count {
        sleep(Duration::from_millis(draw(4_000, 1, at))).await;
        if !stack.sends((of * NOTIFICATIONS_MAX + at) as usize) {
            continue;
        }
        let note = Note { service: SERVICES[of as usize], of, at, keyed: draw(2, 2, at) == 0 };
        let luck = ["good", "good", "soon", "never"][draw(4, 3, at) as usize];
        let Some(taken) = hand_over(stack, &note, luck, draw(3, 4, at) == 0).await else { continue };
        sent.borrow_mut().push(note.sent(&taken, luck));
        if draw(2, 5, at) == 0 {
            contradict(stack, &note).await;
        }
        read(stack, &note, &taken, draw(READS_MAX, 6, at), draw(2, 7, at) == 0).await;
    }
}

/// A notification that a service hands over.
struct Note {
    service: &'static str,
    of: u64,
    at: u64,
    /// It is named by an idempotency key, which the other service uses, too.
    keyed: bool,
}

/// What a service knows of it: the token and the version that it has seen.
#[derive(Clone)]
struct Taken {
    key: NotificationKey,
    etag: String,
    accepted_at: String,
    version: u64,
}

impl Note {
    fn request(&self, luck: &str, waits: bool) -> Request {
        let id = (!self.keyed).then(|| format!("note-{}-{}", self.of, self.at));
        let event = json!({
            "specversion": "1.0", "id": id, "type": "note.taken", "source": "notes", "data": self.data(luck),
        });
        let media = ("content-type", "application/cloudevents+json".to_owned());
        let key = self.keyed.then(|| ("idempotency-key", format!("note-{}", self.at)));
        let waits = waits.then(|| ("prefer", "wait=5".to_owned()));
        Request {
            caller: self.service,
            method: "POST",
            path: "/notifications".into(),
            headers: [Some(media), key, waits].into_iter().flatten().collect(),
            body: event.to_string(),
        }
    }

    fn data(&self, luck: &str) -> Value {
        json!({ "luck": luck, "of": self.of })
    }

    fn sent(&self, taken: &Taken, luck: &str) -> SentMessage {
        let (key, data) = (taken.key.clone(), self.data(luck));
        // As it is on the record.
        let message = json!({
            "specversion": "1.0", "id": key.id, "type": "note.taken", "kind": "event", "source": key.source, "data": data,
        });
        let message = message.to_string();
        SentMessage { key, data, message, sender: self.service, malformed: false, feasible: luck == "good" }
    }
}

/// Hands over until there is an answer. What was answered is in custody, as it was sent.
async fn hand_over(stack: &Stack, note: &Note, luck: &str, waits: bool) -> Option<Taken> {
    let request = note.request(luck, waits);
    let answer = patiently(stack, &request).await?;
    if !matches!(answer.status_code, 200 | 202) {
        seen(stack, &format!("{} is refused with {}", request.body, answer.status_code));
        return None;
    }
    let taken = taken(&answer);
    let records = stack.records();
    let record = records.iter().find(|record| handover_sim::item::key(record) == taken.key);
    let is_stored = record.is_some_and(|record| {
        let data: Value = serde_json::from_str(text(record, "data")).expect("JSON");
        data == note.data(luck) && text(record, "sender") == note.service
    });
    if !is_stored {
        seen(stack, &format!("G1: {} is answered {}, and is not in custody", taken.key, answer.status_code));
    }
    Some(taken)
}

/// Other content under the id, or the key, is refused.
async fn contradict(stack: &Stack, note: &Note) {
    let Some(answer) = patiently(stack, &note.request("other", false)).await else { return };
    let expected = if note.keyed { 422 } else { 409 };
    if answer.status_code != expected {
        seen(stack, &format!("G2: other content of note {} is answered {}", note.at, answer.status_code));
    }
}

/// G10: what is read with a token is newer than what the token is of, or is not shown.
async fn read(stack: &Stack, note: &Note, taken: &Taken, times: u64, waits: bool) {
    let (mut known, mut missed) = (taken.clone(), 0);
    for _ in 0..times {
        sleep(Duration::from_millis(300)).await;
        let with_token = ("if-none-match", known.etag.clone());
        let waits = waits.then(|| ("prefer", "wait=10".to_owned()));
        let request = Request {
            caller: note.service,
            method: "GET",
            path: format!("/notifications/{}?source={}", known.key.id, known.key.source),
            headers: [Some(with_token), waits].into_iter().flatten().collect(),
            body: String::new(),
        };
        let Some(answer) = patiently(stack, &request).await else { continue };
        // A table may have no record for a moment; not twice in a row.
        missed = if matches!(answer.status_code, 404 | 410) { missed + 1 } else { 0 };
        match answer.status_code {
            304 => (),
            404 | 410 if missed == 1 => (),
            200 => {
                let now = self::taken(&answer);
                let is_newer = (&now.accepted_at, now.version) > (&known.accepted_at, known.version);
                if !is_newer {
                    let (shown, had) = (now.version, known.version);
                    seen(
                        stack,
                        &format!("G10: {} is shown in version {shown} to who has seen {had}", now.key),
                    );
                }
                known = now;
            }
            status => seen(stack, &format!("{} is in custody, and a read is answered {status}", known.key)),
        }
    }
}

/// The answer to a request, which is sent again as long as there is none.
async fn patiently(stack: &Stack, request: &Request) -> Option<Response> {
    for tries in 1..=TRIES_MAX {
        match stack.request(request).await {
            Some(answer) if answer.status_code < 500 => return Some(answer),
            _ => sleep(Duration::from_millis(u64::from(tries) * 500)).await,
        }
    }
    None
}

fn taken(answer: &Response) -> Taken {
    let shown: Value = serde_json::from_str(&answer.body).expect("JSON");
    let of = |name: &str| shown[name].as_str().expect("a text").to_owned();
    Taken {
        key: NotificationKey::new(of("id"), of("source")),
        etag: answer.headers["etag"].clone(),
        accepted_at: of("accepted_at"),
        version: shown["version"].as_u64().expect("a number"),
    }
}

/// Keeps a violation that a caller saw.
fn seen(stack: &Stack, what: &str) {
    stack.put(SEEN, &json!({ "what": { "S": what } }));
}
