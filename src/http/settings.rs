//! What the interface works on.

use jiff::SignedDuration;

use super::caller::Scope;
use crate::clock::Clock;
use crate::pipeline::Accept;
use crate::store::{Cursors, Ledger, Positions, Waiters};

/// What the interface works on.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The `notifications` table.
    pub ledger: Ledger,
    /// The `positions` table.
    pub positions: Positions,
    /// Reconcile's table.
    pub cursors: Cursors,
    /// The places of callers that wait.
    pub waiters: Waiters,
    /// Accepts what is handed over; `None` while the routes cannot be used.
    pub accept: Option<Accept>,
    /// What a caller may see and do of what others handed over.
    pub scope: Scope,
    /// Whether requests are taken that nobody signed.
    pub is_open: bool,
    /// How long a completed record is kept.
    pub retention: SignedDuration,
    /// The time.
    pub clock: Clock,
}
