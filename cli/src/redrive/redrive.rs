//! What every redrive shares.

use std::collections::BTreeMap;
use std::fmt::Display;

use handover::{Ledger, NotificationKey};
use serde::Serialize;

use crate::dead_letter_queues::DeadLetterQueues;
use crate::interrupt::Interrupt;
use crate::output;
use crate::stack::Stack;

/// A redrive, with what it works on and what was asked of it.
pub struct Redrive<'a> {
    pub stack: &'a Stack,
    pub ledger: Ledger,
    pub queues: DeadLetterQueues<'a>,
    pub interrupt: &'a Interrupt,
    pub dry_run: bool,
    pub yes: bool,
    pub wait: bool,
    pub json: bool,
}

/// What came of it, as JSON.
#[derive(Serialize)]
pub struct View {
    /// How many deliveries are dispatched again.
    pub redriven: usize,
    /// How many dead letters are left; of a notification that is named, at how many destinations it is.
    pub left: usize,
    #[serde(flatten)]
    pub waited: Option<Waited>,
}

/// What became of it while the command waited.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Waited {
    /// How many came into each state.
    pub ended: BTreeMap<&'static str, usize>,
    pub pending: usize,
}

impl Redrive<'_> {
    /// Says what came of a redrive that waits for nothing.
    pub fn did(&self, redriven: usize, left: usize, words: impl Display) -> serde_json::Result<()> {
        output::did(self.json, &View { redriven, left, waited: None }, words)
    }
}

/// A notification at one destination.
pub type Delivery = (NotificationKey, String);

/// Why a delivery's redrive did not end as it should.
pub struct NotRedriven {
    /// Whether it is dispatched again in spite of that.
    pub is_dispatched: bool,
    pub error: anyhow::Error,
}

impl From<anyhow::Error> for NotRedriven {
    fn from(error: anyhow::Error) -> NotRedriven {
        NotRedriven { is_dispatched: false, error }
    }
}

/// The error of a redrive that took effect, so that nobody takes it for one that did not.
pub const LETTER_IS_KEPT: &str = "the redrive took effect, but its dead letter is kept; once the notification is completed, a redrive of its destination deletes that";
