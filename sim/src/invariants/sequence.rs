//! G8: sequenced destinations.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::item::{destinations, number, sequence_key, state, text};

/// The numbers that are completed at sequenced destinations, by key, and whether they were applied.
#[derive(Debug, Default)]
pub struct Sequences(BTreeMap<String, BTreeMap<i64, bool>>);

impl Sequences {
    /// Whether a number before this one is not completed.
    pub fn has_open_before(&self, key: &str, at: i64) -> bool {
        let completed = self.0.get(key);
        (1..at).any(|before| !completed.is_some_and(|numbers| numbers.contains_key(&before)))
    }

    /// A number is applied only after all before it, and neither tried nor called before that. No number
    /// is applied twice.
    pub fn follow(&mut self, old: &Value, new: &Value) -> Result<(), String> {
        let was = destinations(old);
        for (name, is) in destinations(new) {
            let (Some(was), Some(key)) = (was.get(name), sequence_key(new, name, is)) else { continue };
            let (at, completed) = (number(new, "sequence"), self.0.entry(key).or_default());
            let is_applied = state(was) != state(is) && matches!(state(is), "done" | "rejected");
            // A notification that learns that its number is used is failed for good: the one attempt before
            // its turn.
            let is_used = text(is, "reason").contains("has its `sequence`");
            let is_tried = ["attempts", "fence"].into_iter().any(|name| number(is, name) > number(was, name));
            let is_early = (1..at).any(|before| !completed.contains_key(&before));
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
