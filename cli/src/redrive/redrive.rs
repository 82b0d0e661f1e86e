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
    #[serde(flatten)]
    pub left: Left,
    #[serde(flatten)]
    pub waited: Option<Waited>,
}

/// How much is left.
#[derive(Clone, Copy, Serialize)]
pub enum Left {
    /// Of a notification that is named: the destinations where it is dead and was not redriven.
    #[serde(rename = "destinations_left")]
    Destinations(usize),
    /// Of many: the dead letters that stay in their queues.
    #[serde(rename = "dead_letters_left")]
    DeadLetters(usize),
}

impl Left {
    pub fn count(self) -> usize {
        let (Left::Destinations(count) | Left::DeadLetters(count)) = self;
        count
    }
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
    pub fn did(&self, redriven: usize, left: Left, words: impl Display) -> serde_json::Result<()> {
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
