//! `handover dispatch`: sends pending notifications to their destinations now.

pub mod every;

use std::fmt::Display;
use std::process::ExitCode;

use handover::Ledger;
use handover::record::Record;
use handover::store::OperatorOutcome;
use jiff::Timestamp;
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::named::Named;
use crate::output;
use crate::stack::Stack;
use crate::value;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The notification's source. It is needed where several sources have used this id.
    #[arg(long, conflicts_with = "destination", value_parser = value::source)]
    source: Option<String>,
    /// Says what it would dispatch, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Dispatches many notifications without asking.
    #[arg(long, conflicts_with = "id")]
    yes: bool,
    /// Prints JSON: how many were dispatched, and how many are left.
    #[arg(long)]
    json: bool,
}

/// What came of it, as JSON.
#[derive(Serialize)]
struct View {
    dispatched: usize,
    /// Absent where it was interrupted before it knew.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
}

/// What to dispatch: one of these.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// Dispatches this notification to every destination where it is pending.
    #[arg(value_parser = value::id)]
    id: Option<String>,
    /// Dispatches every notification that is pending at this destination, and to whatever else it is pending at. What
    /// was dispatched less than a minute ago, and not tried since, is left out.
    #[arg(long, value_parser = value::destination)]
    destination: Option<String>,
}

/// What a dispatch works on, and what was asked of it.
struct Dispatch<'a> {
    stack: &'a Stack,
    ledger: Ledger,
    interrupt: &'a Interrupt,
    dry_run: bool,
    yes: bool,
    json: bool,
}

pub async fn dispatch(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = &Interrupt::default();
    let Arguments { selection, source, dry_run, yes, json } = arguments;
    let dispatch = Dispatch { stack, ledger: stack.ledger(), interrupt, dry_run, yes, json };
    match selection {
        Selection { id: Some(id), .. } => dispatch.one(Named::new(id, source)).await,
        Selection { destination, .. } => {
            interrupt.run(dispatch.every(&destination.unwrap_or_default())).await
        }
    }
}

impl Dispatch<'_> {
    async fn one(&self, named: Named) -> anyhow::Result<ExitCode> {
        let record = named.one(self.stack).await?;
        let pending: Vec<&str> = record.pending().map(|(name, _)| name.as_str()).collect();
        if self.dry_run {
            return match pending.is_empty() {
                true => self.nothing(&record),
                false => {
                    self.did(
                        0,
                        Some(1),
                        format_args!("would dispatch {} to {}", record.id, pending.join(", ")),
                    )?;
                    Ok(ExitCode::SUCCESS)
                }
            };
        }
        let outcome = self.ledger.dispatch_again(&record.key(), Timestamp::now()).await;
        match outcome.map_err(|fault| self.stack.explained(fault))? {
            OperatorOutcome::Applied => {
                self.did(1, Some(0), format_args!("{} dispatched again to what is pending", record.id))?;
                Ok(ExitCode::SUCCESS)
            }
            _ => self.nothing(&record),
        }
    }

    fn nothing(&self, record: &Record) -> anyhow::Result<ExitCode> {
        let hint = if record.dead > 0 { "; `handover redrive` retries what is dead" } else { "" };
        let status = record.status.as_str();
        self.did(0, Some(0), format_args!("{} is {status}: nothing to dispatch{hint}", record.id))?;
        Ok(ExitCode::FAILURE)
    }

    /// Says how many are dispatched, and how many are left.
    fn did(&self, dispatched: usize, left: Option<usize>, words: impl Display) -> serde_json::Result<()> {
        output::did(self.json, &View { dispatched, left }, words)
    }
}

#[cfg(test)]
mod tests {
    use crate::combinations::check;

    #[test]
    fn an_option_that_has_no_effect_is_not_taken() {
        let options: [&[&str]; 6] =
            [&["1"], &["--destination", "a"], &["--source", "s"], &["--dry-run"], &["--yes"], &["--json"]];
        check("dispatch", &options, |has| {
            let is_one = has("1") != has("--destination");
            [is_one, !has("--source") || has("1"), !has("--yes") || has("--destination")]
        });
    }
}
