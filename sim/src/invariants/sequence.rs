//! G8: sequenced destinations.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::item::{destinations, number, sequence_key, state, text};

/// What is completed at sequenced destinations, by key.
#[derive(Debug, Default)]
pub struct Sequences {
    /// The numbers, and whether they were applied.
    completed: BTreeMap<String, BTreeMap<i64, bool>>,
    /// The first number, where a replay lets a destination begin later than with 1.
    begun: BTreeMap<String, i64>,
}

impl Sequences {
    /// Notes with which number a key begins.
    pub fn begin(&mut self, key: String, with: i64) {
        self.begun.insert(key, with);
    }

    fn first(&self, key: &str) -> i64 {
        self.begun.get(key).copied().unwrap_or(1)
    }

    /// Whether a number before this one is not completed.
    pub fn has_open_before(&self, key: &str, at: i64) -> bool {
        let completed = self.completed.get(key);
        (self.first(key)..at).any(|before| !completed.is_some_and(|numbers| numbers.contains_key(&before)))
    }

    /// A number is applied only after all before it, and neither tried nor called before that. No number
    /// is applied twice.
    pub fn follow(&mut self, old: &Value, new: &Value) -> Result<(), String> {
        let was = destinations(old);
        for (name, is) in destinations(new) {
            let (Some(was), Some(key)) = (was.get(name), sequence_key(new, name, is)) else { continue };
            let first = self.first(&key);
            let (at, completed) = (number(new, "sequence"), self.completed.entry(key).or_default());
            let is_applied = state(was) != state(is) && matches!(state(is), "done" | "rejected");
            // A notification that learns that its number is used is failed for good: the one attempt before
            // its turn.
            let is_used = text(is, "reason").contains("has its `sequence`");
            let is_tried = ["attempts", "fence"].into_iter().any(|name| number(is, name) > number(was, name));
            let is_early = at < first || (first..at).any(|before| !completed.contains_key(&before));
            if (is_applied || is_tried && !is_used) && is_early {
                return Err(format!("G8: {name} tried {at} before its turn; completed are {completed:?}"));
            }
            if is_applied && completed.insert(at, true) == Some(true) {
                return Err(format!("G8: {name} applied {at} twice"));
            }
            if state(is) == "closed" {
                completed.entry(at).or_default();
            }
        }
        Ok(())
    }
}
