//! What destinations have applied: each writes an item for each notification.

use std::collections::BTreeSet;
use std::time::Duration;

use handover::{Destination, Effect, Failure, Notification};
use handover_sim::item::{destinations, key, state, text};
use handover_sim::{Stack, Table, Time};
use serde::Deserialize;
use serde_json::json;

/// What was applied, by destination and notification.
const APPLIED: &str = "applied";
/// After this time a handler's own failures stop.
const WELL_AFTER: Duration = Duration::from_secs(20);

pub fn table() -> Table {
    Table::new(APPLIED, &["at", "notification"])
}

/// The effect that writes it.
pub fn effect<T>(destination: &str, notification: &Notification<T>) -> Effect {
    let item = json!({ "at": destination, "notification": notification.key().to_string() });
    Effect::new().put(APPLIED, &item)
}

/// A line that is to be written.
#[derive(Deserialize)]
pub struct Line {
    /// `soon` and `never` fail until a run is well.
    luck: String,
}

impl Line {
    /// A handler's own failure, of the first 20 seconds of a run.
    pub fn fails(&self, time: Time) -> Result<(), Failure> {
        let is_well = time.elapsed_ms() >= WELL_AFTER.as_millis() as u64;
        match self.luck.as_str() {
            "soon" if !is_well => Err(Failure::transient("not yet")),
            "never" if !is_well => Err(Failure::permanent("not so")),
            _ => Ok(()),
        }
    }
}

/// A destination that writes what it gets.
pub struct Applies {
    pub name: &'static str,
    pub time: Time,
}

impl Destination for Applies {
    type Data = Line;

    async fn apply(&self, line: &Notification<Line>) -> Result<Effect, Failure> {
        line.data.fails(self.time)?;
        Ok(effect(self.name, line))
    }
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
