//! Runs a stage of the pipeline as a Lambda function: its settings from the environment, and its event sources.

use serde::de::IgnoredAny;

use crate::clock::Clock;
use crate::error::Error;
use crate::lambda::{
    days, dead_letters, deployed_routes, ledger, number, positions, routes, serve, serve_both, start,
    variable,
};
use crate::pipeline::{Accept, Reconcile, ReconcileSettings, Relay, Upstream, UpstreamQueue};
use crate::store::{Cursors, RelayQueue};

/// Runs accept as a Lambda function, behind the upstream queue. `infra/core.yaml` deploys it, with its environment.
///
/// ```no_run
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), handover::Error> {
///     handover::run_accept().await
/// }
/// ```
///
/// While the routes cannot be used, or name a destination that is not deployed, it accepts nothing: messages wait in the
/// queue.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime stops.
pub async fn run_accept() -> Result<(), Error> {
    let aws = start()?;
    let queue = UpstreamQueue::new(
        aws_sdk_sqs::Client::new(&aws),
        variable("UPSTREAM_QUEUE_URL")?,
        variable("UPSTREAM_DEAD_LETTER_QUEUE_URL")?,
        number("UPSTREAM_BACKOFF_SECONDS")?.into(),
    );
    match deployed_routes() {
        Ok(routes) => {
            let upstream = Upstream::new(Accept::new(ledger(&aws)?, routes, Clock::system()), queue);
            serve(async |event, until| upstream.receive(event, until).await).await
        }
        Err(error) => {
            serve(async |event, until| {
                tracing::error!(%error, "nothing is accepted, and messages wait; correct this and deploy");
                queue.hold(event, until).await
            })
            .await
        }
    }
}

/// Runs relay as a Lambda function, on the table's stream and on its own queue. `infra/core.yaml` deploys it, with its
/// environment.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime stops.
pub async fn run_relay() -> Result<(), Error> {
    let aws = start()?;
    let kinesis = aws_sdk_kinesis::Client::new(&aws);
    let queue = RelayQueue::new(aws_sdk_sqs::Client::new(&aws), variable("RELAY_QUEUE_URL")?);
    let relay = Relay::new(kinesis, variable("NOTIFICATIONS_STREAM")?, queue, Clock::system());
    let relay = match routes() {
        Ok(routes) => relay.comparing(routes),
        // What is accepted is carried even so. The environment may be of the release before: it is updated after the code.
        Err(error) => {
            tracing::error!(%error, "what was accepted is not compared with the routes of the stack");
            relay
        }
    };
    serve_both(
        async |event, until| relay.receive(event, until).await,
        async |event, until| relay.retry(event, until).await,
    )
    .await
}

/// Runs reconcile as a Lambda function, on a schedule. `infra/core.yaml` deploys it, with its environment.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime stops.
pub async fn run_reconcile() -> Result<(), Error> {
    let aws = start()?;
    let reconcile = Reconcile::new(ReconcileSettings {
        ledger: ledger(&aws)?,
        positions: positions(&aws)?,
        cursors: Cursors::new(aws_sdk_dynamodb::Client::new(&aws), variable("RECONCILE_TABLE")?),
        dead_letters: dead_letters(&aws)?,
        give_up_after: days("GIVE_UP_AFTER_DAYS")?,
        dispatches_per_second: number("RECONCILE_DISPATCHES_PER_SECOND")?,
        read_units_per_second: number("RECONCILE_READ_UNITS_PER_SECOND")?,
        clock: Clock::system(),
    });
    serve(async |_: IgnoredAny, until| reconcile.run(until).await).await
}
