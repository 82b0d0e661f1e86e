//! The table of transitions, and what makes a record whole.

use handover::record::KEPT_WITHOUT_SUBSCRIBERS;
use serde_json::Value;

use crate::item::{RETENTION, destinations, number, state, text};
use crate::names::{HELD, HOLDS};

/// How often a fault that lasts is recorded at most, in milliseconds.
const FAULT_EVERY_MS: i64 = 3_600_000;
/// How long reconcile leaves alone what waits in a retry queue, in milliseconds, beside the wait.
const CHECKED_AFTER_MS: i64 = 1_800_000;
/// What a record keeps from its accept on.
const CONSTANT: [&str; 20] = [
    "id",
    "type",
    "kind",
    "source",
    "subject",
    "time",
    "time_nanos",
    "partitionkey",
    "sequence",
    "traceparent",
    "tracestate",
    "causationid",
    "correlationid",
    "outcometo",
    "outcome_destinations",
    "dataschema",
    "extensions",
    "data",
    "digest",
    "accepted_at",
];

/// What of that says where an outcome goes.
const OF_OUTCOME: [&str; 2] = ["outcometo", "outcome_destinations"];

/// Whether a change is a transition of the table.
pub fn is_transition(old: &Value, new: &Value) -> Result<(), String> {
    if new.is_null() {
        // By its time to live: nobody else deletes records.
        let expires = old.get("expires_at").is_some();
        return expires.then_some(()).ok_or_else(|| "a record was deleted that does not expire".into());
    }
    if old.is_null() {
        return is_accept(new);
    }
    // What has ended for good is replayed without the outcome that was told.
    let is_final = matches!(text(old, "status"), "DONE" | "REJECTED" | "CLOSED");
    let is_told = |name: &str| is_final && new.get(name).is_none() && OF_OUTCOME.contains(&name);
    if let Some(name) = CONSTANT.into_iter().find(|name| old[name] != new[name] && !is_told(name)) {
        return Err(format!("{name} changed"));
    }
    if number(new, "version") != number(old, "version") + 1 {
        return Err("the version did not rise by one".into());
    }
    let (before, after) = (destinations(old), destinations(new));
    if before.keys().ne(after.keys()) {
        return is_replay(old, new);
    }
    let changes = before.iter().map(|(name, was)| DeliveryChange::new(name, was, after[name]));
    let changes: Vec<DeliveryChange> = changes.filter(|change| change.is_changed).collect();
    let is_dispatch = text(new, "change") == "dispatch";
    let is_wait = text(new, "change") == "wait" && matches!(text(old, "status"), "INIT" | "DEAD");
    match (number(new, "dispatches") - number(old, "dispatches"), &changes[..]) {
        // Reconcile looks at the record later.
        (0, []) if is_wait => Ok(()),
        // A later release holds a delivery, or no longer does.
        (0, [one]) if HOLDS.contains(&text(new, "change")) && one.after == one.before => Ok(()),
        // New dead letters were sent.
        (0, all) if text(new, "change") == "renew" && all.iter().all(DeliveryChange::is_still_dead) => Ok(()),
        // A dead letter that was moved to the retry queue is tried; or a holder that lived on after it learnt that its
        // call was not made.
        (0, [one]) if matches!(text(new, "change"), "lease" | "release") && one.is_still_dead() => Ok(()),
        (0, [one]) if text(new, "change") == "fault" => {
            is_fault(before[one.name], after[one.name])?;
            is_left_alone(new, after[one.name])
        }
        (0, [one]) if !is_dispatch => {
            one.is_of_table(text(new, "kind"))?;
            // Where an attempt or a redrive came before, that has said when reconcile checks it.
            let is_first = one.after == 0 && number(after[one.name], "redriven_at") < 0;
            match text(new, "change") == "release" && is_first {
                true => is_left_alone(new, after[one.name]),
                false => Ok(()),
            }
        }
        (1, [one]) if is_dispatch && (one.from, one.to, one.after) == ("dead", "pending", 0) => Ok(()),
        // Sent again to every destination that is pending; nothing else changes.
        (1, all) if is_dispatch && all.iter().all(DeliveryChange::is_still_pending) => Ok(()),
        _ => Err("this is no transition of the table".into()),
    }
}

/// Whether one destination was added to an event, and it was dispatched; nothing else changed.
fn is_replay(old: &Value, new: &Value) -> Result<(), String> {
    let (before, mut after) = (destinations(old), destinations(new));
    let added: Vec<_> = after.extract_if(.., |name, _| !before.contains_key(name)).collect();
    let is_new = |delivery: &Value| {
        state(delivery) == "pending"
            && number(delivery, "attempts") == 0
            && number(delivery, "replayed_at") == number(new, "updated_at")
    };
    let is_replay = matches!(&added[..], [(_, delivery)] if is_new(delivery))
        && before == after
        && (text(new, "kind"), text(new, "change")) == ("event", "dispatch")
        && number(new, "dispatches") == number(old, "dispatches") + 1;
    is_replay.then_some(()).ok_or_else(|| "the destinations changed".into())
}

fn is_accept(new: &Value) -> Result<(), String> {
    let is_new = |delivery: &&Value| state(delivery) == "pending" && number(delivery, "attempts") == 0;
    let all = destinations(new);
    // What goes nowhere is never dispatched.
    let dispatches = i64::from(!all.is_empty());
    let is_accept = all.values().all(is_new)
        && number(new, "version") == 1
        && number(new, "dispatches") == dispatches
        && (text(new, "change") == "dispatch") != all.is_empty();
    is_accept.then_some(()).ok_or_else(|| "an accept of a record that is not new".into())
}

/// Whether reconcile leaves a delivery alone whose copy waits without an attempt: another copy would wait as long.
fn is_left_alone(record: &Value, delivery: &Value) -> Result<(), String> {
    let is_later = number(delivery, "due_at") >= number(record, "updated_at") + CHECKED_AFTER_MS;
    is_later.then_some(()).ok_or_else(|| "reconcile would dispatch what waits in a retry queue".into())
}

/// Whether a delivery that stays pending has a fault that it did not have, or had long ago, and nothing else changed.
fn is_fault(was: &Value, is: &Value) -> Result<(), String> {
    let [old, new] = [was, is].map(|delivery| &delivery["fault"]["M"]);
    let attempted = number(&is["failures"]["M"][number(is, "attempts").to_string()]["M"], "at");
    let later = attempted.max(number(is, "redriven_at"));
    let is_repeat = old["error"] == new["error"] && number(old, "at") > later;
    let others = |delivery: &Value| {
        let mut others = delivery.clone();
        let names = ["fault", "due_at", "relayed_at", "received_at"];
        others
            .as_object_mut()
            .into_iter()
            .for_each(|all| all.retain(|name, _| !names.contains(&name.as_str())));
        others
    };
    match () {
        () if state(is) != "pending" || others(was) != others(is) => {
            Err("a fault changed more than it records".into())
        }
        () if is_repeat && number(new, "at") < number(old, "at") + FAULT_EVERY_MS => {
            Err("a fault that lasts was recorded again too soon".into())
        }
        () => Ok(()),
    }
}

/// How a change of a record changed one of its deliveries.
struct DeliveryChange<'a> {
    name: &'a str,
    is_changed: bool,
    from: &'a str,
    to: &'a str,
    /// Attempts before.
    before: i64,
    /// Attempts after.
    after: i64,
}

impl<'a> DeliveryChange<'a> {
    fn new(name: &'a str, was: &'a Value, is: &'a Value) -> DeliveryChange<'a> {
        let (before, after) = (number(was, "attempts"), number(is, "attempts"));
        DeliveryChange { name, is_changed: was != is, from: state(was), to: state(is), before, after }
    }

    fn is_still_pending(&self) -> bool {
        (self.from, self.to) == ("pending", "pending") && self.after == self.before
    }

    fn is_still_dead(&self) -> bool {
        (self.from, self.to) == ("dead", "dead") && self.after == self.before
    }

    fn is_of_table(&self, kind: &str) -> Result<(), String> {
        let DeliveryChange { name, from, to, before, after, .. } = self;
        let is_of_table = match (*from, *to) {
            ("done" | "rejected" | "closed", _) => return Err(format!("G6: {name} was {from}, and changed")),
            ("pending" | "dead", "rejected") if kind != "command" => {
                return Err(format!("G9: {name} rejected an event"));
            }
            ("pending" | "dead", "done" | "rejected" | "closed") => after == before,
            ("pending", "pending" | "dead") => *after == *before || *after == before + 1,
            _ => false,
        };
        let change = || format!("{name} went from {from} after {before} attempts to {to} after {after}");
        is_of_table.then_some(()).ok_or_else(change)
    }
}

/// Every number that a record has from its accept on, and when each delivery ended that is not pending.
fn numbers_are_there(record: &Value) -> Result<(), String> {
    let lacks = |item: &Value, name: &str| number(item, name) < 0;
    let of_record = ["version", "dispatches", "open", "dead", "closed", "accepted_at", "updated_at"];
    if let Some(name) = of_record.into_iter().find(|name| lacks(record, name)) {
        return Err(format!("the record has no {name}"));
    }
    for (destination, delivery) in destinations(record) {
        let attempts = number(delivery, "attempts");
        let failures = &delivery["failures"]["M"];
        if let Some(nth) = (1..=attempts).find(|nth| lacks(&failures[nth.to_string()]["M"], "at")) {
            return Err(format!("the delivery to {destination} does not say when attempt {nth} failed"));
        }
        let ended = (!matches!(state(delivery), "pending" | HELD)).then_some("ended_at");
        let mut names = ["attempts", "fence", "due_at"].into_iter().chain(ended);
        if let Some(name) = names.find(|name| lacks(delivery, name)) {
            return Err(format!("the delivery to {destination} has no {name}"));
        }
    }
    Ok(())
}

/// Whether a record's counts, status and expiry agree with its deliveries.
pub fn is_whole(record: &Value) -> Result<(), String> {
    let all = destinations(record);
    numbers_are_there(record)?;
    let count = |wanted: &str| all.values().filter(|delivery| state(delivery) == wanted).count() as i64;
    let (open, dead, closed) = (count("pending") + count(HELD), count("dead"), count("closed"));
    let counted = ["open", "dead", "closed"].map(|name| number(record, name));
    if counted != [open, dead, closed] {
        return Err(format!(
            "the record counts {counted:?} deliveries (open, dead, closed), but has {:?}",
            [open, dead, closed]
        ));
    }
    let status = match () {
        () if open > 0 => "INIT",
        () if dead > 0 => "DEAD",
        () if count("rejected") > 0 => "REJECTED",
        () if closed > 0 => "CLOSED",
        () => "DONE",
    };
    if text(record, "status") != status {
        return Err(format!("the status should be {status}"));
    }
    if (open + dead == 0) != record.get("expires_at").is_some() {
        return Err("the record expires though it is not completed, or does not though it is".into());
    }
    let kept_ms = match all.is_empty() {
        true => KEPT_WITHOUT_SUBSCRIBERS.as_millis() as i64,
        false => RETENTION.as_millis() as i64,
    };
    let kept_until_ms = number(record, "updated_at").saturating_add(kept_ms);
    // In whole seconds.
    if record.get("expires_at").is_some() && 1_000 * (number(record, "expires_at") + 1) < kept_until_ms {
        return Err("G2: the record expires before its retention is over".into());
    }
    Ok(())
}
