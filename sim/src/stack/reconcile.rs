//! Deploys reconcile, and lets time pass for it.

use std::time::Duration;

use handover::pipeline::{Reconcile, ReconcileSettings};
use handover::record::{Slot, SlotKind};
use handover::store::{AllDeadLetters, Cursors, Walk};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::aws::lambda::Function;
use crate::faults::rng::{Purpose, below};
use crate::item::RETENTION;
use crate::names::{PREFIX, RECONCILE};
use crate::stack::Stack;

const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);
const RECONCILE_EVERY: Duration = Duration::from_secs(300);
/// The same while days pass in which nothing is sent.
const RECONCILE_EVERY_AT_REST: Duration = Duration::from_secs(12 * 3_600);
/// Dispatches and dead letters of reconcile in a second: so few that it may run out of time.
const RECONCILE_DISPATCHES_PER_SECOND: u32 = 1;
/// Read units of reconcile in a second.
const RECONCILE_READ_UNITS_PER_SECOND: u32 = 20;
/// How much later than its time to live a record is deleted, at most.
const EXPIRED_WITHIN: SignedDuration = SignedDuration::from_hours(48);
/// How far a producer's clock is behind at most, in milliseconds.
const CLOCK_BEHIND_MS_MAX: i64 = 90 * 60_000;
/// After how many milliseconds the second walk comes to a slot.
const AGAIN_MS: i64 = 24 * 3_600_000;
/// How far ahead an empty slot is passed: nothing that is written now is due so soon.
const AHEAD_MS: i64 = 15 * 60_000;

impl Stack {
    /// Deploys reconcile, when all destinations are deployed. Its cursor begins with what is accepted now:
    /// an earlier slot costs reads, and finds nothing.
    pub(crate) fn serve_reconcile(&self) {
        for walk in [Walk::Due, Walk::DueAgain, Walk::Dead] {
            let before_ms = if walk == Walk::DueAgain { CLOCK_BEHIND_MS_MAX } else { 0 };
            let begin = Slot::of(walk.slots(), self.aws.time().timestamp(-before_ms));
            self.put(RECONCILE, &cursor_at(walk, begin.begin()));
        }
        let settings = ReconcileSettings {
            ledger: self.ledger(),
            positions: self.positions(),
            cursors: Cursors::new(self.dynamodb.clone(), RECONCILE),
            dead_letters: self.all_dead_letters(),
            give_up_after: self.give_up_after(),
            dispatches_per_second: RECONCILE_DISPATCHES_PER_SECOND,
            read_units_per_second: RECONCILE_READ_UNITS_PER_SECOND,
            clock: self.clock("reconcile"),
        };
        let reconcile = Reconcile::new(settings);
        let reconcile =
            Function::new("reconcile", "reconcile", RECONCILE_TIMEOUT, async move |_: Value, until| {
                reconcile.run(until).await
            });
        self.spawn(self.lambda.clone().serve_schedule(RECONCILE_EVERY, reconcile));
    }

    fn all_dead_letters(&self) -> AllDeadLetters {
        let by_name = AllDeadLetters::new(self.sqs.clone(), PREFIX);
        match self.knows_queue_urls() {
            true => {
                self.destinations().iter().fold(by_name, |all, name| all.with(name, self.dead_letters(name)))
            }
            false => by_name,
        }
    }

    /// Lets days pass in which nothing is sent. What is open by now stays so: the cursors of its slots are put behind
    /// those days, so that reconcile checks dead records alone.
    pub(crate) async fn rest(&self, days: u64) {
        self.aws.state().schedule_at_rest = Some(RECONCILE_EVERY_AT_REST);
        let days_ms = days * 24 * 3_600_000;
        for walk in [Walk::Due, Walk::DueAgain] {
            let end = Slot::of(walk.slots(), self.aws.time().timestamp(days_ms as i64));
            self.put(RECONCILE, &cursor_at(walk, end.begin()));
        }
        sleep(Duration::from_millis(days_ms)).await;
    }

    /// Lets days pass after which every record has expired that was completed. Reconcile has nothing to find in them.
    pub(crate) async fn expire(&self) {
        let end = self.aws.time().timestamp(0) + RETENTION + EXPIRED_WITHIN;
        for walk in [Walk::Due, Walk::DueAgain, Walk::Dead] {
            self.put(RECONCILE, &cursor_at(walk, Slot::of(walk.slots(), end).begin()));
        }
        let days = (RETENTION + EXPIRED_WITHIN).unsigned_abs();
        self.aws.state().schedule_at_rest = Some(days);
        sleep(days).await;
        self.aws.delete_expired();
        self.aws.state().schedule_at_rest = None;
    }

    /// Moves the cursors past empty slots while nothing runs: reconcile would find nothing in them, call by call.
    pub(crate) fn pass_empty_slots(&self) {
        self.skip_empty_slots(Walk::Due, self.aws.time().timestamp(AHEAD_MS));
        self.skip_empty_slots(Walk::DueAgain, self.aws.time().timestamp(AHEAD_MS - AGAIN_MS));
    }

    /// Moves the cursor of a walk to `end`, or to the first record before it that the walk has not come to.
    fn skip_empty_slots(&self, walk: Walk, end: Timestamp) {
        let cursors = self.items(RECONCILE);
        let cursor = cursors.iter().find(|cursor| cursor["name"]["S"] == walk.name());
        let second = cursor.and_then(|cursor| cursor["slot"]["N"].as_str()?.parse().ok());
        let begin = Timestamp::from_second(second.expect("a cursor that was deployed")).expect("a slot");
        let first = self.records().iter().filter_map(slot_begin).filter(|slot| *slot >= begin).min();
        let to = Slot::of(SlotKind::Open, first.map_or(end, |first| first.min(end))).begin();
        if to > begin {
            self.put(RECONCILE, &cursor_at(walk, to));
        }
    }

    /// When reconcile gives up a destination in this run: soon, or after every dispatch that it can make. Where copies
    /// wait long, soon could be before they were tried.
    pub(crate) fn give_up_after(&self) -> SignedDuration {
        if self.backoff() > Duration::from_secs(300) || self.is_tuned() {
            return SignedDuration::from_hours(96);
        }
        let hours = [1, 96][below(2, self.aws.seed(), &[Purpose::GiveUp as u64]) as usize];
        SignedDuration::from_hours(hours)
    }
}

fn cursor_at(walk: Walk, slot: Timestamp) -> Value {
    json!({ "name": { "S": walk.name() }, "slot": { "N": slot.as_second().to_string() } })
}

/// When the slot of an open record begins.
fn slot_begin(record: &Value) -> Option<Timestamp> {
    let (slot, _) = record["bucket"]["S"].as_str()?.split_once('#')?;
    slot.parse().ok()
}
