//! The project's own schedule: many seeds, none of which may find anything.

use std::process::Command;

use handover_sim::{Faults, Journal, Plan, Run, Shop, Strikes, Till, many, run};

/// Plans that found something once; the change log says what. The mutants hold the same for good, since
/// a plan means something else when the schedule draws otherwise.
const FOUND: &[&str] = &[
    // A letter was deleted that was ahead of its record.
    "16 messages=0 strikes=",
    // An offer was made again with the due times of what had ended since.
    "496 messages=2 strikes=person#1/conflict/1",
    // The SDK's repeat of the write that marks a record dead reached past a redrive.
    "672 messages=0,2 strikes=relay/forget/6999/126032141",
    // A redrive took the accept of its very millisecond for its own write, and the letter was deleted.
    "18301 messages=0,1 strikes=accept/skew/0/511,person/skew/0/208,producer#1/lost-request/0,relay#1/partial/0,relay#2/partial/0",
    // Of a moved letter and a copy, the copy was kept, and the letter deleted.
    "356 messages=0,1,2,3,4 strikes=refund#16/missing/2,refund#6/lost-request/0,refund#6/lost-answer/1,refund#7/lost-request/0,refund#7/lost-request/1,refund#7/lost-request/2,refund#7/lost-request/3,refund#7/lost-request/4,refund#7/lost-request/5,relay#3/lost-answer/0,relay#3/partial/1,relay#6/partial/0,relay#7/throttle/0",
];
/// The same of the till.
const FOUND_AT_THE_TILL: &[&str] = &[
    // An invocation that stood still before it began counted an attempt.
    "1129 messages=0 strikes=wire#1/lost-request/1,wire#1/again/0/6,wire#11/freeze/1/28324,wire#8/slow/0",
];
/// The same of the journal.
const FOUND_IN_THE_JOURNAL: &[&str] = &[
    // One that was dead took its turn under the number of another, who waited.
    "23758 messages=0,1,2 strikes=journal#2/death/12,journal#2/freeze/9/11996,journal#4/missing/2,person#2/lost-request/3,person#2/lost-answer/1,person#2/throttle/2,person#2/conflict/0,person#2/freeze/12/25868,relay#1/lost-answer/0,relay#2/again/0/1027",
];

fn holds(plans: &[Plan]) {
    hold(|plan| run(&Shop, plan), plans);
}

fn hold(run: impl Fn(Plan) -> Run + Sync, plans: &[Plan]) {
    if let Err(failed) = many(plans, run, |_| ()) {
        panic!("{failed}");
    }
}

fn drawn(seeds: std::ops::Range<u64>, faults: Faults) -> Vec<Plan> {
    seeds.map(|seed| Plan::drawn(seed, faults)).collect()
}

#[test]
fn without_faults_all_ends() {
    holds(&drawn(0..100, Faults::NONE));
}

#[test]
fn nothing_is_lost_and_nothing_twice() {
    holds(&drawn(0..600, Faults::USUAL));
}

#[test]
fn what_lost_its_copies_is_found() {
    holds(&drawn(0..80, Faults::LOSING));
}

#[test]
fn g5_no_payment_is_made_twice_or_forgotten() {
    let seeds =
        [(0..40, Faults::NONE), (0..300, Faults::USUAL), (0..40, Faults::LOSING), (0..300, Faults::STALLING)];
    for (seeds, faults) in seeds {
        hold(|plan| run(&Till, plan), &drawn(seeds, faults));
    }
}

#[test]
fn g8_what_is_numbered_is_applied_in_its_turn() {
    let seeds = [
        (0..100, Faults::NONE),
        (0..400, Faults::USUAL),
        (0..40, Faults::LOSING),
        (0..100, Faults::STALLING),
    ];
    for (seeds, faults) in seeds {
        hold(|plan| run(&Journal, plan), &drawn(seeds, faults));
    }
}

#[test]
fn what_was_found_stays_mended() {
    let plans = |found: &[&str]| found.iter().map(|plan| plan.parse().unwrap()).collect::<Vec<_>>();
    holds(&plans(FOUND));
    hold(|plan| run(&Till, plan), &plans(FOUND_AT_THE_TILL));
    hold(|plan| run(&Journal, plan), &plans(FOUND_IN_THE_JOURNAL));
}

/// A death and a freeze at every poll, every fault of every call, and so on, of a small schedule, one at
/// a time.
#[test]
fn every_place_can_be_struck() {
    for (seed, message) in [(0, 0), (1, 0), (2, 0)] {
        let quiet = Plan { messages: Some([message].into()), ..Plan::listed(seed, []) };
        let places = run(&Shop, quiet.clone()).history.places;
        assert!(!places.is_empty());
        let struck = |place| Plan { strikes: Strikes::Listed([place].into()), ..quiet.clone() };
        let plans: Vec<Plan> = places.into_iter().map(struck).collect();
        let hits = |plan: Plan| {
            let run = run(&Shop, plan);
            assert_eq!(run.history.strikes.len(), 1, "{run}");
            run
        };
        many(&plans, hits, |_| ()).unwrap_or_else(|failed| panic!("{failed}"));
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..20 {
        let again = || run(&Shop, Plan::drawn(seed, Faults::USUAL)).history.lines;
        assert_eq!(again(), again());
    }
}

/// What struck, as a list, gives the same history as the seed that drew it: so a shorter list is a
/// shorter history.
#[test]
fn what_struck_replays_the_run() {
    for seed in 0..20 {
        let drawn = run(&Shop, Plan::drawn(seed, Faults::USUAL));
        let listed = run(&Shop, Plan::listed(seed, drawn.history.strikes.clone()));
        assert_eq!(drawn.history.lines, listed.history.lines, "{}", listed.plan);
    }
}

/// In another process, too: nothing of a run comes from where or when it runs.
#[test]
fn the_same_seed_gives_the_same_history_in_another_process() {
    for seed in 0..5u64 {
        let soak =
            Command::new(env!("CARGO_BIN_EXE_soak")).args(["--plan", &format!("shop {seed}")]).output();
        let here: Run = run(&Shop, Plan::drawn(seed, Faults::USUAL));
        assert_eq!(String::from_utf8(soak.unwrap().stdout).unwrap().trim_end(), here.to_string().trim_end());
    }
}
