//! One run of a workload by a plan.

use std::ops::Range;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until};

use crate::at_rest::{self, SentMessage};
use crate::faults::plan::FAULTS_MS;
use crate::faults::plan::Plan;
use crate::faults::rng::{Purpose, below};
use crate::history::History;
use crate::item::{self, destinations, state, text};
use crate::stack::{Stack, StackSettings};
use crate::workload::Workload;

/// When faults are injected again, in milliseconds of virtual time, where something is still open: then
/// reconcile dispatches it again, and may give it up.
const FAULTS_AGAIN_MS: Range<u64> = 40 * 60_000..90 * 60_000;
/// Once faults have stopped and the last mapping is enabled, everything has to be completed within the time
/// after which reconcile gives up, and this many milliseconds of virtual time: a copy in a retry queue waits
/// for up to 12 hours.
const SETTLED_WITHIN_MS: u64 = 13 * 3_600_000;
/// After this many milliseconds reconcile has checked once more the slots that it had passed when a record came
/// into them.
const CHECKED_AGAIN_MS: u64 = 26 * 3_600_000;
/// Seconds between looks at whether everything is completed.
const LOOK_S: u64 = 5;
/// The same, from and up to, where nothing runs: something is open that reconcile will find, or a mapping is disabled.
const LOOK_AGAIN_S: Range<u64> = 60..900;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was given.
    pub plan: Plan,
    /// What did not hold; empty if everything did.
    pub violations: Vec<String>,
    /// What happened.
    pub history: History,
}

impl std::fmt::Display for Run {
    /// The history, and what did not hold.
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        writeln!(to, "run {}", self.plan)?;
        self.history.lines.iter().try_for_each(|line| writeln!(to, "{line}"))?;
        self.violations.iter().try_for_each(|violation| writeln!(to, "VIOLATION {violation}"))
    }
}

/// Runs a workload by a plan.
pub fn run<W: Workload>(workload: &W, plan: Plan) -> Run {
    // What the SDK and the library draw, such as jitter.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let settings = StackSettings {
            tables: workload.tables(),
            routes: workload.routes(),
            earlier_routes: workload.earlier_routes(),
            timeout: W::TIMEOUT,
            timing: W::TIMING,
        };
        let stack = Stack::deploy(plan.clone(), settings);
        workload.serve(&stack);
        stack.serve_reconcile();
        let sent = workload.drive(&stack).await;
        sleep_until(stack.aws.time().at(FAULTS_MS)).await;
        stack.aws.state().faults_enabled = false;
        stack.note("faults", "have stopped");
        settle(&stack, W::REDRIVES).await;
        if W::REDRIVES && redrive_all(&stack).await {
            settle(&stack, false).await;
        }
        let mut violations = std::mem::take(&mut stack.aws.state().violations);
        violations.extend(at_rest::violations(&stack, &sent));
        violations.extend(workload.violations(&stack, &sent));
        if rest(&stack).await {
            violations.extend(at_rest::dead_without_letter(&stack));
        }
        if forget(&stack, &sent).await {
            violations.extend(stack.open().into_iter().map(|key| format!("G3: {key} is not completed anew")));
            violations.extend(at_rest::dead_without_letter(&stack));
        }
        violations.append(&mut stack.aws.state().violations);
        note_dead(&stack);
        let history = std::mem::take(&mut stack.aws.state().history);
        Run { plan, violations, history }
    })
}

/// Waits until everything is completed or dead, or should be; or, if what is dead is redriven after that,
/// until all that is open waits for something dead.
async fn settle(stack: &Stack, until_held: bool) {
    let stopped_until_ms = stack.lambda.stopped_until_ms();
    let begin_ms = stack.aws.time().elapsed_ms().max(stopped_until_ms);
    let given_up_ms = stack.give_up_after().as_millis() as u64;
    let again_ms = if stack.aws.state().history.clock_was_behind { CHECKED_AGAIN_MS } else { 0 };
    let until_ms = begin_ms.max(FAULTS_AGAIN_MS.end) + given_up_ms + again_ms + SETTLED_WITHIN_MS;
    let mut quiet_s = 0;
    while stack.aws.time().elapsed_ms() < until_ms {
        let is_quiet = quiet_s >= 2 * LOOK_S;
        if is_quiet && (stack.open().is_empty() || !may_complete_later(stack)) {
            break;
        }
        if is_quiet && until_held && stack.waits(true) {
            break;
        }
        let elapsed_ms = stack.aws.time().elapsed_ms();
        let is_stopped = (FAULTS_AGAIN_MS.end..stopped_until_ms).contains(&elapsed_ms);
        if is_quiet || is_stopped {
            stack.pass_empty_slots();
        }
        let look_s = match (is_quiet, is_stopped) {
            (_, true) => LOOK_AGAIN_S.end,
            (true, false) if elapsed_ms < FAULTS_AGAIN_MS.end => LOOK_AGAIN_S.start,
            (true, false) => (quiet_s / 8).clamp(LOOK_AGAIN_S.start, LOOK_AGAIN_S.end),
            (false, false) => LOOK_S,
        };
        stack.aws.state().schedule_at_rest = (look_s >= 300).then(|| Duration::from_secs(look_s));
        sleep(Duration::from_secs(look_s)).await;
        quiet_s = if stack.is_quiet() { quiet_s + look_s } else { 0 };
        let enabled = FAULTS_AGAIN_MS.contains(&stack.aws.time().elapsed_ms());
        if std::mem::replace(&mut stack.aws.state().faults_enabled, enabled) != enabled {
            stack.note("faults", if enabled { "are injected again" } else { "have stopped again" });
        }
    }
    stack.aws.state().schedule_at_rest = None;
    stack.aws.state().faults_enabled = false;
}

/// Lets days pass where something is dead, in some of the runs, and returns whether it did: a dead letter is
/// deleted after two weeks.
async fn rest(stack: &Stack) -> bool {
    let is_dead = |record: &serde_json::Value| record["status"]["S"] == "DEAD";
    let draw = |end, what: u64| below(end, stack.aws.seed(), &[Purpose::Rest as u64, what]);
    if draw(8, 0) > 0 || !stack.records().iter().any(is_dead) {
        return false;
    }
    let days = [15, 40][draw(2, 1) as usize];
    stack.note("time", &format!("passes: {days} days"));
    stack.rest(days).await;
    true
}

/// Lets the records expire where all are completed, in some of the runs, and sends every message once more. Returns
/// whether it did. What was applied in sequence is not applied again, though the ledger has forgotten it.
async fn forget(stack: &Stack, sent: &[SentMessage]) -> bool {
    let is_completed = |record: &serde_json::Value| !matches!(text(record, "status"), "INIT" | "DEAD");
    if below(16, stack.aws.seed(), &[Purpose::Expiry as u64]) > 0 || !stack.records().iter().all(is_completed)
    {
        return false;
    }
    stack.note("time", "passes: every record expires");
    stack.expire().await;
    sent.iter().for_each(|sent| stack.send_as(sent.sender, &sent.message));
    settle(stack, false).await;
    true
}

/// Lists what is dead at the end.
fn note_dead(stack: &Stack) {
    let mut found = Vec::new();
    for record in stack.records() {
        let dead = destinations(&record).into_iter().filter(|(_, delivery)| state(delivery) == "dead");
        found.extend(dead.map(|(name, delivery)| {
            format!("{} is dead at {name}: {}", item::key(&record), text(delivery, "reason"))
        }));
    }
    found.sort();
    found.iter().for_each(|dead| stack.note("at the end", dead));
}

/// Whether something that is open while nothing runs may be completed later. Reconcile is for what was lost;
/// where nothing was, it stays open. But a notification that waits for its turn may do so until it is given
/// up, and a repeat that completed the one before it may have failed to notify it.
fn may_complete_later(stack: &Stack) -> bool {
    stack.may_have_lost()
        || stack.waits(false)
        || (stack.is_sequenced() && stack.aws.state().history.repeat_failed)
}

/// Redrives every dead letter, and returns whether there was one.
async fn redrive_all(stack: &Stack) -> bool {
    stack.begin_operation();
    let mut is_redriven = false;
    for destination in stack.destinations() {
        for dead_letter in stack.receive_dead_letters(&destination).await {
            let Some(key) = dead_letter.notification() else { continue };
            let settled = stack.find_out(&destination, &key);
            stack.redrive(&destination, key, &dead_letter, settled).await;
            is_redriven = true;
        }
    }
    is_redriven
}
