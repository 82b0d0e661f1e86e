//! `handover redrive`: lets destinations that gave up try again.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::process::ExitCode;

use aws_config::SdkConfig;
use handover::store::OperatorOutcome;
use handover::record::{Settled, State};
use handover::{Fault, Ledger};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::aws::{connect, explained};
use crate::letters::Letters;

#[derive(clap::Args)]
#[group(required = true, multiple = false, id = "what")]
pub struct Arguments {
    /// This notification, wherever it is dead.
    #[arg(group = "what")]
    id: Option<String>,
    /// Every dead letter of this destination.
    #[arg(long, group = "what")]
    destination: Option<String>,
    /// Every dead letter.
    #[arg(long, group = "what")]
    all: bool,
    /// What you found out about a call whose outcome was not known: that it took effect, or is to be made
    /// again.
    #[arg(long = "as", value_enum, requires = "id")]
    settled: Option<As>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum As {
    Done,
    Again,
}

impl From<As> for Settled {
    fn from(it: As) -> Settled {
        match it {
            As::Done => Settled::Done,
            As::Again => Settled::Again,
        }
    }
}

pub async fn redrive(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let aws = connect().await?;
    let ledger = Ledger::new(handover::dynamodb::Client::new(&aws), format!("{stack}-notifications"));
    let redrive = Redrive { stack, ledger, letters: Letters::new(&aws, stack), aws: &aws };
    match arguments.id {
        Some(id) => redrive.one(&id, arguments.settled.map(Settled::from)).await,
        None => redrive.every(arguments.destination.as_deref()).await,
    }
}

struct Redrive<'a> {
    stack: &'a str,
    aws: &'a SdkConfig,
    ledger: Ledger,
    letters: Letters<'a>,
}

impl Redrive<'_> {
    async fn one(&self, id: &str, settled: Option<Settled>) -> anyhow::Result<ExitCode> {
        let Some(record) = self.ledger.get(id).await.map_err(|fault| self.explained(fault))? else {
            anyhow::bail!("`{id}` is not in the ledger of `{}`", self.stack);
        };
        let dead = record.destinations.iter().filter(|(_, it)| it.state == State::Dead);
        let dead: Vec<&String> = dead.map(|(name, _)| name).collect();
        if dead.is_empty() {
            println!("{id} is {}: nothing to redrive", record.status.as_str());
            return Ok(ExitCode::FAILURE);
        }
        for destination in &dead {
            // Its letters are taken first: one that is sent when it dies again has to stay.
            let letters = self.letters.receive_of(id, destination).await?;
            let now = Timestamp::now();
            let redriven = match settled {
                Some(settled) => self.ledger.settle(id, destination, settled, now).await,
                None => self.ledger.redrive_dead_letter(id, destination, now).await,
            };
            let why = match redriven.map_err(|fault| self.explained(fault))? {
                answer if answer.replaces_dead_letter() => None,
                OperatorOutcome::Held => Some("a call of it may be under way; look again what it did, in a minute"),
                OperatorOutcome::NoUnknownCall => Some("none of its calls is without an outcome; redrive it without --as"),
                _ => Some("it has changed; look at its status, and try again"),
            };
            if let Some(why) = why {
                anyhow::bail!("`{id}` at `{destination}`: {why}. Its letters stay");
            }
            for letter in &letters {
                self.letters.delete(letter).await?;
            }
        }
        println!("{} redriven, 0 left", dead.len());
        Ok(ExitCode::SUCCESS)
    }

    async fn every(&self, destination: Option<&str>) -> anyhow::Result<ExitCode> {
        let received = self.letters.receive(destination).await?;
        let progress = progress(received.len());
        let (mut redriven, mut left) = (0, 0);
        let mut redriven_ids = HashSet::new();
        for letter in &received {
            progress.inc(1);
            let Some(id) = &letter.id else {
                progress.suspend(|| eprintln!("{}: {}; it stays", letter.destination, letter.error));
                left += 1;
                continue;
            };
            // All were received before the first of its kind was redriven: this one is left over.
            if redriven_ids.contains(&(id, &letter.destination)) {
                self.letters.delete(letter).await?;
                continue;
            }
            let answer = self.ledger.redrive_dead_letter(id, &letter.destination, Timestamp::now()).await;
            let answer = answer.map_err(|fault| self.explained(fault))?;
            if !answer.replaces_dead_letter() {
                let why = match answer {
                    OperatorOutcome::Unknown => "no such notification",
                    _ => "it was pending, and is dispatched again",
                };
                progress.suspend(|| eprintln!("{id}: {why}; its letter stays"));
                left += 1;
                continue;
            }
            // What is not dead any more has ended; its letter is left over.
            redriven += u64::from(answer == OperatorOutcome::Applied);
            redriven_ids.insert((id, &letter.destination));
            self.letters.delete(letter).await?;
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
        ProgressStyle::with_template("{bar:40} {pos} of {len} letters").expect("the template is valid");
    ProgressBar::new(count as u64).with_style(style)
}
