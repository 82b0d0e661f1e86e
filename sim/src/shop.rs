//! The schedule of the project itself: a shop that refunds, sells and takes notes, so that every way
//! through the library is taken, and money that shows what was applied.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use handover::accept::Outcome;
use handover::dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use handover::{Destination, Draft, Effect, Failure, Notification, Routes};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::aws::NOTIFICATIONS;
use crate::draw::below;
use crate::dynamodb::Table;
use crate::fault::Purpose;
use crate::refunds::Refunds;
use crate::rules::{Sent, destinations, number, state, text};
use crate::schedule::{FAULTS_MS, Schedule};
use crate::sqs::Message as Letter;
use crate::time::Time;
use crate::world::{KEEP, World, dead_letters, retry};

/// Notifications of a run at most: many small runs find more than few large ones.
const NOTIFICATIONS_MAX: u64 = 5;
/// When what went wrong by itself goes well.
const WELL_AFTER: Duration = Duration::from_secs(25);
/// Books at the beginning.
const STOCK: u32 = 2;

const ACCOUNTS: &str = "accounts";
const ENTRIES: &str = "entries";
const ITEMS: &str = "items";
const SALES: &str = "sales";

/// The shop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shop;

impl Schedule for Shop {
    // Its people redrive while faults strike.
    const REDRIVES: bool = false;

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::new(ACCOUNTS, &["account"]),
            Table::new(ENTRIES, &["account", "id"]),
            Table::new(ITEMS, &["item"]),
            Table::new(SALES, &["id"]),
        ]
    }

    fn routes(&self) -> Routes {
        let routes = r#"{
            "refund.requested": { "kind": "command", "destinations": ["refund"] },
            "order.placed": { "kind": "command", "destinations": ["order"] },
            "order.accepted": { "kind": "event", "destinations": ["audit", "mail"] },
            "order.rejected": { "kind": "event", "destinations": ["audit"] },
            "account.noted": { "kind": "event", "destinations": ["audit", "mail", "search"] }
        }"#;
        routes.parse().expect("routes")
    }

    fn serve(&self, world: &World) {
        let time = world.aws.time();
        world.serve("refund", Refunds { accounts: ACCOUNTS.into(), entries: ENTRIES.into() });
        world.serve("order", Orders { dynamodb: world.dynamodb.clone(), time });
        world.serve("audit", Audit);
        world.serve("mail", Notes { time });
        world.serve("search", Notes { time });
        open(world, "account-0");
        let item =
            |item: &str, count: u32| json!({ "item": { "S": item }, "count": { "N": count.to_string() } });
        world.aws.dynamodb().put(ITEMS, &item("book", STOCK));
        world.aws.dynamodb().put(ITEMS, &item("unicorn", 0));
    }

    async fn drive(&self, world: &World) -> Vec<Sent> {
        let draw = |end, what: u64, at: u64| below(end, world.aws.seed(), &[Purpose::Send as u64, what, at]);
        let producer = async {
            let mut sent = Vec::new();
            let messages = messages(&draw).into_iter().enumerate();
            for (at, message) in messages.filter(|(at, _)| world.sends(*at)) {
                sleep(Duration::from_millis(draw(2_000, 7, at as u64))).await;
                match message {
                    Message::Upstream(message) => {
                        world.send(&message.message);
                        sent.push(message);
                    }
                    Message::Outbox(id, data) => sell(world, id, data).await,
                }
            }
            sleep(Duration::from_millis(draw(20_000, 8, 0))).await;
            open(world, "account-1");
            sent
        };
        let people = async {
            // In half of the runs nobody is there; what people do may mend what was lost.
            for nth in (0..).take_while(|_| draw(2, 12, 0) == 0) {
                // Every other time a letter that comes calls somebody.
                let alarmed = draw(2, 11, nth) == 0;
                tokio::select! {
                    biased;
                    () = letter_comes(world), if alarmed => (),
                    () = sleep(Duration::from_millis(1_000 + draw(12_000, 9, nth))) => (),
                }
                if world.aws.time().elapsed_ms() >= FAULTS_MS {
                    return;
                }
                look_after(world, nth).await;
            }
        };
        tokio::join!(producer, people).0
    }

    fn broken(&self, world: &World, sent: &[Sent]) -> Vec<String> {
        let mut found = Vec::new();
        let records = world.aws.dynamodb().items(NOTIFICATIONS);
        refunds_are_entered_once(world, &records, sent, &mut found);
        orders_are_taken_once(world, &records, &mut found);
        sales_commit_with_their_refund(world, &records, &mut found);
        found
    }
}

fn open(world: &World, account: &str) {
    world.aws.note("somebody", &format!("opens {account}"));
    let item = json!({ "account": { "S": account }, "balance": { "N": "0" } });
    world.aws.dynamodb().put(ACCOUNTS, &item);
}

// What is sent.

enum Message {
    Upstream(Sent),
    /// An id, and the data of a refund, that a producer commits with a write of its own.
    Outbox(String, Value),
}

/// What this seed's producer sends.
fn messages(draw: &dyn Fn(u64, u64, u64) -> u64) -> Vec<Message> {
    let mut messages = Vec::new();
    // Most often one or two.
    let count = 1 + draw(NOTIFICATIONS_MAX, 0, 0).min(draw(NOTIFICATIONS_MAX, 0, 1));
    for at in 0..count {
        let amount = 1 + draw(100, 1, at);
        // Account 1 is opened late, account 2 never; no refund is of so much.
        let refund = match draw(6, 2, at) {
            0 => json!({ "account": "account-1", "amount": amount }),
            1 => json!({ "account": "account-2", "amount": amount }),
            2 => json!({ "account": "account-0", "amount": "much" }),
            _ => json!({ "account": "account-0", "amount": amount }),
        };
        let (kind, data) = match draw(8, 3, at) {
            0..2 => ("refund", refund),
            2..4 => {
                // Some notes are taken late, and one that is refused cannot be: it is an event.
                let say = ["hello", "hello", "late", "refuse"][draw(4, 2, at) as usize];
                ("note", json!({ "say": say, "amount": amount }))
            }
            4..6 => {
                let item = ["book", "book", "unicorn"][draw(3, 2, at) as usize];
                let luck = ["good", "good", "panic", "hang"][draw(4, 10, at) as usize];
                ("order", json!({ "item": item, "luck": luck }))
            }
            _ => {
                messages.push(Message::Outbox(format!("sale-{at}"), refund));
                continue;
            }
        };
        let malformed = draw(10, 4, at) == 0;
        messages.push(message(at, kind, data.clone(), malformed));
        if draw(3, 5, at) == 0 {
            // The producer is not sure, and says it again; or says something else under the id.
            let other = json!({ "account": "account-0", "amount": 101, "item": "book", "luck": "good" });
            messages.push(message(at, kind, if draw(2, 6, at) == 0 { data } else { other }, malformed));
        }
    }
    messages
}

fn message(at: u64, name: &str, data: Value, malformed: bool) -> Message {
    let id = format!("{name}-{at}");
    let (r#type, kind) = match name {
        "refund" => ("refund.requested", "command"),
        "order" => ("order.placed", "command"),
        _ => ("account.noted", "event"),
    };
    let event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": kind, "source": "shop", "data": data,
    });
    let mut message = event.to_string();
    if malformed {
        message = message.replace("specversion", "version");
    }
    let feasible = match name {
        "refund" => data["account"] == "account-0" && data["amount"].is_u64(),
        "note" => data["say"] != "late" && data["say"] != "refuse",
        // Its handler calls AWS, and that may fail.
        _ => false,
    };
    Message::Upstream(Sent { id, data, message, malformed, feasible })
}

/// A producer that commits a sale with its refund, and tries until it knows that it did.
async fn sell(world: &World, id: String, data: Value) {
    let draft = Draft::command("refund.requested", "shop", &data);
    let message = world.outbox().accept(draft.with_id(id.clone()).expect("an id")).expect("a refund");
    let sale =
        Put::builder().table_name(SALES).item("id", AttributeValue::S(id)).build().expect("it is whole");
    let sale = TransactWriteItem::builder().put(sale).build();
    let dynamodb = world.dynamodb.clone();
    let work = async move {
        loop {
            let call = dynamodb.transact_write_items().transact_items(sale.clone());
            let Err(error) = call.transact_items(message.action()).send().await else { return };
            let error = error.into_service_error();
            let reasons = match &error {
                TransactWriteItemsError::TransactionCanceledException(it) => it.cancellation_reasons(),
                _ => &[],
            };
            let outcome = reasons.get(1).map(|reason| message.outcome(reason));
            if let Some(Ok(Some(Outcome::Duplicate(_)))) = outcome {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let limit = Duration::from_secs(30);
    world.lambda.run("producer", "outbox", Value::Null, limit, work).await;
}

/// Destinations with dead letters.
fn with_letters(world: &World) -> Vec<String> {
    let state = world.aws.state();
    let has = |it: &String| !state.queues.queues[&dead_letters(it)].messages.is_empty();
    world.destinations().into_iter().filter(has).collect()
}

async fn letter_comes(world: &World) {
    let before = with_letters(world);
    while with_letters(world) == before {
        world.aws.queued().notified().await;
    }
}

/// A person looks at a dead letter, or at a record.
pub async fn look_after(world: &World, nth: u64) {
    world.aws.state().history.tended = true;
    let draw = |end, what: u64| below(end, world.aws.seed(), &[Purpose::Person as u64, what, nth]);
    let mut destinations = with_letters(world);
    if destinations.is_empty() {
        destinations = world.destinations();
    }
    let destination = destinations[draw(destinations.len() as u64, 0) as usize].clone();
    let url = dead_letters(&destination);
    let now_ms = world.aws.time().now_ms();
    let letters = world.aws.state().queues.receive(&url, now_ms, 1, |_| false);
    let letter = letters.into_iter().next();
    let id = letter.as_ref().and_then(Letter::notification_id);
    let (ledger, now) = (world.ledger(), world.clock("person").now());
    match (draw(4, 1), letter, id) {
        // In the console of SQS.
        (0, Some(letter), _) => {
            world.aws.note("person", &format!("moves {} to the retry queue", letter.id));
            world.aws.state().queues.move_to(&url, letter.receipt(), &retry(&destination), now_ms);
            world.aws.queued().notify_waiters();
        }
        (1 | 2, Some(letter), Some(id)) => {
            let redriven = world.redrive(&destination, id, &letter, None).await;
            world.aws.note("person", &format!("redrives {}: {redriven:?}", letter.id));
        }
        (3, Some(_), Some(id)) => {
            let closed = world.close(&id, &destination, KEEP).await;
            world.aws.note("person", &format!("closes: {closed:?}"));
        }
        // A copy more does no harm.
        (what, None, _) if what < 2 => {
            let open = world.open_ids();
            if let Some(id) = open.get(draw(open.len().max(1) as u64, 2) as usize).cloned() {
                let said = format!("offers {id} again");
                let offered = world.by_hand(async move { ledger.offer_again(&id, now).await }).await;
                world.aws.note("person", &format!("{said}: {offered:?}"));
            }
        }
        _ => (),
    }
}

// The destinations, beside `functions/refund`.

/// Takes an order where there is stock, and tells the others.
struct Orders {
    dynamodb: aws_sdk_dynamodb::Client,
    time: Time,
}

#[derive(Deserialize)]
struct Order {
    item: String,
    luck: String,
}

impl Destination for Orders {
    type Data = Order;

    async fn apply(&self, order: &Notification<Order>) -> Result<Effect, Failure> {
        let well = self.time.elapsed_ms() >= WELL_AFTER.as_millis() as u64;
        match order.data.luck.as_str() {
            // A panic that is not printed.
            "panic" if !well => std::panic::resume_unwind(Box::new("what a handler does")),
            "hang" if !well => std::future::pending().await,
            _ => (),
        }
        // What it reads may have been so a while ago; the write's condition knows better.
        let key = AttributeValue::S(order.data.item.clone());
        let get = self.dynamodb.get_item().table_name(ITEMS).key("item", key.clone()).send().await?;
        let count = get.item.and_then(|item| item.get("count")?.as_n().ok()?.parse::<u32>().ok());
        let count = count.ok_or_else(|| Failure::permanent("there is no such item"))?;
        let tell = |what: &str| Draft::event(format!("order.{what}"), "shop", &json!({ "order": order.id }));
        if count == 0 {
            return Ok(Effect::reject("out of stock").emit("rejected", tell("rejected")));
        }
        let take = Update::builder()
            .table_name(ITEMS)
            .key("item", key)
            .update_expression("SET #count = :less")
            .condition_expression("#count = :seen")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":seen", AttributeValue::N(count.to_string()))
            .expression_attribute_values(":less", AttributeValue::N((count - 1).to_string()))
            .build()?;
        Ok(Effect::new().write(take).emit("accepted", tell("accepted")))
    }
}

/// Has nothing to write: it ends the record.
struct Audit;

impl Destination for Audit {
    type Data = Value;

    async fn apply(&self, event: &Notification<Value>) -> Result<Effect, Failure> {
        // It cannot: nobody rejects an event.
        Ok(if event.data["say"] == "refuse" { Effect::reject("no") } else { Effect::new() })
    }
}

/// Keeps a result on the record; some only later, when other destinations took them long ago.
struct Notes {
    time: Time,
}

impl Destination for Notes {
    type Data = Value;

    async fn apply(&self, note: &Notification<Value>) -> Result<Effect, Failure> {
        let well = self.time.elapsed_ms() >= WELL_AFTER.as_millis() as u64;
        match note.data["say"] == "late" && !well {
            true => Err(Failure::passing("not yet")),
            false => Ok(Effect::new().result(&note.data)),
        }
    }
}

// What must hold of them.

/// The ids of the records of a type of which a destination is in a state.
fn ids<'a>(records: &'a [Value], r#type: &str, of: &str, wanted: &str) -> Vec<&'a str> {
    let is_so = |record: &&Value| {
        text(record, "type") == r#type && destinations(record).get(of).is_some_and(|it| state(it) == wanted)
    };
    let mut ids: Vec<&str> = records.iter().filter(is_so).map(|it| text(it, "id")).collect();
    ids.sort();
    ids
}

/// G4: an entry for each refund that is done, and none else; the balances are their sum.
fn refunds_are_entered_once(world: &World, records: &[Value], sent: &[Sent], found: &mut Vec<String>) {
    let entries = world.aws.dynamodb().items(ENTRIES);
    let done = ids(records, "refund.requested", "refund", "done");
    let mut entered: Vec<&str> = entries.iter().map(|it| text(it, "id")).collect();
    entered.sort();
    if entered != done {
        found.push(format!("G4: done are {done:?}, entered {entered:?}"));
    }
    for account in world.aws.dynamodb().items(ACCOUNTS) {
        let (name, balance) = (text(&account, "account"), number(&account, "balance"));
        let of_it = entries.iter().filter(|it| text(it, "account") == name);
        let sum: i64 = of_it.map(|it| number(it, "amount")).sum();
        if balance != sum {
            found.push(format!("G4: {name} holds {balance}, its entries say {sum}"));
        }
    }
    for entry in entries.iter().filter(|it| text(it, "id").starts_with("refund")) {
        let (id, account, amount) = (text(entry, "id"), text(entry, "account"), number(entry, "amount"));
        let said = |it: &Sent| it.id == id && it.data["account"] == account && it.data["amount"] == amount;
        if !sent.iter().any(said) {
            found.push(format!("G2: nobody sent {id} to {account} over {amount}"));
        }
    }
}

/// G4: a book less for each order that is done, and the right event for each that has ended.
fn orders_are_taken_once(world: &World, records: &[Value], found: &mut Vec<String>) {
    let done = ids(records, "order.placed", "order", "done");
    let books = world.aws.dynamodb().items(ITEMS);
    let left: i64 = books.iter().map(|it| number(it, "count")).sum();
    if left != i64::from(STOCK) - done.len() as i64 {
        found.push(format!("G4: {left} of {STOCK} books are left, and done are {done:?}"));
    }
    for (told, state) in [("order.accepted", "done"), ("order.rejected", "rejected")] {
        let told = records.iter().filter(|it| text(it, "type") == told);
        let mut told: Vec<String> = told
            .map(|it| serde_json::from_str::<Value>(text(it, "data")).unwrap_or_default())
            .map(|data| data["order"].as_str().unwrap_or_default().to_owned())
            .collect();
        told.sort();
        let ended = ids(records, "order.placed", "order", state);
        if told != ended {
            found.push(format!("G4: {state} are {ended:?}, told of {told:?}"));
        }
    }
}

/// The outbox: a sale is there if and only if its refund is in custody.
fn sales_commit_with_their_refund(world: &World, records: &[Value], found: &mut Vec<String>) {
    let sales = world.aws.dynamodb().items(SALES);
    let mut sales: Vec<&str> = sales.iter().map(|it| text(it, "id")).collect();
    sales.sort();
    let records = records.iter().map(|it| text(it, "id")).filter(|id| id.starts_with("sale"));
    let mut refunds: Vec<&str> = records.collect();
    refunds.sort();
    if sales != refunds {
        found.push(format!("G1: sold are {sales:?}, their refunds {refunds:?}"));
    }
}
