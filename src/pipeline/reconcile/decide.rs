//! What reconcile does about a record, as a pure function.

use jiff::{SignedDuration, Timestamp};

use super::controls::Controls;
use crate::record::{
    Change, DEAD_DUE_AFTER, Delivery, FIRST_DUE_AFTER, PAUSED_CHECKED_AFTER, Record, Update, Via,
    check_dead_later, check_later, dispatch_again, next_dispatch,
};

/// What to do about a record.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Nothing: it is completed, or it is in another bucket of the index now.
    Nothing,
    /// Give up at these destinations.
    GiveUp(Vec<String>),
    /// Send new dead letters for these destinations: the last ones will be gone soon.
    Renew(Vec<String>),
    /// Dispatch it again.
    Dispatch(Update),
    /// Check it later.
    Wait(Update),
}

/// What to do about a record that the index shows in this bucket.
pub(super) fn decide(
    record: &Record,
    bucket: &str,
    now: Timestamp,
    give_up_after: SignedDuration,
    controls: &Controls,
    has_dead_letters: impl Fn(&str) -> bool,
) -> Action {
    // The index may show it in an earlier bucket, or in one where this run has put it.
    if record.bucket != bucket {
        return Action::Nothing;
    }
    let dead = record.dead().filter(|(name, _)| has_dead_letters(name));
    let renewals: Vec<_> = dead.map(|(name, delivery)| (name, record.renewal_at(delivery))).collect();
    let due: Vec<String> =
        renewals.iter().filter(|(_, at)| *at <= now).map(|(name, _)| (*name).clone()).collect();
    if !due.is_empty() {
        return Action::Renew(due);
    }
    match (record.open, record.dead) {
        (0, 0) => Action::Nothing,
        // Without a queue there is no dead letter; there may be a queue later.
        (0, _) => {
            let next = renewals.iter().map(|(_, at)| *at).min().unwrap_or(now + DEAD_DUE_AFTER);
            Action::Wait(check_dead_later(record, now, next))
        }
        _ => decide_open(record, now, give_up_after, controls, has_dead_letters),
    }
}

fn decide_open(
    record: &Record,
    now: Timestamp,
    give_up_after: SignedDuration,
    controls: &Controls,
    can_give_up: impl Fn(&str) -> bool,
) -> Action {
    let since = |name: &str, delivery: &Delivery| controls.waits_since(name, record.since(delivery));
    let give_up_at = |name: &str, since| can_give_up(name).then_some(since + give_up_after);
    let is_late = |name: &str, since| give_up_at(name, since).is_some_and(|at| at <= now);
    let late: Vec<String> = record
        .pending()
        .filter(|(name, delivery)| !controls.is_paused(name) && is_late(name, since(name, delivery)))
        .map(|(name, _)| name.clone())
        .collect();
    if !late.is_empty() {
        return Action::GiveUp(late);
    }
    let checked_at = |name: &str, at: Timestamp, since| match controls.is_paused(name) {
        true => now + PAUSED_CHECKED_AFTER,
        false => give_up_at(name, since).map_or(at, |last| at.min(last)),
    };
    let due = record
        .pending()
        .map(|(name, delivery)| checked_at(name, delivery.due_at, since(name, delivery)))
        .min();
    let wait_until = |at| Action::Wait(check_later(record, now, at, Change::Wait));
    match due {
        Some(due) if due > now => wait_until(due),
        Some(_) | None => {
            let again = dispatch_again(record, now, Via::RetryQueue, |name, delivery| {
                let since = since(name, delivery);
                // What another destination is late with ends no wait of this one.
                checked_at(name, next_dispatch(since, now).max(delivery.due_at), since)
            });
            // An open record without a pending delivery has one in a state of a later release.
            again.map_or_else(|| wait_until(now + FIRST_DUE_AFTER), Action::Dispatch)
        }
    }
}
