//! What happened in a run, and what struck.

use std::collections::BTreeSet;

use crate::coverage::{Coverage, Site};
use crate::fault::Fault;
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
    /// A batch that was delivered again, though it had been done, was not done once more.
    pub(crate) repeat_failed: bool,
    /// A person came by.
    pub(crate) tended: bool,
    /// Where something might have struck: every call, every poll, every fetch, and so on.
    pub places: Vec<Strike>,
}

impl History {
    pub(crate) fn note(&mut self, elapsed_ms: u64, who: &str, what: &str) {
        self.lines.push(format!("{elapsed_ms:>9} {who}: {what}"));
    }

    /// Whether something struck that loses copies.
    pub(crate) fn may_have_lost(&self) -> bool {
        let loses = |fault| matches!(fault, Fault::Forget | Fault::Unread | Fault::Purged);
        self.strikes.iter().any(|it| loses(it.fault))
    }

    /// Something struck, at these sites.
    pub(crate) fn struck(&mut self, strike: Strike, sites: impl IntoIterator<Item = Site>) {
        let fault = strike.fault;
        if self.strikes.insert(strike) {
            sites.into_iter().for_each(|site| self.coverage.struck(site, fault));
        }
    }
}
