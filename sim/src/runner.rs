//! Many runs, on every core.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::faults::coverage::Coverage;
use crate::faults::plan::Plan;
use crate::run::Run;

/// How often progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Runs these plans until one fails. `progress` is called with the number of plans that were begun.
///
/// # Errors
/// The first run that failed.
pub fn run_all(
    plans: &[Plan],
    run: impl Fn(Plan) -> Run + Sync,
    progress: impl Fn(usize),
) -> Result<Coverage, Box<Run>> {
    let next = AtomicUsize::new(0);
    let (coverage, failed) = (Mutex::new(Coverage::default()), Mutex::new(None::<(usize, Box<Run>)>));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = plans.get(at) else { return };
            let mut run = run(plan.clone());
            let of_run = std::mem::take(&mut run.history.coverage);
            coverage.lock().unwrap_or_else(PoisonError::into_inner).add(of_run);
            if !run.violations.is_empty() {
                next.store(plans.len(), Ordering::Relaxed);
                // The first in order: those before it run already.
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(other, _)| at < *other) {
                    *failed = Some((at, Box::new(run)));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            std::thread::sleep(PROGRESS_EVERY);
            progress(next.load(Ordering::Relaxed).min(plans.len()));
        }
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, failed)) => Err(failed),
        None => Ok(coverage.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}
