//! Custody between stacks: what one hands over to the other by its upstream queue is stored there, or refused, or
//! dead-lettered; with either down for a day.

use std::collections::BTreeMap;
use std::time::Duration;

use handover::{Destination, Draft, Effect, Failure, Notification, NotificationKey, Routes, ToQueue};
use handover_sim::item::{data, destinations, key, state, text};
use handover_sim::{Down, PRODUCER, SentMessage, Stack, Table, Workload};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Notifications of a run at most.
const NOTIFICATIONS_MAX: u64 = 3;
/// The service that owns what is forwarded.
const SOURCE: &str = "activity";
/// The unique id of the role of a function, which forwards.
const FUNCTION: &str = "AROAFUNCTION";
/// After this time somebody takes ids at the other stack.
const FORGED_AFTER: Duration = Duration::from_secs(10);
/// The data of whoever is not the other stack.
const FORGED: &str = "forged";

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward;

impl Workload for Forward {
    const REDRIVES: bool = false;
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tables(&self) -> Vec<Table> {
        vec![Stack::table_elsewhere()]
    }

    fn routes(&self) -> Routes {
        let routes = json!({
            "steps.counted": { "kind": "event", "destinations": ["coins", "forward"] },
            "coins.earned": { "kind": "event", "destinations": ["forward"] },
            "shoes.bought": { "kind": "event", "destinations": ["forward"] },
        });
        routes.to_string().parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        // A day is a long run.
        let down = match stack.draw_for_message(8, 0, 0) {
            0 => Down::Queue,
            1 | 2 => Down::Accept,
            3 => Down::Here { from_ms: stack.draw_for_message(2_500, 6, 0) },
            _ => Down::Nothing,
        };
        let url = stack.serve_elsewhere(routes_elsewhere(), down);
        stack.serve_external("forward", ToQueue::new(stack.sqs().clone(), url));
        stack.serve("coins", Coins);
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
        let count = 1 + draw(NOTIFICATIONS_MAX, 1, 0);
        let mut sent = Vec::new();
        for at in (0..count).filter(|at| stack.sends(*at as usize)) {
            sleep(Duration::from_millis(draw(2_000, 2, at))).await;
            let r#type = if draw(4, 3, at) == 0 { "shoes.bought" } else { "steps.counted" };
            let message = message(at, r#type, draw(3, 5, at) == 0);
            for _ in 0..1 + draw(4, 4, at) / 3 {
                stack.send(&message.message);
            }
            sent.push(message);
        }
        sleep(FORGED_AFTER).await;
        forge(stack);
        sent
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        custody(stack)
    }
}

/// The other stack does not know shoes. Its own producer may send what this source says, but not for another one.
fn routes_elsewhere() -> Routes {
    let route = json!({
        "kind": "event", "destinations": ["missions"], "sources": [SOURCE], "senders": { SOURCE: [PRODUCER] },
        "forwarders": { SOURCE: [FUNCTION] },
    });
    json!({ "steps.counted": route, "coins.earned": route }).to_string().parse().expect("routes")
}

/// Some say a cause, which a sender is not believed.
fn message(at: u64, r#type: &str, says_cause: bool) -> SentMessage {
    let id = format!("walk-{at}");
    let data = json!({ "steps": 1_000 });
    let mut event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": "event", "source": SOURCE, "data": data,
    });
    if says_cause {
        event["causationid"] = FORGED.into();
    }
    let key = NotificationKey::new(id, SOURCE);
    SentMessage { key, data, message: event.to_string(), sender: PRODUCER, malformed: false, feasible: false }
}

/// Takes the ids that the coins of walks have, and says a cause, at the other stack: as who may send there and does not
/// forward, and as who may not send. Where the queue is down for the other, it comes first.
fn forge(stack: &Stack) {
    for coins in stack.records().iter().filter(|record| text(record, "type") == "coins.earned") {
        let event = json!({
            "specversion": "1.0", "id": text(coins, "id"), "type": "coins.earned", "kind": "event", "source": SOURCE,
            "causationid": FORGED, "data": FORGED,
        });
        for sender in [PRODUCER, "AROASTRANGER"] {
            stack.send_elsewhere(sender, &event.to_string());
        }
    }
}

/// What became of a notification in the other stack.
#[derive(Default)]
struct Elsewhere {
    record: Option<Value>,
    is_dead_lettered: bool,
}

/// What is done here is stored there, as it was sent, or is among the dead letters there; and nothing else is, but for what
/// may have been sent in a call without an answer.
fn custody(stack: &Stack) -> Vec<String> {
    let mut found = Vec::new();
    let mut elsewhere: BTreeMap<NotificationKey, Elsewhere> = BTreeMap::new();
    for record in stack.records_elsewhere() {
        let (key, is_forged) =
            (key(&record), data(&record) == FORGED || text(&record, "causationid") == FORGED);
        if is_forged {
            found.push(format!("G2: {key} elsewhere is forged"));
        }
        elsewhere.entry(key).or_default().record = Some(record);
    }
    for (letter, reason) in stack.dead_letters_elsewhere() {
        let event: Value = serde_json::from_str(&letter).expect("an event");
        let attribute = |name: &str| event[name].as_str().expect("a string");
        let key = NotificationKey::new(attribute("id"), attribute("source"));
        if event["data"] != FORGED {
            if reason.starts_with("reserved-id") {
                found.push(format!("G12: {key} is an emit, and was not taken elsewhere from who forwards"));
            }
            elsewhere.entry(key).or_default().is_dead_lettered = true;
        }
    }
    for record in stack.records() {
        let (key, delivery) = (key(&record), destinations(&record)["forward"]);
        let is_done = state(delivery) == "done";
        let may_be_sent = is_done || delivery["called_at"].is_object();
        match elsewhere.remove(&key) {
            None if is_done => {
                found.push(format!("G3: {key} is forwarded, and neither stored nor refused there"))
            }
            Some(_) if !may_be_sent => found.push(format!("G1: {key} is elsewhere, and was never forwarded")),
            Some(Elsewhere { record: Some(other), .. }) if differs(&record, &other) => {
                found.push(format!("G2, G12: {key} is stored elsewhere with other data or another cause"));
            }
            _ => (),
        }
    }
    found.extend(elsewhere.into_keys().map(|key| format!("G1: {key} is elsewhere, and has no record here")));
    found
}

fn differs(record: &Value, other: &Value) -> bool {
    ["data", "type", "causationid", "correlationid"].iter().any(|name| record[name] != other[name])
}

/// Emits the coins that a walk earns.
struct Coins;

impl Destination for Coins {
    type Data = Value;

    async fn apply(&self, _: &Notification<Value>) -> Result<Effect, Failure> {
        Ok(Effect::new().emit("coins", Draft::event("coins.earned", SOURCE, &json!({ "coins": 10 }))))
    }
}
