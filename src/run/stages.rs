//! Runs a stage of the pipeline as a Lambda function: its settings from the environment, and its event sources.

use serde::de::IgnoredAny;

use crate::clock::Clock;
use crate::error::Error;
use crate::http::{Api, ApiSettings, Scope};
use crate::lambda::{
    days, dead_letters, deployed_routes, ledger, number, positions, routes, serve, serve_both, start, table,
    variable,
};
use crate::pipeline::{Accept, Reconcile, ReconcileSettings, Relay, Upstream, UpstreamQueue};
use crate::store::{Cursors, RelayQueue, Waiters};

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

/// Runs the HTTP interface as a Lambda function, behind a function URL. `infra/api.yaml` deploys it, with its environment.
///
/// While the routes cannot be used, or name a destination that is not deployed, it accepts nothing: a caller is told to
/// repeat the request later.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime stops.
pub async fn run_api() -> Result<(), Error> {
    let aws = start()?;
    let (ledger, dynamodb) = (ledger(&aws)?, aws_sdk_dynamodb::Client::new(&aws));
    let accept = match deployed_routes() {
        Ok(routes) => Some(Accept::new(ledger.clone(), routes, Clock::system())),
        Err(error) => {
            tracing::error!(%error, "nothing is accepted; correct this and deploy");
            None
        }
    };
    let api = Api::new(ApiSettings {
        ledger,
        positions: positions(&aws)?,
        cursors: Cursors::new(dynamodb.clone(), table("reconcile")?),
        waiters: Waiters::new(dynamodb, table("positions")?, waiters_max()?),
        accept,
        scope: scope()?,
        is_open: is_open()?,
        retention: days("LEDGER_DAYS")?,
        clock: Clock::system(),
    });
    serve(async |request, until| api.answer(request, until).await).await
}

/// Most callers that wait at once: half of the concurrent requests at most, so that others are served.
fn waiters_max() -> Result<u32, Error> {
    let (waiters, concurrency) = (number("API_WAITERS_MAX")?, number("API_CONCURRENCY")?);
    Ok(if concurrency == 0 { waiters } else { waiters.min(concurrency / 2) })
}

fn scope() -> Result<Scope, Error> {
    let operators = variable("API_OPERATORS")?;
    let operators =
        operators.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect();
    match variable("API_SCOPE")?.as_str() {
        "all" => Ok(Scope::All),
        "caller" => Ok(Scope::Caller { operators }),
        _ => Err(Error::invalid("API_SCOPE", "is neither `all` nor `caller`")),
    }
}

/// Whether requests are taken that nobody signed.
fn is_open() -> Result<bool, Error> {
    match variable("API_AUTHENTICATION")?.as_str() {
        "AWS_IAM" => Ok(false),
        "NONE" => Ok(true),
        _ => Err(Error::invalid("API_AUTHENTICATION", "is neither `AWS_IAM` nor `NONE`")),
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
