//! The library with deliberate mistakes in it, of which a run wakes one at a time. Nothing that is
//! deployed depends on it.

include!(concat!(env!("OUT_DIR"), "/lib.rs"));

#[path = "../mutations.rs"]
mod mutations;

/// Which mistake is awake.
pub mod mutation {
    use std::cell::Cell;

    pub use crate::mutations::{MUTANTS, Mutant};

    thread_local! {
        static AWAKE: Cell<&'static str> = const { Cell::new("") };
    }

    /// Wakes a mutant on this thread; the empty name, none.
    pub fn wake(mutant: &'static str) {
        AWAKE.set(mutant);
    }

    /// Whether it is awake.
    pub(crate) fn is(mutant: &str) -> bool {
        AWAKE.get() == mutant
    }
}
