//! `handover redrive`: lets destinations that gave up try again.

use std::io::IsTerminal;
use std::process::ExitCode;

use handover::Ledger;
use handover::by_hand::Answer;
use handover::record::State;
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
    let letters = Letters::new(&aws, stack);
    let (redriven, left) = match arguments.id {
        Some(id) => {
            let record = ledger.get(&id).await.map_err(|fault| explained(fault, stack, &aws))?;
            let Some(record) = record else {
                anyhow::bail!("`{id}` is not in the ledger of `{stack}`");
            };
            let dead = record.destinations.iter().filter(|(_, it)| it.state == State::Dead);
            let dead: Vec<&String> = dead.map(|(name, _)| name).collect();
            if dead.is_empty() {
                println!("{id} is {}: nothing to redrive", record.status.as_str());
                return Ok(ExitCode::FAILURE);
            }
            for destination in &dead {
                let redriven = ledger.redrive(&id, destination, Timestamp::now()).await;
                redriven.map_err(|fault| explained(fault, stack, &aws))?;
                letters.delete_of(&id, destination).await?;
            }
            (dead.len(), 0)
        }
        None => {
            let received = letters.receive(arguments.destination.as_deref()).await?;
            let progress = progress(received.len());
            let (mut redriven, mut left) = (0, 0);
            for letter in &received {
                progress.inc(1);
                let Some(id) = &letter.id else {
                    progress.suspend(|| eprintln!("{}: {}; it stays", letter.destination, letter.error));
                    left += 1;
                    continue;
                };
                let mut answer = ledger.redrive(id, &letter.destination, Timestamp::now()).await;
                if let Ok(Answer::Was(State::Pending)) = answer {
                    // SQS moved it, since it killed the function: its letter may be the last copy.
                    answer = ledger.offer_again(id, Timestamp::now()).await;
                }
                match answer.map_err(|fault| explained(fault, stack, &aws))? {
                    Answer::Unknown => {
                        progress.suspend(|| eprintln!("{id}: no such notification; its letter stays"));
                        left += 1;
                        continue;
                    }
                    Answer::Now => redriven += 1,
                    // It is not dead any more; the letter is left over.
                    Answer::Was(_) => (),
                }
                letters.delete(letter).await?;
            }
            progress.finish_and_clear();
            (redriven, left)
        }
    };
    println!("{redriven} redriven, {left} left");
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn progress(count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} letters").expect("the template is valid");
    ProgressBar::new(count as u64).with_style(style)
}
