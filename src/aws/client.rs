//! One lean HTTP client for all the SDK's clients of a process.
//!
//! TLS is rustls over ring, which needs neither a C library nor 40 ms of entropy at its first use. It trusts
//! the root certificates in the program, as the AWS CLI does: reading the system's takes milliseconds at each
//! cold start.

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
#[cfg(feature = "client")]
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::http::{HttpClient, SharedHttpClient, http_client_fn};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::error::Error;

/// Names a PEM file of certificates; the client then trusts no others. The AWS CLI and the other SDKs read
/// it, too.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
const TLS: Provider = Provider::Rustls(CryptoMode::Ring);
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// The configuration for AWS from the standard environment and profile. Calls go through the proxy that
/// `HTTPS_PROXY` or `HTTP_PROXY` names, except to what `NO_PROXY` names.
///
/// # Errors
/// When `AWS_CA_BUNDLE` names a file that is not there, or holds no certificate.
pub fn config() -> Result<ConfigLoader, Error> {
    let tls = tls_context()?;
    // A connector for each of the SDK's time-outs; the builder keeps them.
    let client =
        aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
            connector.tls_provider(TLS).tls_context(tls.clone()).build()
        });
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(validated_once(client)))
}

/// The configuration for AWS from a Lambda function's environment alone. The other places for credentials,
/// files and services, cost time and memory.
pub(crate) fn lambda_config(timeouts: TimeoutConfig) -> Result<SdkConfig, Error> {
    let is_set = |name| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts)
        .http_client(http_client()?)
        .use_fips(is_set("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_set("AWS_USE_DUALSTACK_ENDPOINT"));
    aws.set_region(std::env::var("AWS_REGION").ok().map(Region::new));
    // An empty one is not set, as for the AWS CLI.
    aws.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL").ok().filter(|url| !url.is_empty()));
    Ok(aws.build())
}

/// A connector to services that are none of the SDK's. It has no proxy and no time-outs of its own.
///
/// # Errors
/// As [`config`].
#[cfg(feature = "client")]
pub(crate) fn connector() -> Result<SharedHttpConnector, Error> {
    Ok(SharedHttpConnector::new(Connector::builder().tls_provider(TLS).tls_context(tls_context()?).build()))
}

/// A Lambda function has no proxy.
fn http_client() -> Result<SharedHttpClient, Error> {
    let client = aws_smithy_http_client::Builder::new();
    Ok(validated_once(client.tls_provider(TLS).tls_context(tls_context()?).build_https()))
}

/// Without this wrapper the SDK would parse the roots once more for each service, to validate them.
fn validated_once(client: SharedHttpClient) -> SharedHttpClient {
    http_client_fn(move |settings, components| client.http_connector(settings, components))
}

fn tls_context() -> Result<TlsContext, Error> {
    let trusted = match std::env::var_os(CA_BUNDLE) {
        Some(path) => {
            let pem = std::fs::read(path).ok().filter(|pem| holds_a_certificate(pem));
            pem.ok_or_else(|| {
                Error::invalid(CA_BUNDLE, "is not a readable file of certificates in PEM form")
            })?
        }
        None => bundled().into_bytes(),
    };
    let trusted = TrustStore::empty().with_pem_certificate(trusted);
    Ok(TlsContext::builder().with_trust_store(trusted).build().expect("a trust store is enough"))
}

fn holds_a_certificate(pem: &[u8]) -> bool {
    pem.windows(BEGIN.len()).any(|part| part == BEGIN.as_bytes())
}

/// Mozilla's root certificates in PEM form, which the SDK takes.
fn bundled() -> String {
    let pem = |der: &[u8]| {
        let text = BASE64_STANDARD.encode(der);
        format!("{BEGIN}\n{text}\n-----END CERTIFICATE-----\n")
    };
    TLS_SERVER_ROOT_CERTS.iter().map(|der| pem(der)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_roots_are_certificates_and_other_files_are_not() {
        assert!(holds_a_certificate(bundled().as_bytes()));
        assert_eq!(bundled().matches(BEGIN).count(), TLS_SERVER_ROOT_CERTS.len());
        assert!(!holds_a_certificate(b"") && !holds_a_certificate(b"-----BEGIN PRIVATE KEY-----"));
    }
}
