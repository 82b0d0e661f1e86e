//! The deployed stack that a command works on, and what to say when it or AWS cannot be reached.

mod configuration;

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;
use clap::builder::{OsStringValueParser, TypedValueParser};
use handover::store::Cursors;
use handover::{Code, Fault, Ledger, Positions, Routes};

use self::configuration::configuration;
use crate::error::coded;
use crate::value::{check_region, check_stack};

/// The heading of these options in the help, beside the command's own.
const HEADING: &str = "Stack and AWS";
/// How many days a completed record may be kept, as the template's `LedgerDays`.
pub const LEDGER_DAYS: RangeInclusive<i64> = 30..=3650;

/// Which stack, and where it is.
#[derive(clap::Args)]
pub struct StackArguments {
    /// The name of the deployed stack.
    #[arg(long, env = "HANDOVER_STACK", global = true, help_heading = HEADING)]
    stack: Option<String>,
    /// The Region, in place of that of the environment or of the profile.
    #[arg(long, global = true, help_heading = HEADING)]
    region: Option<String>,
    /// The profile of the AWS CLI, whose credentials are used in place of those in the environment.
    #[arg(long, global = true, help_heading = HEADING)]
    profile: Option<String>,
    /// The file with the stack's routes, for a stack that has them in one (its parameter `RoutesFile`).
    // As a text first: clap takes no empty path, and an empty variable is not set.
    #[arg(
        long,
        env = "HANDOVER_ROUTES",
        global = true,
        help_heading = HEADING,
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    routes: Option<PathBuf>,
}

/// The deployed stack.
pub struct Stack {
    name: String,
    aws: SdkConfig,
    /// The profile that was named.
    profile: Option<String>,
    /// The file of its routes, if one was named.
    routes_file: Option<PathBuf>,
}

/// Why the settings of the deployed stack cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoSettings {
    /// The caller has no permission to read them.
    #[error(transparent)]
    Forbidden(Fault),
    /// They are in the packages of its functions.
    #[error("they are in the file `{0}`: name it with --routes or HANDOVER_ROUTES")]
    Packaged(String),
    #[error(transparent)]
    Error(#[from] anyhow::Error),
}

impl StackArguments {
    /// The stack, with the clients' configuration from the command line and the standard environment and profile.
    /// Calls nothing.
    ///
    /// # Errors
    /// When no stack is named, no Region is, either name is none, or the profile does not exist.
    pub async fn connect(self) -> anyhow::Result<Stack> {
        let name = self.stack.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| coded(Code::NoStack, "no stack is named: add --stack NAME, or set HANDOVER_STACK (for a local AWS, source its `.local/env`)"))?;
        check_stack(&name).map_err(|error| coded(Code::NoStack, error.to_string()))?;
        let aws = configuration(self.region, self.profile.clone()).await?;
        let region = aws.region().map(AsRef::as_ref).filter(|region: &&str| !region.is_empty());
        let region = region.ok_or_else(|| {
            coded(
                Code::NoRegion,
                "no Region is named: add --region NAME, or set AWS_REGION, or the region of your profile",
            )
        })?;
        check_region(region).map_err(|error| coded(Code::NoRegion, error.to_string()))?;
        let routes_file = self.routes.filter(|file| !file.as_os_str().is_empty());
        Ok(Stack { name, aws, profile: self.profile, routes_file })
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

    /// The routes of the deployed stack: those of the file that was named, or of the stack's settings.
    pub async fn routes(&self) -> Result<Routes, NoSettings> {
        if let Some(file) = &self.routes_file {
            let text = std::fs::read_to_string(file).map_err(anyhow::Error::from);
            let routes = text.and_then(|text| Ok(text.parse()?));
            return Ok(routes.map_err(|error| {
                let file = file.display();
                let text = format!(
                    "the file of routes `{file}` (--routes or HANDOVER_ROUTES) cannot be used: {error:#}"
                );
                coded(Code::NoRoutes, text)
            })?);
        }
        let mut settings = self.settings().await?;
        if let Some(file) = settings.remove("ROUTES_FILE") {
            return Err(NoSettings::Packaged(file));
        }
        let routes = self.setting(settings, "ROUTES").and_then(|routes| Ok(routes.parse()?));
        Ok(routes.map_err(|error| coded(Code::NoRoutes, error.to_string()))?)
    }

    /// The routes, for a command that cannot do without them.
    ///
    /// # Errors
    /// When they cannot be read; `instead` says what to do then.
    pub async fn routes_or(&self, instead: &str) -> anyhow::Result<Routes> {
        self.routes().await.map_err(|error| match error {
            unread @ (NoSettings::Forbidden(_) | NoSettings::Packaged(_)) => {
                coded(Code::NoRoutes, format!("the stack's routes cannot be read ({unread}); {instead}"))
            }
            NoSettings::Error(error) => error,
        })
    }

    /// Checks that the routes of the deployed stack name a destination.
    pub fn check_destination(&self, name: &str, routes: &Routes) -> anyhow::Result<()> {
        let names: Vec<&str> = routes.destinations().into_iter().collect();
        let text = || {
            format!(
                "`{name}` is not a destination of the stack `{}`; its routes name: {}",
                self.name,
                names.join(", ")
            )
        };
        anyhow::ensure!(names.contains(&name), coded(Code::UnknownDestination, text()));
        Ok(())
    }

    /// How many days the deployed stack keeps a completed record.
    pub async fn ledger_days(&self) -> anyhow::Result<u32> {
        let settings = self.settings().await.map_err(|error| match error {
            NoSettings::Error(error) => error,
            unread @ (NoSettings::Forbidden(_) | NoSettings::Packaged(_)) => {
                anyhow!(
                    "the stack's settings cannot be read ({unread}); name its `LedgerDays` with --ledger-days"
                )
            }
        })?;
        let days = self.setting(settings, "LEDGER_DAYS")?;
        let days = days.parse().ok().filter(|days| LEDGER_DAYS.contains(&i64::from(*days)));
        days.with_context(|| {
            let (from, to) = LEDGER_DAYS.into_inner();
            format!("LEDGER_DAYS of {} is not {from} to {to}; name another with --ledger-days", self.accept())
        })
    }

    /// The environment of the deployed function `accept`.
    async fn settings(&self) -> Result<HashMap<String, String>, NoSettings> {
        let lambda = aws_sdk_lambda::Client::new(&self.aws);
        let call = lambda.get_function_configuration().function_name(self.accept());
        let configuration = call.send().await.map_err(|error| {
            let fault = Fault::from_sdk("GetFunctionConfiguration", &error);
            match fault.is_denied() {
                true => NoSettings::Forbidden(fault),
                false => NoSettings::Error(self.explained(fault)),
            }
        })?;
        Ok(configuration.environment.and_then(|environment| environment.variables).unwrap_or_default())
    }

    fn setting(&self, mut settings: HashMap<String, String>, name: &str) -> anyhow::Result<String> {
        settings.remove(name).with_context(|| {
            let function = self.accept();
            format!("the function {function} has no variable {name}; was it deployed by an earlier release?")
        })
    }

    fn accept(&self) -> String {
        format!("{}-accept", self.name)
    }

    /// Makes a fault an error that says what to do.
    pub fn explained(&self, fault: Fault) -> anyhow::Error {
        let location = self.location();
        if fault.is_missing_resource() {
            let text = format!(
                "there is no stack `{}` at {location}; deploy it, or name another with --stack or HANDOVER_STACK ({fault})",
                self.name
            );
            return coded(Code::UnknownStack, text);
        }
        let text = if fault.could_have_taken_effect() {
            format!(
                "{location} does not answer ({fault}); check the network, the proxy variables and those that begin with AWS_ENDPOINT_URL, and that the local AWS is running if you use one"
            )
        } else if fault.is_denied() && std::env::var_os("HANDOVER_LOCAL").is_some() {
            format!(
                "{location}: {fault} (a local AWS has new keys each time that it starts: source its `.local/env` again)"
            )
        } else if fault.code() == Code::Invalid {
            format!(
                "{location}: {fault} (tables of an earlier release have other keys: the changelog says which stacks have to be deployed anew)"
            )
        } else {
            format!("{location}: {fault}")
        };
        coded(fault.code(), text)
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
