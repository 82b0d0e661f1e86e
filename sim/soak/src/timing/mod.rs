//! How long notifications take on virtual time. A figure is the same on every machine.

use handover_sim::{Plan, Workload, run};

pub mod hot_key;
pub mod order;

/// Runs a workload once, without a fault.
fn measure(workload: &impl Workload) {
    let run = run(workload, Plan::listed(0, []));
    assert!(run.violations.is_empty(), "{:#?}", run.violations);
}

/// The time that so many in a hundred did not exceed, of times in their order.
fn quantile(sorted_ms: &[i64], per_cent: usize) -> i64 {
    sorted_ms[(sorted_ms.len() * per_cent).div_ceil(100) - 1]
}
