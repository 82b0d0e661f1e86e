//! `handover redrive`: retries dead notifications.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::process::ExitCode;

use aws_config::SdkConfig;
use handover::record::{Settled, State};
use handover::store::OperatorOutcome;
use handover::{Fault, Ledger};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::aws::{connect, explained};
use crate::dead_letter_queues::{DeadLetter, DeadLetterQueues};
use crate::named::Named;
use crate::output::{say, say_error};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The notification's source. It is needed where several sources have used this id.
    #[arg(long, requires = "id")]
    source: Option<String>,
    /// Settles a call with an unknown outcome, after you checked with the provider: `done` if it took effect,
    /// `again` if it has to be made again.
    #[arg(long = "as", value_enum, requires = "id")]
    settled: Option<As>,
    /// Says what it would redrive, and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What to retry: one of these.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// Retries this notification at every destination where it is dead.
    id: Option<String>,
    /// Retries every dead letter of this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Retries every dead letter.
    #[arg(long)]
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

pub async fn redrive(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let aws = connect().await?;
    let ledger = Ledger::new(handover::dynamodb::Client::new(&aws), format!("{stack}-notifications"));
    let Arguments { selection, source, settled, dry_run } = arguments;
    let queues = DeadLetterQueues::new(&aws, stack);
    let redrive = Redrive { stack, ledger, queues, aws: &aws, dry_run };
    match selection.id {
        Some(id) => redrive.one(Named::new(id, source), settled.map(Settled::from)).await,
        None => redrive.every(selection.destination.as_deref()).await,
    }
}

struct Redrive<'a> {
    stack: &'a str,
    aws: &'a SdkConfig,
    ledger: Ledger,
    queues: DeadLetterQueues<'a>,
    dry_run: bool,
}

impl Redrive<'_> {
    async fn one(&self, named: Named, settled: Option<Settled>) -> anyhow::Result<ExitCode> {
        let record = named.one(&self.ledger, self.stack, self.aws).await?;
        let (key, id) = (record.key(), &record.id);
        let dead = record.destinations.iter().filter(|(_, delivery)| delivery.state == State::Dead);
        let dead: Vec<&String> = dead.map(|(name, _)| name).collect();
        if dead.is_empty() {
            say!("{id} is {}: nothing to redrive", record.status.as_str());
            return Ok(ExitCode::FAILURE);
        }
        if self.dry_run {
            dead.iter().for_each(|destination| say!("would redrive {key} at {destination}"));
            return Ok(ExitCode::SUCCESS);
        }
        for destination in &dead {
            // Received before the redrive: a dead letter that is sent when it dies again must be kept.
            let dead_letters = self.queues.receive_of(&key, destination).await?;
            let now = Timestamp::now();
            let redriven = match settled {
                Some(settled) => self.ledger.settle(&key, destination, settled, now).await,
                None => self.ledger.redrive_dead_letter(&key, destination, now).await,
            };
            let problem = match redriven.map_err(|fault| self.explained(fault))? {
                outcome if outcome.replaces_dead_letter() => None,
                OperatorOutcome::Held => {
                    Some("a call may still be running; check its outcome again in a minute")
                }
                OperatorOutcome::NoUnknownCall => {
                    Some("it has no call with an unknown outcome; redrive it without --as")
                }
                _ => Some("the record changed meanwhile; look at its status and try again"),
            };
            if let Some(problem) = problem {
                anyhow::bail!("`{id}` at `{destination}`: {problem}. Its dead letters are kept");
            }
            for dead_letter in &dead_letters {
                self.queues.delete(dead_letter).await?;
            }
        }
        say!("{} redriven, 0 left", dead.len());
        Ok(ExitCode::SUCCESS)
    }

    async fn every(&self, destination: Option<&str>) -> anyhow::Result<ExitCode> {
        let received = self.queues.receive(destination).await?;
        let of = destination.map_or_else(String::new, |name| format!(" of {name}"));
        if self.dry_run {
            self.queues.release(&received).await;
            say!("would redrive up to {} dead letters{of}", received.len());
            return Ok(ExitCode::SUCCESS);
        }
        say_error!("redriving {} dead letters{of}", received.len());
        let progress = progress(received.len());
        let (mut redriven, mut left) = (0, 0);
        let mut seen = HashSet::new();
        for dead_letter in &received {
            progress.inc(1);
            let DeadLetter { destination, error, .. } = dead_letter;
            let Some(key) = &dead_letter.key else {
                progress.suspend(|| say_error!("{destination}: {error}; the dead letter is kept"));
                left += 1;
                continue;
            };
            // All were received before the first redrive, so a second one of the same delivery is obsolete.
            if seen.contains(&(key, destination)) {
                self.queues.delete(dead_letter).await?;
                continue;
            }
            let outcome = self.ledger.redrive_dead_letter(key, destination, Timestamp::now()).await;
            let outcome = outcome.map_err(|fault| self.explained(fault))?;
            if !outcome.replaces_dead_letter() {
                let reason = match outcome {
                    OperatorOutcome::NotFound => "there is no such notification",
                    OperatorOutcome::Was(State::Pending) => "it was pending and is dispatched again",
                    _ => "the record changed meanwhile; look at its status and try again",
                };
                progress.suspend(|| say_error!("{key}: {reason}; its dead letter is kept"));
                left += 1;
                continue;
            }
            // If the redrive was not applied, the delivery is completed and its dead letter obsolete.
            redriven += u64::from(outcome == OperatorOutcome::Applied);
            seen.insert((key, destination));
            self.queues.delete(dead_letter).await?;
        }
        progress.finish_and_clear();
        say!("{redriven} redriven, {left} left");
        Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn explained(&self, fault: Fault) -> anyhow::Error {
        explained(fault, self.stack, self.aws)
    }
}

fn progress(count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} dead letters").expect("the template is valid");
    ProgressBar::new(count as u64).with_style(style)
}
