//! The shortest history of a failure.

use std::collections::BTreeSet;

use crate::faults::injected::InjectedFault;
use crate::faults::plan::{Plan, PlannedFaults};
use crate::run::Run;

/// Runs at most, in search of a shorter history.
const RUNS_MAX: usize = 400;

/// A run that fails, too, with as few messages and faults as were found by leaving some out.
pub fn shortest(failed: &Run, run: impl Fn(Plan) -> Run) -> Run {
    let mut best = failed.clone();
    best.plan.messages = Some(failed.history.messages.clone());
    best.plan.faults = PlannedFaults::Listed(failed.history.injected.clone());
    let mut runs = 0;
    let mut fails = |messages: &BTreeSet<usize>, injected: &BTreeSet<InjectedFault>| {
        runs += 1;
        let faults = PlannedFaults::Listed(injected.clone());
        let plan = Plan { seed: failed.plan.seed, messages: Some(messages.clone()), faults };
        let mut run = (runs <= RUNS_MAX).then(|| run(plan)).filter(|run| !run.violations.is_empty())?;
        // The call or invocation of some may not have come.
        run.plan.faults = PlannedFaults::Listed(run.history.injected.clone());
        Some(run)
    };
    loop {
        let (messages, injected) = (best.history.messages.clone(), best.history.injected.clone());
        let shorter = less(&messages)
            .find_map(|messages| fails(&messages, &injected))
            .or_else(|| less(&injected).find_map(|injected| fails(&messages, &injected)));
        match shorter {
            Some(shorter) => best = shorter,
            None => return best,
        }
    }
}

/// The set without a part of it: first without halves, last without single elements.
fn less<T: Ord + Clone>(all: &BTreeSet<T>) -> impl Iterator<Item = BTreeSet<T>> {
    let all: Vec<T> = all.iter().cloned().collect();
    let sizes = std::iter::successors(Some(all.len().div_ceil(2)), |size| Some(size / 2));
    let sizes: Vec<usize> = sizes.take_while(|size| *size > 0).collect();
    sizes.into_iter().flat_map(move |size| {
        let parts = (0..all.len()).step_by(size);
        let without = |from: usize| {
            let kept = all.iter().enumerate().filter(|(at, _)| !(from..from + size).contains(at));
            kept.map(|(_, element)| element.clone()).collect()
        };
        parts.map(without).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_left_out_halves_first() {
        let sets: Vec<Vec<u32>> =
            less(&BTreeSet::from([1, 2, 3])).map(|set| set.into_iter().collect()).collect();
        assert_eq!(sets, [vec![3], vec![1, 2], vec![2, 3], vec![1, 3], vec![1, 2]]);
    }
}
