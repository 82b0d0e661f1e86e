//! What goes wrong in a run: the kinds of faults, how often each is injected, and where.

pub mod coverage;
pub mod fault;
pub mod injected;
pub mod plan;
pub mod rates;
pub mod rng;
pub mod site;
