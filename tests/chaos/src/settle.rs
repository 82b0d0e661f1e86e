//! After the damage: waits until nothing moves any more, and does meanwhile what a person would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use handover::record::{FIRST_DUE_AFTER, LAG, SLOT_SECONDS};
use handover::record::Status;
use refunds::summary::Row;
use refunds::world::World;

use crate::progress::Progress;
use crate::send;

/// How long nothing may move until it counts as rest, in seconds: copies that come late, of what is
/// done already, must have had their chance to do harm.
const REST_SECONDS: u64 = 20;
/// How often it is looked at, in milliseconds.
const LOOK_MS: u64 = 2_000;
/// What may come on top of the time after which reconcile has found what lost its copies, in seconds.
const SPARE_SECONDS: u64 = 300;
/// The queues that are empty at rest.
const QUEUES: [&str; 4] = ["upstream", "upstream-dead-letters", "refund-retry", "refund-dead-letters"];

/// What came to light while it settled.
#[derive(Default)]
pub struct Settled {
    /// What was refused, each text once, and the reason.
    pub refused: BTreeMap<String, String>,
    /// How many further copies of these.
    pub refused_again: u64,
    /// Messages that SQS moved to the upstream's dead-letter queue, sent again.
    pub sent_again: u64,
    /// Dead letters of the destination, redriven.
    pub redriven: u64,
    /// What is in each queue in the end.
    left: Vec<(&'static str, u64)>,
}

impl Settled {
    /// The queues, which were to be empty.
    pub fn rows(&self) -> Vec<Row> {
        self.left.iter().map(|(queue, left)| (format!("left in {queue}"), 0, *left)).collect()
    }

    fn took_up(&mut self, text: String, reason: String) {
        self.refused_again += u64::from(self.refused.insert(text, reason).is_some());
    }
}

/// How long it may take until it rests: longer than reconcile takes to find what lost its copies.
pub fn longest() -> Duration {
    let found_after = FIRST_DUE_AFTER.unsigned_abs() + LAG.unsigned_abs();
    found_after + Duration::from_secs(SLOT_SECONDS.unsigned_abs() + SPARE_SECONDS)
}

/// Waits until every notification is DONE and every queue empty.
pub async fn settle(world: &World, progress: &mut Progress) -> anyhow::Result<Settled> {
    let begun = Instant::now();
    let mut settled = Settled::default();
    let mut rested_since: Option<Instant> = None;
    loop {
        let is_idle = look(world, &mut settled, progress).await?;
        rested_since = is_idle.then(|| rested_since.unwrap_or_else(Instant::now));
        if rested_since.is_some_and(|since| since.elapsed().as_secs() >= REST_SECONDS) {
            return Ok(settled);
        }
        if begun.elapsed() > longest() {
            println!("not at rest after {} s; this is how it stands", begun.elapsed().as_secs());
            return Ok(settled);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Does what is to be done by hand; whether there was nothing, and nothing moves.
async fn look(world: &World, settled: &mut Settled, progress: &mut Progress) -> anyhow::Result<bool> {
    settled.left.clear();
    for queue in QUEUES {
        settled.left.push((queue, world.left(queue).await?));
    }
    let waiting: u64 = settled.left.iter().map(|(_, left)| left).sum();
    let (stored, done) = world.count(Status::Done).await?;
    progress.tell(done, format_args!("{} open or dead, {waiting} in queues", stored - done));
    take_up_refused(world, settled).await?;
    progress.aside(|| redrive(world, settled))?;
    Ok(waiting == 0 && stored == done)
}

/// Takes what was refused out of the upstream's dead-letter queue, and sends again what SQS moved
/// there after too many receives.
async fn take_up_refused(world: &World, settled: &mut Settled) -> anyhow::Result<()> {
    for (text, reason) in world.take_refused().await? {
        match reason {
            Some(reason) => settled.took_up(text, reason),
            None => {
                send::send(world, &[text])?;
                settled.sent_again += 1;
            }
        }
    }
    Ok(())
}

/// Redrives the dead letters of the destination, after a look at them.
fn redrive(world: &World, settled: &mut Settled) -> anyhow::Result<()> {
    let letters = settled.left.iter().find(|(queue, _)| *queue == "refund-dead-letters");
    if let Some((_, letters @ 1..)) = letters {
        settled.redriven += letters;
        for command in [&["dead-letters"][..], &["redrive", "--all"]] {
            // What it leaves is left to the next look.
            world.handover(command)?.status().context("cannot run handover")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_once_and_its_copies_apart() {
        let mut settled = Settled::default();
        for text in ["a", "b", "a"] {
            settled.took_up(text.into(), "invalid".into());
        }
        assert_eq!((settled.refused.len(), settled.refused_again), (2, 1));
    }
}
