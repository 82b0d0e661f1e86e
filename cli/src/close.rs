//! `handover close`: closes a notification for good.

use std::process::ExitCode;

use handover::record::{AHEAD_MAX, State};
use handover::store::OperatorOutcome;
use handover::{Ledger, Positions};
use jiff::{SignedDuration, Timestamp};

use crate::aws::{connect, explained, ledger_days};
use crate::dead_letter_queues::DeadLetterQueues;
use crate::named::Named;
use crate::output::say;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
    /// The reason, which the record keeps (512 bytes of it).
    #[arg(long)]
    reason: String,
    /// Closes it at this destination only.
    #[arg(long)]
    destination: Option<String>,
    /// How many days the completed record is kept. Default: the stack's `LedgerDays`.
    #[arg(long)]
    ledger_days: Option<u32>,
}

pub async fn close(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { named, reason, destination, ledger_days } = arguments;
    let aws = connect().await?;
    let dynamodb = handover::dynamodb::Client::new(&aws);
    let ledger = Ledger::new(dynamodb.clone(), format!("{stack}-notifications"));
    let positions = Positions::new(dynamodb, format!("{stack}-positions"));
    let record = named.one(&ledger, stack, &aws).await?;
    let key = record.key();
    let queues = DeadLetterQueues::new(&aws, stack);
    let ledger_days = match ledger_days {
        Some(days) => days,
        None => self::ledger_days(&aws, stack).await?,
    };
    let retention = SignedDuration::from_hours(24 * i64::from(ledger_days));
    let is_meant = |name: &str| destination.as_deref().is_none_or(|wanted| wanted == name);
    let mut closed = 0;
    for (name, delivery) in record.destinations.iter().filter(|(name, _)| is_meant(name)) {
        let outcome = ledger.close(&positions, &key, name, &reason, Timestamp::now(), retention).await;
        let outcome = outcome.map_err(|fault| explained(fault, stack, &aws))?;
        match outcome {
            OperatorOutcome::Applied => closed += 1,
            OperatorOutcome::Was(state) => say!("{name}: already {}", state.as_str()),
            OperatorOutcome::Early => {
                let position = positions.position(&record, name).await;
                let position = position.map_err(|fault| explained(fault, stack, &aws))?.unwrap_or_default();
                say!(
                    "{name}: its key is at position {position}, more than {AHEAD_MAX} behind this notification; first close the notifications between them, or send the missing ones"
                );
            }
            _ => {
                say!("{name}: the record changed meanwhile; look at its status and try again");
            }
        }
        if delivery.state == State::Dead && outcome.replaces_dead_letter() {
            for dead_letter in queues.receive_of(&key, name).await? {
                queues.delete(&dead_letter).await?;
            }
        }
    }
    say!("{} closed at {closed} of {} destinations", record.id, record.destinations.len());
    Ok(if closed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
