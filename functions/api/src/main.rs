//! Runs the HTTP interface as a Lambda function behind a function URL.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handover::Error> {
    handover::run_api().await
}
