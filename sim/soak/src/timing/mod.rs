//! How long notifications take on virtual time. A figure is the same on every machine.

use handover_sim::{Plan, Workload, run};

pub mod hot_key;
pub mod order;

/// Runs a workload once, without a fault.
fn measure(workload: &impl Workload) {
    let run = run(workload, Plan::listed(0, []));
    assert!(run.violations.is_empty(), "{:#?}", run.violations);
}

/// A percentile of sorted times: the smallest one that at least `per_cent` of a hundred do not exceed.
fn quantile(sorted_ms: &[i64], per_cent: usize) -> i64 {
    sorted_ms[(sorted_ms.len() * per_cent).div_ceil(100) - 1]
}
