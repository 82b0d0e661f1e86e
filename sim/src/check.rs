//! What must hold, whatever failed: written from the design's table and guarantees, not from the
//! library's code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::world::{ACCOUNTS, DESTINATIONS, ENTRIES, NOTIFICATIONS, UPSTREAM, UPSTREAM_DEAD_LETTERS, World};

/// A message that was sent; an id may come twice.
pub struct Sent {
    pub id: String,
    pub data: Value,
    pub message: String,
    /// It is no notification.
    pub malformed: bool,
    /// What it asks can be done, from the beginning on.
    pub feasible: bool,
}

/// What does not hold; nothing when all does.
pub fn violations(world: &World, sent: &[Sent]) -> Vec<String> {
    let mut found = Vec::new();
    moves(world, &mut found);
    money(world, sent, &mut found);
    custody(world, sent, &mut found);
    found
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap_or_default()
}

fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().and_then(|it| it.parse().ok()).unwrap_or(i64::MIN)
}

fn destinations(item: &Value) -> BTreeMap<&str, &Value> {
    let all = item["destinations"]["M"].as_object().into_iter().flatten();
    all.map(|(name, it)| (name.as_str(), &it["M"])).collect()
}

fn state(delivery: &Value) -> &str {
    text(delivery, "state")
}

/// Every change of a record is a move of the table, and leaves a record that is whole.
fn moves(world: &World, found: &mut Vec<String>) {
    let dynamodb = world.aws.dynamodb();
    let mut iterator = dynamodb.stream(NOTIFICATIONS);
    loop {
        let (changes, next) = dynamodb.changes(&iterator);
        if changes.is_empty() {
            return;
        }
        iterator = next;
        for change in &changes {
            let (old, new) = (&change["dynamodb"]["OldImage"], &change["dynamodb"]["NewImage"]);
            let id = text(&change["dynamodb"]["Keys"], "id");
            if let Err(why) = is_move(old, new).and_then(|()| is_whole(new)) {
                found.push(format!("{id}: {why}\n  from {old}\n  to {new}"));
            }
        }
    }
}

fn is_move(old: &Value, new: &Value) -> Result<(), String> {
    if new.is_null() {
        return Err("a record was deleted".into());
    }
    if old.is_null() {
        let fresh =
            destinations(new).values().all(|it| state(it) == "pending" && number(it, "attempts") == 0);
        let fresh = fresh && number(new, "version") == 1 && number(new, "offers") == 1;
        return if fresh { Ok(()) } else { Err("an accept of what has begun".into()) };
    }
    for name in ["id", "type", "kind", "source", "data", "digest", "accepted_at", "partitionkey", "subject"] {
        if old[name] != new[name] {
            return Err(format!("{name} changed"));
        }
    }
    if number(new, "version") != number(old, "version") + 1 {
        return Err("the version did not rise by one".into());
    }
    let (before, after) = (destinations(old), destinations(new));
    if before.keys().ne(after.keys()) {
        return Err("the destinations changed".into());
    }
    let changed: Vec<_> = before.iter().filter(|(name, was)| after[*name] != **was).collect();
    if changed.len() > 1 {
        return Err("two destinations moved at once".into());
    }
    for (name, was) in changed {
        let is = after[name];
        let (from, to) = (state(was), state(is));
        let (tried, tries) = (number(was, "attempts"), number(is, "attempts"));
        let right = match (from, to) {
            ("pending" | "dead", "done" | "rejected" | "closed") => tries == tried,
            ("pending", "pending") => tries == tried || tries == tried + 1,
            ("pending", "dead") => tries == tried || tries == tried + 1,
            ("dead", "pending") => tries == 0 && text(new, "change") == "offer",
            ("dead", "dead") => tries >= tried,
            _ => false,
        };
        if !right {
            return Err(format!("{name} went from {from} after {tried} to {to} after {tries}"));
        }
    }
    Ok(())
}

fn is_whole(record: &Value) -> Result<(), String> {
    let all = destinations(record);
    let count = |wanted: &str| all.values().filter(|it| state(it) == wanted).count() as i64;
    let (open, dead, closed) = (count("pending"), count("dead"), count("closed"));
    let counted = ["open", "dead", "closed"].map(|name| number(record, name));
    if counted != [open, dead, closed] {
        return Err(format!("it counts {counted:?}, but is {:?}", [open, dead, closed]));
    }
    let status = match () {
        () if open > 0 => "INIT",
        () if dead > 0 => "DEAD",
        () if count("rejected") > 0 => "REJECTED",
        () if closed > 0 => "CLOSED",
        () => "DONE",
    };
    if text(record, "status") != status {
        return Err(format!("its status should be {status}"));
    }
    if (open + dead == 0) != record.get("expires_at").is_some() {
        return Err("it expires though it has not ended, or does not though it has".into());
    }
    if all.values().any(|it| number(it, "attempts") > 6) {
        return Err("G7: more attempts than six".into());
    }
    Ok(())
}

/// G4: an entry for each refund that is done, and none else; the balances are their sum.
fn money(world: &World, sent: &[Sent], found: &mut Vec<String>) {
    let dynamodb = world.aws.dynamodb();
    let entries = dynamodb.items(ENTRIES);
    let done: BTreeSet<String> = dynamodb
        .items(NOTIFICATIONS)
        .iter()
        .filter(|it| text(it, "status") == "DONE" && text(it, "type") == "refund.requested")
        .map(|it| text(it, "id").to_owned())
        .collect();
    let entered: Vec<String> = entries.iter().map(|it| text(it, "id").to_owned()).collect();
    let once: BTreeSet<String> = entered.iter().cloned().collect();
    if entered.len() != once.len() || once != done {
        found.push(format!("G4: done are {done:?}, entered {entered:?}"));
    }
    let of = |account: &str| -> i64 {
        entries.iter().filter(|it| text(it, "account") == account).map(|it| number(it, "amount")).sum()
    };
    for account in dynamodb.items(ACCOUNTS) {
        let (name, balance) = (text(&account, "account"), number(&account, "balance"));
        if balance != of(name) {
            found.push(format!("G4: {name} holds {balance}, its entries say {}", of(name)));
        }
    }
    for entry in &entries {
        let (id, account, amount) = (text(entry, "id"), text(entry, "account"), number(entry, "amount"));
        let said = |it: &Sent| it.id == id && it.data["account"] == account && it.data["amount"] == amount;
        if !sent.iter().any(said) {
            found.push(format!("G2: nobody sent {id} to {account} over {amount}"));
        }
    }
}

/// G1, G2, G3: at rest every message is stored or parked, and every notification has ended or is
/// dead with a dead letter.
fn custody(world: &World, sent: &[Sent], found: &mut Vec<String>) {
    let records = world.aws.dynamodb().items(NOTIFICATIONS);
    let by_id: BTreeMap<&str, &Value> = records.iter().map(|it| (text(it, "id"), it)).collect();
    let aws = world.aws.state();
    for url in DESTINATIONS.iter().map(|it| it.retry).chain([UPSTREAM]) {
        for message in &aws.queues.queues[url].messages {
            found.push(format!("not at rest: {} in {url}", message.id));
        }
    }
    let refused: Vec<&str> =
        aws.queues.queues[UPSTREAM_DEAD_LETTERS].messages.iter().map(|it| it.body.as_str()).collect();
    for message in sent {
        let stored = by_id.get(message.id.as_str()).is_some_and(|it| {
            serde_json::from_str::<Value>(text(it, "data")).unwrap_or_default() == message.data
        });
        let parked = refused.contains(&message.message.as_str());
        if message.malformed && stored {
            found.push(format!("G1: {} is malformed, and stored", message.id));
        }
        if !stored && !parked {
            found.push(format!("G1: {} is neither stored nor parked", message.message));
        }
    }
    for record in &records {
        let id = text(record, "id");
        if text(record, "status") == "INIT" {
            found.push(format!("G3: {id} has not ended"));
        }
        let feasible = sent.iter().filter(|it| it.id == id).all(|it| it.feasible);
        for (name, delivery) in destinations(record) {
            if feasible && (number(delivery, "attempts") > 0 || state(delivery) != "done") {
                found.push(format!("G7: {name} could apply {id}, and failed: {delivery}"));
            }
            let queue = DESTINATIONS.iter().find(|it| it.name == name).map(|it| it.dead_letters);
            let letters = &aws.queues.queues[queue.expect("a destination")].messages;
            if state(delivery) == "dead" && !letters.iter().any(|it| it.body.contains(id)) {
                found.push(format!("G3: {id} is dead without a dead letter"));
            }
        }
    }
}
