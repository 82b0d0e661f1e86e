//! How Handover reaches AWS: one lean HTTP client for all the SDK's clients of a process.
//!
//! TLS is rustls over ring, which needs neither a C library nor 40 ms of entropy at its first use, and
//! trusts the roots that come with the program, as the AWS CLI does: the system's take milliseconds to
//! read at each cold start.

use aws_config::{BehaviorVersion, ConfigLoader};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::runtime::Error;

/// Names a file of certificates in PEM form, which are then trusted and no others; the AWS CLI and the
/// other SDKs know it, too.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// AWS by the standard environment and profile.
///
/// # Errors
/// When `AWS_CA_BUNDLE` names a file that is not there.
pub fn config() -> Result<ConfigLoader, Error> {
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()?))
}

fn http_client() -> Result<SharedHttpClient, Error> {
    let trusted = match std::env::var_os(CA_BUNDLE) {
        Some(path) => {
            std::fs::read(path).map_err(|_| Error::Invalid(CA_BUNDLE, "a file that can be read"))?
        }
        None => bundled().into_bytes(),
    };
    let trusted = TrustStore::empty().with_pem_certificate(trusted);
    let tls = TlsContext::builder().with_trust_store(trusted).build().expect("a trust store is enough");
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https())
}

/// Mozilla's roots, in the form that the SDK takes.
fn bundled() -> String {
    let pem = |der: &[u8]| {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    TLS_SERVER_ROOT_CERTS.iter().map(|der| pem(der)).collect()
}
