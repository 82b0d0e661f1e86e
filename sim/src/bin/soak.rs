//! soak SEEDS: runs so many seeds on every core, and says what was injected. soak --seed N: one
//! seed, with its history.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use handover_sim::{Faults, Run, run};

const USAGE: &str = "usage: soak SEEDS, or soak --seed N";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--seed", seed] => match seed.parse() {
            Ok(seed) => {
                let run = run(seed, Faults::USUAL);
                println!("{run}");
                ExitCode::from(u8::from(!run.violations.is_empty()))
            }
            Err(_) => usage(),
        },
        [seeds] => seeds.parse().map_or_else(|_| usage(), soak),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn soak(seeds: u64) -> ExitCode {
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let injected = Mutex::new(BTreeMap::new());
    let failed: Mutex<Option<Run>> = Mutex::new(None);
    let begun = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let run = run(seed, Faults::USUAL);
                    done.fetch_add(1, Ordering::Relaxed);
                    let mut all = injected.lock().unwrap_or_else(PoisonError::into_inner);
                    for (call, times) in &run.history.injected {
                        *all.entry(call.clone()).or_insert(0) += times;
                    }
                    if !run.violations.is_empty() {
                        next.store(seeds, Ordering::Relaxed);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
                    }
                }
            });
        }
        while done.load(Ordering::Relaxed) < seeds && next.load(Ordering::Relaxed) < seeds {
            std::thread::sleep(Duration::from_secs(1));
            eprint!("\r{} of {seeds} seeds, {} s ", done.load(Ordering::Relaxed), begun.elapsed().as_secs());
        }
    });
    eprintln!();
    if let Some(run) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        println!("{run}\nAgain: make soak SEED={}", run.seed);
        return ExitCode::FAILURE;
    }
    println!("{:<10} {:<30} {:<12} {:>9}", "function", "call", "fault", "times");
    for ((function, call, fault), times) in injected.into_inner().unwrap_or_else(PoisonError::into_inner) {
        println!("{function:<10} {call:<30} {:<12} {times:>9}", format!("{fault:?}"));
    }
    println!("{} seeds, no violation, in {} s", done.into_inner(), begun.elapsed().as_secs());
    ExitCode::SUCCESS
}
