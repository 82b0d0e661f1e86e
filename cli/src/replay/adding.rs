//! Carries out the plan of a replay, several events concurrently.

use std::pin::pin;

use futures_util::StreamExt;
use handover::Fault;
use handover::aws::Pace;
use handover::record::{Addition, Beginning, ReplayPlan};
use handover::store::Replayed;
use jiff::Timestamp;

use crate::interrupt::Interrupt;
use crate::many::each;
use crate::output::{counter, say_error};
use crate::stack::Stack;

/// Most calls that are made concurrently.
const CALLS_MAX: usize = 16;

/// What came of it.
#[derive(Default)]
pub struct Added {
    pub added: usize,
    pub left: usize,
    /// They have changed since they were looked at: they have the destination, are past, or have expired.
    pub unchanged: usize,
    /// The first one. After it, and after Ctrl-C, nothing more is begun.
    pub fault: Option<Fault>,
}

impl Added {
    /// Where nothing was done.
    pub fn none(plan: &ReplayPlan) -> Added {
        Added { left: plan.adds.len(), ..Added::default() }
    }
}

/// Lets the destination begin its keys, and then adds it to each event. What it gets before it has begun would wait for
/// numbers that never come.
pub async fn add(
    stack: &Stack,
    destination: &str,
    plan: &ReplayPlan,
    rate: u32,
    interrupt: &Interrupt,
) -> Added {
    let (ledger, positions, pace) = (stack.ledger(), stack.positions(), Pace::new(rate));
    let begin = async |beginning: &&Beginning| {
        pace.take(1.0).await;
        ledger.begin_replay(&positions, beginning, destination, Timestamp::now()).await
    };
    let mut begins = pin!(each(&plan.begins, CALLS_MAX, interrupt, begin));
    let (mut all_begun, mut fault) = (true, None);
    while let Some((_, begun)) = begins.next().await {
        all_begun &= matches!(begun, Some(Ok(())));
        fault = fault.or(begun.and_then(Result::err));
    }
    if !all_begun {
        return Added { fault, ..Added::none(plan) };
    }
    let add = async |addition: &&Addition| {
        pace.take(1.0).await;
        ledger.replay(addition, &positions, destination, Timestamp::now()).await
    };
    let progress = counter(plan.adds.len(), "added");
    let mut adds = pin!(each(&plan.adds, CALLS_MAX, interrupt, add));
    let mut came = Added::default();
    while let Some((_, replayed)) = adds.next().await {
        progress.inc(u64::from(replayed.is_some()));
        match replayed {
            Some(Ok(Replayed::Added)) => came.added += 1,
            Some(Ok(_)) => came.unchanged += 1,
            None => came.left += 1,
            Some(Err(fault)) => {
                came.left += 1;
                came.fault.get_or_insert(fault);
            }
        }
    }
    progress.finish_and_clear();
    if came.unchanged > 0 {
        say_error!(
            "note: {} were left as they are: by now they have the destination, it is past their number, or they have expired",
            came.unchanged
        );
    }
    came
}
