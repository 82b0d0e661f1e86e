//! Runs relay as a Lambda function on the table's stream.

use handover::lambda::{serve, start, variable};
use handover::pipeline::Relay;
use handover::{Clock, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = start()?;
    let kinesis = aws_sdk_kinesis::Client::new(&aws);
    let relay = Relay::new(kinesis, variable("NOTIFICATIONS_STREAM")?, Clock::system());
    serve(async |event, until| relay.receive(event, until).await).await
}
