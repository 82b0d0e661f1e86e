//! `handover dispatch`: sends a pending notification to its destinations now.

use std::process::ExitCode;

use handover::Ledger;
use handover::store::OperatorOutcome;
use jiff::Timestamp;

use crate::aws::{connect, explained};
use crate::named::Named;
use crate::output::say;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
}

pub async fn dispatch(stack: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let aws = connect().await?;
    let ledger = Ledger::new(handover::dynamodb::Client::new(&aws), format!("{stack}-notifications"));
    let record = arguments.named.one(&ledger, stack, &aws).await?;
    let outcome = ledger.dispatch_again(&record.key(), Timestamp::now()).await;
    match outcome.map_err(|fault| explained(fault, stack, &aws))? {
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
