//! A paused destination is not called, counts no attempt and is given up nothing; and what waited is given up only as
//! long after the resume as after an accept.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::item::{self, destinations, number, state, text};

/// How long after a pause a handler may begin, in milliseconds: ten seconds, and what the clocks of two instances
/// differ.
const HOLDS_AFTER_MS: u64 = 10_000 + 1_500;
/// How long after that a handler may end which has begun before, with what is written then: longer than a function runs,
/// and than a write is delayed.
const ENDS_AFTER_MS: u64 = 15 * 60_000;
/// How much sooner than by this clock reconcile may give up by its own, in milliseconds.
const SKEW_MS: u64 = 2_000;

/// The pauses of a run, by destination.
#[derive(Debug, Default)]
pub struct Pauses {
    are_begun: bool,
    /// Since when each destination is paused, or when it was resumed.
    controls: BTreeMap<String, (bool, u64)>,
    /// How long reconcile waits before it gives up.
    give_up_after_ms: u64,
}

impl Pauses {
    /// Somebody may pause from now on.
    pub fn begin(&mut self, give_up_after_ms: u64) {
        (self.are_begun, self.give_up_after_ms) = (true, give_up_after_ms);
    }

    pub fn are_begun(&self) -> bool {
        self.are_begun
    }

    /// Notes what the items of the table of positions say.
    pub fn follow_items(&mut self, items: &[Value], now_ms: u64) {
        let is_control = |item: &&Value| !text(item, "key").contains([' ', '/']);
        for item in items.iter().filter(is_control) {
            let is_paused = number(item, "paused_at") > 0;
            let control = self.controls.entry(text(item, "key").to_owned()).or_insert((false, 0));
            if control.0 != is_paused {
                *control = (is_paused, now_ms);
            }
        }
    }

    fn paused_ms(&self, destination: &str, now_ms: u64) -> Option<u64> {
        let (_, since_ms) = self.controls.get(destination).filter(|(is_paused, _)| *is_paused)?;
        Some(now_ms - since_ms)
    }

    /// What is wrong where a handler of a destination begins that may take so long before it calls.
    pub fn begins(&self, destination: &str, takes_ms: u64, now_ms: u64) -> Result<(), String> {
        match self.paused_ms(destination, now_ms) {
            Some(paused_ms) if paused_ms > HOLDS_AFTER_MS + takes_ms => {
                Err(format!("{destination} is called though it has been paused for {paused_ms} ms"))
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with a change of a record that `who` made.
    pub fn follow(&self, change: &Value, who: &str, now_ms: u64) -> Result<(), String> {
        let (old, new) = (&change["dynamodb"]["OldImage"], &change["dynamodb"]["NewImage"]);
        let was = destinations(old);
        for (name, is) in destinations(new) {
            let Some(before) = was.get(name) else { continue };
            let counts = number(is, "attempts") > number(before, "attempts");
            let dies = state(before) == "pending" && state(is) == "dead";
            let ended_ms = self.paused_ms(name, now_ms).filter(|ms| *ms > HOLDS_AFTER_MS + ENDS_AFTER_MS);
            if (counts || dies) && ended_ms.is_some() {
                let key = item::key(new);
                return Err(format!("{key} counts an attempt or dies at {name}, which is paused"));
            }
            let resumed_ms =
                self.controls.get(name).filter(|(is_paused, _)| !is_paused).map(|(_, at)| now_ms - at);
            let is_early = resumed_ms.is_some_and(|ms| ms + SKEW_MS < self.give_up_after_ms);
            if dies && who.starts_with("reconcile") && is_early {
                return Err(format!("{} is given up at {name} right after its resume", item::key(new)));
            }
        }
        Ok(())
    }
}
