//! Runs the destination `payment` as a Lambda function.

use handover::{Error, run_external};
use handover_external_http::Provider;
use payment::Payments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run_external(Payments(Provider::from_environment().await?)).await
}
