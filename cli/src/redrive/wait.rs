//! Waits until what was redriven is completed or dead again.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use handover::Fault;
use handover::record::State;
use tokio::time::timeout;

use super::redrive::{Delivery, Redrive};
use crate::interrupt::exit_code;
use crate::output::{counter, say};

/// Most records that are read concurrently.
const READS_MAX: usize = 16;
/// The pause between two looks; as long as a look itself, if that takes longer.
const PAUSE_MIN: Duration = Duration::from_secs(1);

impl Redrive<'_> {
    /// Waits for these until they end or until Ctrl-C, and says how many came into which state.
    pub async fn wait_for(&self, redriven: Vec<Delivery>) -> anyhow::Result<ExitCode> {
        let progress = counter(redriven.len(), "ended");
        let mut pending = redriven;
        let mut ended: BTreeMap<&str, usize> = BTreeMap::new();
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
        let is_complete = pending.is_empty() && !ended.contains_key(State::Dead.as_str());
        say!("{}", summary(&ended, pending.len()));
        Ok(exit_code(is_complete))
    }

    /// The state of a delivery. A record that is gone was completed: only then does it expire.
    async fn state(&self, (key, destination): &Delivery) -> Result<State, Fault> {
        let record = self.ledger.get(key).await?;
        let delivery = record.and_then(|record| record.destinations.get(destination).cloned());
        Ok(delivery.map_or(State::Done, |delivery| delivery.state))
    }
}

fn summary(ended: &BTreeMap<&str, usize>, pending: usize) -> String {
    let pending = (pending > 0).then_some(("still pending", pending));
    let counts = ended.iter().map(|(state, count)| (*state, *count)).chain(pending);
    let counts: Vec<String> = counts.map(|(state, count)| format!("{count} {state}")).collect();
    if counts.is_empty() { "0 pending".into() } else { counts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_each_state() {
        assert_eq!(
            summary(&BTreeMap::from([("dead", 2), ("done", 199)]), 3),
            "2 dead, 199 done, 3 still pending"
        );
        assert_eq!(summary(&BTreeMap::new(), 0), "0 pending");
    }
}
