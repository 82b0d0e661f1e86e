//! How often a destination may be asked to apply a notification, and how long that may take (G7, G8): by the faults on
//! its own way. What goes wrong at another destination is none of them.

use serde_json::Value;

use crate::aws::State;
use crate::faults::injected::InjectedFault;
use crate::item::{self, number, state};
use crate::stack::Stack;

/// Within how many milliseconds a delivery is completed that has no fault and does not fail: the timeouts
/// of the functions it passes, beside one that hangs.
const UNDISTURBED_MS_MAX: i64 = 10_000;
/// How long a copy that counted no attempt waits at most, in milliseconds.
const WAIT_MS_MAX: i64 = 900_000;

/// G7: a destination is tried once for each attempt that is recorded, once for each time that the provider refused it
/// for now, once more where it succeeded, and once more for each fault, further dispatch and operation. G8: a delivery
/// that never failed is delayed by its own faults alone, unless it waits for its turn.
pub fn violations(stack: &Stack, aws: &State, record: &Value, name: &str, delivery: &Value) -> Vec<String> {
    let key = item::key(record);
    let on_way: Vec<&InjectedFault> = faults_on_way(stack, aws, name);
    let held_up = aws.provider.held_up(name, Some(&key.idempotency_key(name)));
    let attempts = aws.invariants.attempts(&key, name);
    let has_succeeded = matches!(state(delivery), "done" | "rejected");
    let more = on_way.len() as i64 + number(record, "dispatches") - 1 + aws.history.operations;
    let tries = stack.tries(name, &key);
    let mut found = Vec::new();
    if tries > attempts + held_up + i64::from(has_succeeded) + more {
        found.push(format!(
            "G7: {name} tried {key} {tries} times, recorded are {attempts} attempts, and {more} reasons for more"
        ));
    }
    let may_wait = held_up > 0 || delivery["sequenced"]["BOOL"] == true || stack.has_few_in_flight();
    let is_comparable = !aws.history.clock_was_behind && !aws.history.may_have_lost();
    // That both are there is an invariant of every write.
    let took_ms = number(delivery, "ended_at").saturating_sub(number(record, "accepted_at"));
    let most_ms = UNDISTURBED_MS_MAX + most_delay_ms(stack, &on_way) + 3 * aws.history.held_ms;
    if has_succeeded && attempts == 0 && !may_wait && is_comparable && took_ms > most_ms {
        found
            .push(format!("G8: {name} completed {key}, which never failed, after {took_ms} ms of {most_ms}"));
    }
    found
}

/// The faults of a run but for those at other destinations.
fn faults_on_way<'a>(stack: &Stack, aws: &'a State, name: &str) -> Vec<&'a InjectedFault> {
    let destinations = stack.destinations();
    let is_on_way = |fault: &&InjectedFault| {
        let of = fault.who.split('#').next().unwrap_or_default();
        of == name || !destinations.iter().any(|other| other == of)
    };
    aws.history.injected.iter().filter(is_on_way).collect()
}

/// Each fault delays a copy for as long as it lasts, and until its queue delivers it again; and the more often a copy
/// comes back, the longer it waits.
fn most_delay_ms(stack: &Stack, faults: &[&InjectedFault]) -> i64 {
    let backoff_ms = stack.backoff().as_millis() as i64;
    let wait_ms = |nth: usize| backoff_ms.saturating_mul(1 << nth.min(20)).min(WAIT_MS_MAX);
    let of_fault = |(nth, fault): (usize, &&InjectedFault)| {
        fault.for_ms as i64 + stack.visibility_ms() as i64 + wait_ms(nth)
    };
    faults.iter().enumerate().map(of_fault).sum()
}
