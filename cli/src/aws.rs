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

/// Why the routes of the deployed stack cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoRoutes {
    /// The caller has no permission to read them.
    #[error(transparent)]
    Forbidden(Fault),
    #[error(transparent)]
    Error(#[from] anyhow::Error),
}

/// The routes of the deployed stack, from the environment of its function `accept`.
pub async fn routes(aws: &SdkConfig, stack: &str) -> Result<Routes, NoRoutes> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let call = lambda.get_function_configuration().function_name(format!("{stack}-accept"));
    let configuration = call.send().await.map_err(|error| {
        let fault = Fault::from_sdk("GetFunctionConfiguration", &error);
        match fault.is_missing_resource() || fault.could_have_taken_effect() {
            true => NoRoutes::Error(explained(fault, stack, aws)),
            false => NoRoutes::Forbidden(fault),
        }
    })?;
    let variables = configuration.environment.and_then(|environment| environment.variables);
    let routes = variables.and_then(|variables| variables.get("ROUTES").cloned());
    let routes = routes.with_context(|| format!("the function {stack}-accept has no variable ROUTES"))?;
    Ok(routes.parse().map_err(anyhow::Error::from)?)
}
