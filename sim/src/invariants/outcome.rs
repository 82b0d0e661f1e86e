//! Outcomes: whoever leads a notification to an end tells its sender, in the same write, if the sender asked for it.

use std::collections::{BTreeMap, BTreeSet};

use handover::NotificationKey;
use serde_json::{Map, Value, json};

use crate::item::{self, data, destinations, number, state, text};

/// The source of outcomes.
const SOURCE: &str = "handover";

/// What was seen of outcomes so far, by their ids.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// What each end says: its record names the outcome.
    ended: BTreeMap<String, Value>,
    /// What each outcome says.
    told: BTreeMap<String, Value>,
    /// What has come to an end that is final, and told it.
    told_finally: BTreeSet<NotificationKey>,
}

impl Outcomes {
    /// Notes the outcome that a change of a record names, and the record of an outcome.
    pub fn follow(&mut self, old: &Value, new: &Value) -> Result<(), String> {
        let (was, is) = (text(old, "outcome_id"), text(new, "outcome_id"));
        let status = text(new, "status");
        let is_end = !old.is_null() && status != "INIT" && status != text(old, "status");
        let asks = new.get("outcometo").is_some();
        if new.is_null() || (is_end && asks) != (was != is) {
            let expires = new.is_null();
            return expires
                .then_some(())
                .ok_or_else(|| "G11: an end has no outcome, or what is no end has one".into());
        }
        if old.is_null() {
            // An id may be used again after its record has expired.
            self.told_finally.remove(&item::key(new));
        }
        if is_end && asks {
            if self.told_finally.contains(&item::key(new)) {
                return Err("G11: a sender hears again of what has ended for good".into());
            }
            if status != "DEAD" {
                self.told_finally.insert(item::key(new));
            }
            let NotificationKey { id, source } = item::key(new);
            let states = destinations(new).into_iter();
            let states = states.map(|(name, at)| (name.to_owned(), json!([state(at), at["reason"]["S"]])));
            let said = json!([id, source, status, number(new, "version"), states.collect::<Map<_, _>>()]);
            self.ended.insert(is.to_owned(), said);
        }
        if old.is_null() && text(new, "source") == SOURCE {
            let said = data(new);
            let at = said["destinations"].as_object().into_iter().flatten();
            let states = at.map(|(name, at)| (name.to_owned(), json!([at["state"], at["reason"]])));
            let states: Map<_, _> = states.collect();
            let said = json!([said["id"], said["source"], said["status"], said["version"], states]);
            if self.told.insert(text(new, "id").to_owned(), said).is_some() {
                return Err("G11: an outcome was told again".into());
            }
        }
        Ok(())
    }

    /// What does not hold: the ends and the outcomes are the same.
    pub fn violations(&self) -> Vec<String> {
        let found = self.ended.iter().filter(|(id, said)| self.told.get(*id) != Some(said));
        let untold = found.map(|(id, said)| format!("G11: the outcome {id} of the end {said} is missing"));
        let unknown = self.told.keys().filter(|id| !self.ended.contains_key(*id));
        untold.chain(unknown.map(|id| format!("G11: the outcome {id} is of no end"))).collect()
    }
}
