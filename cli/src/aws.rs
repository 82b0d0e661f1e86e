//! The stack that the command works on, and what to say when it is not there.

use std::fmt::Display;

use anyhow::anyhow;
use aws_config::{BehaviorVersion, SdkConfig};
use handover::Fault;

/// AWS, by the standard environment and profile.
pub async fn connect() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

/// A fault as an error that says what to do.
pub fn explained(fault: Fault, stack: &str, aws: &SdkConfig) -> anyhow::Error {
    let place = place(aws);
    if fault.is_missing_resource() {
        anyhow!(
            "there is no stack `{stack}` at {place}; deploy it, or name another by --stack or HANDOVER_STACK ({fault})"
        )
    } else if fault.could_have_taken_effect() {
        anyhow!(
            "{place} does not answer ({fault}); check the network and AWS_ENDPOINT_URL, and whether a local AWS is up"
        )
    } else {
        anyhow!("{place}: {fault}")
    }
}

fn place(aws: &SdkConfig) -> impl Display {
    match (aws.endpoint_url(), aws.region()) {
        (Some(endpoint), _) => endpoint.to_owned(),
        (None, Some(region)) => format!("AWS in {region}"),
        (None, None) => "AWS (no Region is set: set AWS_REGION or a profile)".to_owned(),
    }
}
