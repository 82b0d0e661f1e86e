//! `handover dispatch`: sends a pending notification to its destinations now.

use std::process::ExitCode;

use handover::store::OperatorOutcome;
use jiff::Timestamp;

use crate::named::Named;
use crate::output::say;
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
}

pub async fn dispatch(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let record = arguments.named.one(stack).await?;
    let outcome = stack.ledger().dispatch_again(&record.key(), Timestamp::now()).await;
    match outcome.map_err(|fault| stack.explained(fault))? {
        OperatorOutcome::Applied => {
            say!("{} dispatched again to what is pending", record.id);
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            say!("{} is {}: nothing to dispatch", record.id, record.status.as_str());
            Ok(ExitCode::FAILURE)
        }
    }
}
