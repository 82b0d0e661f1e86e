//! The bearer token for the provider: a secret in Secrets Manager, as plain text.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use handover::{Error, Fault};
use tokio::time::timeout;

/// How often a token is read again that the provider refuses. Many calls of a batch are refused at once.
const READ_EVERY: Duration = Duration::from_secs(10);
/// Longest time of that: it is a part of a call's own time.
const READ_WITHIN: Duration = Duration::from_secs(1);

/// The token, and the secret that it was read from.
pub struct Token {
    client: Client,
    /// The secret's ARN.
    secret: String,
    known: Mutex<Known>,
}

struct Known {
    value: String,
    read_at: Instant,
    is_refused: bool,
}

impl Token {
    /// Reads the token of this secret. Where none is named, the provider takes none.
    ///
    /// # Errors
    /// When the secret cannot be read, or is no token.
    pub async fn read(client: Client, secret: String) -> Result<Option<Token>, Error> {
        if secret.is_empty() {
            return Ok(None);
        }
        let value = value(&client, &secret).await?;
        let known = Known { value, read_at: Instant::now(), is_refused: false };
        Ok(Some(Token { client, secret, known: Mutex::new(known) }))
    }

    /// The header `authorization`.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.known().value)
    }

    /// Notes that the provider refuses the token: it may have been rotated.
    pub(crate) fn refused(&self) {
        self.known().is_refused = true;
    }

    /// Reads a token again that was refused, before the next call: the answer to the last one must not wait for it.
    pub(crate) async fn read_if_refused(&self) {
        {
            let mut known = self.known();
            if !known.is_refused || known.read_at.elapsed() < READ_EVERY {
                return;
            }
            (known.is_refused, known.read_at) = (false, Instant::now());
        }
        match timeout(READ_WITHIN, value(&self.client, &self.secret)).await {
            Ok(Ok(value)) => self.known().value = value,
            Ok(Err(error)) => tracing::warn!(%error, "the token is not read again"),
            Err(_) => tracing::warn!("the token is not read again: Secrets Manager does not answer"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What a panic leaves behind is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn value(client: &Client, secret: &str) -> Result<String, Error> {
    let read = client.get_secret_value().secret_id(secret).send().await;
    let read = read.map_err(|error| {
        let fault = Fault::from_sdk("GetSecretValue", &error);
        problem(secret, &format!("cannot be read ({fault})"))
    })?;
    let value = read.secret_string.filter(|value| is_token(value));
    value.ok_or_else(|| {
        problem(
            secret,
            "is not a token: it may hold letters, digits and -._~+/= only, and no newline at its end; store it as plain text",
        )
    })
}

fn problem(secret: &str, problem: &str) -> Error {
    Error::Invalid {
        name: "PROVIDER_TOKEN_SECRET",
        problem: format!("names the secret {secret}, which {problem}"),
    }
}

/// Whether it is a bearer token (RFC 6750, section 2.1). JSON is none, and neither is a line.
fn is_token(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use serde_json::json;

    use super::*;

    /// Secrets Manager with one secret: its value, and how often it was read.
    #[derive(Clone, Debug)]
    struct Secrets(Arc<Mutex<(String, u32)>>);

    impl HttpConnector for Secrets {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let mut secret = self.0.lock().unwrap();
            secret.1 += 1;
            let body = SdkBody::from(json!({ "SecretString": secret.0 }).to_string());
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), body)))
        }
    }

    impl Secrets {
        fn with(value: &str) -> Secrets {
            Secrets(Arc::new(Mutex::new((value.to_owned(), 0))))
        }

        async fn token(&self) -> Result<Option<Token>, Error> {
            let secrets = self.clone();
            let config = aws_sdk_secretsmanager::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static("us-east-1"))
                .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
                .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(secrets.clone())));
            Token::read(Client::from_conf(config.build()), "arn:the-secret".into()).await
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_no_token_is_an_error_that_names_it_and_does_not_quote_it() {
        for value in ["", "t0ken\n", "t0 ken", "t0k\u{e9}n", r#"{"token":"t0ken"}"#] {
            let error = Secrets::with(value).token().await.err().expect(value).to_string();
            assert!(error.contains("PROVIDER_TOKEN_SECRET") && error.contains("arn:the-secret"), "{error}");
            assert!(!error.contains("t0"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_read_again_but_not_for_each_call() {
        let secrets = Secrets::with("sk_one-1.2~3+4/5==");
        let token = secrets.token().await.unwrap().unwrap();
        assert_eq!(token.authorization(), "Bearer sk_one-1.2~3+4/5==");
        secrets.0.lock().unwrap().0 = "two".into();
        token.refused();
        token.read_if_refused().await;
        assert_eq!(token.authorization(), "Bearer sk_one-1.2~3+4/5==", "it was read just now");
        token.known().read_at -= READ_EVERY;
        token.read_if_refused().await;
        token.read_if_refused().await;
        assert_eq!((token.authorization().as_str(), secrets.0.lock().unwrap().1), ("Bearer two", 2));
        secrets.0.lock().unwrap().0 = "three\n".into();
        token.refused();
        token.known().read_at -= READ_EVERY;
        token.read_if_refused().await;
        assert_eq!(token.authorization(), "Bearer two", "what is no token is not sent");
    }
}
