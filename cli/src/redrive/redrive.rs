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
