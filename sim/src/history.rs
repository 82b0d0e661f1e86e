//! What happened, line by line, and what was injected.

use std::collections::BTreeMap;

use crate::fault::Fault;

/// A run's history: the same for the same seed, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Milliseconds of virtual time, who, and what.
    pub lines: Vec<String>,
    /// How often each fault struck each call: function, operation, fault.
    pub injected: BTreeMap<(&'static str, String, Fault), u64>,
}

impl History {
    pub(crate) fn note(&mut self, elapsed_ms: u128, who: &str, what: &str) {
        self.lines.push(format!("{elapsed_ms:>9} {who}: {what}"));
    }

    pub(crate) fn injected(&mut self, function: &'static str, operation: &str, fault: Fault) {
        *self.injected.entry((function, operation.to_owned(), fault)).or_default() += 1;
    }
}
