//! `handover resume`: ends a pause, and dispatches what waits.

use std::process::ExitCode;

use handover::aws::Pace;
use handover::record::{Change, Control, Record, Time};
use handover::store::Controlled;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::dispatch::every::{dispatch_all, pending};
use crate::interrupt::{Interrupt, exit_code};
use crate::many::Tally;
use crate::output::{self, say_error};
use crate::stack::Stack;
use crate::value;

/// By how much the clocks differ of who dispatched and of who resumed, at most.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

#[derive(clap::Args)]
pub struct Arguments {
    /// The destination.
    #[arg(value_parser = value::destination)]
    destination: String,
    /// Most dispatches in a second, of what waits.
    #[arg(long, default_value_t = value::RATE, value_parser = value::rate())]
    rate: u32,
    /// Prints JSON: whether it was paused, how many were dispatched, and how many are left.
    #[arg(long)]
    json: bool,
}

/// What came of it, as JSON.
#[derive(Serialize)]
struct View<'a> {
    destination: &'a str,
    was_paused: bool,
    /// Absent where it was never paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_at: Option<Time>,
    dispatched: usize,
    /// Absent where it was interrupted before it knew.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
}

pub async fn resume(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::default();
    interrupt.run(resume_one(stack, arguments, &interrupt)).await
}

async fn resume_one(stack: &Stack, arguments: Arguments, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let Arguments { destination, rate, json } = arguments;
    let now = Timestamp::now();
    let resumed = stack.positions().resume(&destination, now).await;
    let (was_paused, resumed_at) = match resumed.map_err(|fault| stack.explained(fault))? {
        Controlled::Was(Control::Running { resumed_at }) => (false, resumed_at),
        _ => (true, Some(now)),
    };
    let view = View {
        destination: &destination,
        was_paused,
        resumed_at: resumed_at.map(Time),
        dispatched: 0,
        left: Some(0),
    };
    let Some(resumed_at) = resumed_at else {
        if let Ok(routes) = stack.routes().await {
            stack.check_destination(&destination, &routes)?;
        }
        output::did(json, &view, format_args!("{destination} is not paused, and was not resumed before"))?;
        return Ok(ExitCode::SUCCESS);
    };
    say_error!(
        "{}",
        match was_paused {
            true => format!("{destination} is resumed; what waits there is dispatched"),
            false => format!(
                "{destination} was resumed at {}; what still waits there is dispatched",
                Time(resumed_at)
            ),
        }
    );
    let waiting = tokio::select! {
        waiting = pending(stack, &destination, |record| is_on_its_way(record, resumed_at)) => waiting?,
        () = interrupt.wait() => {
            output::did(json, &View { left: None, ..view }, "0 dispatched again; reconcile dispatches what waits")?;
            return Ok(exit_code(false));
        }
    };
    let (ledger, pace) = (stack.ledger(), Pace::new(rate));
    let dispatch = async |key: &_| {
        pace.take(1.0).await;
        ledger.dispatch_again(key, Timestamp::now()).await
    };
    let Tally { done: dispatched, left, fault, .. } = dispatch_all(waiting, interrupt, dispatch).await;
    let by_reconcile = if left > 0 { ", which reconcile dispatches within about an hour" } else { "" };
    let words = format_args!("{dispatched} dispatched again, {left} left{by_reconcile}");
    output::did(json, &View { dispatched, left: Some(left), ..view }, words)?;
    fault.map_or(Ok(exit_code(left == 0)), |fault| Err(stack.explained(fault)))
}

/// Whether a copy is on its way that the pause did not drop: it was dispatched after the resume.
fn is_on_its_way(record: &Record, resumed_at: Timestamp) -> bool {
    record.change == Change::Dispatch && record.updated_at > resumed_at + CLOCKS_DIFFER
}
