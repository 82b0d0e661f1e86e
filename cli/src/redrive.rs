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

#[derive(clap::Args)]
#[group(required = true, multiple = false, id = "selection")]
pub struct Arguments {
    /// Retries this notification at every destination where it is dead.
    #[arg(group = "selection")]
    id: Option<String>,
    /// Retries every dead letter of this destination.
    #[arg(long, group = "selection")]
    destination: Option<String>,
    /// Retries every dead letter.
    #[arg(long, group = "selection")]
    all: bool,
    /// Settles a call with an unknown outcome, after you checked with the provider: `done` if it took effect,
    /// `again` if it has to be made again.
    #[arg(long = "as", value_enum, requires = "id")]
    settled: Option<As>,
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
    let redrive = Redrive { stack, ledger, queues: DeadLetterQueues::new(&aws, stack), aws: &aws };
    match arguments.id {
        Some(id) => redrive.one(&id, arguments.settled.map(Settled::from)).await,
        None => redrive.every(arguments.destination.as_deref()).await,
    }
}

struct Redrive<'a> {
    stack: &'a str,
    aws: &'a SdkConfig,
    ledger: Ledger,
    queues: DeadLetterQueues<'a>,
}

impl Redrive<'_> {
    async fn one(&self, id: &str, settled: Option<Settled>) -> anyhow::Result<ExitCode> {
        let Some(record) = self.ledger.get(id).await.map_err(|fault| self.explained(fault))? else {
            anyhow::bail!("`{id}` is not in the ledger of `{}`", self.stack);
        };
        let dead = record.destinations.iter().filter(|(_, delivery)| delivery.state == State::Dead);
        let dead: Vec<&String> = dead.map(|(name, _)| name).collect();
        if dead.is_empty() {
            println!("{id} is {}: nothing to redrive", record.status.as_str());
            return Ok(ExitCode::FAILURE);
        }
        for destination in &dead {
            // Received before the redrive: a dead letter that is sent when it dies again must be kept.
            let dead_letters = self.queues.receive_of(id, destination).await?;
            let now = Timestamp::now();
            let redriven = match settled {
                Some(settled) => self.ledger.settle(id, destination, settled, now).await,
                None => self.ledger.redrive_dead_letter(id, destination, now).await,
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
        println!("{} redriven, 0 left", dead.len());
        Ok(ExitCode::SUCCESS)
    }

    async fn every(&self, destination: Option<&str>) -> anyhow::Result<ExitCode> {
        let received = self.queues.receive(destination).await?;
        let progress = progress(received.len());
        let (mut redriven, mut left) = (0, 0);
        let mut redriven_ids = HashSet::new();
        for dead_letter in &received {
            progress.inc(1);
            let DeadLetter { destination, error, .. } = dead_letter;
            let Some(id) = &dead_letter.id else {
                progress.suspend(|| eprintln!("{destination}: {error}; the dead letter is kept"));
                left += 1;
                continue;
            };
            // All were received before the first redrive, so a second one of the same delivery is obsolete.
            if redriven_ids.contains(&(id, destination)) {
                self.queues.delete(dead_letter).await?;
                continue;
            }
            let outcome = self.ledger.redrive_dead_letter(id, destination, Timestamp::now()).await;
            let outcome = outcome.map_err(|fault| self.explained(fault))?;
            if !outcome.replaces_dead_letter() {
                let reason = match outcome {
                    OperatorOutcome::NotFound => "there is no such notification",
                    OperatorOutcome::Was(State::Pending) => "it was pending and is dispatched again",
                    _ => "the record changed meanwhile; look at its status and try again",
                };
                progress.suspend(|| eprintln!("{id}: {reason}; its dead letter is kept"));
                left += 1;
                continue;
            }
            // If the redrive was not applied, the delivery is completed and its dead letter obsolete.
            redriven += u64::from(outcome == OperatorOutcome::Applied);
            redriven_ids.insert((id, destination));
            self.queues.delete(dead_letter).await?;
        }
        progress.finish_and_clear();
        println!("{redriven} redriven, {left} left");
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
