//! Runs relay as a Lambda function, on the table's stream and on its own queue.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handover::Error> {
    handover::run_relay().await
}
