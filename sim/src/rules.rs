//! What must hold, whatever failed: written from the design's table and guarantees, not from the
//! library's code, and the same for every schedule.

use std::collections::BTreeMap;

use handover::parking::{ATTEMPTS, ERROR};
use handover::upstream::REASON;
use serde_json::Value;

use crate::aws::NOTIFICATIONS;
use crate::sqs::Message;
use crate::world::{RECEIVES_MAX, UPSTREAM, UPSTREAM_DEAD_LETTERS, World, dead_letters, retry};

/// What nothing strikes, and does not fail, ends within so many milliseconds: the time-outs of the
/// functions that it goes through, beside one that hangs.
const HELD_UP_MS: i64 = 10_000;

/// A message that was sent to the upstream queue; an id may come twice.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: String,
    pub data: Value,
    pub message: String,
    /// It is no notification.
    pub malformed: bool,
    /// What it asks can be done, from the beginning on, whatever fails in between.
    pub feasible: bool,
}

pub fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap_or_default()
}

pub fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().and_then(|it| it.parse().ok()).unwrap_or(i64::MIN)
}

pub fn destinations(item: &Value) -> BTreeMap<&str, &Value> {
    let all = item["destinations"]["M"].as_object().into_iter().flatten();
    all.map(|(name, it)| (name.as_str(), &it["M"])).collect()
}

pub fn state(delivery: &Value) -> &str {
    text(delivery, "state")
}

/// The leases of external effects that were taken, by notification and destination.
#[derive(Debug, Default)]
pub struct Leases(BTreeMap<(String, String), Lease>);

/// The last one that was taken.
#[derive(Debug)]
struct Lease {
    holder: String,
    /// The outcome of an earlier call was not known then.
    repeats: bool,
}

/// What is wrong with a change of a record that somebody made, unless it is a move of the table that
/// leaves a record which is whole.
pub fn broken_by(change: &Value, who: &str, leases: &mut Leases, turns: &mut Turns) -> Option<String> {
    let (old, new) = (&change["dynamodb"]["OldImage"], &change["dynamodb"]["NewImage"]);
    let id = text(&change["dynamodb"]["Keys"], "id");
    let is_right = is_move(old, new).and_then(|()| is_whole(new));
    let is_right = is_right.and_then(|()| leases.follow(old, new, who)).and_then(|()| turns.follow(old, new));
    let why = is_right.err()?;
    let mut changed = Vec::new();
    differences(id, old, new, &mut changed);
    Some(format!("{why}\n  {}", changed.join("\n  ")))
}

/// What changed, attribute by attribute.
fn differences(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old.as_object(), new.as_object()) {
        (Some(before), Some(after)) => {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                // The types of DynamoDB have names of a letter or two.
                let path = if name.len() < 3 { path.to_owned() } else { format!("{path}.{name}") };
                differences(&path, &old[name], &new[name], found);
            }
        }
        _ if old != new => found.push(format!("{path}: {old} -> {new}")),
        _ => (),
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
    let moved = before.iter().map(|(name, was)| Moved::of(name, was, after[name]));
    let moved: Vec<Moved> = moved.filter(|it| it.changed).collect();
    let is_offer = text(new, "change") == "offer";
    let waits = text(new, "change") == "wait" && text(old, "status") == "INIT";
    match (number(new, "offers") - number(old, "offers"), &moved[..]) {
        // Reconcile looks at it later.
        (0, []) if waits => Ok(()),
        // A dead letter that was moved to the retry queue is tried.
        (0, [it]) if text(new, "change") == "lease" && (it.from, it.to) == ("dead", "dead") => Ok(()),
        (0, [it]) if !is_offer => it.is_of_table(text(new, "kind")),
        (1, [it]) if is_offer && (it.from, it.to, it.after) == ("dead", "pending", 0) => Ok(()),
        // Offered again: to all that are pending, and nothing else moves.
        (1, all) if is_offer && all.iter().all(|it| it.is_pending() && it.after == it.before) => Ok(()),
        _ => Err("this is no move of the table".into()),
    }
}

impl Leases {
    /// G5: nobody takes a lease that lives, nobody but its holder records a result, and a call without an
    /// outcome is known as such until it has one, or a person settles it.
    fn follow(&mut self, old: &Value, new: &Value, who: &str) -> Result<(), String> {
        let was = destinations(old);
        let moved = destinations(new).into_iter().filter_map(|(name, is)| Some((name, *was.get(name)?, is)));
        for (name, was, is) in moved.filter(|(_, was, is)| was != is) {
            let key = (text(new, "id").to_owned(), name.to_owned());
            let (called, calls) = (number(was, "called_at"), number(is, "called_at"));
            let wrong = |what: &str| Err(format!("G5: {who} {what}, of {name}"));
            match (text(new, "change"), number(is, "fence") - number(was, "fence")) {
                ("lease", 1) if number(was, "lease_until") > number(new, "updated_at") => {
                    return wrong("took a lease that lived");
                }
                ("lease", 1) if called > 0 && calls != called => {
                    return wrong("lost when the first call began whose outcome is not known");
                }
                ("lease", 1) => {
                    self.0.insert(key, Lease { holder: who.to_owned(), repeats: called > 0 });
                    continue;
                }
                (_, 0) => (),
                _ => return wrong("changed the fence"),
            }
            let Some(lease) = self.0.get(&key) else { continue };
            let is_result =
                matches!(text(new, "change"), "mark" | "attempt") && text(was, "settled") != "done";
            if is_result && lease.holder != who {
                return wrong("recorded a result though another held the lease");
            }
            let is_forgotten = called > 0 && calls < 0 && text(new, "change") != "offer";
            if is_forgotten && (lease.repeats || lease.holder != who) {
                return wrong("forgot an earlier call without an outcome");
            }
        }
        Ok(())
    }
}

/// Numbers that have ended at sequenced destinations, by key, and whether they were applied.
#[derive(Debug, Default)]
pub struct Turns(BTreeMap<String, BTreeMap<i64, bool>>);

/// The key of a delivery that is made in sequence.
pub fn key(record: &Value, destination: &str, delivery: &Value) -> Option<String> {
    let is_sequenced = delivery["sequenced"]["BOOL"] == true;
    is_sequenced.then(|| format!("{destination} {} {}", text(record, "source"), text(record, "partitionkey")))
}

impl Turns {
    /// Whether one before this number has not ended.
    pub fn is_before(&self, key: &str, at: i64) -> bool {
        let ended = self.0.get(key);
        (1..at).any(|before| !ended.is_some_and(|it| it.contains_key(&before)))
    }

    /// G8: what is numbered is applied in its turn, and neither tried nor called before; no number is applied
    /// twice.
    fn follow(&mut self, old: &Value, new: &Value) -> Result<(), String> {
        let was = destinations(old);
        for (name, is) in destinations(new) {
            let (Some(was), Some(key)) = (was.get(name), key(new, name, is)) else { continue };
            let (at, ended) = (number(new, "sequence"), self.0.entry(key).or_default());
            let is_applied = state(was) != state(is) && matches!(state(is), "done" | "rejected");
            // That its number is another's counts as an attempt, too, and is the last.
            let is_anothers = text(is, "reason").contains("has its `sequence`");
            let is_tried = ["attempts", "fence"].into_iter().any(|it| number(is, it) > number(was, it));
            if (is_applied || is_tried && !is_anothers) && (1..at).any(|before| !ended.contains_key(&before))
            {
                return Err(format!("G8: {name} came to {at} before its turn; ended are {ended:?}"));
            }
            if is_applied && ended.insert(at, true) == Some(true) {
                return Err(format!("G8: {name} applied {at} twice"));
            }
            if state(is) == "closed" {
                ended.entry(at).or_default();
            }
        }
        Ok(())
    }
}

/// What became of a destination.
struct Moved<'a> {
    name: &'a str,
    changed: bool,
    from: &'a str,
    to: &'a str,
    /// Attempts.
    before: i64,
    after: i64,
}

impl<'a> Moved<'a> {
    fn of(name: &'a str, was: &'a Value, is: &'a Value) -> Moved<'a> {
        let (before, after) = (number(was, "attempts"), number(is, "attempts"));
        Moved { name, changed: was != is, from: state(was), to: state(is), before, after }
    }

    fn is_pending(&self) -> bool {
        (self.from, self.to) == ("pending", "pending")
    }

    fn is_of_table(&self, kind: &str) -> Result<(), String> {
        let Moved { name, from, to, before, after, .. } = self;
        let is_so = match (*from, *to) {
            ("done" | "rejected" | "closed", _) => return Err(format!("G6: {name} was {from}, and changed")),
            ("pending" | "dead", "rejected") if kind != "command" => {
                return Err(format!("G9: {name} rejected an event"));
            }
            ("pending" | "dead", "done" | "rejected" | "closed") => after == before,
            ("pending", "pending" | "dead") => *after == *before || *after == before + 1,
            _ => false,
        };
        let went = || format!("{name} went from {from} after {before} attempts to {to} after {after}");
        is_so.then_some(()).ok_or_else(went)
    }
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

/// G1, G2, G3, G7, G8: at rest every message is stored, or parked with the reason; every notification
/// has ended, or is dead with a dead letter that has its payload.
pub fn broken_at_rest(world: &World, sent: &[Sent]) -> Vec<String> {
    let mut found = Vec::new();
    let records = world.aws.dynamodb().items(NOTIFICATIONS);
    let by_id: BTreeMap<&str, &Value> = records.iter().map(|it| (text(it, "id"), it)).collect();
    let destinations_served = world.destinations();
    let aws = world.aws.state();
    for url in destinations_served.iter().map(|it| retry(it)).chain([UPSTREAM.to_owned()]) {
        for message in &aws.queues.queues[&url].messages {
            found.push(format!("not at rest: {} in {url}", message.id));
        }
    }
    let refused = &aws.queues.queues[UPSTREAM_DEAD_LETTERS].messages;
    for message in sent {
        let stored = by_id.get(message.id.as_str()).is_some_and(|it| {
            serde_json::from_str::<Value>(text(it, "data")).unwrap_or_default() == message.data
        });
        let parked = refused.iter().find(|it| it.body == message.message);
        if message.malformed && stored {
            found.push(format!("G1: {} is malformed, and stored", message.id));
        }
        match parked {
            None if !stored => found.push(format!("G1: {} is neither stored nor parked", message.message)),
            // What SQS parked itself, after so many receives, nobody refused.
            Some(it) if it.receives < RECEIVES_MAX && it.attribute(REASON).is_empty() => {
                found.push(format!("G1: {} is parked without a reason", message.message));
            }
            _ => (),
        }
    }
    for record in &records {
        let id = text(record, "id");
        if text(record, "status") == "INIT" {
            found.push(format!("G3: {id} has not ended"));
        }
        let mut of_id = sent.iter().filter(|it| it.id == id).peekable();
        let feasible = of_id.peek().is_some() && of_id.all(|it| it.feasible);
        for (name, delivery) in destinations(record) {
            // Reconcile may have given up what was lost again and again.
            let was_reached = !aws.history.may_have_lost() || state(delivery) != "dead";
            if text(delivery, "settled") == "done" && was_reached && state(delivery) == "dead" {
                found.push(format!("G5: {id} is dead at {name}, though it was settled as done"));
            }
            if feasible && was_reached && (number(delivery, "attempts") > 0 || state(delivery) != "done") {
                found.push(format!("G7: {name} could apply {id}, and failed: {delivery}"));
            }
            let letters = &aws.queues.queues[&dead_letters(name)].messages;
            if state(delivery) == "dead" && !letters.iter().any(|it| is_letter_of(it, record)) {
                found.push(format!("G3: {id} is dead without a dead letter of its payload and error"));
            }
            if aws.history.strikes.is_empty() && !aws.history.tended {
                found.extend(undisturbed(world, record, name, delivery));
            }
        }
    }
    found
}

fn is_letter_of(letter: &Message, record: &Value) -> bool {
    let body: Value = serde_json::from_str(&letter.body).unwrap_or_default();
    let data: Value = serde_json::from_str(text(record, "data")).unwrap_or_default();
    body["id"] == text(record, "id")
        && body["type"] == text(record, "type")
        && body["data"] == data
        && !letter.attribute(ERROR).is_empty()
        && letter.attribute(ATTEMPTS).parse::<u32>().is_ok()
}

/// What must hold where nothing struck and nobody came by. G7: a destination tries no more often than
/// attempts are recorded, and once more where it ended well. G8: what never failed is not held up by what did.
fn undisturbed(world: &World, record: &Value, name: &str, delivery: &Value) -> Vec<String> {
    let (id, attempts) = (text(record, "id"), number(delivery, "attempts"));
    let has_ended = matches!(state(delivery), "done" | "rejected");
    let tries = world.tries(name, id);
    let mut found = Vec::new();
    if tries > attempts + i64::from(has_ended) {
        found.push(format!("G7: {name} tried {id} {tries} times, recorded are {attempts} attempts"));
    }
    let took_ms = number(delivery, "ended_at") - number(record, "accepted_at");
    if has_ended && attempts == 0 && took_ms > HELD_UP_MS {
        found.push(format!("G8: {name} ended {id}, which never failed, after {took_ms} ms"));
    }
    found
}
