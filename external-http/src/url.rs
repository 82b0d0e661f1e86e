//! A provider's URL. A token goes there, and what the provider is to do.

use std::net::IpAddr;

use handover::Error;

/// The URL, which this environment variable has, if what is sent there is encrypted or stays on the loopback interface.
///
/// # Errors
/// When it is not `https://…`, nor `http://…` with a loopback address.
pub fn checked(variable: &'static str, url: String) -> Result<String, Error> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match scheme {
        // What is before an `@` looks like the host, and is not.
        _ if authority.is_empty() || authority.contains('@') => Err(invalid(variable)),
        "https" => Ok(url),
        "http" if is_loopback(authority) => Ok(url),
        _ => Err(invalid(variable)),
    }
}

fn invalid(variable: &'static str) -> Error {
    let problem =
        "has to be https:// and a host, without a user; http:// is taken for a loopback address alone";
    Error::Invalid { name: variable.into(), problem: problem.into() }
}

fn is_loopback(authority: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => authority,
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_encrypted_or_of_this_machine() {
        let checked = |url: &str| checked("PROVIDER_URL", url.to_owned());
        let is_taken = |url: &str| checked(url).is_ok_and(|taken| taken == url);
        for url in [
            "https://provider.example",
            "https://provider.example:8443/v1",
            "http://127.0.0.1:5566",
            "http://127.8.8.8/v1",
            "http://[::1]:5566",
            "http://localhost",
        ] {
            assert!(is_taken(url), "{url}");
        }
        for url in [
            "",
            "provider.example",
            "https://",
            "https:///payments",
            "http://provider.example",
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1@provider.example",
            "https://user:secret@provider.example",
            "ftp://127.0.0.1",
        ] {
            assert!(!is_taken(url), "{url}");
        }
        let error = checked("http://user:secret@provider.example").unwrap_err().to_string();
        assert!(error.contains("PROVIDER_URL") && !error.contains("secret"), "{error}");
    }
}
