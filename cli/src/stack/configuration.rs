//! The configuration of the clients, from the command line and the standard environment and profile.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::Error;
use aws_config::profile::{self, ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_config::{Region, SdkConfig};
use aws_runtime::env_config::EnvConfigValue;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use handover::Code;
use handover::dynamodb::config::SharedCredentialsProvider;

use crate::error::coded;

/// The variable of the environment that names an endpoint for all services; those for one service begin with it.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// The same in a profile.
const ENDPOINT_OF_PROFILE: &str = "endpoint_url";
/// The variables that name the files of profiles, and the files where they are not set.
const PROFILE_FILES: [(&str, &str); 2] =
    [("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")];

/// The configuration, with this Region and this profile before those of the environment.
///
/// # Errors
/// When an endpoint is no URL, or there is no such profile.
pub async fn configuration(region: Option<String>, profile: Option<String>) -> anyhow::Result<SdkConfig> {
    let endpoints: HashMap<_, _> = std::env::vars().filter(|(name, _)| name.starts_with(ENDPOINT)).collect();
    endpoints.iter().try_for_each(|(name, value)| check_endpoint(name, value))?;
    let profiles = profiles(profile.as_deref()).await?;
    let mut loader = handover::aws::config()?;
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    let Some(profile) = profile else {
        return Ok(without_empty(endpoints, profiles, loader.load().await));
    };
    let aws = loader.profile_name(&profile).load().await;
    // The SDK takes credentials from the environment first, also when a profile is named; the AWS CLI does not.
    let mut provider = ProviderConfig::without_region().with_region(aws.region().cloned());
    if let Some(client) = aws.http_client() {
        provider = provider.with_http_client(client);
    }
    let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&provider);
    let credentials = SharedCredentialsProvider::new(credentials.build());
    let aws = aws.into_builder().credentials_provider(credentials).build();
    Ok(without_empty(endpoints, profiles, aws))
}

/// Refuses an endpoint without a scheme, which the SDK ignores or fails on. Empty is not set.
fn check_endpoint(name: &str, value: &str) -> anyhow::Result<()> {
    let is_url = ["http://", "https://"].iter().any(|scheme| value.starts_with(scheme));
    let text =
        || format!("the environment variable {name} is not a URL: it has to begin with http:// or https://");
    anyhow::ensure!(value.is_empty() || is_url, coded(Code::NoEndpoint, text()));
    Ok(())
}

/// The profiles, of which this one is selected, or that of the environment.
async fn profiles(named: Option<&str>) -> anyhow::Result<ProfileSet> {
    let selected = named.map(|name| Cow::Owned(name.to_owned()));
    let loaded = profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), selected).await;
    let Some(name) = named else {
        // Without a profile that is named, everything may be in the environment.
        return Ok(loaded.unwrap_or_default());
    };
    let files = PROFILE_FILES.map(|(variable, path)| std::env::var(variable).unwrap_or_else(|_| path.into()));
    let [config, credentials] = files;
    let unread = |error| {
        format!("the profiles cannot be read from {config} and {credentials}: {:#}", Error::new(error))
    };
    let profiles = loaded.map_err(|error| coded(Code::NoProfile, unread(error)))?;
    let absent = || format!("there is no profile `{name}` in {config} or {credentials}");
    anyhow::ensure!(profiles.get_profile(name).is_some(), coded(Code::NoProfile, absent()));
    Ok(profiles)
}

/// The SDK takes an empty `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_SQS` for an endpoint; the AWS CLI takes it as not
/// set, and goes on to the profile.
fn without_empty(endpoints: HashMap<String, String>, profiles: ProfileSet, aws: SdkConfig) -> SdkConfig {
    if !endpoints.values().any(String::is_empty) {
        return aws;
    }
    let set: HashMap<_, _> = endpoints.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let endpoints = WithoutEmpty { set: set.into(), profiles, aws: aws.clone() };
    let of_all = ServiceConfigKey::builder().service_id("").env(ENDPOINT).profile(ENDPOINT_OF_PROFILE);
    let of_all = of_all.build().ok().and_then(|of_all| endpoints.load_config(of_all));
    let mut builder = aws.into_builder().service_config(endpoints);
    builder.set_endpoint_url(of_all);
    builder.build()
}

#[derive(Debug)]
struct WithoutEmpty {
    /// The endpoints of the environment that are not empty.
    set: Env,
    profiles: ProfileSet,
    aws: SdkConfig,
}

impl LoadServiceConfig for WithoutEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let value = EnvConfigValue::new().env(key.env()).profile(key.profile()).service_id(key.service_id());
        // The SDK may be told to ignore endpoints: then it finds none.
        match self.aws.service_config()?.load_config(key)? {
            empty if empty.is_empty() => {
                let (value, _) = value.load(&self.set, Some(&self.profiles))?;
                Some(value.into_owned()).filter(|value| !value.is_empty())
            }
            found => Some(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_or_empty() {
        for value in ["", "http://localhost:4566", "https://vpce.example"] {
            assert!(check_endpoint("AWS_ENDPOINT_URL_SQS", value).is_ok(), "{value}");
        }
        for value in ["localhost:4566", "//localhost", "ftp://localhost"] {
            let error = check_endpoint("AWS_ENDPOINT_URL_SQS", value).unwrap_err().to_string();
            assert!(
                error.starts_with("the environment variable AWS_ENDPOINT_URL_SQS is not a URL"),
                "{error}"
            );
        }
    }
}
