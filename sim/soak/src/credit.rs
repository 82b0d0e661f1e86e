//! Reservations of credit, whose effects say what follows when a condition fails: a customer changes under the handler,
//! which decides again; the credit is used up, so the command is rejected, or done without a reservation. Events cannot
//! be rejected.

use std::time::Duration;

use handover::dynamodb::types::{AttributeValue, ConditionCheck, Update};
use handover::record::Record;
use handover::{Destination, Draft, Effect, Failure, Notification, NotificationKey, Routes, Write};
use handover_sim::item::{self, data, destinations, key, number, state, text};
use handover_sim::{FAULTS_MS, SentMessage, Stack, Table, Workload};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::caller::{self, ENDED};
use crate::commerce::sorted;
use crate::operator::look_after;

/// Notifications of a run at most, before and after the customer has another wallet.
const NOTIFICATIONS_MAX: u64 = 4;
/// The credit of the first wallet, which is not enough for all, and of the second one, which is.
const CREDIT: [i64; 2] = [50, 10_000];
/// The version that the customer has with the second wallet.
const LATER: i64 = 1_000;

/// The customers: which wallet each has, and a version that every reservation raises.
const CUSTOMERS: &str = "customers";
const WALLETS: &str = "wallets";
const CUSTOMER: &str = "customer-0";
/// The unique ids of the roles of the shop, and of somebody else.
const SHOP: &str = "AROASHOP";
const SOMEBODY: &str = "AROASOMEBODY";
/// What a sender says of the cause of its message.
const FORGED: &str = "forged";

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credit;

impl Workload for Credit {
    // Its operator redrives while faults are injected; what is never applied stays dead.
    const REDRIVES: bool = false;

    fn tables(&self) -> Vec<Table> {
        vec![Table::new(CUSTOMERS, &["customer"]), Table::new(WALLETS, &["wallet"]), caller::table()]
    }

    fn routes(&self) -> Routes {
        let routes = json!({
            "credit.reserve": { "kind": "command", "destinations": ["credit"] },
            "credit.reserved": { "kind": "event", "destinations": ["audit"], "sources": ["credit"] },
            "credit.refused": { "kind": "event", "destinations": ["audit"], "sources": ["credit"] },
            // It is dead at one destination, and done or dead at the other.
            "credit.wanted": {
                "kind": "event", "destinations": ["audit", "log"], "sources": ["shop"], "senders": { "shop": [SHOP] },
            },
            ENDED: caller::route(),
        });
        routes.to_string().parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        stack.serve("credit", Reservations { dynamodb: stack.dynamodb().clone() });
        stack.serve("audit", Audit);
        stack.serve("log", Log);
        caller::serve(stack);
        for (at, credit) in CREDIT.iter().enumerate() {
            let item = json!({ "wallet": { "S": wallet(at) }, "credit": { "N": credit.to_string() } });
            stack.put(WALLETS, &item);
        }
        give_wallet(stack, 0, 1);
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        tokio::join!(send_all(stack), operate(stack)).0
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        let records = stack.records();
        let mut found = reserved_once(stack, &records);
        found.extend(records.iter().filter_map(wrongly_ended));
        found.extend(caller::violations(stack));
        found.extend(wrongly_caused(&records));
        found
    }
}

fn wallet(at: usize) -> String {
    format!("wallet-{at}")
}

fn give_wallet(stack: &Stack, at: usize, version: i64) {
    stack.note("somebody", &format!("gives {CUSTOMER} {}", wallet(at)));
    let item = json!({
        "customer": { "S": CUSTOMER }, "wallet": { "S": wallet(at) }, "version": { "N": version.to_string() },
    });
    stack.put(CUSTOMERS, &item);
}

/// Reserves credit of the customer's wallet.
struct Reservations {
    dynamodb: handover::dynamodb::Client,
}

/// A reservation.
#[derive(Deserialize)]
struct Reservation {
    amount: i64,
    /// `usual`; `never`, where the condition on the customer is never true; or `lenient`, where it is done without a
    /// reservation if there is no credit.
    case: String,
}

impl Destination for Reservations {
    type Data = Reservation;

    async fn apply(&self, reservation: &Notification<Reservation>) -> Result<Effect, Failure> {
        let Reservation { amount, case } = &reservation.data;
        // The read may be stale; the write's condition is not.
        let get = self.dynamodb.get_item().table_name(CUSTOMERS);
        let read = get.key("customer", AttributeValue::S(CUSTOMER.into())).send().await?;
        let customer = read.item.ok_or_else(|| Failure::transient("there is no such customer"))?;
        let version = customer["version"].as_n().ok().and_then(|digits| digits.parse::<i64>().ok());
        let version = version.ok_or_else(|| Failure::permanent("the customer has no version"))?;
        let seen = if case == "never" { -1 } else { version };
        let event = |what: &str| {
            let of = json!({ "reservation": reservation.key().to_string() });
            Draft::event(format!("credit.{what}"), "credit", &of).outcome_to(ENDED)
        };
        let otherwise = match case.as_str() {
            // A condition that is never true, with another effect in turn.
            "lenient" => Effect::new()
                .write(wants_wallet("none")?.or_else(Effect::new().result(&"nothing is reserved"))),
            _ => Effect::reject("insufficient credit").emit("refused", event("refused")),
        };
        let effect = Effect::new().write(Write::from(take(&customer["wallet"], *amount)?).or_else(otherwise));
        let change = Write::from(change(version + 1, seen)?).or_retry();
        Ok(effect.write(change).emit("reserved", event("reserved")))
    }
}

/// Takes an amount of a wallet that has it.
fn take(wallet: &AttributeValue, amount: i64) -> Result<Update, Failure> {
    let take = Update::builder()
        .table_name(WALLETS)
        .key("wallet", wallet.clone())
        .update_expression("SET credit = credit - :amount")
        .condition_expression("credit >= :amount")
        .expression_attribute_values(":amount", AttributeValue::N(amount.to_string()));
    Ok(take.build()?)
}

/// Raises the customer's version, where it is the one that was seen.
fn change(version: i64, seen: i64) -> Result<Update, Failure> {
    let change = Update::builder()
        .table_name(CUSTOMERS)
        .key("customer", AttributeValue::S(CUSTOMER.into()))
        .update_expression("SET version = :next")
        .condition_expression("version = :seen")
        .expression_attribute_values(":next", AttributeValue::N(version.to_string()))
        .expression_attribute_values(":seen", AttributeValue::N(seen.to_string()));
    Ok(change.build()?)
}

/// A condition on a wallet, which fails where there is none.
fn wants_wallet(wallet: &str) -> Result<Write, Failure> {
    let check = ConditionCheck::builder()
        .table_name(WALLETS)
        .key("wallet", AttributeValue::S(wallet.into()))
        .condition_expression("attribute_exists(wallet)");
    Ok(check.build()?.into())
}

/// Marks events; one that wants credit is a mistake: its condition would reject it.
struct Audit;

impl Destination for Audit {
    type Data = Value;

    async fn apply(&self, event: &Notification<Value>) -> Result<Effect, Failure> {
        if event.r#type != "credit.wanted" {
            return Ok(Effect::new());
        }
        Ok(Effect::new().write(wants_wallet("none")?.or_reject("an event wants credit")))
    }
}

/// Marks events, but for some that it never can.
struct Log;

impl Destination for Log {
    type Data = Value;

    async fn apply(&self, event: &Notification<Value>) -> Result<Effect, Failure> {
        match event.data["amount"].as_u64().is_some_and(|amount| amount.is_multiple_of(2)) {
            true => Err(Failure::permanent("the log takes odd amounts")),
            false => Ok(Effect::new()),
        }
    }
}

async fn send_all(stack: &Stack) -> Vec<SentMessage> {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    let mut sent = Vec::new();
    let count = 1 + draw(NOTIFICATIONS_MAX, 0, 0).min(draw(NOTIFICATIONS_MAX, 0, 1));
    let later = draw(NOTIFICATIONS_MAX, 1, 0);
    // In half of the runs they come nearly at once, and contend.
    let pause_ms = if draw(2, 2, 0) == 0 { 50 } else { 2_000 };
    for at in 0..count + later {
        if at == count {
            give_wallet(stack, 1, LATER);
        }
        if stack.sends(at as usize) {
            sleep(Duration::from_millis(draw(pause_ms, 3, at))).await;
            let sender = if draw(6, 12, at) == 0 { SOMEBODY } else { SHOP };
            let message = message(at, at >= count, sender, &draw);
            for _ in 0..1 + draw(4, 4, at) / 3 {
                stack.send_as(sender, &message.message);
            }
            sent.push(message);
        }
    }
    sent
}

fn message(
    at: u64,
    is_later: bool,
    sender: &'static str,
    draw: &dyn Fn(u64, u64, u64) -> u64,
) -> SentMessage {
    let when = if is_later { "later" } else { "soon" };
    let (r#type, kind, case) = match draw(10, 5, at) {
        0 => ("credit.wanted", "event", "wanted"),
        1 => ("credit.reserve", "command", "never"),
        2 => ("credit.reserve", "command", "lenient"),
        _ => ("credit.reserve", "command", "usual"),
    };
    let id = format!("{when}-{at}");
    // Only the shop may say what is wanted, and nobody may say it in its name.
    let source = if draw(4, 9, at) == 0 { "market" } else { "shop" };
    let data = json!({ "amount": 1 + draw(40, 6, at), "case": case });
    let event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": kind, "source": source, "data": data,
        // In CloudEvents null is absent.
        "outcometo": (draw(3, 10, at) > 0).then_some(ENDED),
        "causationid": (draw(3, 11, at) == 0).then_some(FORGED),
        "correlationid": (draw(3, 11, at) == 0).then_some(FORGED),
    });
    let key = NotificationKey::new(id, source);
    let malformed = (source == "shop" && sender == SOMEBODY) || (kind == "event" && source == "market");
    SentMessage { key, data, message: event.to_string(), sender, malformed, feasible: false }
}

async fn operate(stack: &Stack) {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    for nth in (0..).take_while(|_| draw(3, 7, 0) == 0) {
        sleep(Duration::from_millis(1_000 + draw(12_000, 8, nth))).await;
        if stack.time().elapsed_ms() >= FAULTS_MS {
            return;
        }
        look_after(stack, nth).await;
    }
}

/// G4: what is done took its credit and emitted that, what is rejected emitted that, and nothing else did either.
fn reserved_once(stack: &Stack, records: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let reservations = || records.iter().filter(|record| text(record, "type") == "credit.reserve");
    // What keeps a result is done without a reservation.
    let ended = |wanted: &str| {
        let is_wanted = move |record: &&Value| {
            let delivery = destinations(record)["credit"];
            state(delivery) == wanted && !delivery["result"].is_object()
        };
        reservations().filter(is_wanted).collect::<Vec<_>>()
    };
    let done = ended("done");
    for (emitted, ended) in [("credit.reserved", &done), ("credit.refused", &ended("rejected"))] {
        let ended = sorted(ended.iter().map(|record| key(record).to_string()));
        let events = records.iter().filter(|record| text(record, "type") == emitted);
        let of =
            sorted(events.map(|event| data(event)["reservation"].as_str().unwrap_or_default().to_owned()));
        if of != ended {
            found.push(format!("G4: {emitted} was emitted for {of:?}, which ended so: {ended:?}"));
        }
    }
    let taken: i64 = done.iter().map(|record| data(record)["amount"].as_i64().unwrap_or_default()).sum();
    let left: i64 = stack.items(WALLETS).iter().map(|wallet| number(wallet, "credit")).sum();
    if left != CREDIT.iter().sum::<i64>() - taken {
        found.push(format!("G4: {left} of the credit is left, and reserved are {taken}"));
    }
    found
}

/// G12: a notification has the cause that it was emitted for, whatever its sender says, and that one's record names it.
fn wrongly_caused(records: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let records: Vec<Record> = records.iter().filter_map(item::record).collect();
    for Record { id, source, causationid, correlationid, .. } in &records {
        let parent = records.iter().find(|parent| Some(&parent.id) == causationid.as_ref());
        let first = parent.map(|parent| parent.correlationid.as_ref().unwrap_or(&parent.id));
        if id.starts_with("emit:") != parent.is_some() || correlationid.as_ref() != first {
            found.push(format!(
                "G12: the cause of {id} is {causationid:?}, and the first one {correlationid:?}"
            ));
        }
        // A record names its last outcome alone.
        let names = |parent: &Record| parent.emits().any(|emitted| emitted.id == *id);
        if parent.is_some_and(|parent| source != "handover" && !names(parent)) {
            found.push(format!("G12: the record of {causationid:?} does not name what it emitted"));
        }
    }
    found
}

/// G9: nothing is rejected, or done without its credit, on a stale read: later there is credit for all. What never can be
/// applied is not.
fn wrongly_ended(record: &Value) -> Option<String> {
    let (key, said) = (key(record), data(record));
    let (delivery, is_later) = match destinations(record).get("credit") {
        Some(delivery) => (*delivery, text(record, "id").starts_with("later")),
        None => return None,
    };
    let state = state(delivery);
    let has_ended = matches!(state, "done" | "rejected");
    if said["case"] == "never" && has_ended {
        return Some(format!("G9: {key} is {state}, though its condition is never true"));
    }
    let without_credit = state == "rejected" || delivery["result"].is_object();
    (is_later && without_credit)
        .then(|| format!("G9: {key} is {state} without credit, though there was enough when it was sent"))
}
