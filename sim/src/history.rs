//! What happened in a run, and what struck.

use std::collections::BTreeSet;

use crate::coverage::Coverage;
use crate::plan::Strike;

/// A run's history: the same for the same plan, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Milliseconds of virtual time, who, and what.
    pub lines: Vec<String>,
    /// The places of the messages that were sent.
    pub messages: BTreeSet<usize>,
    /// What struck. A run of just these strikes is the same run.
    pub strikes: BTreeSet<Strike>,
    /// Which calls were made, and what struck them, counted.
    pub coverage: Coverage,
    /// Where something might have struck: every call and every poll.
    pub places: Vec<Strike>,
}

impl History {
    pub(crate) fn note(&mut self, elapsed_ms: u64, who: &str, what: &str) {
        self.lines.push(format!("{elapsed_ms:>9} {who}: {what}"));
    }
}
