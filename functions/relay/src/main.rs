//! The function `relay`: carries dispatches from the table's stream to Kinesis.

use handover::pipeline::Relay;
use handover::lambda::{serve, start, variable};
use handover::{Clock, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = start()?;
    let kinesis = aws_sdk_kinesis::Client::new(&aws);
    let relay = Relay::new(kinesis, variable("NOTIFICATIONS_STREAM")?, Clock::system());
    serve(async |event, until| relay.receive(event, until).await).await
}
