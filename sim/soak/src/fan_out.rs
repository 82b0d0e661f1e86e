//! Fan-out: an event goes to several destinations, each with its own attempts. Two hand it over to queues,
//! and share a function; a third one fails for good or for a while, and holds up neither.

use std::collections::BTreeMap;
use std::time::Duration;

use handover::{Destination, Effect, Failure, Notification, NotificationKey, Routes, ToQueue};
use handover_sim::item::{data, destinations, key, state};
use handover_sim::{PRODUCER, SentMessage, Stack, Table, Time, Workload};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Notifications of a run at most.
const NOTIFICATIONS_MAX: u64 = 3;
/// After this time the third destination fails no more for a while.
const WELL_AFTER: Duration = Duration::from_secs(20);
/// How long some of its failures ask to wait, in seconds.
const ASKS_SECONDS: u64 = 4;
/// The destinations that hand over, each to a queue of its name.
const QUEUES: [&str; 2] = ["books", "mail"];

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct FanOut;

impl Workload for FanOut {
    const REDRIVES: bool = false;
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tables(&self) -> Vec<Table> {
        vec![]
    }

    fn routes(&self) -> Routes {
        let routes = json!({
            "parcel": { "kind": "channel", "destinations": ["books", "mail", "stock"] },
            "parcel.sent": { "kind": "event", "channel": "parcel" },
        });
        routes.to_string().parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        let queues = QUEUES.map(|name| {
            let url = stack.create_queue(&queue(name));
            stack.external(name, ToQueue::new(stack.sqs().clone(), url))
        });
        stack.serve_together(queues.into());
        stack.serve("stock", Stock { time: stack.time() });
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
        let count = 1 + draw(NOTIFICATIONS_MAX, 0, 0);
        let mut sent = Vec::new();
        for at in (0..count).filter(|at| stack.sends(*at as usize)) {
            sleep(Duration::from_millis(draw(2_000, 1, at))).await;
            let luck = ["good", "soon", "never"][draw(3, 2, at) as usize];
            // Some have what SQS does not take as it is.
            let odd = if draw(3, 3, at) == 0 { "\u{ffff}" } else { "" };
            let message = message(at, luck, odd);
            for _ in 0..1 + draw(4, 4, at) / 3 {
                stack.send(&message.message);
            }
            sent.push(message);
        }
        sent
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        QUEUES.into_iter().flat_map(|name| handed_over(stack, name)).collect()
    }
}

/// The name of a destination's queue.
fn queue(destination: &str) -> String {
    format!("elsewhere-{destination}")
}

fn message(at: u64, luck: &str, odd: &str) -> SentMessage {
    let id = format!("parcel-{at}");
    let data = json!({ "luck": luck, "odd": odd });
    let event = json!({
        "specversion": "1.0", "id": id, "type": "parcel.sent", "kind": "event", "source": "shop",
        "partitionkey": format!("parcel/{at}"), "data": data,
    });
    let event = event.to_string().replace('\u{ffff}', "\\uffff");
    let key = NotificationKey::new(id, "shop");
    SentMessage { key, data, message: event, sender: PRODUCER, malformed: false, feasible: false }
}

/// G3, G6: what is done at a destination is in its queue, as it was sent; and nothing else is there.
fn handed_over(stack: &Stack, name: &str) -> Vec<String> {
    let url = format!("https://sqs/{}", queue(name));
    let mut messages: BTreeMap<NotificationKey, Value> = BTreeMap::new();
    for message in stack.messages(&url) {
        let event: Value = serde_json::from_str(&message).expect("an event");
        let attribute = |name: &str| event[name].as_str().expect("a string");
        messages.insert(NotificationKey::new(attribute("id"), attribute("source")), event);
    }
    let mut found = Vec::new();
    for record in stack.records() {
        let key = key(&record);
        let is_done = destinations(&record).get(name).is_some_and(|delivery| state(delivery) == "done");
        match messages.remove(&key) {
            None if is_done => found.push(format!("G3: {key} is done at {name}, and not in its queue")),
            Some(event) if event["data"] != data(&record) => {
                found.push(format!("G2: {key} is in the queue of {name} with other data"));
            }
            _ => (),
        }
    }
    found.extend(
        messages.into_keys().map(|key| format!("G1: {key} is in the queue of {name}, and has no record")),
    );
    found
}

/// Fails, for a while or for good. Some of its failures ask to wait.
struct Stock {
    time: Time,
}

impl Destination for Stock {
    type Data = Value;

    async fn apply(&self, parcel: &Notification<Value>) -> Result<Effect, Failure> {
        let is_well = self.time.elapsed_ms() >= WELL_AFTER.as_millis() as u64;
        match parcel.data["luck"].as_str() {
            Some("soon") if !is_well => {
                let asks =
                    Duration::from_secs(if parcel.id.ends_with(['0', '2', '4']) { ASKS_SECONDS } else { 0 });
                Err(Failure::transient("not yet").retry_after(asks))
            }
            Some("never") => Err(Failure::transient("not at all")),
            _ => Ok(Effect::new()),
        }
    }
}
