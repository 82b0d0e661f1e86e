//! Runs reconcile as a Lambda function on a schedule.

use handover::lambda::{days, dead_letters, ledger, number, serve, start, variable};
use handover::pipeline::{Reconcile, ReconcileSettings};
use handover::store::Cursors;
use handover::{Clock, Error};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = start()?;
    let reconcile = Reconcile::new(ReconcileSettings {
        ledger: ledger(&aws)?,
        cursors: Cursors::new(aws_sdk_dynamodb::Client::new(&aws), variable("RECONCILE_TABLE")?),
        dead_letters: dead_letters(&aws)?,
        give_up_after: days("GIVE_UP_AFTER_DAYS")?,
        dispatches_per_second: number("RECONCILE_DISPATCHES_PER_SECOND")?,
        read_units_per_second: number("RECONCILE_READ_UNITS_PER_SECOND")?,
        clock: Clock::system(),
    });
    serve(async |_: IgnoredAny, until| reconcile.run(until).await).await
}
