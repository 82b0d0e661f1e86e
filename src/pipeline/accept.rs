//! accept: takes custody of a message, once.
//!
//! Its only side effect is one conditional put. If the put fails before or after it took effect, or the
//! function dies, the message is sent again and is compared with the stored record (G1, G2).

use jiff::Timestamp;

use crate::aws::Fault;
use crate::clock::Clock;
use crate::code::Code;
use crate::notification::{Refusal, Routes};
use crate::record::Record;
use crate::store::{Acceptance, Ledger};

/// What a sender is told whose id has other content.
pub(crate) const CONFLICT: &str = "its source sent other content under its id; send it with an id of its own";

/// What became of a message. Each is an answer; an error is a [`Fault`], and leaves the message where it was.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AcceptOutcome {
    /// It is a notification, which was stored or compared with the stored one.
    Decided(Acceptance),
    /// It cannot be accepted as it is.
    Malformed(Refusal),
}

impl AcceptOutcome {
    /// Why the message is refused, as `code: text`; `None` when it is in custody.
    pub fn refusal(&self) -> Option<String> {
        match self {
            AcceptOutcome::Decided(Acceptance::Stored | Acceptance::Duplicate(_)) => None,
            AcceptOutcome::Decided(Acceptance::Conflict) => Some(format!("{}: {CONFLICT}", Code::Conflict)),
            AcceptOutcome::Malformed(refusal) => Some(format!("{}: {refusal}", refusal.code())),
        }
    }
}

/// What is known of how an event was sent, beside what it says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// The unique id of the user or role that sent it.
    pub sender: Option<&'a str>,
    /// The id that it has if it says none: it derives from an idempotency key.
    pub id: Option<&'a str>,
}

/// The stage that accepts, behind whatever receives the messages.
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

    /// Accepts an event as it was received.
    ///
    /// # Errors
    /// A [`Fault`] of the ledger; send the message again.
    pub async fn accept(&self, event: &[u8], envelope: Envelope<'_>) -> Result<AcceptOutcome, Fault> {
        match self.record(event, envelope) {
            Ok(record) => self.store(&record).await.map(AcceptOutcome::Decided),
            Err(refusal) => Ok(AcceptOutcome::Malformed(refusal)),
        }
    }

    /// The record of an event, as [`store`](Accept::store) takes it.
    ///
    /// # Errors
    /// Why it cannot be accepted.
    pub fn record(&self, event: &[u8], envelope: Envelope) -> Result<Record, Refusal> {
        let Envelope { sent_at, sender, id } = envelope;
        let notification = self.routes.decode_sent(event, sender, id)?;
        let record = Record::accept(notification, &self.routes, self.clock.now())?;
        Ok(Record { sent_at, sender: sender.map(str::to_owned), ..record })
    }

    /// Stores a record, or compares it with the stored one.
    ///
    /// # Errors
    /// A [`Fault`] of the ledger; send the message again.
    pub async fn store(&self, record: &Record) -> Result<Acceptance, Fault> {
        self.ledger.accept(record).await
    }
}
