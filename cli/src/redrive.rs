//! `handover redrive`: retries dead notifications.

mod every;
mod redrive;
mod wait;

use std::process::ExitCode;

use anyhow::Context;
use handover::record::{Settled, State};
use handover::store::OperatorOutcome;
use handover::{Code, NotificationKey};
use jiff::Timestamp;

use self::every::Wanted;
use self::redrive::{LETTER_IS_KEPT, Left, NotRedriven, Redrive};
use crate::dead_letter_queues::DeadLetterQueues;
use crate::error::coded;
use crate::held::HIDDEN_SECONDS;
use crate::interrupt::Interrupt;
use crate::named::{Named, has_destination};
use crate::stack::Stack;
use crate::value;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The notification's source. It is needed where several sources have used this id.
    #[arg(long, conflicts_with_all = ["all", "error", "yes"], requires = "id", value_parser = value::source)]
    source: Option<String>,
    /// With --destination or --all: retries only the dead letters whose error contains this text.
    #[arg(long, value_name = "TEXT", conflicts_with = "id", value_parser = value::text)]
    error: Option<String>,
    /// Settles a call with an unknown outcome, after you checked with the provider: `done` if it took effect,
    /// `again` if it has to be made again.
    #[arg(long = "as", value_enum, conflicts_with_all = ["all", "error", "yes"], requires = "id")]
    settled: Option<As>,
    /// Says what it would redrive, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Retries many dead letters without asking.
    #[arg(long, conflicts_with = "id")]
    yes: bool,
    /// Waits until what was redriven is completed or dead again.
    #[arg(long)]
    wait: bool,
    /// Prints JSON: how many were redriven, how many are left, and with --wait what became of them.
    #[arg(long)]
    json: bool,
}

/// What to retry.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Selection {
    /// Retries this notification at every destination where it is dead, or at the one that --destination names.
    #[arg(value_parser = value::id)]
    id: Option<String>,
    /// Retries every dead letter of this destination, or the notification there.
    #[arg(long, value_parser = value::destination)]
    destination: Option<String>,
    /// Retries every dead letter.
    #[arg(long, conflicts_with_all = ["id", "destination"])]
    all: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum As {
    Done,
    Again,
}

impl From<As> for Settled {
    fn from(settled: As) -> Settled {
        match settled {
            As::Done => Settled::Done,
            As::Again => Settled::Again,
        }
    }
}

pub async fn redrive(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = &Interrupt::holding(HIDDEN_SECONDS);
    let Arguments { selection, source, error, settled, dry_run, yes, wait, json } = arguments;
    let queues = DeadLetterQueues::new(stack, interrupt);
    let redrive = Redrive { stack, ledger: stack.ledger(), queues, interrupt, dry_run, yes, wait, json };
    let run = async {
        match selection.id {
            Some(id) => {
                let (named, settled) = (Named::new(id, source), settled.map(Settled::from));
                redrive.one(named, selection.destination.as_deref(), settled).await
            }
            None => redrive.every(Wanted { destination: selection.destination, error }).await,
        }
    };
    interrupt.run(run).await
}

impl Redrive<'_> {
    async fn one(
        &self,
        named: Named,
        destination: Option<&str>,
        settled: Option<Settled>,
    ) -> anyhow::Result<ExitCode> {
        let record = named.one(self.stack).await?;
        if let Some(destination) = destination {
            has_destination(&record, destination)?;
        }
        let (key, id) = (record.key(), &record.id);
        let is_meant = |name: &str| destination.is_none_or(|destination| destination == name);
        let meant = record.destinations.iter().filter(|(name, _)| is_meant(name));
        let dead = meant.filter(|(_, delivery)| delivery.state == State::Dead);
        let dead: Vec<&String> = dead.map(|(name, _)| name).collect();
        if dead.is_empty() {
            let hint = if record.open > 0 { "; `handover dispatch` sends what is pending again" } else { "" };
            let is = match destination {
                Some(name) => format!("{} at {name}", record.destinations[name].state.as_str()),
                None => record.status.as_str().to_owned(),
            };
            self.did(0, Left::Destinations(0), format_args!("{id} is {is}: nothing to redrive{hint}"))?;
            return Ok(ExitCode::FAILURE);
        }
        if self.dry_run {
            let would = dead.iter().map(|destination| format!("would redrive {key} at {destination}"));
            self.did(0, Left::Destinations(dead.len()), would.collect::<Vec<_>>().join("\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let (mut redriven, mut problem) = (Vec::new(), None);
        for destination in &dead {
            let delivery = (key.clone(), destination.to_string());
            if let Err(NotRedriven { is_dispatched, error }) = self.at(&key, destination, settled).await {
                redriven.extend(is_dispatched.then_some(delivery));
                problem = Some(error.context(format!("`{id}` at `{destination}`")));
                break;
            }
            redriven.push(delivery);
        }
        let left = Left::Destinations(dead.len() - redriven.len());
        self.end(redriven, left, problem).await
    }

    /// Redrives it at one destination.
    async fn at(
        &self,
        key: &NotificationKey,
        destination: &str,
        settled: Option<Settled>,
    ) -> Result<(), NotRedriven> {
        // Received before the redrive: a dead letter that is sent when it dies again must be kept.
        let dead_letters = self.queues.receive_of(key, destination).await?;
        let now = Timestamp::now();
        let redriven = match settled {
            Some(settled) => self.ledger.settle(key, destination, settled, now).await,
            None => self.ledger.redrive_dead_letter(key, destination, now).await,
        };
        let outcome = match redriven.map_err(|fault| self.stack.explained(fault)) {
            Ok(outcome) if outcome.replaces_dead_letter() => Ok(outcome),
            Ok(OperatorOutcome::Held) => Err(coded(
                Code::CallRunning,
                "a call may still be running; check its outcome again in a minute",
            )),
            Ok(OperatorOutcome::NoUnknownCall) => Err(coded(
                Code::NoUnknownCall,
                "it has no call with an unknown outcome; redrive it without --as",
            )),
            Ok(OperatorOutcome::NotFound) => Err(coded(Code::UnknownNotification, "its record has expired")),
            Ok(_) => {
                Err(coded(Code::Changed, "the record changed meanwhile; look at its status and try again"))
            }
            Err(error) => Err(error),
        };
        let outcome = match outcome.context("its dead letters are kept") {
            Ok(outcome) => outcome,
            Err(problem) => {
                self.queues.release(&dead_letters).await;
                return Err(problem.into());
            }
        };
        let is_dispatched = outcome == OperatorOutcome::Applied;
        let deleted = self.queues.delete_all(&dead_letters).await;
        let deleted = if is_dispatched { deleted.context(LETTER_IS_KEPT) } else { deleted };
        deleted.map_err(|error| NotRedriven { is_dispatched, error })
    }
}

#[cfg(test)]
mod tests {
    use crate::combinations::check;

    #[test]
    fn an_option_that_has_no_effect_is_not_taken() {
        let options: [&[&str]; 10] = [
            &["1"],
            &["--destination", "a"],
            &["--all"],
            &["--source", "s"],
            &["--error", "no account"],
            &["--as", "done"],
            &["--dry-run"],
            &["--yes"],
            &["--wait"],
            &["--json"],
        ];
        check("redrive", &options, |has| {
            let is_named = has("1") || has("--destination");
            let is_of_one = has("--source") || has("--as");
            let is_of_many = has("--error") || has("--yes");
            [is_named != has("--all"), !is_of_one || has("1"), !is_of_many || !has("1")]
        });
    }
}
