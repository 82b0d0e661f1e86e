//! What happened in a run, and which faults were injected.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::faults::coverage::Coverage;
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::faults::site::Site;
use crate::item::{destinations, key, number, text};

/// A run's history: the same for the same plan, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Milliseconds of virtual time, who, and what.
    pub lines: Vec<String>,
    /// The numbers of the messages that were sent.
    pub messages: BTreeSet<usize>,
    /// The faults that were injected. A run with exactly these is the same run.
    pub injected: BTreeSet<InjectedFault>,
    /// How often each call was made, and had each fault.
    pub coverage: Coverage,
    /// A destination was paused, which drops copies.
    pub(crate) paused: bool,
    /// A mapping gave up a batch: reconcile dispatches what is open of it again.
    pub(crate) gave_up: bool,
    /// A batch that was done was delivered again, and failed.
    pub(crate) repeat_failed: bool,
    /// A producer's clock was far behind.
    pub(crate) clock_was_behind: bool,
    /// What operators did, and a later release: each may be one more copy, or one more try of one.
    pub(crate) operations: i64,
    /// How long a later release held deliveries in a state of its own, in milliseconds.
    pub(crate) held_ms: i64,
    /// Every fault that could have been injected: one for each call and kind, each poll, each fetch, …
    pub injection_points: Vec<InjectedFault>,
}

impl History {
    pub(crate) fn note(&mut self, elapsed_ms: u64, who: &str, what: &str) {
        self.lines.push(format!("{elapsed_ms:>9} {who}: {what}"));
    }

    /// Notes the failed attempts that `who` recorded by a change of a record, with their errors.
    pub(crate) fn note_failed_attempts(&mut self, elapsed_ms: u64, who: &str, change: &Value) {
        let (old, new) = (&change["dynamodb"]["OldImage"], &change["dynamodb"]["NewImage"]);
        for (name, delivery) in destinations(new) {
            let attempts = number(delivery, "attempts");
            let before = number(&old["destinations"]["M"][name]["M"], "attempts").max(0);
            if attempts > before {
                let error = text(&delivery["failures"]["M"][attempts.to_string()]["M"], "error");
                let what = format!("attempt {attempts} of {} at {name} failed: {error}", key(new));
                self.note(elapsed_ms, who, &what);
            }
        }
    }

    /// Whether copies may have been lost: by a fault that was injected, with a batch that a mapping gave up, or by a
    /// pause.
    pub(crate) fn may_have_lost(&self) -> bool {
        let loses = |fault| matches!(fault, Fault::Forget | Fault::Unread | Fault::Purged);
        self.gave_up || self.paused || self.injected.iter().any(|injected| loses(injected.fault))
    }

    /// Records a fault that was injected, at these sites.
    pub(crate) fn inject(&mut self, injected: InjectedFault, sites: impl IntoIterator<Item = Site>) {
        let fault = injected.fault;
        if self.injected.insert(injected) {
            sites.into_iter().for_each(|site| self.coverage.hit(site, fault));
        }
    }
}
