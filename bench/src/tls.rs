//! TLS for the stubs, with a new certificate for loopback in each run.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use tokio_rustls::TlsAcceptor;

/// Makes a certificate and writes it to this file, for clients to trust.
pub fn acceptor(trusted: &Path) -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    std::fs::create_dir_all(trusted.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(trusted, made.cert.pem())?;
    let key = made.signing_key.serialize_der().try_into().map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(TlsAcceptor::from(Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key)?)))
}
