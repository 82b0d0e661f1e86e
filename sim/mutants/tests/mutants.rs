//! The simulation can fail: every deliberate mistake is found, within so many seeds.

use handover::mutation::{MUTANTS, wake};
use handover_sim_mutants::{Faults, run};

/// Most are found by the first few; the slowest by the 369th.
const SEEDS_MAX: u64 = 1_000;

#[test]
fn every_mutant_is_found() {
    let mut missed = Vec::new();
    for (mutant, _) in MUTANTS {
        wake(mutant);
        match (0..SEEDS_MAX).find(|seed| !run(*seed, Faults::USUAL).violations.is_empty()) {
            Some(seed) => println!("{seed:>4} {mutant}"),
            None => missed.push(mutant),
        }
    }
    wake("");
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:#?}");
}
