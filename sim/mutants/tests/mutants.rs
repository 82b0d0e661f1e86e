//! The simulation can fail: every deliberate mistake is found within a limited number of seeds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use handover::mutation::{MUTANTS, Mutant, enable};
use handover_sim::{Faults, Plan, PlannedFaults, Run, run, shortest};
use handover_soak_mutants::{Commerce, WORKLOADS};

const SEEDS_MAX: u64 = 2_000;
/// Plans of commerce that found a mutant late, or with other rates of faults: tried first, to save time.
const KNOWN: &[&str] = &[
    "177",
    "178",
    "301",
    "496",
    "18301 messages=0,1 faults=accept/skew/0/511,operator/skew/0/296,producer#1/lost-request/0,relay#1/partial/0,relay#2/partial/0",
    "672 messages=0,2 faults=relay/forget/6999/126032141",
    "3 messages=0 faults=reconcile#10/missing/20,relay/unread/0",
    "3 messages=0 faults=reconcile#16/death/39,relay/unread/0,relay/unread/1",
    "3 messages=0 faults=reconcile#16/lost-request/21,reconcile#16/lost-request/22,reconcile#16/lost-request/23,relay/unread/0,relay/unread/1",
    "356 messages=0,1,2,3,4 faults=refund#16/missing/2,refund#6/lost-request/0,refund#6/lost-answer/1,refund#7/lost-request/0,refund#7/lost-request/1,refund#7/lost-request/2,refund#7/lost-request/3,refund#7/lost-request/4,refund#7/lost-request/5,relay#3/lost-answer/0,relay#3/partial/1,relay#6/partial/0,relay#7/throttle/0",
    "1587 messages=5,6,7 faults=relay/unread/0,relay/unread/1,relay/unread/2,relay/unread/12,relay/unread/13",
    "1159 messages=0,1,2 faults=refund/late/3/1384,refund#1/again/0/423,refund#10/slow/0,refund#11/throttle/2,refund#13/slow/0,refund#14/lost-answer/2,refund#16/freeze/3/6896,refund#17/freeze/4/7210,refund#18/freeze/4/3393,refund#18/again/0/1311,refund#19/throttle/2,refund#19/slow/0,refund#20/lost-answer/5,refund#20/conflict/0,refund#20/conflict/1,refund#20/slow/2,refund#20/slow/6,refund#21/slow/0,refund#22/slow/0,refund#27/lost-request/1,refund#27/throttle/0,refund#28/slow/0,refund#29/conflict/2,refund#29/slow/3,refund#29/freeze/10/6976,refund#3/death/3,refund#30/lost-answer/3,refund#32/slow/1,refund#35/slow/2,refund#4/conflict/0,refund#4/again/0/1773,refund#6/lost-request/3,refund#6/lost-answer/2,refund#6/lost-answer/4,refund#7/slow/0,refund#8/throttle/0,refund#8/again/0/1544,refund#9/again/0/465,relay/skew/0/1,relay#1/again/0/1293,relay#5/throttle/0,relay#5/partial/1,relay#5/again/0/4343,relay#6/slow/0,relay#6/death/2",
    "643 messages=0,1,2,3 faults=relay#1/death/2,relay#4/again/0/58,search/late/1/4025",
    "496 messages=2 faults=operator#1/conflict/1",
    "522 messages=0 faults=search#1/lost-request/0,search#1/lost-request/1,search#1/lost-request/2,search#1/lost-request/3,search#1/lost-request/4,search#1/lost-request/5,search#1/lost-request/6,search#1/lost-request/7",
    "365 messages=0 faults=producer#1/lost-request/1,producer#1/lost-request/2,producer#1/slow/0",
    "78 messages=0,1 faults=refund/late/0/3408,refund#1/lost-request/0,refund#1/lost-request/1,refund#1/lost-request/4,refund#1/lost-request/5,refund#1/lost-request/6",
    "1587 messages=1,2,3,6 faults=reconcile#12/again/0/4834,relay/late/2/4481,relay/forget/6796/99195623,relay#1/lost-answer/0,relay#2/lost-answer/0",
    "2454 messages=0,1,2,3,4,5,6 faults=accept#4/freeze/3/5101,accept#6/slow/0,accept#6/slow/1,accept#7/again/0/3925,accept#9/freeze/1/5473,audit#1/lost-request/1,audit#1/slow/0,audit#1/freeze/12/690,audit#1/again/0/680,audit#10/again/0/944,audit#11/death/5,audit#12/again/0/58,audit#13/again/0/3432,audit#14/partial/0,audit#14/slow/1,audit#15/lost-answer/0,audit#15/lost-answer/2,audit#15/missing/1,audit#15/slow/3,audit#16/again/0/2026,audit#17/again/0/4297,audit#2/lost-request/0,audit#2/lost-request/1,audit#2/lost-request/2,audit#20/slow/0,audit#20/again/0/4242,audit#21/slow/0,audit#21/slow/1,audit#22/again/0/4370,audit#23/freeze/1/4847,audit#24/partial/0,audit#25/again/0/1120,audit#3/lost-request/0,audit#3/lost-request/1,audit#3/lost-request/2,audit#3/lost-request/3,audit#3/lost-request/5,audit#3/again/0/4883,audit#5/slow/0,audit#5/slow/1,audit#6/conflict/1,audit#6/partial/0,audit#6/partial/3,audit#6/slow/4,mail/late/3/3417,mail#10/conflict/0,mail#12/partial/0,mail#14/again/0/4895,mail#2/again/0/641,mail#4/conflict/0,mail#6/partial/1,mail#8/partial/0,mail#8/again/0/2456,mail#9/partial/0,mail#9/freeze/10/2062,mail#9/again/0/3923,operator/skew/0/240,operator#1/freeze/3/26428,operator#2/freeze/1/7853,order/late/2/3268,refund#6/again/0/1771,refund#9/again/0/3598,relay/late/4/1617,relay#1/partial/0,relay#3/slow/0,relay#4/partial/0,relay#4/again/0/2391,relay#5/slow/0,relay#6/lost-answer/0,relay#7/again/0/3281,search/skew/0/162,search#1/slow/0,search#1/again/0/2467,search#2/lost-request/0,search#2/lost-request/1,search#2/lost-request/2,search#3/lost-request/0,search#3/death/6,search#4/lost-request/0,search#4/lost-request/1,search#4/conflict/3,search#4/slow/4,search#5/partial/1,search#6/slow/0,search#6/slow/1,search#8/partial/0,search#8/freeze/8/6599",
    "1613 messages=0,1,2,3,4 faults=message-9/purged/6,operator#1/slow/1,reconcile#10/lost-request/0,reconcile#10/lost-request/29,reconcile#10/lost-request/33,reconcile#10/lost-request/45,reconcile#10/lost-request/46,reconcile#10/lost-answer/1,reconcile#10/lost-answer/7,reconcile#10/throttle/34,reconcile#10/throttle/43,refund#10/lost-request/0,refund#2/lost-request/0,refund#26/death/1,refund#27/throttle/1,refund#5/conflict/0,refund#5/slow/1,refund#7/lost-answer/1,relay#2/lost-answer/0",
    "1545 messages=1,2,3,7 faults=accept#3/conflict/0,accept#3/death/8,relay/unread/9",
    "46 faults=",
    "3 messages=0 faults=reconcile#10/not-invoked/0,reconcile#11/not-invoked/0,reconcile#12/not-invoked/0,reconcile#13/delayed/24,relay/unread/0",
    "23 messages=1,2 faults=accept#2/lost-request/0,reconcile/overlap/9/94,reconcile#10/lost-answer/0,reconcile#10/stale/6,reconcile#11/lost-request/17,reconcile#11/lost-request/25,reconcile#11/throttle/14,reconcile#11/throttle/23,reconcile#11/missing/19,refund/late/0/4844,refund/unread/0,relay/late/1/1541,relay#1/lost-request/1,relay#1/lost-answer/0,relay#2/throttle/0",
    "103 messages=0,2 faults=reconcile/far-skew/2/859644,reconcile#9/lost-answer/1,reconcile#9/lost-answer/11,reconcile#9/lost-answer/31,reconcile#9/throttle/22,reconcile#9/throttle/23,reconcile#9/missing/27,reconcile#9/slow/33,relay/unread/0",
    "20 messages=1,3 faults=relay/unread/0,relay/unread/1,relay/unread/4,relay/unread/9,relay/unread/10",
    "52 faults=",
    "93 messages=0 faults=",
];
/// The same of the other workloads.
const KNOWN_OF: &[(&str, &str)] = &[
    (
        "replayed",
        "559 messages=0,1 faults=operator#1/death/6,operator#2/lost-request/2,operator#2/missing/9,operator#2/slow/7",
    ),
    (
        "payments",
        "1129 messages=0 faults=wire#1/lost-request/1,wire#1/again/0/6,wire#11/freeze/1/28324,wire#8/slow/0",
    ),
    (
        "payments",
        "991 messages=0,1 faults=relay#1/again/0/3418,wire#1/conflict/0,wire#1/slow/4,wire#1/slow/5,wire#1/freeze/10/4776,wire#4/slow/1,wire#4/slow/4",
    ),
    (
        "payments",
        "1193 messages=0,1 faults=accept#1/lost-answer/0,accept#2/death/1,bank/late/3/4830,bank#1/missing/3,bank#1/freeze/7/999,bank#12/lost-answer/1,bank#12/throttle/0,bank#20/lost-request/0,bank#22/slow/0,bank#3/freeze/3/992,bank#33/freeze/6/26228,bank#4/slow/0,bank#6/slow/1,bank#7/slow/1,bank#7/freeze/3/550,relay#1/slow/0,relay#1/slow/1,relay#1/slow/2",
    ),
    (
        "payments",
        "2273 messages=0 faults=bank#11/lost-request/2,bank#11/lost-answer/5,bank#11/slow/0,bank#3/death/1,bank#4/again/0/957,bank#5/slow/3,bank#5/freeze/5/27580,bank#7/slow/0,bank#8/slow/1,bank#9/again/0/3748,relay#3/slow/0",
    ),
    (
        "payments",
        "265 messages=0,1,3 faults=accept#2/partial/2,accept#2/freeze/4/3798,accept#2/delayed/0,relay#1/not-invoked/0,relay#3/slow/0,relay#4/lost-answer/0,wire/late/1/3947,wire#1/slow/2,wire#10/throttle/1,wire#10/slow/3,wire#2/lost-request/0,wire#2/lost-request/1,wire#2/lost-request/2,wire#2/lost-request/3,wire#2/lost-request/4,wire#2/lost-request/7,wire#2/lost-answer/10,wire#2/throttle/11,wire#2/slow/8,wire#2/freeze/18/2838,wire#2/again/0/3419,wire#5/again/0/1605,wire#6/slow/1,wire#6/slow/3,wire#6/freeze/8/20020",
    ),
    ("payments", "114 messages=0,1 faults=bank#1/slow/0,relay/skew/1/463,relay#2/slow/0,relay#2/forged/1"),
    ("ordered", "127 messages=0,3 faults="),
    ("ordered", "781 messages=1,3,4 faults="),
    ("ordered", "127 messages=0,3 faults=journal#4/slow/1"),
    ("ordered", "985 messages=1,2,3,4,5,6 faults="),
    ("ordered", "985 messages=0,1,2,3,4,8,9 faults="),
    ("ordered", "348 messages=0,2 faults=journal#2/slow/0,journal#2/slow/3,relay#1/lost-request/0"),
    ("ordered", "78 messages=0,3,4,5 faults="),
    ("ordered", "856 messages=0,1,2 faults="),
    (
        "ordered",
        "1179 messages=0,1,2,3 faults=card/late/7/3435,card#10/throttle/0,card#3/lost-answer/0,card#3/death/4,card#4/throttle/0,card#5/lost-answer/0,card#8/conflict/2,card#8/slow/1,operator#2/conflict/1,relay#11/lost-request/0,relay#11/again/0/4106,relay#2/throttle/0,relay#2/again/0/4774,relay#4/lost-request/0,relay#4/again/0/44,relay#5/partial/0,relay#5/partial/1,relay#5/again/0/3001,relay#7/again/0/932,relay#8/again/0/260",
    ),
    (
        "ordered",
        "325 messages=0,1,2 faults=card#1/death/7,card#2/lost-request/6,card#2/lost-request/7,card#2/lost-request/8,card#2/lost-answer/4,card#2/throttle/0,card#2/throttle/2,card#2/freeze/8/2986,card#3/slow/1,card#4/death/6,card#5/slow/0,card#5/slow/1,message-1/overtaken/0,operator#4/slow/0,operator#4/death/3",
    ),
    (
        "ordered",
        "421 messages=0,1,2 faults=audit#1/lost-answer/0,audit#1/lost-answer/1,audit#2/lost-request/0,audit#2/lost-answer/1,journal#1/lost-answer/1,journal#1/throttle/2,journal#1/slow/0,journal#2/throttle/0,journal#2/death/10,journal#3/throttle/1,journal#4/throttle/1,journal#5/conflict/1,relay#1/partial/0",
    ),
    (
        "ordered",
        "23758 messages=0,1,2 faults=journal#2/death/12,journal#2/freeze/9/11996,journal#4/missing/2,operator#2/lost-request/3,operator#2/lost-answer/1,operator#2/throttle/2,operator#2/conflict/0,operator#2/freeze/12/25868,relay#1/lost-answer/0,relay#2/again/0/1027",
    ),
    (
        "credit",
        "1245 messages=0,1,2,3 faults=accept#3/lost-request/0,accept#3/freeze/5/1868,credit#3/stale/0",
    ),
    ("credit", "1257 messages=0,1,2,3 faults=credit#5/stale/0"),
    ("ordered", "288 messages=0,1 faults="),
    ("forward", "66"),
    ("forward", "17 messages=1 faults=relay#2/forged/0"),
    (
        "operated",
        "301 messages=1 faults=operator#1/lost-answer/1,operator#1/slow/2,operator#2/death/5,operator#2/delayed/1",
    ),
    ("ordered", "971 messages=0,1,3 faults=accept#1/lost-request/0,relay#1/forged/0"),
    (
        "http",
        "1 messages=0 faults=api#1/lost-request/0,api#1/lost-request/1,api#1/lost-request/2,api#1/lost-request/3,api#1/lost-request/4,api#1/lost-request/5,api#1/lost-request/6,api#1/lost-request/7,api#1/lost-request/8,api#1/lost-request/9,api#1/lost-request/10,api#1/lost-request/11,api#1/lost-request/12,api#1/lost-request/13,api#1/lost-request/14,api#1/lost-request/15,api#1/lost-request/16,api#1/lost-request/17,api#1/lost-request/18,api#1/lost-request/19,api#1/lost-request/20,api#1/lost-request/21,api#1/lost-request/22,api#1/lost-request/23",
    ),
    (
        "ordered",
        "148 messages=0,1,3,8 faults=relay#2/again/0/301,relay#3/partial/0,relay#5/again/0/1043,relay#7/lost-answer/0,relay#7/throttle/3,relay#7/slow/1,relay#7/slow/2,relay#7/forged/4",
    ),
    (
        "payments",
        "564 messages=0 faults=accept#1/lost-answer/1,accept#1/partial/2,accept#1/slow/0,card#1/lost-answer/1,card#1/conflict/4,card#11/lost-answer/0,card#2/slow/5,card#2/freeze/1/21444,card#3/slow/0,card#3/slow/1,card#3/freeze/1/2173,card#6/slow/0,card#6/again/0/183,card#7/partial/1,card#8/slow/2,card#8/slow/3,card#8/slow/4,card#8/freeze/9/19476,message-6/overtaken/0,operator#1/freeze/1/954,relay#1/throttle/1,relay#1/slow/0,relay#1/again/0/238,relay#2/lost-answer/0,relay#2/partial/1,relay#2/again/0/3100,relay#4/again/0/2244",
    ),
];
/// The rules that the simulation checks, each with a mutant that breaks it.
const RULES: &str = include_str!("../RULES.md");

/// Seeds without a fault: some mistakes are found only where nothing else goes wrong.
const QUIET: u64 = 30;

/// Seeds of runs of which many lose copies: they find mistakes in reconcile. They are long runs, and come
/// after the first `SOON` others.
const LOSSES: Range<u64> = 60..80;
const SOON: u64 = 100;

fn drawn(seeds: Range<u64>, faults: Faults) -> impl Iterator<Item = Plan> {
    seeds.map(move |seed| Plan::drawn(seed, faults))
}

fn known() -> impl Iterator<Item = Plan> {
    KNOWN.iter().map(|plan| plan.parse().expect("a plan"))
}

fn losing() -> impl Iterator<Item = Plan> {
    drawn(LOSSES, Faults::LOSING)
}

fn known_of(workload: &str) -> impl Iterator<Item = Plan> {
    let plans = KNOWN_OF.iter().filter(move |(known, _)| *known == workload);
    plans.map(|(_, plan)| plan.parse().expect("a plan"))
}

/// The plans that are tried to find a mutant.
fn plans(workload: &str) -> Box<dyn Iterator<Item = Plan> + '_> {
    let soon = drawn(0..QUIET, Faults::NONE).chain(drawn(0..SOON, Faults::USUAL));
    match workload {
        "commerce" => {
            Box::new(known().chain(soon).chain(losing()).chain(drawn(SOON..SEEDS_MAX, Faults::USUAL)))
        }
        _ => Box::new(known_of(workload).chain(soon).chain(drawn(0..SEEDS_MAX, Faults::STALLING))),
    }
}

/// The rows of the tables of rules: a part of the violation's text, and the mutant.
fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = RULES.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        (cells[2], cells[3])
    })
}

/// The first run that finds a mutant, by the rule that it is to break if there is one.
fn found(workload: &str, mutant: &'static str) -> Option<Run> {
    let (_, run) = WORKLOADS.into_iter().find(|of| of.0 == workload).expect("a workload");
    let text = rules().find(|(_, of)| *of == mutant).map_or("", |(text, _)| text);
    enable(mutant);
    let found = plans(workload).map(run).find(|run| run.violations.iter().any(|found| found.contains(text)));
    enable("");
    found
}

/// The shortest plan that finds a mutant, from a run that does.
fn shortened(workload: &str, mutant: &'static str, found: &Run) -> Plan {
    let (_, run) = WORKLOADS.into_iter().find(|of| of.0 == workload).expect("a workload");
    enable(mutant);
    let shortest = shortest(found, run);
    enable("");
    shortest.plan
}

/// Whether half of the mutants, the half of this commit, has this one in it. Each mutant is in the half of
/// every second commit on average.
fn is_in_half(commit: &str, mutant: &str) -> bool {
    let mut hasher = DefaultHasher::new();
    (commit, mutant).hash(&mut hasher);
    hasher.finish().is_multiple_of(2)
}

/// Every mutant; or with `MUTANTS_BY`, which is the id of a commit, the half of this commit; or with `MUTANT` the one
/// of this name, and the shortest plan that was found for it.
#[test]
fn every_mutant_is_found() {
    let commit = std::env::var("MUTANTS_BY").unwrap_or_default();
    let only = std::env::var("MUTANT").unwrap_or_default();
    let of = |(workload, mutants): (&'static str, &'static [Mutant])| {
        mutants.iter().map(move |(mutant, _)| (workload, *mutant))
    };
    let every: Vec<(&str, &str)> = MUTANTS.into_iter().flat_map(of).collect();
    let is_chosen = |mutant: &str| match only.as_str() {
        "" => commit.is_empty() || is_in_half(&commit, mutant),
        only => only == mutant,
    };
    let mutants: Vec<_> = every.iter().filter(|(_, mutant)| is_chosen(mutant)).collect();
    println!("{} of {} mutants", mutants.len(), every.len());
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((workload, mutant)) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            match found(workload, mutant) {
                Some(run) => {
                    println!("{workload} {:>4} {mutant}, in {} s", run.plan.seed, begun.elapsed().as_secs());
                    if !only.is_empty() {
                        println!("{}", shortened(workload, mutant, &run));
                    }
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
fn every_rule_has_a_mutant() {
    let mutants: Vec<&str> =
        MUTANTS.into_iter().flat_map(|(_, all)| all.iter().map(|(name, _)| *name)).collect();
    let mut breaking: Vec<&str> = rules().map(|(_, mutant)| mutant).collect();
    let missing: Vec<_> = breaking.iter().filter(|mutant| !mutants.contains(mutant)).collect();
    assert!(missing.is_empty() && !breaking.is_empty(), "no mutants of these names: {missing:?}");
    let rows = breaking.len();
    breaking.sort();
    breaking.dedup();
    assert_eq!(breaking.len(), rows, "a mutant breaks one rule of the table");
}

#[test]
fn the_plans_that_find_mutants_hold_without_them() {
    for plan in known().chain(losing()) {
        let run = run(&Commerce, plan);
        assert_eq!(run.violations, Vec::<String>::new(), "{}", run.plan);
    }
    for (workload, run) in WORKLOADS {
        for plan in known_of(workload) {
            let run = run(plan);
            assert_eq!(run.violations, Vec::<String>::new(), "{}", run.plan);
        }
    }
}

#[test]
fn the_shortest_history_of_a_mutant_is_short() {
    let mutant = "the mark before the effect";
    let found = found("commerce", mutant).unwrap();
    enable(mutant);
    let shortest = shortest(&found, |plan| run(&Commerce, plan));
    enable("");
    let PlannedFaults::Listed(faults) = &shortest.plan.faults else { panic!("{shortest}") };
    assert!(faults.len() <= 1 && shortest.history.messages.len() == 1, "{shortest}");
    assert!(shortest.history.lines.len() <= found.history.lines.len());
}
