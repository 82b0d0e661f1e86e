//! The project's own workloads: many seeds, none of which may find a violation.

use std::process::Command;

use handover_sim::{Fault, Faults, Plan, PlannedFaults, Run, run, run_all};
use handover_soak::timing::hot_key;
use handover_soak::{
    Commerce, Credit, FanOut, Forward, Http, Operated, Ordered, Payments, RARE_CALLS, Replayed,
};

/// Plans of commerce that found a violation once; the change log says which. The mutants find the same for
/// good, since a plan means something else when the workload draws other messages.
const FOUND: &[&str] = &[
    // A dead letter was deleted that was ahead of its record.
    "16 messages=0 faults=",
    // A dispatch was made again with the due times of deliveries that were completed since.
    "496 messages=2 faults=operator#1/conflict/1",
    // The SDK's repeat of the write that marks a record dead reached past a redrive.
    "672 messages=0,2 faults=relay/forget/6999/126032141",
    // A redrive took the accept of the same millisecond for its own write, and the dead letter was deleted.
    "18301 messages=0,1 faults=accept/skew/0/511,operator/skew/0/208,producer#1/lost-request/0,relay#1/partial/0,relay#2/partial/0",
    // Of a moved dead letter and a copy, the copy was kept, and the dead letter deleted.
    "356 messages=0,1,2,3,4 faults=refund#16/missing/2,refund#6/lost-request/0,refund#6/lost-answer/1,refund#7/lost-request/0,refund#7/lost-request/1,refund#7/lost-request/2,refund#7/lost-request/3,refund#7/lost-request/4,refund#7/lost-request/5,relay#3/lost-answer/0,relay#3/partial/1,relay#6/partial/0,relay#7/throttle/0",
];
/// The same of payments.
const FOUND_BY_PAYMENTS: &[&str] = &[
    // An invocation that froze before it began counted an attempt.
    "1129 messages=0 faults=wire#1/lost-request/1,wire#1/again/0/6,wire#11/freeze/1/28324,wire#8/slow/0",
];
/// The same of ordered.
const FOUND_BY_ORDERED: &[&str] = &[
    // What waited was forgotten when its turn came while a later release held it.
    "19 messages=1,2,3 faults=",
    // The same, after an operator closed the one before it.
    "781 messages=1,3,4 faults=",
    // A dead notification was redriven and applied under the number of another that waited.
    "23758 messages=0,1,2 faults=journal#2/death/12,journal#2/freeze/9/11996,journal#4/missing/2,operator#2/lost-request/3,operator#2/lost-answer/1,operator#2/throttle/2,operator#2/conflict/0,operator#2/freeze/12/25868,relay#1/lost-answer/0,relay#2/again/0/1027",
];

const DAY_MS: u64 = 24 * 3_600_000;

fn holds(plans: &[Plan]) {
    hold(|plan| run(&Commerce, plan), plans);
}

fn hold(run: impl Fn(Plan) -> Run + Sync, plans: &[Plan]) {
    if let Err(failed) = run_all(plans, run, |_| ()) {
        panic!("{failed}");
    }
}

/// Holds for drawn plans: for this many seeds without faults, with the usual ones, with those that lose copies, and with
/// those that stall functions.
fn hold_drawn(run: impl Fn(Plan) -> Run + Sync, seeds: [u64; 4]) {
    let faults = [Faults::NONE, Faults::USUAL, Faults::LOSING, Faults::STALLING];
    for (seeds, faults) in seeds.into_iter().zip(faults) {
        hold(&run, &drawn(0..seeds, faults));
    }
}

fn drawn(seeds: std::ops::Range<u64>, faults: Faults) -> Vec<Plan> {
    seeds.map(|seed| Plan::drawn(seed, faults)).collect()
}

#[test]
fn without_faults_everything_is_completed() {
    holds(&drawn(0..80, Faults::NONE));
}

#[test]
fn nothing_is_lost_and_nothing_is_applied_twice() {
    holds(&drawn(0..450, Faults::USUAL));
}

#[test]
fn reconcile_finds_what_lost_its_copies() {
    holds(&drawn(0..80, Faults::LOSING));
}

#[test]
fn g5_no_payment_is_made_twice_or_forgotten() {
    hold_drawn(|plan| run(&Payments, plan), [40, 220, 30, 220]);
}

#[test]
fn g8_a_numbered_notification_is_applied_in_its_turn() {
    hold_drawn(|plan| run(&Ordered, plan), [60, 220, 30, 70]);
}

#[test]
fn g9_a_command_is_rejected_only_on_what_is_true() {
    hold_drawn(|plan| run(&Credit, plan), [60, 220, 30, 60]);
}

#[test]
fn g3_an_event_reaches_each_queue_whatever_becomes_of_the_others() {
    hold_drawn(|plan| run(&FanOut, plan), [60, 220, 30, 60]);
}

#[test]
fn g3_what_is_forwarded_is_stored_or_refused_there_with_either_stack_down_for_a_day() {
    hold_drawn(|plan| run(&Forward, plan), [20, 80, 20, 20]);
    let here = ["accept", "relay", "forward", "coins", "reconcile"];
    for (seed, down, functions) in
        [(23, "Queue", &[][..]), (1, "Accept", &["elsewhere"]), (39, "Here", &here)]
    {
        let lines = run(&Forward, Plan::drawn(seed, Faults::NONE)).history.lines;
        assert!(lines.iter().any(|line| line.contains(&format!("the world: {down}"))), "{down}");
        let invoked_at = |line: &String| {
            let (at, function) = line.trim_start().split_once(' ')?;
            let of = |name: &&str| function.starts_with(&format!("{name}#"));
            (function.contains("begins") && functions.iter().any(of)).then(|| at.parse().unwrap())
        };
        let times: Vec<u64> = [0].into_iter().chain(lines.iter().filter_map(invoked_at)).collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(DAY_MS);
        assert!(longest > DAY_MS - 10_000, "{down}: the longest pause was {longest} ms");
    }
}

#[test]
fn g3_what_is_paused_is_not_called_and_all_is_completed_after_the_resume() {
    hold_drawn(|plan| run(&Operated, plan), [30, 120, 20, 40]);
}

#[test]
fn g4_what_is_replayed_is_applied_once_and_in_sequence() {
    hold_drawn(|plan| run(&Replayed, plan), [40, 160, 30, 40]);
}

#[test]
fn g10_a_read_with_a_token_never_shows_an_older_version() {
    hold_drawn(|plan| run(&Http, plan), [40, 200, 30, 60]);
}

/// A key with three times what a shard takes.
#[test]
fn a_hot_key_holds_up_its_shard_alone() {
    let rows = hot_key::rows();
    let [alone, beside, ..] = &rows[..] else { panic!("{rows:?}") };
    assert!(beside.p99_ms <= 2 * alone.p99_ms, "{rows:#?}");
}

#[test]
fn what_was_found_stays_fixed() {
    let plans = |found: &[&str]| found.iter().map(|plan| plan.parse().unwrap()).collect::<Vec<_>>();
    holds(&plans(FOUND));
    hold(|plan| run(&Payments, plan), &plans(FOUND_BY_PAYMENTS));
    hold(|plan| run(&Ordered, plan), &plans(FOUND_BY_ORDERED));
}

#[test]
fn each_rare_call_has_a_run_that_makes_it() {
    for rare in RARE_CALLS {
        let ((_, run), plan) = rare.plan();
        assert!(rare.is_made_by(&run(plan)), "look for another run with {:?}", rare.site);
    }
}

/// Of two small runs: a death and a freeze at every poll, every fault of every call, and so on, one at a
/// time. Mappings that are disabled for days make long runs; a soak has them.
#[test]
fn a_fault_at_every_injection_point_is_survived() {
    for (seed, message) in [(1, 0), (16, 0)] {
        let quiet = Plan { messages: Some([message].into()), ..Plan::listed(seed, []) };
        let mut points = run(&Commerce, quiet.clone()).history.injection_points;
        points.retain(|point| point.fault != Fault::Forget);
        assert!(!points.is_empty());
        let with = |point| Plan { faults: PlannedFaults::Listed([point].into()), ..quiet.clone() };
        let plans: Vec<Plan> = points.into_iter().map(with).collect();
        let run_with_one = |plan: Plan| {
            let run = run(&Commerce, plan);
            assert_eq!(run.history.injected.len(), 1, "{run}");
            run
        };
        run_all(&plans, run_with_one, |_| ()).unwrap_or_else(|failed| panic!("{failed}"));
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..20 {
        let again = || run(&Commerce, Plan::drawn(seed, Faults::USUAL)).history.lines;
        assert_eq!(again(), again());
    }
}

/// The faults that were injected, as a list, give the same history as the seed that drew them: so a shorter
/// list is a shorter history.
#[test]
fn the_injected_faults_replay_the_run() {
    for seed in 0..20 {
        let drawn = run(&Commerce, Plan::drawn(seed, Faults::USUAL));
        let listed = run(&Commerce, Plan::listed(seed, drawn.history.injected.clone()));
        assert_eq!(drawn.history.lines, listed.history.lines, "{}", listed.plan);
    }
}

/// In another process, too: nothing of a run comes from where or when it runs.
#[test]
fn the_same_seed_gives_the_same_history_in_another_process() {
    for seed in 0..5u64 {
        let soak =
            Command::new(env!("CARGO_BIN_EXE_soak")).args(["--plan", &format!("commerce {seed}")]).output();
        let here: Run = run(&Commerce, Plan::drawn(seed, Faults::USUAL));
        assert_eq!(String::from_utf8(soak.unwrap().stdout).unwrap().trim_end(), here.to_string().trim_end());
    }
}
