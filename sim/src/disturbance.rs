//! How often a destination may be asked to apply a notification, and how long that may take (G7, G8): by the faults on
//! its own way. What goes wrong at another destination is none of them.

use handover::destination::CALLS_MAX;
use serde_json::Value;

use crate::aws::State;
use crate::aws::connector::DELAYED_MS;
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::item::{self, number, state, text};
use crate::names::runs;
use crate::stack::{STREAM_RETRIES, Stack};

/// Within how many milliseconds a delivery is completed that has no fault and does not fail: the time-outs
/// of the functions it passes, beside one that hangs.
const UNDISTURBED_MS_MAX: i64 = 10_000;
/// How much longer beside one that kills its function.
const BESIDE_KILLER_MS: i64 = 110_000;
/// How many times a notification kills a function that has a batch of the stream: once for each time that a batch of
/// eight is halved, once alone, and once for each retry.
const KILLS_MAX: i64 = 3 + 1 + STREAM_RETRIES as i64;
/// How long a copy that counted no attempt waits at most, in milliseconds.
const WAIT_MS_MAX: i64 = 900_000;
/// The error of a handler that ended with its invocation, and not by its own time-out.
const TOO_LATE: &str = "the handler took too long";

/// G7: a destination is tried once for each attempt that is recorded, once for each time that the provider refused it
/// for now, or a queue elsewhere, and once more where it succeeded. Each fault, further dispatch, operation and killed
/// function is a reason for one copy more, which is tried once, and once beside each attempt and beside the success:
/// copies that fail at once count one attempt. A try is one call of the handler, or several where its effect may say so.
/// G8: a delivery that never failed is delayed by its own faults alone, unless it waits for its turn.
pub fn violations(stack: &Stack, aws: &State, record: &Value, name: &str, delivery: &Value) -> Vec<String> {
    let key = item::key(record);
    let on_way: Vec<&InjectedFault> = faults_on_way(stack, aws, name);
    // A queue that takes nothing holds up whoever sends to it.
    let held_up = aws.provider.held_up(name, Some(&key.idempotency_key(name))) + aws.queues.not_taken;
    let attempts = aws.invariants.attempts(&key, name);
    let has_succeeded = matches!(state(delivery), "done" | "rejected");
    let kills = stack.tries().kills(name);
    let more = on_way.len() as i64 + number(record, "dispatches") - 1 + aws.history.operations + kills;
    let tries = stack.tries().of(name, &key);
    let is_undisturbed = on_way.is_empty() && aws.history.operations == 0;
    let mut found = Vec::new();
    let counted = attempts + i64::from(has_succeeded);
    let tries_max = counted + held_up + more * (1 + counted);
    let calls_a_try = if stack.tries().may_decide_again(name, &key) { i64::from(CALLS_MAX) } else { 1 };
    if tries > tries_max * calls_a_try {
        found.push(format!(
            "G7: {name} tried {key} {tries} times, recorded are {attempts} attempts, and {more} reasons for one copy more"
        ));
    }
    let tuning = stack.tuning(name);
    if stack.tries().at_once(name) > tuning.concurrency {
        found.push(format!("{name} applied more than {} notifications at once", tuning.concurrency));
    }
    if is_undisturbed && tuning.handler_timeout.is_some() && failed_with(delivery, TOO_LATE) {
        found.push(format!("G7: {name} let a handler go on with {key} after its time-out"));
    }
    let may_wait = held_up > 0
        || tuning.concurrency == 1
        || delivery["sequenced"]["BOOL"] == true
        || stack.has_few_in_flight()
        || aws.kinesis.allowances.is_some();
    let from_stream = stack.tries().kills_from_stream(name, &key);
    if is_undisturbed && from_stream > KILLS_MAX {
        found.push(format!("G8: {key} killed {name} {from_stream} times while it had a batch of the stream"));
    }
    // A batch that is given up without a fault is one that kills, alone.
    let may_have_lost = aws.history.may_have_lost() && !(is_undisturbed && aws.history.injected.is_empty());
    let is_comparable =
        !aws.history.clock_was_behind && !may_have_lost && stack.tries().kills_of(name, &key) == 0;
    // That both are there is an invariant of every write.
    let begun = number(record, "accepted_at").max(number(delivery, "replayed_at"));
    let took_ms = number(delivery, "ended_at").saturating_sub(begun);
    // A copy may meet each hold of a later release, and waits then.
    let held_ms =
        3 * aws.history.held_ms + (0..aws.history.operations).map(|nth| wait_ms(stack, nth)).sum::<i64>();
    let down_ms = stack.lambda.down_ms(name).map_or(0, |down| (down.end - down.start) as i64);
    let most_ms = UNDISTURBED_MS_MAX + most_delay_ms(stack, &on_way) + held_ms + down_ms;
    let most_ms = match (kills, is_undisturbed) {
        (0, _) => most_ms,
        (_, true) => most_ms + BESIDE_KILLER_MS,
        (_, false) => most_ms + BESIDE_KILLER_MS + kills * stack.visibility_ms() as i64,
    };
    if has_succeeded && attempts == 0 && !may_wait && is_comparable && took_ms > most_ms {
        found
            .push(format!("G8: {name} completed {key}, which never failed, after {took_ms} ms of {most_ms}"));
    }
    found
}

/// Whether an attempt of a delivery failed with this error.
fn failed_with(delivery: &Value, error: &str) -> bool {
    let mut failures = delivery["failures"]["M"].as_object().into_iter().flat_map(|all| all.values());
    failures.any(|failure| text(&failure["M"], "error") == error)
}

/// The faults of a run but for those at other destinations.
fn faults_on_way<'a>(stack: &Stack, aws: &'a State, name: &str) -> Vec<&'a InjectedFault> {
    let destinations = stack.destinations();
    let is_on_way = |fault: &&InjectedFault| {
        let of = fault.who.split('#').next().unwrap_or_default();
        runs(of, name) || !destinations.iter().any(|other| runs(of, other))
    };
    aws.history.injected.iter().filter(is_on_way).collect()
}

/// Each fault delays a copy for as long as it lasts, and until its queue delivers it again; and the more often a copy
/// comes back, the longer it waits.
fn most_delay_ms(stack: &Stack, faults: &[&InjectedFault]) -> i64 {
    let of_fault = |(nth, fault): (i64, &&InjectedFault)| {
        // How late a delayed write lands is drawn with its call.
        let lasts_ms = if fault.fault == Fault::Delayed { DELAYED_MS.end } else { fault.for_ms };
        lasts_ms as i64 + stack.visibility_ms() as i64 + wait_ms(stack, nth)
    };
    (0..).zip(faults).map(of_fault).sum()
}

/// The longest wait of a copy that counts no attempt, after it came back `nth` times.
fn wait_ms(stack: &Stack, nth: i64) -> i64 {
    (stack.backoff().as_millis() as i64).saturating_mul(1 << nth.min(20)).min(WAIT_MS_MAX)
}
