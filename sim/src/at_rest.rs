//! What has to hold at rest, when everything is completed or dead: G1, G2, G3, G5, G7 and G8, for every
//! workload.

use std::collections::BTreeMap;

use handover::NotificationKey;
use handover::pipeline::REASON;
use handover::store::{ATTEMPTS, ERROR};
use serde_json::Value;

use crate::aws::sqs::{Message, Queues};
use crate::disturbance;
use crate::item::{self, data, destinations, number, state, text};
use crate::names::{NOTIFICATIONS, POSITIONS, UPSTREAM_DEAD_LETTERS, dead_letter_queue};
use crate::stack::{RECEIVES_MAX, Stack};

/// A message that was sent to the upstream queue. Two may have the same id.
#[derive(Clone, Debug)]
pub struct SentMessage {
    /// Its notification.
    pub key: NotificationKey,
    /// The data of its notification.
    pub data: Value,
    /// Its body.
    pub message: String,
    /// The unique id of the role that sent it.
    pub sender: &'static str,
    /// It is no valid notification.
    pub malformed: bool,
    /// Its destinations can apply it from the beginning on, whatever faults there are.
    pub feasible: bool,
}

/// What the dead letter of a notification says whose sequence belongs to another one.
const SEQUENCE_TAKEN: &str = "has its `sequence`";

/// What does not hold: every message is stored, or is in the dead-letter queue with the reason; every
/// notification is completed, or is dead with a dead letter that has its payload.
pub fn violations(stack: &Stack, sent: &[SentMessage]) -> Vec<String> {
    let mut found = Vec::new();
    let (records, queues) = (stack.items(NOTIFICATIONS), stack.working_queues());
    let mut state = stack.aws.state();
    state.queues.expire(stack.aws.time().now_ms());
    // SQS dead-letters nothing in relay's queue: what is throttled ends long before.
    for url in queues {
        let left = state.queues.queues[&url].messages.iter();
        found.extend(left.map(|message| format!("not at rest: {} in {url}", message.id)));
    }
    messages_are_stored_or_refused(&state.queues, &records, sent, &mut found);
    found.extend(state.invariants.outcomes.violations());
    let may_have_lost = state.history.may_have_lost();
    for record in &records {
        let key = item::key(record);
        if text(record, "status") == "INIT" {
            found.push(format!("G3: {key} is not completed"));
        }
        let mut of_record = sent.iter().filter(|message| message.key == key).peekable();
        let is_feasible = of_record.peek().is_some() && of_record.all(|message| message.feasible);
        for (name, delivery) in destinations(record) {
            // Reconcile may have given up a notification whose copies were lost several times.
            let was_reached = !may_have_lost || self::state(delivery) != "dead";
            if was_reached {
                found.extend(was_applied(record, name, delivery, is_feasible));
            }
            found.extend(disturbance::violations(stack, &state, record, name, delivery));
            found.extend(gave_up_its_sequence(&state.queues, record, name, delivery));
        }
    }
    drop(state);
    found.extend(dead_without_letter(stack));
    found.extend(registrations(&stack.items(POSITIONS)));
    found
}

/// G8: what is registered of a key comes after its position, which says how far it goes. So nothing is left of what
/// was passed, and no mark passes what is registered.
fn registrations(items: &[Value]) -> Vec<String> {
    let mut keys: BTreeMap<&str, (i64, i64, Vec<i64>)> = BTreeMap::new();
    let of_keys = items.iter().filter(|item| !text(item, "key").starts_with('/'));
    for item in of_keys {
        let (at, registered_to, registered) = keys.entry(text(item, "key")).or_default();
        match number(item, "sequence") {
            0 => {
                *at = number(item, "position").max(0);
                *registered_to = number(item, "registered_to").max(0);
            }
            sequence => registered.push(sequence),
        }
    }
    let is_wrong = |(_, (at, registered_to, registered)): &(_, (i64, i64, Vec<i64>))| {
        let last = registered.iter().max().copied().unwrap_or_default();
        last != *registered_to || registered.iter().any(|sequence| sequence <= at)
    };
    let wrong = keys.into_iter().filter(is_wrong);
    wrong
        .map(|(key, (at, to, registered))| {
            format!("G8: {key} is at {at}, registered to {to}, and has {registered:?}")
        })
        .collect()
}

/// G3: what is dead and has no dead letter of its payload and error, of those that SQS still keeps.
pub fn dead_without_letter(stack: &Stack) -> Vec<String> {
    let records = stack.items(NOTIFICATIONS);
    let mut state = stack.aws.state();
    state.queues.expire(stack.aws.time().now_ms());
    let has_letter = |record: &Value, name: &str| {
        let dead_letters = &state.queues.queues[&dead_letter_queue(name)].messages;
        dead_letters.iter().any(|dead_letter| is_dead_letter_of(dead_letter, record))
    };
    let mut found = Vec::new();
    for record in &records {
        let dead = destinations(record).into_iter().filter(|(_, delivery)| self::state(delivery) == "dead");
        let without = dead.filter(|(name, _)| !has_letter(record, name));
        found.extend(without.map(|(name, _)| {
            format!(
                "G3: {} is dead at {name} without a dead letter of its payload and error",
                item::key(record)
            )
        }));
    }
    found
}

/// G8: what was applied in sequence has no dead letter which says that another notification has its sequence.
fn gave_up_its_sequence(queues: &Queues, record: &Value, name: &str, delivery: &Value) -> Option<String> {
    // A record that somebody else wrote may name a destination that has no queue.
    let mut dead_letters = queues.queues.get(&dead_letter_queue(name))?.messages.iter();
    let is_untrue = state(delivery) == "done"
        && dead_letters.any(|letter| {
            letter.attribute(ERROR).contains(SEQUENCE_TAKEN) && is_dead_letter_of(letter, record)
        });
    is_untrue.then(|| format!("G8: {name} applied {}, whose sequence it gave up", item::key(record)))
}

/// G1: every message is stored with its data, or refused with the reason.
fn messages_are_stored_or_refused(
    queues: &Queues,
    records: &[Value],
    sent: &[SentMessage],
    found: &mut Vec<String>,
) {
    let by_key: BTreeMap<NotificationKey, &Value> =
        records.iter().map(|record| (item::key(record), record)).collect();
    let refused = &queues.queues[UPSTREAM_DEAD_LETTERS].messages;
    for message in sent {
        let body: Value = serde_json::from_str(&message.message).unwrap_or_default();
        let sequence = body["sequence"].as_i64().unwrap_or(i64::MIN);
        let is_same = |record: &&Value| {
            data(record) == message.data
                && number(record, "sequence") == sequence
                && has_attributes_of(record, &body)
        };
        let is_stored = by_key.get(&message.key).is_some_and(is_same);
        if message.malformed && is_stored {
            found.push(format!("G1: {} is malformed, and stored", message.key));
        }
        match refused.iter().find(|refused| refused.body == message.message) {
            None if !is_stored => {
                found.push(format!("G1: {} is neither stored nor refused", message.message));
            }
            // What SQS moved there itself, after the last receive, nobody refused.
            Some(dead_letter)
                if dead_letter.receives < RECEIVES_MAX && dead_letter.attribute(REASON).is_empty() =>
            {
                found.push(format!("G1: {} is refused without a reason", message.message));
            }
            Some(dead_letter) if !message.malformed && !is_for_a_reason(dead_letter.attribute(REASON)) => {
                let reason = dead_letter.attribute(REASON);
                found.push(format!("G1: {} is valid, and refused: {reason}", message.message));
            }
            _ => (),
        }
    }
}

/// Whether a valid message may be refused for this reason: another one has its id. SQS gives none when it moves a message.
fn is_for_a_reason(reason: &str) -> bool {
    reason.is_empty() || reason.starts_with("conflict:")
}

/// What is done, and what can be applied, is applied.
fn was_applied(record: &Value, name: &str, delivery: &Value, is_feasible: bool) -> Vec<String> {
    let key = item::key(record);
    let mut found = Vec::new();
    if text(delivery, "settled") == "done" && state(delivery) == "dead" {
        found.push(format!("G5: {key} is dead at {name}, though it was settled as done"));
    }
    if is_feasible && (number(delivery, "attempts") > 0 || state(delivery) != "done") {
        found.push(format!("G7: {name} could apply {key}, and failed: {delivery}"));
    }
    found
}

/// Whether a record has the texts of a message that may have any character.
fn has_attributes_of(record: &Value, message: &Value) -> bool {
    let is_same = |name: &str| text(record, name) == message[name].as_str().unwrap_or_default();
    ["subject", "partitionkey"].into_iter().all(is_same)
}

fn is_dead_letter_of(dead_letter: &Message, record: &Value) -> bool {
    let body: Value = serde_json::from_str(&dead_letter.body).unwrap_or_default();
    body["id"] == text(record, "id")
        && body["source"] == text(record, "source")
        && body["type"] == text(record, "type")
        && body["data"] == data(record)
        && has_attributes_of(record, &body)
        && !dead_letter.attribute(ERROR).is_empty()
        && dead_letter.attribute(ATTEMPTS).parse::<u32>().is_ok()
}
