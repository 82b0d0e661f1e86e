//! accept: takes custody of a message, once.
//!
//! One conditional put is the only side effect. If it fails before or after it took effect,
//! or the function dies, the message is sent again and meets what is stored (G1, G2).

use jiff::Timestamp;

use crate::clock::Clock;
use crate::event;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::notification::Notification;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::route::Routes;

/// What became of a message. All four are answers; an error is a [`Fault`], and leaves the
/// message where it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// In custody.
    Stored,
    /// In custody before, with the same content; this is the record as it stands.
    Duplicate(Box<Record>),
    /// The id is held by other content. Send it under an id of its own.
    Conflict {
        /// The source of the notification that holds the id.
        source: String,
    },
    /// It cannot be accepted as it is.
    Malformed(Refusal),
}

impl Outcome {
    /// Why the message is refused, as `code: text`; `None` when it is in custody.
    pub fn refused(&self) -> Option<String> {
        match self {
            Outcome::Stored | Outcome::Duplicate(_) => None,
            Outcome::Conflict { source } => Some(format!(
                "conflict: the id is held by another message of the source `{source}`; send this one under an id of its own"
            )),
            Outcome::Malformed(refusal) => Some(format!("{}: {refusal}", refusal.code())),
        }
    }
}

/// The stage that accepts, behind whatever brings the messages.
#[derive(Clone, Debug)]
pub struct Accept {
    ledger: Ledger,
    routes: Routes,
    clock: Clock,
}

impl Accept {
    /// Accepts into this ledger what these routes take.
    pub fn new(ledger: Ledger, routes: Routes, clock: Clock) -> Accept {
        Accept { ledger, routes, clock }
    }

    /// Accepts an event as it came over the wire; `sent_at` is when it was sent, if known.
    ///
    /// # Errors
    /// A [`Fault`] of the ledger; send the message again.
    pub async fn accept(&self, event: &[u8], sent_at: Option<Timestamp>) -> Result<Outcome, Fault> {
        let record = event::decode(event).and_then(|notification| self.record(notification));
        match record {
            Ok(record) => self.ledger.accept(&Record { sent_at, ..record }).await,
            Err(refusal) => Ok(Outcome::Malformed(refusal)),
        }
    }

    fn record(&self, notification: Notification) -> Result<Record, Refusal> {
        Record::accept(notification, &self.routes, self.clock.now())
    }
}
