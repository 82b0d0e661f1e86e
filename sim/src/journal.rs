//! A schedule of numbered notifications: of entries in the books of a journal, and of payments, which come
//! in any order, with gaps that are filled late and numbers that are used twice. Each is to be applied in
//! its turn, and none may be held for good.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover::dynamodb::types::{AttributeValue, Put};
use handover::{Destination, Draft, Effect, Failure, Notification, Routes};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::aws::NOTIFICATIONS;
use crate::draw::below;
use crate::dynamodb::Table;
use crate::fault::Purpose;
use crate::rules::{Sent, destinations, number, state, text};
use crate::schedule::{FAULTS_MS, Schedule};
use crate::shop;
use crate::till::{self, PROVIDERS};
use crate::time::Time;
use crate::world::{KEEP, World};

/// Notifications of a run at most, in two books.
const NOTIFICATIONS_MAX: u64 = 6;
/// When what went wrong by itself goes well, soon or late.
const WELL_AFTER: Duration = Duration::from_secs(25);
const SOON: Duration = Duration::from_secs(3);

const LINES: &str = "lines";

/// The journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journal;

impl Schedule for Journal {
    const REDRIVES: bool = true;
    // A function may live on when its lease has ended.
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tables(&self) -> Vec<Table> {
        vec![Table::new(LINES, &["id"])]
    }

    fn routes(&self) -> Routes {
        let routes = r#"{
            "line.told": { "kind": "event", "destinations": ["journal", "audit"], "sequenced": ["journal"] },
            "line.asked": { "kind": "command", "destinations": ["journal"], "sequenced": ["journal"] },
            "line.written": { "kind": "event", "destinations": ["audit"] },
            "card.payment": { "kind": "command", "destinations": ["card"], "sequenced": ["card"] }
        }"#;
        routes.parse().expect("routes")
    }

    fn serve(&self, world: &World) {
        world.serve("journal", Lines { time: world.aws.time() });
        world.serve("audit", Audit);
        till::pay_at(world, PROVIDERS[0]);
    }

    async fn drive(&self, world: &World) -> Vec<Sent> {
        let draw = |end, what: u64, at: u64| below(end, world.aws.seed(), &[Purpose::Send as u64, what, at]);
        let producer = async {
            let mut sends = sends(&draw);
            sends.sort_by_key(|(at_ms, _)| *at_ms);
            let mut sent = Vec::new();
            let mut now_ms = 0;
            for (at, (at_ms, message)) in sends.into_iter().enumerate() {
                sleep(Duration::from_millis(at_ms - now_ms)).await;
                now_ms = at_ms;
                if world.sends(at) {
                    world.send(&message.message);
                    sent.push(message);
                }
            }
            sent
        };
        let people = async {
            // In half of the runs nobody is there before faults have stopped.
            for nth in (0..).take_while(|_| draw(2, 12, 0) == 0) {
                sleep(Duration::from_millis(1_000 + draw(12_000, 9, nth))).await;
                if world.aws.time().elapsed_ms() >= FAULTS_MS {
                    return;
                }
                match draw(3, 13, nth) {
                    0 => close_one(world, nth).await,
                    _ => shop::look_after(world, nth).await,
                }
            }
        };
        tokio::join!(producer, people).0
    }

    fn broken(&self, world: &World, _: &[Sent]) -> Vec<String> {
        let mut found = till::paid_once(world);
        let records = world.aws.dynamodb().items(NOTIFICATIONS);
        lines_are_written_once(world, &records, &mut found);
        if !world.aws.state().history.may_have_lost() {
            no_key_is_held(&records, &mut found);
        }
        found
    }
}

/// What this seed's producer sends, and when.
fn sends(draw: &dyn Fn(u64, u64, u64) -> u64) -> Vec<(u64, Sent)> {
    let mut sends = Vec::new();
    let mut last = BTreeMap::new();
    let count = 2 + draw(NOTIFICATIONS_MAX - 1, 0, 0).min(draw(NOTIFICATIONS_MAX - 1, 0, 1));
    // In a run of two they come nearly at once, and in one of three some pay.
    let within_ms = [3_000, 300][draw(2, 10, 0) as usize];
    let pays = draw(3, 11, 0) == 0;
    for at in 0..count {
        let book = if pays && draw(4, 1, at) > 0 { "card" } else { "journal" };
        let book = format!("{book} {}", draw(4, 2, at) / 3);
        let last = last.entry(book.clone()).or_insert(0);
        // Now and then a number is used twice; who paid under it first may be the other one.
        let is_used_again = *last > 0 && !book.starts_with("card") && draw(6, 3, at) == 0;
        *last += u64::from(!is_used_again);
        // They come in any order, and some late.
        let late_ms = if draw(6, 4, at) == 0 { 20_000 } else { 0 };
        let at_ms = draw(within_ms, 5, at) + late_ms;
        let luck =
            ["good", "good", "soon", "mark", "late", "never", "reject", "panic"][draw(8, 6, at) as usize];
        let message = message(at, &book, *last, luck);
        for again in 0..1 + draw(4, 7, at) / 3 {
            sends.push((at_ms + again * draw(5_000, 8, at), message.clone()));
        }
    }
    sends
}

fn message(at: u64, book: &str, sequence: u64, luck: &str) -> Sent {
    let (r#type, kind) = match (book, luck) {
        (book, _) if book.starts_with("card") => ("card.payment", "command"),
        (_, "reject") => ("line.asked", "command"),
        _ => ("line.told", "event"),
    };
    let id = format!("line-{at}");
    let data = match r#type {
        "card.payment" => json!({ "account": "account-0", "amount": 1 + at }),
        _ => json!({ "luck": luck }),
    };
    let event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": kind, "source": "shop", "data": data,
        "partitionkey": book, "sequence": sequence,
    });
    Sent { id, data, message: event.to_string(), malformed: false, feasible: false }
}

/// A person closes what has not ended, whether its turn has come or not.
async fn close_one(world: &World, nth: u64) {
    world.aws.state().history.tended = true;
    let open = world.open_ids();
    let draw = |end| below(end, world.aws.seed(), &[Purpose::Person as u64, 3, nth]);
    let Some(id) = open.get(draw(open.len().max(1) as u64) as usize).cloned() else { return };
    let records = world.aws.dynamodb().items(NOTIFICATIONS);
    let record = records.iter().find(|it| text(it, "id") == id).expect("it is open");
    let Some(name) = destinations(record).into_keys().find(|it| *it != "audit").map(str::to_owned) else {
        return;
    };
    let said = format!("closes {id}");
    let closed = world.close(&id, &name, KEEP).await;
    world.aws.note("person", &format!("{said}: {closed:?}"));
}

/// Writes lines; some only later.
struct Lines {
    time: Time,
}

#[derive(Deserialize)]
struct Line {
    luck: String,
}

impl Destination for Lines {
    type Data = Line;

    async fn apply(&self, line: &Notification<Line>) -> Result<Effect, Failure> {
        let is_after = |it: Duration| self.time.elapsed_ms() >= it.as_millis() as u64;
        let well = is_after(WELL_AFTER);
        match line.data.luck.as_str() {
            "soon" if !is_after(SOON) => return Err(Failure::passing("not yet")),
            "late" if !well => return Err(Failure::passing("not yet")),
            "never" if !well => return Err(Failure::permanent("not so")),
            // A panic that is not printed.
            "panic" if !well => std::panic::resume_unwind(Box::new("what a handler does")),
            "mark" => return Ok(Effect::new()),
            "reject" => return Ok(Effect::reject("no")),
            _ => (),
        }
        let id = AttributeValue::S(line.id.clone());
        let put = Put::builder().table_name(LINES).item("id", id).build()?;
        let written = Draft::event("line.written", "shop", &json!({ "line": line.id }));
        Ok(Effect::new().write(put).emit("written", written))
    }
}

/// Hears of everything, in any order.
struct Audit;

impl Destination for Audit {
    type Data = Value;

    async fn apply(&self, _: &Notification<Value>) -> Result<Effect, Failure> {
        Ok(Effect::new())
    }
}

/// G4: a line for each notification that is done and writes one, and none else.
fn lines_are_written_once(world: &World, records: &[Value], found: &mut Vec<String>) {
    let writes = |record: &&Value| {
        let data: Value = serde_json::from_str(text(record, "data")).unwrap_or_default();
        let done = destinations(record).get("journal").is_some_and(|it| state(it) == "done");
        done && data["luck"] != "mark"
    };
    let done: BTreeSet<&str> = records.iter().filter(writes).map(|it| text(it, "id")).collect();
    let lines = world.aws.dynamodb().items(LINES);
    let lines: BTreeSet<&str> = lines.iter().map(|it| text(it, "id")).collect();
    if lines != done {
        found.push(format!("G4: done are {done:?}, written {lines:?}"));
    }
}

/// G8: where what was dead was redriven, each key has gone on as far as it is whole. A payment may need a
/// person once more.
fn no_key_is_held(records: &[Value], found: &mut Vec<String>) {
    let mut ended: BTreeMap<&str, BTreeMap<i64, bool>> = BTreeMap::new();
    for record in records {
        if let Some(delivery) = destinations(record).get("journal") {
            let numbers = ended.entry(text(record, "partitionkey")).or_default();
            let has_ended = matches!(state(delivery), "done" | "rejected" | "closed");
            *numbers.entry(number(record, "sequence")).or_default() |= has_ended;
        }
    }
    for (key, numbers) in ended {
        let mut whole = (1..).map_while(|at| Some((at, *numbers.get(&at)?)));
        if let Some((at, _)) = whole.find(|(_, ended)| !ended) {
            found.push(format!("G8: {key} is held at {at}"));
        }
    }
}
