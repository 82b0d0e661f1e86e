//! The project's own workloads in the simulation: together they make every call of the library.

mod commerce;
mod operator;
mod ordered;
mod payments;

pub use commerce::Commerce;
use handover_sim::{Plan, Run, run};
pub use ordered::Ordered;
pub use payments::Payments;

/// A workload's name, and how it is run.
pub type NamedWorkload = (&'static str, fn(Plan) -> Run);

/// Every workload.
pub const WORKLOADS: [NamedWorkload; 3] = [
    ("commerce", |plan| run(&Commerce, plan)),
    ("payments", |plan| run(&Payments, plan)),
    ("ordered", |plan| run(&Ordered, plan)),
];
