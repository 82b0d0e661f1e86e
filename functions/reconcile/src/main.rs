//! Runs reconcile as a Lambda function on a schedule.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handover::Error> {
    handover::run_reconcile().await
}
