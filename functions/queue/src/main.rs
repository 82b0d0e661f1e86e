//! Runs destinations that hand their notifications over to queues of SQS, in one Lambda function.

use handover::lambda::{start, variable};
use handover::sqs::Client;
use handover::{Destinations, Error, ToQueue};
use queue::named_queues;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::new(&start()?);
    let mut destinations = Destinations::new()?;
    for (name, url) in named_queues(&variable("QUEUES")?)? {
        destinations = destinations.add_external(&name, ToQueue::new(client.clone(), url))?;
    }
    destinations.run().await
}
