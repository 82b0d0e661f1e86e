//! Runs the destination `receipt` as a Lambda function.

use handover::{Error, run_external};
use handover_external_http::Provider;
use receipt::Receipts;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run_external(Receipts(Provider::from_environment().await?)).await
}
