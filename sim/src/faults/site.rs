//! The calls that a run makes, and the places in the code that make them.

use crate::faults::rng::{Purpose, below};

/// A place in the code that calls AWS; where `call` is empty, a stage that is invoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The stage that calls: `accept`; `relay` and `relay-queue`, the two sources of relay; `stream` and `retry`, those
    /// of a destination; …
    pub stage: &'static str,
    /// The operation, and its use where a stage calls the same operation for several things.
    pub call: String,
}

impl Site {
    /// The invocation of a stage, without a call.
    pub(crate) fn invocation(stage: &'static str) -> Site {
        Site { stage, call: String::new() }
    }
}

/// The use of a call that a destination's handler makes by itself.
pub(crate) const OF_HANDLER: &str = "of the handler";
/// The use of a call that reads or moves reconcile's cursor.
pub(crate) const OF_CURSOR: &str = "of the cursor";
/// The use of a call that reads or writes the control item of a destination.
pub(crate) const OF_CONTROL: &str = "of the control";
/// The use of a call that takes or leaves a place of a caller that waits.
pub(crate) const OF_PLACE: &str = "of the place";
/// The use of a call that reads the position of a key or what is registered, or registers a notification that waits.
pub(crate) const OF_POSITION: &str = "of the position";

/// A call that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The first part of its target.
    pub service: String,
    pub operation: String,
    pub site: Site,
    /// It is a read that has to return every write before it.
    pub consistent: bool,
    /// The invocation that makes it, as a number.
    pub invocation: u64,
    /// Its number among the calls of the invocation, from 0.
    pub nth: u64,
}

impl Call {
    /// A number below `end` for something about this call.
    pub fn draw(&self, seed: u64, purpose: Purpose, end: u64) -> u64 {
        below(end, seed, &[purpose as u64, self.invocation, self.nth])
    }
}
