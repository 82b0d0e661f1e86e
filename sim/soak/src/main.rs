//! soak SEEDS [FIRST]: of each workload, injects every fault of some small runs, one at a time; then runs
//! this many seeds, an equal part of them of each workload, from FIRST on or from 0, on every core, and
//! prints which fault was injected where. It fails on a violation, and if a call never had one of its faults.
//! soak --plan 'WORKLOAD PLAN': one run, with its history.

use std::process::ExitCode;
use std::time::Instant;

use handover_sim::{Coverage, Fault, Faults, Plan, PlannedFaults, run_all, shortest};
use handover_soak::{COMMERCE, NamedWorkload, RARE_CALLS, WORKLOADS};

const USAGE: &str = "usage: soak SEEDS [FIRST], or soak --plan 'WORKLOAD PLAN' (commerce, payments, ordered, credit, fan_out, forward, operated, replayed or http; a seed, or what a failure printed)";
/// Runs of each workload of which every fault is injected, one at a time.
const EACH_FAULT_SEEDS: u64 = 4;
/// A run of which every pair of faults is injected, an order that is taken: its workload, seed and message.
const EACH_PAIR: (NamedWorkload, u64, usize) = (COMMERCE, 10, 0);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().map_err(|_| USAGE.to_owned());
    let result = match args[..] {
        ["--plan", plan] => replay(plan),
        [seeds] => number(seeds).and_then(|seeds| soak(seeds, 0)),
        [seeds, first] => number(seeds).and_then(|seeds| soak(seeds, number(first)?)),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn replay(plan: &str) -> Result<(), String> {
    let (name, plan) = plan.split_once(' ').ok_or(USAGE)?;
    let (_, run) = WORKLOADS.into_iter().find(|(known, _)| *known == name).ok_or(USAGE)?;
    let run = run(plan.parse().map_err(|error| format!("{error}"))?);
    println!("{run}");
    if run.violations.is_empty() { Ok(()) } else { Err("A guarantee does not hold.".into()) }
}

fn soak(seeds: u64, first: u64) -> Result<(), String> {
    let begun = Instant::now();
    let mut coverage = each_faults()?;
    coverage.add(drawn_faults(seeds, first)?);
    println!("{coverage}\nAll in {} s.", begun.elapsed().as_secs());
    match coverage.missing() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(format!("Not every fault was injected into every call:\n  {}", missing.join("\n  "))),
    }
}

/// Injects every fault of some runs.
fn each_faults() -> Result<Coverage, String> {
    let quiet = |seed| Plan::listed(seed, []);
    let mut coverage = Coverage::default();
    for workload in WORKLOADS {
        let each = (0..EACH_FAULT_SEEDS).flat_map(|seed| each_fault(workload, &quiet(seed))).collect();
        coverage.add(run_plans(workload, "faults, one at a time", each)?);
    }
    for rare in RARE_CALLS {
        let ((workload, plan), (stage, call)) = (rare.plan(), rare.site);
        let what = format!("faults of a run with {stage} {call}");
        coverage.add(run_plans(workload, &what, each_fault(workload, &plan))?);
    }
    let (workload, seed, message) = EACH_PAIR;
    let first = each_fault(workload, &Plan { messages: Some([message].into()), ..quiet(seed) });
    let second: Vec<Plan> = first.iter().flat_map(|plan| each_fault(workload, plan)).collect();
    // Mappings that are disabled for days make long runs, and were injected above.
    let is_short = |plan: &Plan| !plan.to_string().contains(Fault::Forget.as_str());
    let pairs = first.into_iter().chain(second).filter(is_short).collect();
    coverage.add(run_plans(workload, "faults and pairs of faults of one run", pairs)?);
    Ok(coverage)
}

/// The plan with one more fault, for each injection point of its run.
fn each_fault((_, run): NamedWorkload, plan: &Plan) -> Vec<Plan> {
    let run = run(plan.clone());
    let with = |point| {
        let mut faults = run.history.injected.clone();
        faults.insert(point).then(|| Plan { faults: PlannedFaults::Listed(faults), ..plan.clone() })
    };
    run.history.injection_points.iter().cloned().filter_map(with).collect()
}

/// Runs this many seeds, an equal part of each workload: of a tenth many lose copies, of a tenth many freeze.
fn drawn_faults(seeds: u64, first: u64) -> Result<Coverage, String> {
    let drawn = |seeds, faults| (first..first + seeds).map(|seed| Plan::drawn(seed, faults)).collect();
    let seeds = seeds.div_ceil(WORKLOADS.len() as u64);
    let tenth = seeds / 10;
    let mut coverage = Coverage::default();
    for workload in WORKLOADS {
        let losing = drawn(tenth, Faults::LOSING);
        coverage.add(run_plans(workload, "seeds of which many lose copies", losing)?);
        let stalling = drawn(tenth, Faults::STALLING);
        coverage.add(run_plans(workload, "seeds of which many freeze", stalling)?);
        coverage.add(run_plans(workload, "seeds", drawn(seeds - 2 * tenth, Faults::USUAL))?);
    }
    Ok(coverage)
}

/// Runs these plans, and prints how many there were and how long they took.
fn run_plans((name, run): NamedWorkload, what: &str, plans: Vec<Plan>) -> Result<Coverage, String> {
    let begun = Instant::now();
    let count = plans.len();
    let progress = |done: usize| {
        let elapsed_s = begun.elapsed().as_secs_f64();
        let left_s = elapsed_s / done.max(1) as f64 * (count - done) as f64;
        eprint!("\r{name}: {done} of {count} {what}, {elapsed_s:.0} s, {left_s:.0} s left ");
    };
    let coverage = run_all(&plans, run, progress);
    eprintln!();
    match coverage {
        Ok(coverage) => {
            println!("{name}: {count} {what}: no violation, in {} s", begun.elapsed().as_secs());
            Ok(coverage)
        }
        Err(failed) => {
            let shortest = shortest(&failed, run);
            Err(format!(
                "{shortest}Found by {}. Again: make soak PLAN='{name} {}'",
                failed.plan, shortest.plan
            ))
        }
    }
}
