//! What a Lambda function needs: its environment, its logs, its clients, and its invocations.
//!
//! A function's `main` only wires: it calls [`run_accept`](crate::run_accept) or its like; or, for a destination,
//! [`run`](crate::run) or [`run_external`](crate::run_external).

mod invocations;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use jiff::SignedDuration;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::aws::lambda_config;
use crate::clock::Clock;
use crate::destination::OnUnknown;
use crate::error::Error;
use crate::metrics::{METRICS, MetricLines};
use crate::notification::{BadRoutes, Routes};
use crate::store::{AllDeadLetters, Ledger, Positions};

pub(crate) use invocations::work_time;
pub use invocations::{MARGIN_MS, serve, serve_both};

/// The variable with the stack's name, with which the names of its tables and queues begin.
pub(crate) const PREFIX: &str = "HANDOVER_PREFIX";

/// Longest time of one try of a call to AWS, in milliseconds.
pub const CALL_TIMEOUT_MS: u64 = 3_000;

/// Starts a function: logs as JSON at the level of `RUST_LOG`, metrics, and the configuration for AWS from its
/// environment. A function that is started returns the same configuration again, so that a destination which needs
/// clients of its own shares the connections of [`run`](crate::run).
///
/// # Errors
/// Outside of Lambda, which sets `AWS_LAMBDA_FUNCTION_NAME`; and when `AWS_CA_BUNDLE` names a file that is not there,
/// or holds no certificate.
pub fn start() -> Result<SdkConfig, Error> {
    static STARTED: OnceLock<SdkConfig> = OnceLock::new();
    if let Some(aws) = STARTED.get() {
        return Ok(aws.clone());
    }
    // Not `EnvFilter`: it brings a regular expression engine, which costs time at a cold start.
    let level = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse::<Targets>().ok());
    let level = level.unwrap_or_else(|| Targets::new().with_default(LevelFilter::ERROR));
    let logs = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    let metrics = MetricLines {
        function: variable("AWS_LAMBDA_FUNCTION_NAME")?,
        clock: Clock::system(),
        to: Mutex::new(std::io::stdout()),
    };
    // Metrics are written whatever the level of logs is.
    let are_metrics = Targets::new().with_target(METRICS, LevelFilter::INFO);
    let are_logs = level.with_target(METRICS, LevelFilter::OFF);
    tracing_subscriber::registry()
        .with(logs.with_filter(are_logs))
        .with(metrics.with_filter(are_metrics))
        .init();
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(CALL_TIMEOUT_MS));
    let aws = lambda_config(timeouts.build())?;
    Ok(STARTED.get_or_init(|| aws).clone())
}

/// The value of an environment variable.
///
/// # Errors
/// [`Error::Missing`].
pub fn variable(name: &'static str) -> Result<String, Error> {
    std::env::var(name).map_err(|_| Error::Missing(name))
}

/// The value of an environment variable that is a whole number.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Invalid`].
pub fn number(name: &'static str) -> Result<u32, Error> {
    variable(name)?.parse().map_err(|_| Error::invalid(name, "is not a whole number"))
}

/// The value of an environment variable that is a number of seconds.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Invalid`].
pub fn seconds(name: &'static str) -> Result<Duration, Error> {
    Ok(Duration::from_secs(number(name)?.into()))
}

/// The value of an environment variable that is a number of days.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Invalid`].
pub fn days(name: &'static str) -> Result<SignedDuration, Error> {
    Ok(SignedDuration::from_hours(24 * i64::from(number(name)?)))
}

/// What follows when the outcome of a call is unknown, from an environment variable: `retry`, `ask` or
/// `escalate`. With `retry` the provider remembers a key for `key_lives`.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Invalid`].
pub fn on_unknown(name: &'static str, key_lives: Duration) -> Result<OnUnknown, Error> {
    match variable(name)?.as_str() {
        "retry" => Ok(OnUnknown::Retry { key_lives }),
        "ask" => Ok(OnUnknown::Ask),
        "escalate" => Ok(OnUnknown::Escalate),
        _ => Err(Error::invalid(name, "is not `retry`, `ask` or `escalate`")),
    }
}

/// The routes, from `ROUTES` or from the file that `ROUTES_FILE` names. A relative name is one of the function's
/// package.
///
/// # Errors
/// [`Error::Invalid`], also when neither or both are set.
pub fn routes() -> Result<Routes, Error> {
    named_routes().map(|(_, routes)| routes)
}

/// The routes as accept takes them: each of their destinations has to be deployed. `DESTINATIONS` has the names of
/// those that are, with commas between.
///
/// # Errors
/// As [`routes`].
pub fn deployed_routes() -> Result<Routes, Error> {
    let (variable_of_routes, routes) = named_routes()?;
    // A function's code is updated before its environment, which may be of the release before.
    let Ok(destinations) = variable("DESTINATIONS") else {
        tracing::error!(
            "the environment has no DESTINATIONS: whether those of the routes are deployed is not checked"
        );
        return Ok(routes);
    };
    match not_deployed(&routes, &destinations) {
        None => Ok(routes),
        Some(name) => Err(Error::invalid(
            variable_of_routes,
            format!(
                "has the destination `{name}`, which is not deployed; deploy it and name it in the parameter Destinations of the core (in OtherDestinations, if another stack has it); or correct the routes"
            ),
        )),
    }
}

/// The routes, and the variable that has them or their file.
fn named_routes() -> Result<(&'static str, Routes), Error> {
    let package = std::env::var_os("LAMBDA_TASK_ROOT").unwrap_or_default();
    let (inline, file) = (std::env::var("ROUTES").ok(), std::env::var("ROUTES_FILE").ok());
    read_routes(inline, file, Path::new(&package))
}

fn read_routes(
    inline: Option<String>,
    file: Option<String>,
    package: &Path,
) -> Result<(&'static str, Routes), Error> {
    const INLINE: &str = "ROUTES";
    const FILE: &str = "ROUTES_FILE";
    let (name, text) = match (inline, file) {
        (Some(text), None) => (INLINE, text),
        (None, Some(file)) => {
            let unreadable = |error| {
                Error::invalid(
                    FILE,
                    format!("names `{file}`, which cannot be read in the function's package ({error})"),
                )
            };
            (FILE, std::fs::read_to_string(package.join(&file)).map_err(unreadable)?)
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid(INLINE, format!("is set beside {FILE}; remove one of them")));
        }
        (None, None) => {
            let problem = format!("is missing, and so is {FILE}; set one of them in the function's template");
            return Err(Error::invalid(INLINE, problem));
        }
    };
    let unusable = |error: BadRoutes| Error::invalid(name, format!("cannot be used: {error}"));
    Ok((name, text.parse().map_err(unusable)?))
}

fn not_deployed<'a>(routes: &'a Routes, destinations: &str) -> Option<&'a str> {
    let deployed: BTreeSet<&str> = destinations.split(',').map(str::trim).collect();
    routes.destinations().into_iter().find(|name| !deployed.contains(name))
}

/// The ledger, by `HANDOVER_PREFIX`.
///
/// # Errors
/// [`Error::Missing`].
pub fn ledger(aws: &SdkConfig) -> Result<Ledger, Error> {
    Ok(Ledger::new(aws_sdk_dynamodb::Client::new(aws), table("notifications")?))
}

/// The positions of sequenced destinations, by `HANDOVER_PREFIX`.
///
/// # Errors
/// [`Error::Missing`].
pub fn positions(aws: &SdkConfig) -> Result<Positions, Error> {
    Ok(Positions::new(aws_sdk_dynamodb::Client::new(aws), table("positions")?))
}

/// The name of a table of the stack, by `HANDOVER_PREFIX`.
pub(crate) fn table(name: &str) -> Result<String, Error> {
    Ok(format!("{}-{name}", variable(PREFIX)?))
}

/// The dead-letter queues of all destinations, from `HANDOVER_PREFIX`.
///
/// # Errors
/// [`Error::Missing`].
pub fn dead_letters(aws: &SdkConfig) -> Result<AllDeadLetters, Error> {
    Ok(AllDeadLetters::new(aws_sdk_sqs::Client::new(aws), variable(PREFIX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_to_a_destination_that_is_not_deployed_is_found() {
        let routes: Routes = r#"{"t":{"kind":"event","destinations":["audit","search"]}}"#.parse().unwrap();
        assert_eq!(not_deployed(&routes, "search, audit,"), None);
        assert_eq!(not_deployed(&routes, "audit,payment"), Some("search"));
    }

    #[test]
    fn routes_are_in_the_environment_or_in_a_file_of_the_package() {
        let package = std::env::temp_dir().join(format!("handover-routes-{}", std::process::id()));
        std::fs::create_dir_all(&package).unwrap();
        let text = r#"{"t":{"kind":"event","destinations":["audit"]}}"#;
        std::fs::write(package.join("good.json"), text).unwrap();
        std::fs::write(package.join("bad.json"), "{\n  \"t\": {,\n}").unwrap();
        let read = |inline: Option<&str>, file: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            read_routes(owned(inline), owned(file), &package).map_err(|error| error.to_string())
        };
        let routes: Routes = text.parse().unwrap();
        assert_eq!(read(Some(text), None), Ok(("ROUTES", routes.clone())));
        assert_eq!(read(None, Some("good.json")), Ok(("ROUTES_FILE", routes)));
        for (inline, file, said) in [
            (None, None, "ROUTES is missing, and so is ROUTES_FILE"),
            (Some(text), Some("good.json"), "ROUTES is set beside ROUTES_FILE"),
            (
                None,
                Some("none.json"),
                "ROUTES_FILE names `none.json`, which cannot be read in the function's package",
            ),
            (None, Some("bad.json"), "ROUTES_FILE cannot be used: routes: "),
            (None, Some("bad.json"), "line 2, column 9"),
        ] {
            let error = read(inline, file).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        std::fs::remove_dir_all(&package).unwrap();
    }
}
