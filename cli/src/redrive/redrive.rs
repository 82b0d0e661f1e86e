//! What every redrive shares.

use handover::{Ledger, NotificationKey};

use crate::dead_letter_queues::DeadLetterQueues;
use crate::interrupt::Interrupt;
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
