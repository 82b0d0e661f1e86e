//! `handover close`: closes a notification for good.

use std::process::ExitCode;

use handover::record::State;
use handover::store::OperatorOutcome;
use jiff::{SignedDuration, Timestamp};

use crate::dead_letter_queues::DeadLetterQueues;
use crate::held::HIDDEN_SECONDS;
use crate::interrupt::Interrupt;
use crate::named::Named;
use crate::output::say;
use crate::stack::Stack;

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

pub async fn close(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::holding(HIDDEN_SECONDS);
    interrupt.run(close_one(stack, arguments, &interrupt)).await
}

async fn close_one(stack: &Stack, arguments: Arguments, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let Arguments { named, reason, destination, ledger_days } = arguments;
    let (ledger, positions) = (stack.ledger(), stack.positions());
    let record = named.one(stack).await?;
    let key = record.key();
    let queues = DeadLetterQueues::new(stack, interrupt);
    let ledger_days = match ledger_days {
        Some(days) => days,
        None => stack.ledger_days().await?,
    };
    let retention = SignedDuration::from_hours(24 * i64::from(ledger_days));
    if let Some(wanted) = destination.as_ref().filter(|wanted| !record.destinations.contains_key(*wanted)) {
        let names: Vec<&str> = record.destinations.keys().map(String::as_str).collect();
        anyhow::bail!("`{wanted}` is not a destination of `{}`; it has: {}", record.id, names.join(", "));
    }
    let is_meant = |name: &str| destination.as_deref().is_none_or(|wanted| wanted == name);
    let mut closed = 0;
    for (name, delivery) in record.destinations.iter().filter(|(name, _)| is_meant(name)) {
        let outcome = ledger.close(&positions, &key, name, &reason, Timestamp::now(), retention).await;
        let outcome = outcome.map_err(|fault| stack.explained(fault))?;
        match outcome {
            OperatorOutcome::Applied => closed += 1,
            OperatorOutcome::Was(state) => say!("{name}: already {}", state.as_str()),
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
