//! The project's own schedule: many seeds, none of which may find anything.

use std::process::Command;

use handover_sim::{Faults, Plan, Run, Shop, Strikes, many, run};

/// Plans that found something once; the change log says what. The mutants hold the same for good, since
/// a plan means something else when the schedule draws otherwise.
const FOUND: &[&str] = &[
    // A letter was deleted that was ahead of its record.
    "5",
    "0 messages=0,2 strikes=",
    // A letter went to a redrive before its record was marked; the last copy was dropped.
    "7 messages=1,2 strikes=audit#7/missing/0",
    // The SDK's repeat of the write that marks a record dead reached past a redrive.
    "9251 messages=0,1 strikes=audit#4/lost-request/0,audit#4/lost-answer/3,relay/stop/29326/90000000",
];

fn holds(plans: &[Plan]) {
    if let Err(failed) = many(plans, |plan| run(&Shop, plan), |_| ()) {
        panic!("{failed}");
    }
}

fn drawn(seeds: std::ops::Range<u64>, faults: Faults) -> Vec<Plan> {
    seeds.map(|seed| Plan::drawn(seed, faults)).collect()
}

#[test]
fn without_faults_all_ends() {
    holds(&drawn(0..30, Faults::NONE));
}

#[test]
fn nothing_is_lost_and_nothing_twice() {
    holds(&drawn(0..600, Faults::USUAL));
}

#[test]
fn what_was_found_stays_mended() {
    holds(&FOUND.iter().map(|plan| plan.parse().unwrap()).collect::<Vec<_>>());
}

/// A death at every poll, and every fault of every call, of a small schedule, one at a time.
#[test]
fn every_place_can_be_struck() {
    for (seed, message) in [(0, 0), (1, 0), (2, 0)] {
        let quiet = Plan { messages: Some([message].into()), ..Plan::listed(seed, []) };
        let places = run(&Shop, quiet.clone()).history.places;
        assert!(!places.is_empty());
        let struck = |place| Plan { strikes: Strikes::Listed([place].into()), ..quiet.clone() };
        holds(&places.into_iter().map(struck).collect::<Vec<_>>());
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
        let soak = Command::new(env!("CARGO_BIN_EXE_soak")).args(["--plan", &seed.to_string()]).output();
        let here: Run = run(&Shop, Plan::drawn(seed, Faults::USUAL));
        assert_eq!(String::from_utf8(soak.unwrap().stdout).unwrap().trim_end(), here.to_string().trim_end());
    }
}
