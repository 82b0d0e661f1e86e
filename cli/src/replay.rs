//! `handover replay`: adds a destination to the events that were accepted before it was there.

mod adding;
mod report;
mod since;

use std::process::ExitCode;

use handover::Code;
use handover::record::{Replay, ReplayPlan, Time};
use jiff::Timestamp;

use crate::ask::{check_can_ask, is_confirmed};
use crate::dead_letter_queues::DeadLetterQueues;
use crate::error::coded;
use crate::index::Index;
use crate::interrupt::{Interrupt, exit_code};
use crate::many::Tally;
use crate::output::say_error;
use crate::replay::adding::add;
use crate::replay::report::{Report, events, say_notes};
use crate::replay::since::Since;
use crate::stack::Stack;
use crate::value;

#[derive(clap::Args)]
pub struct Arguments {
    /// The destination to add. It has to be deployed, and the routes of the stack have to name it.
    #[arg(long, value_parser = value::destination)]
    destination: String,
    /// Replays what was accepted at this time or later, such as 2026-01-31T00:00:00Z, or so long ago, such as 7d.
    #[arg(long)]
    since: Since,
    /// Most events that are added in a second.
    #[arg(long, default_value_t = value::RATE, conflicts_with = "dry_run", value_parser = value::rate())]
    rate: u32,
    /// Says what it would add, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Adds without asking.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Prints JSON: how many events were added, how many are left, and what is left out and why.
    #[arg(long)]
    json: bool,
}

pub async fn replay(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::default();
    interrupt.run(replay_all(stack, arguments, &interrupt)).await
}

async fn replay_all(stack: &Stack, arguments: Arguments, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let Arguments { destination, since, rate, dry_run, yes, json } = arguments;
    check_can_ask("a replay", yes || dry_run)?;
    let now = Timestamp::now();
    let since = since.resolve(now)?;
    let routes = stack.routes_or("name their file with --routes").await?;
    stack.check_destination(&destination, &routes)?;
    check_deployed(stack, &destination, interrupt).await?;
    let replay = Replay { destination: &destination, since, now, routes: &routes };
    let plan = tokio::select! {
        plan = plan(stack, &replay) => plan?,
        () = interrupt.wait() => {
            say_error!("nothing was added");
            return Ok(exit_code(false));
        }
    };
    let report = Report { destination: &destination, since: Time(since), plan: &plan, json };
    say_notes(&plan, &destination);
    let nothing = Tally { left: plan.adds.len(), ..Tally::default() };
    let found = format!("{} to {destination}, accepted since {}", events(plan.adds.len()), Time(since));
    if dry_run {
        report.did(&nothing, format_args!("would add {found}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_nothing = plan.adds.is_empty() && plan.begins.is_empty();
    if !yes && !is_nothing {
        say_error!("about to add {found}");
        if !is_confirmed("Add them?", interrupt).await {
            report.did(&nothing, "nothing was added")?;
            return Ok(exit_code(false));
        }
    }
    let came = add(stack, &destination, &plan, rate, interrupt).await;
    let Tally { done: added, left, .. } = came;
    let goes_on = match left {
        0 => String::new(),
        _ => format!("; to go on, repeat it with --since {}", Time(since)),
    };
    let words = format!("{} added to {destination} and dispatched, {left} left{goes_on}", events(added));
    report.did(&came, words)?;
    let is_complete = left == 0 && plan.undecided == 0 && plan.held == 0;
    came.fault.map_or(Ok(exit_code(is_complete)), |fault| Err(stack.explained(fault)))
}

/// Nobody would read what is dispatched, and reconcile could not give it up.
async fn check_deployed(stack: &Stack, name: &str, interrupt: &Interrupt) -> anyhow::Result<()> {
    let queue = DeadLetterQueues::new(stack, interrupt).find(name).await?;
    let text = || {
        format!(
            "`{name}` is not deployed: the routes name it, and its dead-letter queue does not exist; deploy it, then repeat"
        )
    };
    anyhow::ensure!(queue.is_some(), coded(Code::NotDeployed, text()));
    Ok(())
}

async fn plan(stack: &Stack, replay: &Replay<'_>) -> anyhow::Result<ReplayPlan> {
    let index = Index::of(stack);
    let mut slots = index.since(replay.since);
    if replay.routes.is_sequenced(replay.destination) {
        // It has to begin before what waits there already, whenever that was accepted.
        slots.extend(index.open().await?.into_iter().chain(index.dead().await?));
    }
    let found = index.choose_all(slots, |record| replay.look_at(&record)).await?;
    stack.positions().plan_replay(found).await.map_err(|fault| stack.explained(fault))
}

#[cfg(test)]
mod tests {
    use crate::combinations::check;

    #[test]
    fn an_option_that_has_no_effect_is_not_taken() {
        let options: [&[&str]; 6] = [
            &["--destination", "a"],
            &["--since", "1d"],
            &["--rate", "5"],
            &["--dry-run"],
            &["--yes"],
            &["--json"],
        ];
        check("replay", &options, |has| {
            [has("--destination") && has("--since"), !has("--dry-run") || !(has("--yes") || has("--rate"))]
        });
    }
}
