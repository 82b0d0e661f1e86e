//! The function `refund`: a destination that credits a refund to its account.

mod refunds;
#[cfg(test)]
mod simulation;

use handover::lambda::variable;
use handover::{Error, run};

use crate::refunds::Refunds;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let refunds = Refunds { accounts: variable("ACCOUNTS_TABLE")?, entries: variable("ENTRIES_TABLE")? };
    run(refunds).await
}
