//! Runs accept as a Lambda function behind the upstream queue.

use handover::lambda::{deployed_routes, ledger, number, serve, start, variable};
use handover::pipeline::{Accept, Upstream};
use handover::{Clock, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = start()?;
    let upstream = Upstream::new(
        Accept::new(ledger(&aws)?, deployed_routes()?, Clock::system()),
        aws_sdk_sqs::Client::new(&aws),
        variable("UPSTREAM_QUEUE_URL")?,
        variable("UPSTREAM_DEAD_LETTER_QUEUE_URL")?,
        number("UPSTREAM_BACKOFF_SECONDS")?.into(),
    );
    serve(async |event, until| upstream.receive(event, until).await).await
}
