//! Destinations that are added to a stack which has run for a while. What came before them, some of it while both sets of
//! routes were in use, is replayed to them: in sequence to one, in any order to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover::dynamodb::types::{AttributeValue, Update};
use handover::pipeline::Envelope;
use handover::{Destination, Effect, Failure, Notification, NotificationKey, Routes};
use handover_sim::item::{destinations, key, number, text};
use handover_sim::{PRODUCER, SentMessage, Stack, Table, Time, Workload};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::applied::{self, Line};
use crate::caller::{self, ENDED};

/// Events of a run at most.
const EVENTS_MAX: u64 = 7;
/// How many times an operator tries, until a replay is known to be done: longer than an outage.
const REPLAYS_MAX: u32 = 60;
/// How long accept may take.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(5);
/// The destinations that were added. The first applies in sequence.
const ADDED: [&str; 2] = ["index", "search"];
/// Those that apply events.
const APPLY: [&str; 4] = ["journal", "index", "search", "audit"];
/// How far each destination has come with each book, as its own handler counts.
const PAGES: &str = "pages";

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replayed;

impl Workload for Replayed {
    const REDRIVES: bool = true;

    fn tables(&self) -> Vec<Table> {
        vec![applied::table(), Table::new(PAGES, &["at", "book"]), caller::table()]
    }

    fn routes(&self) -> Routes {
        routes(&["journal", "index", "search"], &["journal", "index"], &["audit", "search"], &["search"])
    }

    fn earlier_routes(&self) -> Routes {
        earlier_routes()
    }

    fn serve(&self, stack: &Stack) {
        for name in APPLY {
            stack.serve(name, Applies { name, time: stack.time() });
        }
        caller::serve(stack);
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let (sent, ()) = tokio::join!(send_all(stack), operate(stack));
        while stack.records().iter().filter(is_sent).count() < sent.len() {
            sleep(Duration::from_secs(1)).await;
        }
        let since_ms = since_ms(stack);
        for name in ADDED {
            for _ in 0..REPLAYS_MAX {
                if let Some(Ok(true)) = stack.replay(name, since_ms, true).await {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
        sent
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        let mut found = [applied::violations(stack, &APPLY), caller::violations(stack)].concat();
        found.extend(all_is_replayed(&stack.records(), since_ms(stack)));
        found
    }
}

fn routes(book: &[&str], sequenced: &[&str], notes: &[&str], shelf: &[&str]) -> Routes {
    let routes = json!({
        "book": { "kind": "channel", "destinations": book, "sequenced": sequenced },
        "line.told": { "kind": "event", "channel": "book" },
        "note.made": { "kind": "event", "destinations": notes },
        "shelf": { "kind": "channel", "destinations": shelf },
        "shelf.filled": { "kind": "event", "channel": "shelf" },
        ENDED: caller::route(),
    });
    routes.to_string().parse().expect("routes")
}

/// Those before the destinations were added, to some of which they are new in part.
fn earlier_routes() -> Routes {
    routes(&["journal"], &["journal"], &["audit"], &[])
}

/// Sends the events of a run; most of the first of them by an earlier release, which has the earlier routes.
async fn send_all(stack: &Stack) -> Vec<SentMessage> {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    let (mut sent, mut lines) = (Vec::new(), BTreeMap::new());
    let count = 1 + draw(EVENTS_MAX, 0, 0);
    // When the routes change.
    let changed_at = 1 + draw(count, 5, 0);
    for at in 0..count {
        sleep(Duration::from_millis(draw(3_000, 1, at))).await;
        if !stack.sends(at as usize) {
            continue;
        }
        let book = format!("book/{}", draw(4, 6, at) / 3);
        let luck = ["good", "good", "soon", "never"][draw(4, 2, at) as usize];
        let message = match draw(4, 3, at) {
            0 => message(at, "note.made", None, luck),
            1 => message(at, "shelf.filled", Some(("shelf/1", None)), luck),
            _ => {
                let number = lines.entry(book.clone()).or_insert(0);
                *number += 1;
                message(at, "line.told", Some((&book, Some(*number))), luck)
            }
        };
        // Some instances of the earlier release live on for a while.
        if at < changed_at || draw(4, 7, at) == 0 {
            accept_earlier(stack, &message.message).await;
        } else {
            (0..1 + draw(4, 4, at) / 3).for_each(|_| stack.send(&message.message));
        }
        sent.push(message);
    }
    sent
}

/// An event, with its partition key and its number where it has them.
fn message(at: u64, r#type: &str, of: Option<(&str, Option<u64>)>, luck: &str) -> SentMessage {
    let (id, data) = (format!("event-{at}"), json!({ "luck": luck }));
    // What goes nowhere has no outcome.
    let asks = r#type != "shelf.filled" && at.is_multiple_of(2);
    let event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": "event", "source": "shop", "data": data,
        "partitionkey": of.map(|(key, _)| key), "sequence": of.and_then(|(_, number)| number),
        "outcometo": asks.then_some(ENDED),
    });
    let key = NotificationKey::new(id, "shop");
    SentMessage { key, data, message: event.to_string(), sender: PRODUCER, malformed: false, feasible: false }
}

/// Sends an event to an instance of the earlier release until it is accepted.
async fn accept_earlier(stack: &Stack, event: &str) {
    loop {
        let (accept, event) = (stack.accept_by(earlier_routes()), event.to_owned());
        let work = async move { accept.accept(event.as_bytes(), Envelope::default()).await };
        if let Some(Ok(_)) = stack.run_program("earlier", "accept", ACCEPTED_WITHIN, work).await {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Replays while events come, now and then.
async fn operate(stack: &Stack) {
    let draw = |end, what: u64, nth: u64| stack.draw_for_operator(end, what, nth);
    for nth in 0..draw(4, 0, 0) {
        sleep(Duration::from_millis(draw(10_000, 1, nth))).await;
        // Where events are left out in the end, it would begin before them, and then wait for them.
        if !leaves_out(stack) {
            let _ = stack.replay(ADDED[draw(2, 2, nth) as usize], 0, false).await;
        }
    }
}

/// Whether the first events are left out in this run.
fn leaves_out(stack: &Stack) -> bool {
    stack.draw_for_operator(2, 3, 0) == 0
}

/// Since when events are replayed: in some runs the first of them are left out.
fn since_ms(stack: &Stack) -> i64 {
    let mut accepted: Vec<i64> = stack.records().iter().filter(is_sent).map(accepted_at).collect();
    accepted.sort_unstable();
    let first =
        stack.draw_for_operator(EVENTS_MAX, 4, 0).min(accepted.len().saturating_sub(1) as u64) as usize;
    if leaves_out(stack) { accepted.get(first).copied().unwrap_or_default() } else { 0 }
}

fn is_sent(record: &&Value) -> bool {
    text(record, "source") == "shop"
}

fn accepted_at(record: &Value) -> i64 {
    number(record, "accepted_at")
}

/// Writes what it gets. A line comes after the line before it, or is the first.
struct Applies {
    name: &'static str,
    time: Time,
}

impl Destination for Applies {
    type Data = Line;

    async fn apply(&self, line: &Notification<Line>) -> Result<Effect, Failure> {
        line.data.fails(self.time)?;
        let effect = applied::effect(self.name, line);
        match (self.name, line.sequence) {
            ("journal" | "index", Some(sequence)) => {
                let [at, before] = [sequence, sequence - 1].map(|at| AttributeValue::N(at.to_string()));
                let book = line.partitionkey.clone().unwrap_or_default();
                let turn = Update::builder()
                    .table_name(PAGES)
                    .key("at", AttributeValue::S(self.name.into()))
                    .key("book", AttributeValue::S(book))
                    .update_expression("SET page = :at")
                    .condition_expression("attribute_not_exists(page) OR page = :before")
                    .expression_attribute_values(":at", at)
                    .expression_attribute_values(":before", before);
                Ok(effect.write(turn.build()?))
            }
            _ => Ok(effect),
        }
    }
}

/// Every event that was accepted since then goes to the destinations that were added; but a line does not go to the first
/// of them where a number after its own is missing.
fn all_is_replayed(records: &[Value], since_ms: i64) -> Vec<String> {
    let recent = || records.iter().filter(is_sent).filter(|record| accepted_at(record) >= since_ms);
    let is_before_gap = |record: &Value| {
        let later = recent().filter(|other| text(other, "partitionkey") == text(record, "partitionkey"));
        let later =
            later.map(|other| number(other, "sequence")).filter(|at| *at > number(record, "sequence"));
        let later: BTreeSet<i64> = later.collect();
        later.last().is_some_and(|last| last - number(record, "sequence") > later.len() as i64)
    };
    let misses = |record: &&Value| {
        let goes_to = |name: &str| destinations(record).contains_key(name);
        let is_line = text(record, "type") == "line.told";
        !goes_to("search") || (is_line && !goes_to("index") && !is_before_gap(record))
    };
    recent().filter(misses).map(|record| format!("{} is not replayed", key(record))).collect()
}
