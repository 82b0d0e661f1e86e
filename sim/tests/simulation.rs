//! Many seeds, none of which may find anything.

use std::process::Command;

use handover_sim::{Faults, run};

fn holds(seeds: std::ops::Range<u64>, faults: Faults) {
    for seed in seeds {
        let run = run(seed, faults);
        assert!(run.violations.is_empty(), "{run}");
    }
}

#[test]
fn without_faults_all_ends() {
    holds(0..30, Faults::NONE);
}

#[test]
fn nothing_is_lost_and_nothing_twice() {
    holds(0..300, Faults::USUAL);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..20 {
        assert_eq!(run(seed, Faults::USUAL).history.lines, run(seed, Faults::USUAL).history.lines);
    }
}

/// In another process, too: nothing of a run comes from where or when it runs.
#[test]
fn the_same_seed_gives_the_same_history_in_another_process() {
    for seed in 0..5u64 {
        let soak = Command::new(env!("CARGO_BIN_EXE_soak")).args(["--seed", &seed.to_string()]).output();
        assert_eq!(
            String::from_utf8(soak.unwrap().stdout).unwrap().trim_end(),
            run(seed, Faults::USUAL).to_string().trim_end()
        );
    }
}
