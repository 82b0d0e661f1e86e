//! What has to hold of the money and the books at rest.

use handover_sim::item::{data, destinations, key, number, state, text};
use handover_sim::{SentMessage, Stack};
use serde_json::Value;

use crate::commerce::messages::foreign_bytes;
use crate::commerce::tables::{ACCOUNTS, ENTRIES, ITEMS, SALES, STOCK};

/// The notifications of a type that a destination has in a state, in order.
fn keys(records: &[Value], r#type: &str, destination: &str, wanted: &str) -> Vec<String> {
    let is_wanted = |record: &&Value| {
        let all = destinations(record);
        text(record, "type") == r#type
            && all.get(destination).is_some_and(|delivery| state(delivery) == wanted)
    };
    sorted(records.iter().filter(is_wanted).map(|record| key(record).to_string()))
}

/// The items in order, each as often as it is there.
pub fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}

/// G4: each refund that is done has an entry, and no other has; the balances are the entries' sums.
pub fn refunds_are_entered_once(
    stack: &Stack,
    records: &[Value],
    sent: &[SentMessage],
    found: &mut Vec<String>,
) {
    let entries = stack.items(ENTRIES);
    let done = keys(records, "refund.requested", "refund", "done");
    let entered = sorted(entries.iter().map(|entry| text(entry, "refund").to_owned()));
    if entered != done {
        found.push(format!("G4: done are {done:?}, entered {entered:?}"));
    }
    for account in stack.items(ACCOUNTS) {
        let (name, balance) = (text(&account, "account"), number(&account, "balance"));
        let of_account = entries.iter().filter(|entry| text(entry, "account") == name);
        let sum: i64 = of_account.map(|entry| number(entry, "amount")).sum();
        if balance != sum {
            found.push(format!("G4: {name} holds {balance}, but its entries sum up to {sum}"));
        }
    }
    for entry in entries.iter().filter(|entry| text(entry, "refund").starts_with("refund")) {
        let (refund, account, amount) =
            (text(entry, "refund"), text(entry, "account"), number(entry, "amount"));
        let is_same = |sent: &SentMessage| {
            sent.key.to_string() == refund && sent.data["account"] == account && sent.data["amount"] == amount
        };
        if !sent.iter().any(is_same) {
            found.push(format!("G2: nobody sent {refund} to {account} over {amount}"));
        }
    }
}

/// G4: each order that is done took one book, and each that is completed emitted its event.
pub fn orders_are_taken_once(stack: &Stack, records: &[Value], found: &mut Vec<String>) {
    let done = keys(records, "order.placed", "order", "done");
    let left: i64 = stack.items(ITEMS).iter().map(|item| number(item, "count")).sum();
    if left != i64::from(STOCK) - done.len() as i64 {
        found.push(format!("G4: {left} of {STOCK} books are left, and done are {done:?}"));
    }
    for (emitted, state) in [("order.accepted", "done"), ("order.rejected", "rejected")] {
        let events = records.iter().filter(|record| text(record, "type") == emitted);
        let orders = events.map(|event| data(event)["order"].as_str().unwrap_or_default().to_owned());
        let orders = sorted(orders);
        let completed = keys(records, "order.placed", "order", state);
        if orders != completed {
            found.push(format!("G4: {state} are {completed:?}, emitted for {orders:?}"));
        }
    }
}

/// G2: no event that an order emits has the id of another's, and none is refused for good while its type is not known
/// to every instance yet.
pub fn emits_are_not_given_up(records: &[Value], found: &mut Vec<String>) {
    for record in records {
        let reason = text(&record["destinations"]["M"]["order"]["M"], "reason");
        if reason.contains("emit") {
            found.push(format!("G2: {} is dead at order: {reason}", key(record)));
        }
    }
}

/// G1, the outbox: a sale is there if and only if its refund is accepted.
pub fn sales_commit_with_their_refund(stack: &Stack, records: &[Value], found: &mut Vec<String>) {
    let sales = stack.items(SALES);
    let sales = sorted(sales.iter().map(|sale| text(sale, "id")));
    let accepted = records.iter().map(|record| text(record, "id")).filter(|id| id.starts_with("sale"));
    let refunds = sorted(accepted);
    if sales != refunds {
        found.push(format!("G1: sold are {sales:?}, their refunds {refunds:?}"));
    }
}

/// G1: what is in the stream and is not a dispatch is a dead letter of each destination, byte for byte.
pub fn foreign_bytes_are_dead_letters(stack: &Stack, found: &mut Vec<String>) {
    let put = foreign_bytes(&|end, what: u64, at: u64| stack.draw_for_message(end, what, at));
    for destination in stack.destinations() {
        let dead_letters = stack.raw_dead_letters(&destination);
        let lost = put.iter().filter(|bytes| !dead_letters.iter().any(|raw| raw == *bytes));
        found.extend(lost.map(|bytes| format!("G1: {destination} lost {bytes:?} of the stream")));
    }
}
