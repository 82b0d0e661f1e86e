//! Numbered notifications: events of two books and commands to write in them, and payments. They come in any order, with gaps that are
//! filled late and numbers that are used twice. Each has to be applied in its turn, and none may be held up
//! for good.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover::dynamodb::types::{AttributeValue, Put};
use handover::{Destination, Draft, Effect, Failure, Notification, NotificationKey, Routes};
use handover_sim::item::{self, data, destinations, number, state, text};
use handover_sim::{FAULTS_MS, PRODUCER, SentMessage, Stack, Table, Time, Workload};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::caller::{self, ENDED};
use crate::operator::look_after;
use crate::payments::{CARD, paid_once, serve_endpoint};

/// Notifications of a run at most, in two books.
const NOTIFICATIONS_MAX: u64 = 6;
/// After these times a handler's own failures stop: those that stop soon, and the others.
const SOON_WELL_AFTER: Duration = Duration::from_secs(3);
const WELL_AFTER: Duration = Duration::from_secs(25);
/// How long a handler takes for a line that it failed before.
const APPLIED_AFTER: Duration = Duration::from_secs(2);

const LINES: &str = "lines";

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ordered;

impl Workload for Ordered {
    const REDRIVES: bool = true;
    // A function may live on when its lease has expired.
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tables(&self) -> Vec<Table> {
        vec![Table::new(LINES, &["line"]), caller::table()]
    }

    fn routes(&self) -> Routes {
        let routes = json!({
            "book": { "kind": "channel", "destinations": ["journal", "audit"], "sequenced": ["journal"] },
            "line.told": { "kind": "event", "channel": "book" },
            "line.noted": { "kind": "event", "channel": "book" },
            "line.asked": { "kind": "command", "destinations": ["journal"], "sequenced": ["journal"] },
            "line.written": { "kind": "event", "destinations": ["audit"] },
            "shelf": { "kind": "channel", "destinations": [] },
            "shelf.filled": { "kind": "event", "channel": "shelf" },
            "card.payment": { "kind": "command", "destinations": ["card"], "sequenced": ["card"] },
            ENDED: caller::route(),
        });
        routes.to_string().parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        stack.serve("journal", Journal { time: stack.time() });
        stack.serve("audit", Audit);
        serve_endpoint(stack, CARD);
        caller::serve(stack);
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        tokio::join!(send_all(stack), operate(stack)).0
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        let mut found = paid_once(stack);
        let records = stack.records();
        lines_are_written_once(stack, &records, &mut found);
        if !stack.may_have_lost() {
            no_key_is_held(&records, &mut found);
        }
        found.extend(caller::violations(stack));
        found
    }
}

async fn send_all(stack: &Stack) -> Vec<SentMessage> {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    let messages = messages(&draw);
    let mut sent = Vec::new();
    let mut now_ms = 0;
    for (at, (at_ms, message)) in messages.into_iter().enumerate() {
        sleep(Duration::from_millis(at_ms - now_ms)).await;
        now_ms = at_ms;
        if stack.sends(at) {
            stack.send(&message.message);
            sent.push(message);
        }
    }
    sent
}

/// The messages of a run, in the order in which they are sent, and when each is.
fn messages(draw: &dyn Fn(u64, u64, u64) -> u64) -> Vec<(u64, SentMessage)> {
    let mut messages = Vec::new();
    let mut last = BTreeMap::new();
    let count = 2 + draw(NOTIFICATIONS_MAX - 1, 0, 0).min(draw(NOTIFICATIONS_MAX - 1, 0, 1));
    // In half of the runs they come nearly at once, and in a third some are payments.
    let within_ms = [6_000, 300][draw(2, 10, 0) as usize];
    let has_payments = draw(3, 11, 0) == 0;
    // In a sixth of the runs the keys are not ASCII.
    let letters = if draw(6, 16, 0) == 0 { "é\u{1d11e}" } else { "" };
    for at in 0..count {
        let book = if has_payments && draw(4, 1, at) > 0 { "card" } else { "book" };
        let book = format!("{book}/{}{letters}", draw(4, 2, at) / 3);
        let last = last.entry(book.clone()).or_insert(0);
        // Now and then a number is used twice; of payments either could be made under it.
        let is_used_again = *last > 0 && !book.starts_with("card") && draw(6, 3, at) == 0;
        *last += u64::from(!is_used_again);
        // They come in any order, and some late.
        let late_ms = if draw(6, 4, at) == 0 { 20_000 } else { 0 };
        let at_ms = draw(within_ms, 5, at) + late_ms;
        let luck =
            ["good", "good", "soon", "mark", "late", "never", "reject", "panic"][draw(8, 6, at) as usize];
        let message = message(at, &book, "shop", *last, luck);
        for again in 0..1 + draw(4, 7, at) / 3 {
            messages.push((at_ms + again * draw(5_000, 8, at), message.clone()));
        }
    }
    messages.sort_by_key(|(at_ms, _)| *at_ms);
    messages.extend(numbered_anew(draw, &messages));
    messages.extend(of_another_shop(draw, count, messages.last().map_or(0, |(at_ms, _)| *at_ms)));
    messages
}

/// Now and then a message is sent again under another number, which is not a repeat.
fn numbered_anew(
    draw: &dyn Fn(u64, u64, u64) -> u64,
    sent: &[(u64, SentMessage)],
) -> Vec<(u64, SentMessage)> {
    let chosen = sent.iter().enumerate().filter(|(at, _)| draw(8, 15, *at as u64) == 0);
    let from_ms = sent.last().map_or(0, |(at_ms, _)| *at_ms);
    let anew = |(_, (_, message)): (usize, &(u64, SentMessage))| {
        let mut event: Value = serde_json::from_str(&message.message).expect("an event");
        event["sequence"] = json!(event["sequence"].as_u64().unwrap_or_default() + 1);
        (from_ms, SentMessage { message: event.to_string(), ..message.clone() })
    };
    chosen.map(anew).collect()
}

/// Another shop uses the same ids and keys for lines of its own.
fn of_another_shop(draw: &dyn Fn(u64, u64, u64) -> u64, count: u64, from_ms: u64) -> Vec<(u64, SentMessage)> {
    let used = (0..count).filter(|at| draw(4, 14, *at) == 0).zip(1..);
    used.map(|(at, sequence)| (from_ms, message(at, "book/0", "market", sequence, "good"))).collect()
}

fn message(at: u64, book: &str, source: &str, sequence: u64, luck: &str) -> SentMessage {
    let (r#type, kind) = match (book, luck) {
        (book, _) if book.starts_with("card") => ("card.payment", "command"),
        (_, "reject") => ("line.asked", "command"),
        (_, "mark") if at % 2 == 1 => ("line.noted", "event"),
        _ => ("line.told", "event"),
    };
    let id = format!("line-{at}");
    let data = match r#type {
        "card.payment" => json!({ "account": "account-0", "amount": 1 + at }),
        "line.noted" => json!({ "luck": "noted" }),
        _ => json!({ "luck": luck }),
    };
    let event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": kind, "source": source, "data": data,
        "partitionkey": book, "sequence": sequence, "outcometo": at.is_multiple_of(2).then_some(ENDED),
    });
    let key = NotificationKey::new(id, source);
    SentMessage { key, data, message: event.to_string(), sender: PRODUCER, malformed: false, feasible: false }
}

/// In half of the runs no operator acts before faults have stopped.
async fn operate(stack: &Stack) {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    for nth in (0..).take_while(|_| draw(2, 12, 0) == 0) {
        sleep(Duration::from_millis(1_000 + draw(12_000, 9, nth))).await;
        if stack.time().elapsed_ms() >= FAULTS_MS {
            return;
        }
        match draw(3, 13, nth) {
            0 => close_one(stack, nth).await,
            _ => look_after(stack, nth).await,
        }
    }
}

/// Closes a notification that is not completed, whether its turn has come or not.
async fn close_one(stack: &Stack, nth: u64) {
    stack.begin_operation();
    let open = stack.open();
    let chosen = stack.draw_for_operator(open.len().max(1) as u64, 3, nth);
    let Some(key) = open.get(chosen as usize) else { return };
    let records = stack.records();
    let record = records.iter().find(|record| item::key(record) == *key).expect("it is open");
    let Some(name) = destinations(record).into_keys().find(|name| *name != "audit") else { return };
    let closed = stack.close(key, name).await;
    stack.note("operator", &format!("closes {key}: {closed:?}"));
}

/// Writes lines; some only later, and slowly.
struct Journal {
    time: Time,
}

#[derive(Deserialize)]
struct Line {
    luck: String,
}

impl Destination for Journal {
    type Data = Line;

    fn takes(&self, r#type: &str) -> bool {
        r#type != "line.noted"
    }

    async fn apply(&self, line: &Notification<Line>) -> Result<Effect, Failure> {
        let is_after = |time: Duration| self.time.elapsed_ms() >= time.as_millis() as u64;
        let is_well = is_after(WELL_AFTER);
        match line.data.luck.as_str() {
            "soon" if !is_after(SOON_WELL_AFTER) => return Err(Failure::transient("not yet")),
            "late" if !is_well => return Err(Failure::transient("not yet")),
            "never" if !is_well => return Err(Failure::permanent("not so")),
            // A panic that is not printed.
            "panic" if !is_well => std::panic::resume_unwind(Box::new("what a handler does")),
            "mark" => return Ok(Effect::new()),
            "reject" => return Ok(Effect::reject("no")),
            "good" => (),
            // Long enough for others of its key to come, or to be closed, while it is applied.
            _ => sleep(APPLIED_AFTER).await,
        }
        let key = line.key().to_string();
        let written = Draft::event("line.written", "shop", &json!({ "line": key }));
        let put = Put::builder().table_name(LINES).item("line", AttributeValue::S(key)).build()?;
        let filled = Draft::event("shelf.filled", "shop", &json!({})).partitionkey("shelf/1");
        Ok(Effect::new().write(put).emit("written", written).emit("filled", filled))
    }
}

/// Takes everything, in any order.
struct Audit;

impl Destination for Audit {
    type Data = Value;

    async fn apply(&self, _: &Notification<Value>) -> Result<Effect, Failure> {
        Ok(Effect::new())
    }
}

/// G4: each notification that is done and writes a line has written it, and no other has.
fn lines_are_written_once(stack: &Stack, records: &[Value], found: &mut Vec<String>) {
    let writes = |record: &&Value| {
        let all = destinations(record);
        let is_done = all.get("journal").is_some_and(|delivery| state(delivery) == "done");
        is_done && !["mark", "noted"].map(Value::from).contains(&data(record)["luck"])
    };
    let done: BTreeSet<String> =
        records.iter().filter(writes).map(|record| item::key(record).to_string()).collect();
    let lines = stack.items(LINES);
    let lines: BTreeSet<String> = lines.iter().map(|line| text(line, "line").to_owned()).collect();
    if lines != done {
        found.push(format!("G4: done are {done:?}, written {lines:?}"));
    }
}

/// G8: where everything dead was redriven, each key is completed up to its first gap. A payment may need an
/// operator once more.
fn no_key_is_held(records: &[Value], found: &mut Vec<String>) {
    let mut completed: BTreeMap<(&str, &str), BTreeMap<i64, bool>> = BTreeMap::new();
    for record in records {
        if let Some(delivery) = destinations(record).get("journal") {
            let numbers =
                completed.entry((text(record, "source"), text(record, "partitionkey"))).or_default();
            let is_completed = matches!(state(delivery), "done" | "rejected" | "closed");
            *numbers.entry(number(record, "sequence")).or_default() |= is_completed;
        }
    }
    for ((source, key), numbers) in completed {
        let mut without_gap = (1..).map_while(|at| Some((at, *numbers.get(&at)?)));
        if let Some((at, _)) = without_gap.find(|(_, is_completed)| !is_completed) {
            found.push(format!("G8: {key} of {source} is held at {at}"));
        }
    }
}
