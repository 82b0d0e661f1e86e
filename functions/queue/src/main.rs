//! Runs a destination that hands its notifications over to a queue of SQS as a Lambda function.

use aws_sdk_sqs::Client;
use handover::lambda::{start, variable};
use handover::{Error, ToQueue, run_external};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let queue = ToQueue::new(Client::new(&start()?), variable("QUEUE_URL")?);
    run_external(queue).await
}
