//! `handover redrive`: lets destinations that gave up try again.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::process::ExitCode;

use aws_config::SdkConfig;
use handover::by_hand::Answer;
use handover::record::State;
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
}

pub async fn redrive(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let aws = connect().await;
    let ledger = Ledger::new(handover::dynamodb::Client::new(&aws), format!("{stack}-notifications"));
    let redrive = Redrive { stack, ledger, letters: Letters::new(&aws, stack), aws: &aws };
    match arguments.id {
        Some(id) => redrive.one(&id).await,
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
    async fn one(&self, id: &str) -> anyhow::Result<ExitCode> {
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
            let redriven = self.ledger.redrive(id, destination, Timestamp::now()).await;
            redriven.map_err(|fault| self.explained(fault))?;
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
        let mut seen = HashSet::new();
        for letter in &received {
            progress.inc(1);
            let Some(id) = &letter.id else {
                progress.suspend(|| eprintln!("{}: {}; it stays", letter.destination, letter.error));
                left += 1;
                continue;
            };
            let is_first = seen.insert((id, &letter.destination));
            let mut answer = self.ledger.redrive(id, &letter.destination, Timestamp::now()).await;
            if is_first && matches!(answer, Ok(Answer::Was(State::Pending))) {
                // SQS moved it, since it killed the function: its letter may be the last copy.
                answer = self.ledger.offer_again(id, Timestamp::now()).await;
            }
            match answer.map_err(|fault| self.explained(fault))? {
                Answer::Unknown => {
                    progress.suspend(|| eprintln!("{id}: no such notification; its letter stays"));
                    left += 1;
                    continue;
                }
                Answer::Now => redriven += 1,
                // It is not dead any more; the letter is left over.
                Answer::Was(_) => (),
            }
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
