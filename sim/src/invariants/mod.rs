//! What every change of a record has to keep, whatever fails. It is written from the design's table of
//! transitions and its guarantees, not from the library's code, and is the same for every workload.

pub mod cursor;
pub mod lease;
pub mod outcome;
pub mod pause;
pub mod schedule;
pub mod sequence;
pub mod transition;

use std::collections::BTreeMap;

use handover::NotificationKey;
use serde_json::Value;

use crate::invariants::cursor::Cursors;
use crate::invariants::lease::Leases;
use crate::invariants::outcome::Outcomes;
use crate::invariants::schedule::Schedules;
use crate::invariants::sequence::Sequences;
use crate::invariants::transition::{is_transition, is_whole};
use crate::item::{self, destinations, number};

/// What was seen of the records so far.
#[derive(Debug, Default)]
pub struct Invariants {
    leases: Leases,
    pub cursors: Cursors,
    pub sequences: Sequences,
    pub outcomes: Outcomes,
    pub schedules: Schedules,
    /// Failed attempts of each delivery, whatever redrives there were, by notification and destination.
    attempts: BTreeMap<(NotificationKey, String), i64>,
}

impl Invariants {
    /// How many attempts of a delivery failed.
    pub fn attempts(&self, key: &NotificationKey, destination: &str) -> i64 {
        self.attempts.get(&(key.clone(), destination.to_owned())).copied().unwrap_or_default()
    }

    fn count_attempts(&mut self, old: &Value, new: &Value) {
        let was = destinations(old);
        for (name, is) in destinations(new) {
            let before = was.get(name).map_or(0, |was| number(was, "attempts"));
            let failed = number(is, "attempts").saturating_sub(before).max(0);
            *self.attempts.entry((item::key(new), name.to_owned())).or_default() += failed;
        }
    }

    /// What is wrong with a change of a record that `who` made: it has to be a transition of the table that
    /// leaves a record which is whole, and to respect schedules, leases, sequences and outcomes.
    pub fn check(&mut self, change: &Value, who: &str) -> Option<String> {
        let (old, new) = (&change["dynamodb"]["OldImage"], &change["dynamodb"]["NewImage"]);
        let key = item::key(&change["dynamodb"]["Keys"]).to_string();
        self.count_attempts(old, new);
        let result = is_transition(old, new)
            .and_then(|()| if new.is_null() { Ok(()) } else { is_whole(new) })
            .and_then(|()| self.schedules.follow(old, new))
            .and_then(|()| self.leases.follow(old, new, who))
            .and_then(|()| self.sequences.follow(old, new))
            .and_then(|()| self.outcomes.follow(old, new));
        let why = result.err()?;
        let mut changed = Vec::new();
        differences(&key, old, new, &mut changed);
        Some(format!("{why}\n  {}", changed.join("\n  ")))
    }
}

/// Each attribute that changed, with its old and its new value.
fn differences(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old.as_object(), new.as_object()) {
        (Some(before), Some(after)) => {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                // DynamoDB's types have names of one or two letters.
                let path = if name.len() < 3 { path.to_owned() } else { format!("{path}.{name}") };
                differences(&path, &old[name], &new[name], found);
            }
        }
        _ if old != new => found.push(format!("{path}: {old} -> {new}")),
        _ => (),
    }
}
