//! Runs accept as a Lambda function behind the upstream queue.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handover::Error> {
    handover::run_accept().await
}
