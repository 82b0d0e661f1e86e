//! Carries out the plan of a replay, several events concurrently.

use handover::aws::Pace;
use handover::record::{Addition, Beginning, ReplayPlan};
use handover::store::Replayed;
use jiff::Timestamp;

use crate::interrupt::Interrupt;
use crate::many::{Tally, tally};
use crate::output::say_error;
use crate::stack::Stack;

/// Lets the destination begin its keys, and then adds it to each event. What it gets before it has begun would wait for
/// numbers that never come.
pub async fn add(
    stack: &Stack,
    destination: &str,
    plan: &ReplayPlan,
    rate: u32,
    interrupt: &Interrupt,
) -> Tally {
    let (ledger, positions, pace) = (stack.ledger(), stack.positions(), Pace::new(rate));
    let begin = async |beginning: &&Beginning| {
        pace.take(1.0).await;
        ledger.begin_replay(&positions, beginning, destination, Timestamp::now()).await?;
        Ok(true)
    };
    let begun = tally(&plan.begins, "keys begun", interrupt, begin).await;
    if begun.left > 0 {
        return Tally { left: plan.adds.len(), fault: begun.fault, ..Tally::default() };
    }
    let add = async |addition: &&Addition| {
        pace.take(1.0).await;
        let replayed = ledger.replay(addition, &positions, destination, Timestamp::now()).await?;
        Ok(replayed == Replayed::Added)
    };
    let came = tally(&plan.adds, "added", interrupt, add).await;
    if came.unneeded > 0 {
        say_error!(
            "note: {} were left as they are: by now they have the destination, it is past their number, or they have expired",
            came.unneeded
        );
    }
    came
}
