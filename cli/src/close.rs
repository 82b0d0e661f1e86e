//! `handover close`: ends a notification by hand.

use std::process::ExitCode;

use handover::store::OperatorOutcome;
use handover::record::State;
use handover::record::AHEAD_MAX;
use handover::{Ledger, Positions};
use jiff::{SignedDuration, Timestamp};

use crate::aws::{connect, explained};
use crate::letters::Letters;

#[derive(clap::Args)]
pub struct Arguments {
    /// The notification's id.
    id: String,
    /// Why; it is kept on the record (512 bytes of it).
    #[arg(long)]
    reason: String,
    /// Only at this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Days for which the ended record is kept; the stack's `LedgerDays`.
    #[arg(long, default_value_t = 90)]
    ledger_days: u32,
}

pub async fn close(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { id, reason, destination, ledger_days } = arguments;
    let aws = connect().await?;
    let dynamodb = handover::dynamodb::Client::new(&aws);
    let ledger = Ledger::new(dynamodb.clone(), format!("{stack}-notifications"));
    let positions = Positions::new(dynamodb, format!("{stack}-positions"));
    let record = ledger.get(&id).await.map_err(|fault| explained(fault, stack, &aws))?;
    let Some(record) = record else {
        anyhow::bail!("`{id}` is not in the ledger of `{stack}`");
    };
    let letters = Letters::new(&aws, stack);
    let keep = SignedDuration::from_hours(24 * i64::from(ledger_days));
    let is_meant = |name: &str| destination.as_deref().is_none_or(|wanted| wanted == name);
    let mut closed = 0;
    for (name, delivery) in record.destinations.iter().filter(|(name, _)| is_meant(name)) {
        let answer = ledger.close(&positions, &id, name, &reason, Timestamp::now(), keep).await;
        let answer = answer.map_err(|fault| explained(fault, stack, &aws))?;
        match answer {
            OperatorOutcome::Applied => closed += 1,
            OperatorOutcome::Was(state) => println!("{name}: it was {} before", state.as_str()),
            OperatorOutcome::Early => {
                let position = positions.position(&record, name).await;
                let position = position.map_err(|fault| explained(fault, stack, &aws))?.unwrap_or_default();
                println!(
                    "{name}: its key is at {position}, more than {AHEAD_MAX} before it; close those in between first, or send what is missing"
                );
            }
            _ => {
                println!("{name}: it has changed; look at its status, and try again");
            }
        }
        if delivery.state == State::Dead && answer.replaces_dead_letter() {
            for letter in letters.receive_of(&id, name).await? {
                letters.delete(&letter).await?;
            }
        }
    }
    println!("{id} closed at {closed} of {} destinations", record.destinations.len());
    Ok(if closed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
