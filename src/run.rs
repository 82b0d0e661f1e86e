//! Runs a destination as a Lambda function: its settings from the environment, and its two event sources.

use std::sync::Arc;

use aws_config::SdkConfig;

use crate::clock::Clock;
use crate::destination::{Consumer, Destination, DestinationSettings, DispatchBatch, External, never_works};
use crate::error::Error;
use crate::lambda::{
    PREFIX, days, ledger, positions, routes, seconds, serve_both, start, variable, work_time,
};
use crate::store::DestinationQueues;

/// Runs a destination as a Lambda function, on the Kinesis stream and on its retry queue.
///
/// The environment has its name in `DESTINATION`, the stack's name in `HANDOVER_PREFIX`, from which the names of tables
/// and queues derive, the routes in `ROUTES` or their file in `ROUTES_FILE`, the wait after a first failed attempt in
/// `RETRY_BACKOFF_SECONDS`, and how long a completed record is kept in `LEDGER_DAYS`.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime stops.
pub async fn run(destination: impl Destination) -> Result<(), Error> {
    serve_batches(Consumer::new(destination, settings(&start()?)?)).await
}

/// Runs a destination whose effect is a call as a Lambda function, as [`run`] does. The environment also has the
/// function's own time-out in `TIMEOUT_SECONDS`.
///
/// # Errors
/// As [`run`]; and when its calls could never be made or repeated, since they do not fit into the function's time-out
/// or the life of an idempotency key.
pub async fn run_external(external: impl External) -> Result<(), Error> {
    let aws = start()?;
    match seconds("TIMEOUT_SECONDS") {
        Ok(time) => {
            let problem = never_works(external.timeout(), external.on_unknown(), work_time(time));
            problem.map_or(Ok(()), |problem| Err(Error::NeverWorks(problem)))?;
        }
        // A function's code is updated before its environment, which may be of the release before.
        Err(Error::Missing(name)) => {
            tracing::error!("the environment has no {name}: whether calls fit into it is not checked");
        }
        Err(invalid) => return Err(invalid),
    }
    serve_batches(Consumer::external(external, settings(&aws)?)).await
}

fn settings(aws: &SdkConfig) -> Result<DestinationSettings, Error> {
    let (name, prefix) = (variable("DESTINATION")?, variable(PREFIX)?);
    Ok(DestinationSettings {
        ledger: ledger(aws)?,
        positions: positions(aws)?,
        queues: DestinationQueues::new(aws_sdk_sqs::Client::new(aws), &prefix, &name),
        name,
        routes: routes()?,
        retention: days("LEDGER_DAYS")?,
        backoff: seconds("RETRY_BACKOFF_SECONDS")?,
        clock: Clock::system(),
    })
}

async fn serve_batches(consumer: Consumer) -> Result<(), Error> {
    let consumer = Arc::new(consumer);
    serve_both(
        async |batch: DispatchBatch, until| consumer.clone().receive_apart(batch, until).await,
        async |event, until| consumer.clone().retry_apart(event, until).await,
    )
    .await
}
