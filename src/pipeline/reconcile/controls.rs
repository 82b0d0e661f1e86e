//! Which destinations are paused, as far as a run of reconcile has met them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::aws::Fault;
use crate::record::{Control, Record};
use crate::store::Positions;

/// The control items of destinations.
#[derive(Clone, Debug, Default)]
pub(super) struct Controls(pub(super) BTreeMap<String, Control>);

impl Controls {
    /// Reads those of the destinations at which a record is pending, unless they are known.
    pub(super) async fn meet(&mut self, positions: &Positions, record: &Record) -> Result<(), Fault> {
        for (name, _) in record.pending() {
            if !self.0.contains_key(name) {
                self.read(positions, name).await?;
            }
        }
        Ok(())
    }

    /// Reads one as it is now.
    pub(super) async fn read(&mut self, positions: &Positions, name: &str) -> Result<(), Fault> {
        let control = match positions.control(name).await {
            // Nobody may take it for "not paused", and it holds up only what goes there. The alarm on pauses goes off.
            Err(fault) if fault.is_unreadable() => {
                tracing::error!(destination = name, %fault, "what is open there waits");
                Control::Paused { since: Timestamp::UNIX_EPOCH, reason: fault.to_string() }
            }
            control => control?,
        };
        self.0.insert(name.to_owned(), control);
        Ok(())
    }

    /// Since when a destination is paused, if it is.
    pub(super) fn paused_since(&self, name: &str) -> Option<Timestamp> {
        match self.0.get(name)? {
            Control::Paused { since, .. } => Some(*since),
            Control::Running { .. } => None,
        }
    }

    pub(super) fn is_paused(&self, name: &str) -> bool {
        self.paused_since(name).is_some()
    }

    /// Since when a delivery has been waiting, a pause left out.
    pub(super) fn waits_since(&self, name: &str, since: Timestamp) -> Timestamp {
        self.0.get(name).map_or(since, |control| control.waits_since(since))
    }
}
