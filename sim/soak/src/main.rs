//! soak SEEDS: of each workload, injects every fault of some small runs, one at a time; then runs this many
//! seeds, an equal part of them of each workload, on every core, and prints which fault was injected where.
//! soak --plan 'WORKLOAD PLAN': one run, with its history.

use std::process::ExitCode;
use std::time::Instant;

use handover_sim::{Coverage, Fault, Faults, Plan, PlannedFaults, run_all, shortest};
use handover_soak::{NamedWorkload, WORKLOADS};

const USAGE: &str = "usage: soak SEEDS, or soak --plan 'WORKLOAD PLAN' (commerce, payments or ordered; a seed, or what a failure printed)";
/// Runs of each workload of which every fault is injected, one at a time.
const EACH_FAULT_SEEDS: u64 = 4;
/// A run of the first workload of which every fault is injected, too: its copies are lost, and reconcile
/// gives it up.
const GIVEN_UP: &str = "3 messages=0 faults=relay/unread/0,relay/unread/1";
/// A run of which every pair of faults is injected, an order that is taken: its workload, seed and message.
const EACH_PAIR: (NamedWorkload, u64, usize) = (WORKLOADS[0], 10, 0);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["--plan", plan] => replay(plan),
        [seeds] => seeds.parse().map_err(|_| USAGE.to_owned()).and_then(soak),
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

fn soak(seeds: u64) -> Result<(), String> {
    let quiet = |seed| Plan::listed(seed, []);
    let drawn = |seeds, faults| (0..seeds).map(|seed| Plan::drawn(seed, faults)).collect();
    let mut coverage = Coverage::default();
    for workload in WORKLOADS {
        let each = (0..EACH_FAULT_SEEDS).flat_map(|seed| each_fault(workload, &quiet(seed))).collect();
        coverage.add(all(workload, "faults, one at a time", each)?);
    }
    let given_up: Plan = GIVEN_UP.parse().map_err(|error| format!("{error}"))?;
    let given_up = each_fault(WORKLOADS[0], &given_up);
    coverage.add(all(WORKLOADS[0], "faults of a run that is given up", given_up)?);
    let (workload, seed, message) = EACH_PAIR;
    let first = each_fault(workload, &Plan { messages: Some([message].into()), ..quiet(seed) });
    let second: Vec<Plan> = first.iter().flat_map(|plan| each_fault(workload, plan)).collect();
    // Mappings that are disabled for days make long runs, and were injected above.
    let is_short = |plan: &Plan| !plan.to_string().contains(Fault::Forget.as_str());
    let pairs = first.into_iter().chain(second).filter(is_short).collect();
    coverage.add(all(workload, "faults and pairs of faults of one run", pairs)?);
    let seeds = seeds.div_ceil(WORKLOADS.len() as u64);
    let tenth = seeds / 10;
    for workload in WORKLOADS {
        coverage.add(all(workload, "seeds of which many lose copies", drawn(tenth, Faults::LOSING))?);
        coverage.add(all(workload, "seeds of which many freeze", drawn(tenth, Faults::STALLING))?);
        coverage.add(all(workload, "seeds", drawn(seeds - 2 * tenth, Faults::USUAL))?);
    }
    println!("{coverage}");
    match coverage.missing() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(format!("Not every fault was injected into every call:\n  {}", missing.join("\n  "))),
    }
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

/// Runs these plans, and prints how many there were and how long they took.
fn all((name, run): NamedWorkload, what: &str, plans: Vec<Plan>) -> Result<Coverage, String> {
    let begun = Instant::now();
    let count = plans.len();
    let progress = |done| eprint!("\r{name}: {done} of {count} {what}, {} s ", begun.elapsed().as_secs());
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
