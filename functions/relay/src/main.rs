//! Runs relay as a Lambda function, on the table's stream and on its own queue.

use handover::lambda::{serve_both, start, variable};
use handover::pipeline::Relay;
use handover::store::RelayQueue;
use handover::{Clock, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = start()?;
    let kinesis = aws_sdk_kinesis::Client::new(&aws);
    let queue = RelayQueue::new(aws_sdk_sqs::Client::new(&aws), variable("RELAY_QUEUE_URL")?);
    let relay = Relay::new(kinesis, variable("NOTIFICATIONS_STREAM")?, queue, Clock::system());
    serve_both(
        async |event, until| relay.receive(event, until).await,
        async |event, until| relay.retry(event, until).await,
    )
    .await
}
