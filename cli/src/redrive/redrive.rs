//! What every redrive shares.

use std::process::ExitCode;

use handover::{Ledger, NotificationKey};
use indicatif::ProgressBar;

use crate::dead_letter_queues::DeadLetterQueues;
use crate::interrupt::{INTERRUPTED, Interrupt};
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
}

/// A notification at one destination.
pub type Delivery = (NotificationKey, String);

impl Redrive<'_> {
    /// The exit code, where some were left or not.
    pub fn exit_code(&self, is_complete: bool) -> ExitCode {
        match (self.interrupt.has_come(), is_complete) {
            (true, _) => ExitCode::from(INTERRUPTED),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::FAILURE,
        }
    }
}

/// A bar over this many; nothing when stderr is not a terminal.
pub fn progress(count: usize, of: &'static str) -> ProgressBar {
    output::progress(ProgressBar::new(count as u64), "{bar:40} {pos} of {len} {msg}").with_message(of)
}
