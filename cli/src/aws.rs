//! The connection to AWS, and what to say when the stack or AWS cannot be reached.

use std::fmt::Display;

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;
use handover::{Fault, Routes};

/// The configuration for AWS, from the standard environment and profile.
pub async fn connect() -> anyhow::Result<SdkConfig> {
    Ok(handover::aws::config()?.load().await)
}

/// Makes a fault an error that says what to do.
pub fn explained(fault: Fault, stack: &str, aws: &SdkConfig) -> anyhow::Error {
    let location = location(aws);
    if fault.is_missing_resource() {
        anyhow!(
            "there is no stack `{stack}` at {location}; deploy it, or name another with --stack or HANDOVER_STACK ({fault})"
        )
    } else if fault.could_have_taken_effect() {
        anyhow!(
            "{location} does not answer ({fault}); check the network and AWS_ENDPOINT_URL, and that the local AWS is running if you use one"
        )
    } else {
        anyhow!("{location}: {fault}")
    }
}

fn location(aws: &SdkConfig) -> impl Display {
    match (aws.endpoint_url(), aws.region()) {
        (Some(endpoint), _) => endpoint.to_owned(),
        (None, Some(region)) => format!("AWS in {region}"),
        (None, None) => "AWS (no Region is set: set AWS_REGION or a profile)".to_owned(),
    }
}

/// Why the settings of the deployed stack cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoSettings {
    /// The caller has no permission to read them.
    #[error(transparent)]
    Forbidden(Fault),
    #[error(transparent)]
    Error(#[from] anyhow::Error),
}

/// The routes of the deployed stack.
pub async fn routes(aws: &SdkConfig, stack: &str) -> Result<Routes, NoSettings> {
    Ok(setting(aws, stack, "ROUTES").await?.parse().map_err(anyhow::Error::from)?)
}

/// How many days the deployed stack keeps a completed record.
pub async fn ledger_days(aws: &SdkConfig, stack: &str) -> anyhow::Result<u32> {
    let days = setting(aws, stack, "LEDGER_DAYS").await.map_err(|error| match error {
        NoSettings::Forbidden(fault) => {
            anyhow!("the stack's settings cannot be read ({fault}); name its `LedgerDays` with --ledger-days")
        }
        NoSettings::Error(error) => error,
    })?;
    days.parse().with_context(|| format!("LEDGER_DAYS of {stack}-accept is not a whole number"))
}

/// A variable in the environment of the deployed function `accept`.
async fn setting(aws: &SdkConfig, stack: &str, name: &str) -> Result<String, NoSettings> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let call = lambda.get_function_configuration().function_name(format!("{stack}-accept"));
    let configuration = call.send().await.map_err(|error| {
        let fault = Fault::from_sdk("GetFunctionConfiguration", &error);
        match fault.is_missing_resource() || fault.could_have_taken_effect() {
            true => NoSettings::Error(explained(fault, stack, aws)),
            false => NoSettings::Forbidden(fault),
        }
    })?;
    let variables = configuration.environment.and_then(|environment| environment.variables);
    let value = variables.and_then(|variables| variables.get(name).cloned());
    Ok(value.with_context(|| {
        format!("the function {stack}-accept has no variable {name}; was it deployed by an earlier release?")
    })?)
}
