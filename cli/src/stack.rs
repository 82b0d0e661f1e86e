//! The deployed stack that a command works on, and what to say when it or AWS cannot be reached.

mod configuration;

use std::fmt::Display;

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;
use handover::store::Cursors;
use handover::{Fault, Ledger, Positions, Routes};

use self::configuration::configuration;

/// Which stack, and where it is.
#[derive(clap::Args)]
pub struct StackArguments {
    /// The name of the deployed stack.
    #[arg(long, env = "HANDOVER_STACK", global = true)]
    stack: Option<String>,
    /// The Region, before that of the environment and of the profile.
    #[arg(long, global = true)]
    region: Option<String>,
    /// The profile of the AWS CLI; its credentials come before those in the environment.
    #[arg(long, global = true)]
    profile: Option<String>,
}

/// The deployed stack.
pub struct Stack {
    name: String,
    aws: SdkConfig,
    /// The profile that was named.
    profile: Option<String>,
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

impl StackArguments {
    /// The stack, with the clients' configuration from the command line and the standard environment and profile.
    /// Calls nothing.
    ///
    /// # Errors
    /// When no stack is named, no Region is, or the profile does not exist.
    pub async fn connect(self) -> anyhow::Result<Stack> {
        let name = self.stack.filter(|name| !name.is_empty());
        let name = name.context("no stack is named: add --stack NAME, or set HANDOVER_STACK")?;
        let aws = configuration(self.region, self.profile.clone()).await?;
        anyhow::ensure!(
            aws.region().is_some_and(|region| !region.as_ref().is_empty()),
            "no Region is named: add --region NAME, or set AWS_REGION, or the region of your profile"
        );
        Ok(Stack { name, aws, profile: self.profile })
    }
}

impl Stack {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn aws(&self) -> &SdkConfig {
        &self.aws
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::new(handover::dynamodb::Client::new(&self.aws), format!("{}-notifications", self.name))
    }

    pub fn positions(&self) -> Positions {
        Positions::new(handover::dynamodb::Client::new(&self.aws), format!("{}-positions", self.name))
    }

    pub fn cursors(&self) -> Cursors {
        Cursors::new(handover::dynamodb::Client::new(&self.aws), format!("{}-reconcile", self.name))
    }

    /// The routes of the deployed stack.
    pub async fn routes(&self) -> Result<Routes, NoSettings> {
        Ok(self.setting("ROUTES").await?.parse().map_err(anyhow::Error::from)?)
    }

    /// Checks that the routes of the deployed stack name a destination.
    pub fn check_destination(&self, name: &str, routes: &Routes) -> anyhow::Result<()> {
        let names: Vec<&str> = routes.destinations().into_iter().collect();
        anyhow::ensure!(
            names.contains(&name),
            "`{name}` is not a destination of the stack `{}`; its routes name: {}",
            self.name,
            names.join(", ")
        );
        Ok(())
    }

    /// How many days the deployed stack keeps a completed record.
    pub async fn ledger_days(&self) -> anyhow::Result<u32> {
        let days = self.setting("LEDGER_DAYS").await.map_err(|error| match error {
            NoSettings::Forbidden(fault) => {
                anyhow!(
                    "the stack's settings cannot be read ({fault}); name its `LedgerDays` with --ledger-days"
                )
            }
            NoSettings::Error(error) => error,
        })?;
        days.parse().with_context(|| format!("LEDGER_DAYS of {}-accept is not a whole number", self.name))
    }

    /// A variable in the environment of the deployed function `accept`.
    async fn setting(&self, name: &str) -> Result<String, NoSettings> {
        let function = format!("{}-accept", self.name);
        let lambda = aws_sdk_lambda::Client::new(&self.aws);
        let call = lambda.get_function_configuration().function_name(&function);
        let configuration = call.send().await.map_err(|error| {
            let fault = Fault::from_sdk("GetFunctionConfiguration", &error);
            match fault.is_missing_resource() || fault.could_have_taken_effect() {
                true => NoSettings::Error(self.explained(fault)),
                false => NoSettings::Forbidden(fault),
            }
        })?;
        let variables = configuration.environment.and_then(|environment| environment.variables);
        let value = variables.and_then(|variables| variables.get(name).cloned());
        Ok(value.with_context(|| {
            format!("the function {function} has no variable {name}; was it deployed by an earlier release?")
        })?)
    }

    /// Makes a fault an error that says what to do.
    pub fn explained(&self, fault: Fault) -> anyhow::Error {
        let location = self.location();
        if fault.is_missing_resource() {
            anyhow!(
                "there is no stack `{}` at {location}; deploy it, or name another with --stack or HANDOVER_STACK ({fault})",
                self.name
            )
        } else if fault.could_have_taken_effect() {
            anyhow!(
                "{location} does not answer ({fault}); check the network and AWS_ENDPOINT_URL, and that the local AWS is running if you use one"
            )
        } else {
            anyhow!("{location}: {fault}")
        }
    }

    fn location(&self) -> impl Display {
        let location = match (self.aws.endpoint_url(), self.aws.region()) {
            (Some(endpoint), _) => endpoint.to_owned(),
            (None, region) => format!("AWS in {}", region.map_or_else(Default::default, ToString::to_string)),
        };
        let profile = self.profile.as_ref();
        location + &profile.map_or_else(String::new, |profile| format!(" with the profile `{profile}`"))
    }
}
