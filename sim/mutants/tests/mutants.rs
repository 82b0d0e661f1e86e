//! The simulation can fail: every deliberate mistake is found, within so many seeds.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use handover::mutation::{MUTANTS, Mutant, enable};
use handover_sim_mutants::{Faults, Plan, Run, SCHEDULES, Shop, Strikes, run, shortest};

const SEEDS_MAX: u64 = 2_000;
/// What found a mutant late, or with other faults: tried soon, for time is short.
const KNOWN: &[&str] = &[
    "18301 messages=0,1 strikes=accept/skew/0/511,person/skew/0/208,producer#1/lost-request/0,relay#1/partial/0,relay#2/partial/0",
    "672 messages=0,2 strikes=relay/forget/6999/126032141",
    "3 messages=0 strikes=reconcile#10/missing/18,relay/unread/0",
    "3 messages=0 strikes=reconcile#16/death/21,relay/unread/0,relay/unread/1",
    "3 messages=0 strikes=reconcile#16/lost-request/19,reconcile#16/lost-request/20,reconcile#16/lost-request/21,relay/unread/0,relay/unread/1",
    "356 messages=0,1,2,3,4 strikes=refund#16/missing/2,refund#6/lost-request/0,refund#6/lost-answer/1,refund#7/lost-request/0,refund#7/lost-request/1,refund#7/lost-request/2,refund#7/lost-request/3,refund#7/lost-request/4,refund#7/lost-request/5,relay#3/lost-answer/0,relay#3/partial/1,relay#6/partial/0,relay#7/throttle/0",
    "643",
    "496",
    "522",
    "192",
    "365",
    "158",
];
/// The same of the other schedules.
const KNOWN_OF: &[(&str, &str)] = &[
    ("till", "1129"),
    (
        "journal",
        "421 messages=0,1,2 strikes=audit#1/lost-answer/0,audit#1/lost-answer/1,audit#2/lost-request/0,audit#2/lost-answer/1,journal#1/lost-answer/1,journal#1/throttle/2,journal#1/slow/0,journal#2/throttle/0,journal#2/death/10,journal#3/throttle/1,journal#4/throttle/1,journal#5/conflict/1,relay#1/partial/0",
    ),
    (
        "journal",
        "23758 messages=0,1,2 strikes=journal#2/death/12,journal#2/freeze/9/11996,journal#4/missing/2,person#2/lost-request/3,person#2/lost-answer/1,person#2/throttle/2,person#2/conflict/0,person#2/freeze/12/25868,relay#1/lost-answer/0,relay#2/again/0/1027",
    ),
];
/// And seeds of theirs, with functions that stall.
const STALLED: &[(&str, u64)] = &[("till", 991), ("journal", 78), ("journal", 325)];
/// Seeds without a fault: some mistakes show best where nothing else goes wrong.
const QUIET: u64 = 30;

/// Seeds of runs of which many lose copies: reconcile's mistakes show there. They are long runs, and come
/// after these many others.
const LOSSES: Range<u64> = 60..80;
const SOON: u64 = 100;

fn drawn(seeds: Range<u64>, faults: Faults) -> impl Iterator<Item = Plan> {
    seeds.map(move |seed| Plan::drawn(seed, faults))
}

fn known() -> impl Iterator<Item = Plan> {
    KNOWN.iter().map(|plan| plan.parse().expect("a plan")).chain(drawn(LOSSES, Faults::LOSING))
}

fn known_of(schedule: &str) -> impl Iterator<Item = Plan> {
    let plans = KNOWN_OF.iter().filter(move |it| it.0 == schedule);
    let plans = plans.map(|(_, plan)| plan.parse().expect("a plan"));
    let seeds = STALLED.iter().filter(move |it| it.0 == schedule);
    plans.chain(seeds.map(|(_, seed)| Plan::drawn(*seed, Faults::STALLING)))
}

/// What is tried to find a mutant, what finds most of them first.
fn plans(schedule: &str) -> Box<dyn Iterator<Item = Plan> + '_> {
    let soon = drawn(0..QUIET, Faults::NONE).chain(drawn(0..SOON, Faults::USUAL));
    match schedule {
        "shop" => Box::new(soon.chain(known()).chain(drawn(SOON..SEEDS_MAX, Faults::USUAL))),
        _ => Box::new(soon.chain(known_of(schedule)).chain(drawn(0..SEEDS_MAX, Faults::STALLING))),
    }
}

/// What finds a mutant first.
fn found(schedule: &str, mutant: &'static str) -> Option<Run> {
    let (_, run) = SCHEDULES.into_iter().find(|it| it.0 == schedule).expect("a schedule");
    enable(mutant);
    let found = plans(schedule).map(run).find(|run| !run.violations.is_empty());
    enable("");
    found
}

#[test]
fn every_mutant_is_found() {
    let of = |(schedule, mutants): (&'static str, &'static [Mutant])| {
        mutants.iter().map(move |(mutant, _)| (schedule, *mutant))
    };
    let mutants: Vec<(&str, &str)> = MUTANTS.into_iter().flat_map(of).collect();
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((schedule, mutant)) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            match found(schedule, mutant) {
                Some(run) => {
                    println!("{schedule} {:>4} {mutant}, in {} s", run.plan.seed, begun.elapsed().as_secs())
                }
                None => missed.lock().unwrap().push(mutant),
            }
        }
    };
    std::thread::scope(|threads| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(threads.spawn(work)));
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:#?}");
}

#[test]
fn what_finds_mutants_holds_without_them() {
    for plan in known() {
        let run = run(&Shop, plan);
        assert_eq!(run.violations, Vec::<String>::new(), "{}", run.plan);
    }
    for (schedule, run) in SCHEDULES {
        for plan in known_of(schedule) {
            let run = run(plan);
            assert_eq!(run.violations, Vec::<String>::new(), "{}", run.plan);
        }
    }
}

#[test]
fn the_shortest_history_of_a_mutant_is_short() {
    let mutant = "the mark before the effect";
    let found = found("shop", mutant).unwrap();
    enable(mutant);
    let shortest = shortest(&found, |plan| run(&Shop, plan));
    enable("");
    let Strikes::Listed(strikes) = &shortest.plan.strikes else { panic!("{shortest}") };
    assert!(strikes.len() <= 1 && shortest.history.messages.len() == 1, "{shortest}");
    assert!(shortest.history.lines.len() <= found.history.lines.len());
}
