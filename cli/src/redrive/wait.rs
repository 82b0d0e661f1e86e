//! The end of a redrive: says what was redriven, and waits until that is completed or dead again.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use handover::Fault;
use handover::record::State;
use tokio::time::timeout;

use super::redrive::{Delivery, Left, Redrive, View, Waited};
use crate::interrupt::exit_code;
use crate::output::{self, counter, say};

/// Most records that are read concurrently.
const READS_MAX: usize = 16;
/// The pause between two looks; as long as a look itself, if that takes longer.
const PAUSE_MIN: Duration = Duration::from_secs(1);

impl Redrive<'_> {
    /// Says what was redriven and how much is left, and waits for the former where that was asked for.
    ///
    /// # Errors
    /// This fault, or that of the waiting; what was redriven is said before.
    pub async fn end(
        &self,
        redriven: Vec<Delivery>,
        left: Left,
        fault: Option<anyhow::Error>,
    ) -> anyhow::Result<ExitCode> {
        let mut view = View { redriven: redriven.len(), left, waited: None };
        if !self.json {
            say!("{} redriven, {} left", view.redriven, left.count());
        }
        let waited = match fault {
            Some(fault) => Err(fault),
            None if self.wait => self.wait_for(redriven).await.map(Some),
            None => Ok(None),
        };
        let (waited, fault) = waited.map_or_else(|fault| (None, Some(fault)), |waited| (waited, None));
        let is_complete = left.count() == 0 && waited.as_ref().is_none_or(Waited::is_complete);
        if self.json {
            view.waited = waited;
            output::json(&view)?;
        } else if let Some(waited) = waited {
            say!("{waited}");
        }
        fault.map_or(Ok(exit_code(is_complete)), Err)
    }

    /// Waits for these until they end or until Ctrl-C.
    async fn wait_for(&self, redriven: Vec<Delivery>) -> anyhow::Result<Waited> {
        let progress = counter(redriven.len(), "ended");
        let mut pending = redriven;
        let mut ended = BTreeMap::new();
        while !pending.is_empty() && !self.interrupt.has_come() {
            let begun = Instant::now();
            let looks = stream::iter(pending).map(async |delivery| (self.state(&delivery).await, delivery));
            let looks: Vec<_> = looks.buffer_unordered(READS_MAX).collect().await;
            pending = Vec::new();
            for (state, delivery) in looks {
                match state {
                    // Unknown here, not to the later release that wrote it, whose functions go on with it.
                    Ok(State::Pending | State::Unknown) => pending.push(delivery),
                    Ok(state) => {
                        progress.inc(1);
                        *ended.entry(state.as_str()).or_default() += 1;
                    }
                    Err(fault) if fault.is_retryable() => pending.push(delivery),
                    Err(fault) => return Err(self.stack.explained(fault)),
                }
            }
            if !pending.is_empty() {
                // It ends early at Ctrl-C.
                let _ = timeout(PAUSE_MIN.max(begun.elapsed()), self.interrupt.wait()).await;
            }
        }
        progress.finish_and_clear();
        Ok(Waited { ended, pending: pending.len() })
    }

    /// The state of a delivery. A record that is gone was completed: only then does it expire.
    async fn state(&self, (key, destination): &Delivery) -> Result<State, Fault> {
        let record = self.ledger.get(key).await?;
        let delivery = record.and_then(|record| record.destinations.get(destination).cloned());
        Ok(delivery.map_or(State::Done, |delivery| delivery.state))
    }
}

impl Waited {
    fn is_complete(&self) -> bool {
        self.pending == 0 && !self.ended.contains_key(State::Dead.as_str())
    }
}

impl fmt::Display for Waited {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let pending = (self.pending > 0).then_some(("still pending", self.pending));
        let counts = self.ended.iter().map(|(state, count)| (*state, *count)).chain(pending);
        let counts: Vec<String> = counts.map(|(state, count)| format!("{count} {state}")).collect();
        to.write_str(&if counts.is_empty() { "0 pending".into() } else { counts.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_each_state() {
        let waited = Waited { ended: BTreeMap::from([("dead", 2), ("done", 199)]), pending: 3 };
        assert_eq!(waited.to_string(), "2 dead, 199 done, 3 still pending");
        assert_eq!(Waited::default().to_string(), "0 pending");
    }
}
