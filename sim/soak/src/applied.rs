//! What destinations have applied: each writes an item for each notification.

use std::collections::BTreeSet;

use handover::{Effect, Notification};
use handover_sim::item::{destinations, key, state, text};
use handover_sim::{Stack, Table};
use serde_json::json;

/// What was applied, by destination and notification.
const APPLIED: &str = "applied";

pub fn table() -> Table {
    Table::new(APPLIED, &["at", "notification"])
}

/// The effect that writes it.
pub fn effect<T>(destination: &str, notification: &Notification<T>) -> Effect {
    let item = json!({ "at": destination, "notification": notification.key().to_string() });
    Effect::new().put(APPLIED, &item)
}

/// G4: what is done at these destinations is applied there, and nothing else is.
pub fn violations(stack: &Stack, at: &[&str]) -> Vec<String> {
    let items = stack.items(APPLIED);
    let applied: BTreeSet<String> =
        items.iter().map(|item| format!("{} at {}", text(item, "notification"), text(item, "at"))).collect();
    let records = stack.records();
    let done = records.iter().flat_map(|record| {
        let all = destinations(record).into_iter();
        let done = all.filter(|(name, delivery)| at.contains(name) && state(delivery) == "done");
        done.map(|(name, _)| format!("{} at {name}", key(record)))
    });
    let done: BTreeSet<String> = done.collect();
    (applied != done).then(|| format!("G4: done are {done:?}, applied {applied:?}")).into_iter().collect()
}
