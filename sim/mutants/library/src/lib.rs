//! The library with deliberate mistakes in it, of which a run enables one at a time. Nothing that is
//! deployed depends on it.

include!(concat!(env!("OUT_DIR"), "/library/lib.rs"));

#[path = "../mutations/mod.rs"]
mod mutations;

/// Which mistake is enabled.
pub mod mutation {
    use std::cell::Cell;

    pub use crate::mutations::{MUTANTS, Mutant};

    thread_local! {
        static ENABLED: Cell<&'static str> = const { Cell::new("") };
    }

    /// Enables a mutant on this thread, and no other; the empty name enables none.
    pub fn enable(mutant: &'static str) {
        ENABLED.set(mutant);
    }

    /// Whether this mutant is enabled on this thread.
    pub(crate) fn is(mutant: &str) -> bool {
        ENABLED.get() == mutant
    }
}
