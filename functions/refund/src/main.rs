//! Runs the destination `refund` as a Lambda function.

use handover::lambda::variable;
use handover::{Error, run};
use refund::Refunds;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let refunds = Refunds { accounts: variable("ACCOUNTS_TABLE")?, entries: variable("ENTRIES_TABLE")? };
    run(refunds).await
}
