//! The retry schedules of the destinations: how many attempts there are (G7), how far they are apart, and how long
//! reconcile leaves alone what waits for the next one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::item::{destinations, number, state};

/// How long reconcile leaves alone what waits in a retry queue, in milliseconds, beside the wait.
const CHECKED_AFTER_MS: i64 = 1_800_000;

/// The longest wait after an attempt, in milliseconds.
const WAIT_MS_MAX: i64 = 42_300_000;

/// The schedule of a destination.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The longest wait after each attempt but the last, in milliseconds. The shortest is half of it.
    pub waits_ms: Vec<i64>,
}

/// The schedules of all destinations.
#[derive(Debug, Default)]
pub struct Schedules(BTreeMap<String, Schedule>);

impl Schedules {
    pub fn insert(&mut self, destination: &str, schedule: Schedule) {
        self.0.insert(destination.to_owned(), schedule);
    }

    /// Whether the attempts that a change counted keep the schedules.
    pub fn follow(&self, old: &Value, new: &Value) -> Result<(), String> {
        let before = destinations(old);
        for (name, is) in destinations(new) {
            // A record that somebody else wrote may name a destination that is not deployed.
            let Some(schedule) = self.0.get(name) else { continue };
            let was = before.get(name).map_or(0, |was| number(was, "attempts"));
            if number(is, "attempts") > was {
                schedule.allows(name, is)?;
            }
        }
        Ok(())
    }
}

impl Schedule {
    /// Whether the last attempt of a delivery keeps the schedule.
    fn allows(&self, name: &str, delivery: &Value) -> Result<(), String> {
        let attempts = number(delivery, "attempts");
        let at = |number: i64| self::number(&delivery["failures"]["M"][number.to_string()]["M"], "at");
        let asked_ms = |number: i64| {
            1_000 * self::number(&delivery["failures"]["M"][number.to_string()]["M"], "retry_after").max(0)
        };
        let half_ms = |number: i64| {
            let wait_ms = self.waits_ms.get(number as usize - 1)?;
            Some((wait_ms / 2 + asked_ms(number)).min(WAIT_MS_MAX))
        };
        if attempts > self.waits_ms.len() as i64 + 1 {
            return Err(format!("G7: {name} has more than {} attempts", self.waits_ms.len() + 1));
        }
        if state(delivery) != "pending" {
            return Ok(());
        }
        let before = attempts - 1;
        let is_apart = before < 1
            || at(before) < number(delivery, "redriven_at")
            || half_ms(before).is_none_or(|half_ms| at(attempts).saturating_sub(at(before)) >= half_ms);
        if !is_apart {
            return Err(format!("G7: {name} counted attempt {attempts} right after the one before"));
        }
        let due_ms = half_ms(attempts).map_or(0, |half_ms| at(attempts) + half_ms + CHECKED_AFTER_MS);
        let is_left_alone = number(delivery, "due_at") >= due_ms;
        let early = || format!("reconcile would dispatch what waits for its next attempt at {name}");
        is_left_alone.then_some(()).ok_or_else(early)
    }
}
