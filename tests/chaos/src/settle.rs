//! After the damage: waits until the stack is at rest, and does meanwhile what an operator would do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use handover::record::{FIRST_DUE_AFTER, LAG, SLOT_SECONDS, Status};
use refunds::stack::Stack;
use refunds::summary::Row;

use crate::progress::Progress;
use crate::send;

/// The stack is at rest after nothing changed for this time, in seconds. Late copies of completed
/// notifications must have had their chance to do harm.
const REST_SECONDS: u64 = 20;
/// Time between two looks at the stack, in milliseconds.
const LOOK_MS: u64 = 2_000;
/// Time to spare after reconcile has found every notification that lost its copies, in seconds.
const SPARE_SECONDS: u64 = 300;
/// The queues that have to be empty at rest.
const QUEUES: [&str; 4] = ["upstream", "upstream-dead-letters", "refund-retry", "refund-dead-letters"];

/// What was found and done until the stack was at rest.
#[derive(Default)]
pub struct Settled {
    /// Each refused text once, with its reason.
    pub refused: BTreeMap<String, String>,
    /// The number of further copies of refused texts.
    pub refused_again: u64,
    /// The number of messages that SQS moved to the upstream's dead-letter queue, and that were sent again.
    pub sent_again: u64,
    /// The number of dead letters of the destination that were redriven.
    pub redriven: u64,
    /// The number of messages in each queue at the last look.
    left: Vec<(&'static str, u64)>,
}

impl Settled {
    /// The rows about the queues, which have to be empty.
    pub fn rows(&self) -> Vec<Row> {
        self.left.iter().map(|(queue, left)| (format!("left in {queue}"), 0, *left)).collect()
    }

    fn add_refusal(&mut self, text: String, reason: String) {
        self.refused_again += u64::from(self.refused.insert(text, reason).is_some());
    }
}

/// Longest wait until the stack is at rest: longer than reconcile needs to find a notification that lost its
/// copies.
pub fn longest() -> Duration {
    let found_after = FIRST_DUE_AFTER.unsigned_abs() + LAG.unsigned_abs();
    found_after + Duration::from_secs(SLOT_SECONDS.unsigned_abs() + SPARE_SECONDS)
}

/// Waits until every notification is DONE and every queue empty. `refused` was refused by HTTP.
pub async fn settle(
    stack: &Stack,
    refused: Vec<(String, String)>,
    progress: &mut Progress,
) -> anyhow::Result<Settled> {
    let begun = Instant::now();
    let mut settled = Settled::default();
    refused.into_iter().for_each(|(text, reason)| settled.add_refusal(text, reason));
    let mut idle_since: Option<Instant> = None;
    loop {
        let is_idle = look(stack, &mut settled, progress).await?;
        idle_since = is_idle.then(|| idle_since.unwrap_or_else(Instant::now));
        if idle_since.is_some_and(|since| since.elapsed().as_secs() >= REST_SECONDS) {
            return Ok(settled);
        }
        if begun.elapsed() > longest() {
            println!(
                "warning: not at rest after {} s; the totals are those of now",
                begun.elapsed().as_secs()
            );
            return Ok(settled);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Looks at the stack once, and does what an operator would do. Returns whether the stack is idle.
async fn look(stack: &Stack, settled: &mut Settled, progress: &mut Progress) -> anyhow::Result<bool> {
    settled.left.clear();
    for queue in QUEUES {
        settled.left.push((queue, stack.left(queue).await?));
    }
    let waiting: u64 = settled.left.iter().map(|(_, left)| left).sum();
    let (stored, done) = stack.count(Status::Done).await?;
    progress.set(done, format_args!("{} open or dead, {waiting} in queues", stored - done));
    handle_refused(stack, settled).await?;
    progress.aside(|| redrive(stack, settled))?;
    Ok(waiting == 0 && stored == done)
}

/// Empties the upstream's dead-letter queue: collects the refused messages, and sends again those that SQS
/// moved there after too many receives.
async fn handle_refused(stack: &Stack, settled: &mut Settled) -> anyhow::Result<()> {
    for (text, reason) in stack.take_refused().await? {
        match reason {
            Some(reason) => settled.add_refusal(text, reason),
            None => {
                send::send(stack, &[&text])?;
                settled.sent_again += 1;
            }
        }
    }
    Ok(())
}

/// Lists and redrives the dead letters of the destination.
fn redrive(stack: &Stack, settled: &mut Settled) -> anyhow::Result<()> {
    let dead_letters = settled.left.iter().find(|(queue, _)| *queue == "refund-dead-letters");
    if let Some((_, count @ 1..)) = dead_letters {
        settled.redriven += count;
        for command in [&["dead-letters"][..], &["redrive", "--all", "--yes"]] {
            // The next look handles what is left.
            stack.handover(command)?.status().context("cannot run handover")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_once_and_its_copies_count_apart() {
        let mut settled = Settled::default();
        for text in ["a", "b", "a"] {
            settled.add_refusal(text.into(), "invalid".into());
        }
        assert_eq!((settled.refused.len(), settled.refused_again), (2, 1));
    }
}
