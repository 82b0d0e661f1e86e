//! soak SEEDS: of each schedule, strikes every place of some small runs at which something can go wrong;
//! then runs so many seeds, an equal part of them of each schedule, on every core, and says what struck
//! where. soak --plan PLAN: one run, with its history.

use std::process::ExitCode;
use std::time::Instant;

use handover_sim::{Coverage, Fault, Faults, Named, Plan, SCHEDULES, Strikes, many, shortest};

const USAGE: &str = "usage: soak SEEDS, or soak --plan 'SCHEDULE PLAN' (shop, till or journal; a seed, or what a failure printed)";
/// Runs of each schedule of which every place is struck, one at a time.
const STRUCK_ONCE: u64 = 4;
/// A run of the first schedule of which so are the places, too: its copies are lost, and reconcile gives it up.
const GIVEN_UP: &str = "3 messages=0 strikes=relay/unread/0,relay/unread/1";
/// A run of which every two places are struck, an order that is taken: its schedule, seed and message.
const STRUCK_TWICE: (Named, u64, usize) = (SCHEDULES[0], 10, 0);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["--plan", plan] => replay(plan),
        [seeds] => seeds.parse().map_err(|_| USAGE.to_owned()).and_then(soak),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn replay(plan: &str) -> Result<(), String> {
    let (name, plan) = plan.split_once(' ').ok_or(USAGE)?;
    let (_, run) = SCHEDULES.into_iter().find(|it| it.0 == name).ok_or(USAGE)?;
    let run = run(plan.parse().map_err(|error| format!("{error}"))?);
    println!("{run}");
    if run.violations.is_empty() { Ok(()) } else { Err("It does not hold.".into()) }
}

fn soak(seeds: u64) -> Result<(), String> {
    let quiet = |seed| Plan::listed(seed, []);
    let drawn = |seeds, faults| (0..seeds).map(|seed| Plan::drawn(seed, faults)).collect();
    let mut coverage = Coverage::default();
    for schedule in SCHEDULES {
        let once = (0..STRUCK_ONCE).flat_map(|seed| each_place(schedule, &quiet(seed))).collect();
        coverage.add(all(schedule, "places, struck one at a time", once)?);
    }
    let given_up: Plan = GIVEN_UP.parse().map_err(|error| format!("{error}"))?;
    let given_up = each_place(SCHEDULES[0], &given_up);
    coverage.add(all(SCHEDULES[0], "places of a run that is given up", given_up)?);
    let (schedule, seed, message) = STRUCK_TWICE;
    let first = each_place(schedule, &Plan { messages: Some([message].into()), ..quiet(seed) });
    let second: Vec<Plan> = first.iter().flat_map(|plan| each_place(schedule, plan)).collect();
    // Days that nothing reads a stream are long runs, and were struck above.
    let is_short = |plan: &Plan| !plan.to_string().contains(Fault::Forget.as_str());
    let twice = first.into_iter().chain(second).filter(is_short).collect();
    coverage.add(all(schedule, "places and pairs of places of one run", twice)?);
    let seeds = seeds.div_ceil(SCHEDULES.len() as u64);
    let tenth = seeds / 10;
    for schedule in SCHEDULES {
        coverage.add(all(schedule, "seeds of which many lose copies", drawn(tenth, Faults::LOSING))?);
        coverage.add(all(schedule, "seeds of which many stand still", drawn(tenth, Faults::STALLING))?);
        coverage.add(all(schedule, "seeds", drawn(seeds - 2 * tenth, Faults::USUAL))?);
    }
    println!("{coverage}");
    match coverage.missing() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(format!("Not every fault struck every call:\n  {}", missing.join("\n  "))),
    }
}

/// The plan with one strike more, for each place of its run.
fn each_place((_, run): Named, plan: &Plan) -> Vec<Plan> {
    let run = run(plan.clone());
    let with = |place| {
        let mut strikes = run.history.strikes.clone();
        strikes.insert(place).then(|| Plan { strikes: Strikes::Listed(strikes), ..plan.clone() })
    };
    run.history.places.iter().cloned().filter_map(with).collect()
}

/// Runs these, and says how many there were and how long it took.
fn all((name, run): Named, what: &str, plans: Vec<Plan>) -> Result<Coverage, String> {
    let begun = Instant::now();
    let count = plans.len();
    let progress = |done| eprint!("\r{name}: {done} of {count} {what}, {} s ", begun.elapsed().as_secs());
    let coverage = many(&plans, run, progress);
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
