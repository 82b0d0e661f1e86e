//! Runs destinations as a Lambda function: their settings from the environment, and its two kinds of event source.

pub mod stages;
mod tuning;

use std::time::Duration;

use aws_config::SdkConfig;

use crate::clock::Clock;
use crate::destination::{
    Consumer, Consumers, Destination, DestinationSettings, DispatchBatch, External, never_works,
};
use crate::error::Error;
use crate::lambda::{
    PREFIX, days, ledger, positions, routes, seconds, serve_both, start, variable, work_time,
};
use crate::notification::{Routes, is_destination};
use crate::run::tuning::{HANDLER_TIMEOUT, TIMEOUT, Tuning, of_no_destination};
use crate::store::DestinationQueues;

/// The variable with the name of a function's one destination.
const DESTINATION: &str = "DESTINATION";

/// Runs a destination as a Lambda function, on the Kinesis stream and on its retry queue. [`Destinations`] runs several.
///
/// The environment has its name in `DESTINATION`, the stack's name in `HANDOVER_PREFIX`, from which the names of tables
/// and queues derive, the routes in `ROUTES` or their file in `ROUTES_FILE`, the wait after a first failed attempt in
/// `RETRY_BACKOFF_SECONDS`, and how long a completed record is kept in `LEDGER_DAYS`. It may have these:
///
/// - `RETRY_WAITS`: the longest wait after each attempt but the last, in seconds with commas between, as `5,300,7200`;
///   up to 19, each up to 42300. `none` is one attempt. Without it there are six, and the wait doubles.
/// - `HANDLER_TIMEOUT_SECONDS`: how long a call of the handler may take. What takes longer is a failed attempt. A handler
///   also ends with what the function's time-out leaves, about three quarters of it; a longer time could not be kept. It is
///   not for an [`External`], which has a time-out of its own.
/// - `TIMEOUT_SECONDS`: the function's own time-out. `HANDLER_TIMEOUT_SECONDS` has to fit into it.
/// - `HANDLER_CONCURRENCY`: most handlers of an invocation that run at once, up to 48. That many are the default.
/// - `GIVE_UP_AFTER_DAYS`: that of reconcile. `RETRY_WAITS` has to end before.
///
/// # Errors
/// When the environment is not complete, or has a value that cannot be kept; or the Lambda runtime stops.
pub async fn run(destination: impl Destination) -> Result<(), Error> {
    Destinations::new()?.add(&variable(DESTINATION)?, destination)?.run().await
}

/// Runs a destination whose effect is a call as a Lambda function, as [`run`] does. The environment also has the
/// function's own time-out in `TIMEOUT_SECONDS`.
///
/// # Errors
/// As [`run`]; and when its calls could never be made or repeated, since they do not fit into the function's time-out
/// or the life of an idempotency key.
pub async fn run_external(external: impl External) -> Result<(), Error> {
    Destinations::new()?.add_external(&variable(DESTINATION)?, external)?.run().await
}

/// The destinations of a Lambda function, which read the Kinesis stream by one mapping: a shard serves five reads a second
/// to all mappings together. Each has its own retry queue, dead letters and attempts, and one that fails holds up no
/// other. But an invocation ends with the slowest of them; and where a handler kills its function or takes its memory, or a
/// retry queue takes nothing, the batch is redelivered to all. Give such a destination a function of its own.
///
/// ```no_run
/// use handover::{Destination, Destinations, Effect, Error, Failure, Notification};
///
/// struct Orders;
/// # impl Destination for Orders {
/// #     type Data = u32;
/// #     async fn apply(&self, _: &Notification<u32>) -> Result<Effect, Failure> {
/// #         Ok(Effect::new())
/// #     }
/// # }
/// # type Stock = Orders;
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Error> {
///     Destinations::new()?.add("orders", Orders)?.add("stock", Stock {})?.run().await
/// }
/// ```
pub struct Destinations {
    aws: SdkConfig,
    routes: Routes,
    names: Vec<String>,
    consumers: Vec<Consumer>,
}

impl Destinations {
    /// None yet. The environment is that of [`run`], without `DESTINATION`. What it may have holds for each destination;
    /// the same variable with the name of one in upper case behind it, as `RETRY_WAITS_CRM`, holds for that one instead.
    ///
    /// # Errors
    /// When the environment is not complete.
    pub fn new() -> Result<Destinations, Error> {
        Ok(Destinations { aws: start()?, routes: routes()?, names: vec![], consumers: vec![] })
    }

    /// Adds a destination by its name in the routes.
    ///
    /// # Errors
    /// When the environment is not complete, or the name is there already.
    pub fn add(self, name: &str, destination: impl Destination) -> Result<Destinations, Error> {
        self.with(name, |settings| Ok(Consumer::new(destination, settings)))
    }

    /// Adds a destination whose effect is a call, by its name in the routes.
    ///
    /// # Errors
    /// As [`add`](Destinations::add); and when its calls could never be made or repeated, as in [`run_external`].
    pub fn add_external(self, name: &str, external: impl External) -> Result<Destinations, Error> {
        self.with(name, |settings| {
            fits(&external, &settings)?;
            Ok(Consumer::external(external, settings))
        })
    }

    /// Runs them.
    ///
    /// # Errors
    /// When the Lambda runtime stops.
    pub async fn run(self) -> Result<(), Error> {
        let variables: Vec<String> =
            std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        for variable in of_no_destination(variables.iter().map(String::as_str), &self.names) {
            tracing::error!(variable, "this function has no destination of this name; correct the variable");
        }
        let consumers = &Consumers::new(self.consumers);
        serve_both(
            async |batch: DispatchBatch, until| consumers.receive_apart(batch, until).await,
            async |event, until| consumers.retry_apart(event, until).await,
        )
        .await
    }

    fn with(
        mut self,
        name: &str,
        consumer: impl FnOnce(DestinationSettings) -> Result<Consumer, Error>,
    ) -> Result<Destinations, Error> {
        let problem = match () {
            () if !is_destination(name) => {
                Some("has no name that routes can have; use a-z, 0-9 and _, a letter first")
            }
            () if self.names.iter().any(|other| other == name) => Some("is added twice; remove one of them"),
            () => None,
        };
        if let Some(problem) = problem {
            return Err(Error::Destination { name: name.to_owned(), problem: problem.to_owned() });
        }
        if !self.routes.destinations().contains(name) {
            tracing::error!(
                destination = name,
                "no route has this destination; correct its name, or the routes"
            );
        }
        self.consumers.push(consumer(self.settings(name)?)?);
        self.names.push(name.to_owned());
        Ok(self)
    }

    fn settings(&self, name: &str) -> Result<DestinationSettings, Error> {
        let (aws, prefix) = (&self.aws, variable(PREFIX)?);
        let tuning =
            Tuning::of(name, seconds("RETRY_BACKOFF_SECONDS")?, |variable| std::env::var(variable).ok())?;
        let Tuning { retries, handler_timeout, concurrency } = tuning;
        Ok(DestinationSettings {
            name: name.to_owned(),
            ledger: ledger(aws)?,
            positions: positions(aws)?,
            queues: DestinationQueues::new(aws_sdk_sqs::Client::new(aws), &prefix, name),
            routes: self.routes.clone(),
            retention: days("LEDGER_DAYS")?,
            retries,
            handler_timeout,
            concurrency,
            clock: Clock::system(),
        })
    }
}

/// Whether its calls can be made and repeated with these settings, in the time that the function has.
fn fits(external: &impl External, settings: &DestinationSettings) -> Result<(), Error> {
    let problem = |problem| Err(Error::Destination { name: settings.name.clone(), problem });
    if settings.handler_timeout.is_some() {
        return problem(format!(
            "makes a call, which has a time-out in its code (`External::timeout`); remove {HANDLER_TIMEOUT}, or set it for other destinations, by their names behind it"
        ));
    }
    let time: Duration = match seconds(TIMEOUT) {
        Ok(time) => time,
        // A function's code is updated before its environment, which may be of the release before.
        Err(Error::Missing(name)) => {
            tracing::error!("the environment has no {name}: whether calls fit into it is not checked");
            return Ok(());
        }
        Err(invalid) => return Err(invalid),
    };
    let apart = settings.retries.first_apart().unwrap_or_default();
    match never_works(external.timeout(), external.on_unknown(), work_time(time), apart) {
        Some(never) => problem(format!("could never work: {never}")),
        None => Ok(()),
    }
}
