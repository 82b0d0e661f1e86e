//! The bearer token for a provider: a secret in Secrets Manager, as plain text.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use handover::{Failure, Fault};
use tokio::time::timeout;

/// How often a token is read again that the provider refuses, or that could not be read. Many calls of a batch need it
/// at once.
const READ_EVERY: Duration = Duration::from_secs(10);
/// Longest time of that: it is a part of a call's own time.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// Longest time to read it at the start, for which Lambda leaves 10 s in all.
const READ_AT_START_WITHIN: Duration = Duration::from_secs(5);

/// The token, and the secret that it was read from.
pub struct Token {
    secret: Secret,
    known: Mutex<Known>,
}

/// Where the token is kept.
struct Secret {
    client: Client,
    /// The environment variable that names the secret, for errors.
    variable: &'static str,
    arn: String,
}

struct Known {
    /// The token, or why there is none.
    value: Result<String, String>,
    read_at: Instant,
    is_refused: bool,
}

impl Token {
    /// Reads the token of the secret with this ARN, which this environment variable has. Where the ARN is empty, the
    /// provider takes no token. A function whose token cannot be read starts all the same: else each batch failed as a
    /// whole, and notifications were lost that only had to wait.
    pub async fn read(client: Client, variable: &'static str, arn: String) -> Option<Token> {
        if arn.is_empty() {
            return None;
        }
        let secret = Secret { client, variable, arn };
        let value = secret.value_within(READ_AT_START_WITHIN).await;
        if let Err(error) = &value {
            tracing::error!(error, "no call is made until the token can be read");
        }
        let known = Known { value, read_at: Instant::now(), is_refused: false };
        Some(Token { secret, known: Mutex::new(known) })
    }

    /// The header `authorization`, with the token as it was read last.
    pub(crate) async fn authorization(&self) -> Result<String, Failure> {
        self.read_if_needed().await;
        match &self.known().value {
            Ok(value) => Ok(format!("Bearer {value}")),
            Err(error) => Err(Failure::misconfigured(error)),
        }
    }

    /// Notes that the provider refuses the token: it may have been rotated.
    pub(crate) fn refused(&self) {
        self.known().is_refused = true;
    }

    /// Reads a token again that was refused, before the next call: the answer to the last one must not wait for it.
    /// Where that fails, the token that was read before may still be right.
    async fn read_if_needed(&self) {
        {
            let mut known = self.known();
            let is_needed = known.is_refused || known.value.is_err();
            if !is_needed || known.read_at.elapsed() < READ_EVERY {
                return;
            }
            (known.is_refused, known.read_at) = (false, Instant::now());
        }
        let value = self.secret.value_within(READ_WITHIN).await;
        if let Err(error) = &value {
            tracing::warn!(error, "the token is not read again");
        }
        let mut known = self.known();
        if value.is_ok() || known.value.is_err() {
            known.value = value;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What a panic leaves behind is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secret {
    /// The token, or why there is none.
    async fn value_within(&self, limit: Duration) -> Result<String, String> {
        let read = self.client.get_secret_value().secret_id(&self.arn).send();
        match timeout(limit, read).await {
            Err(_) => self.problem("cannot be read: Secrets Manager does not answer"),
            Ok(Err(error)) => {
                let fault = Fault::from_sdk("GetSecretValue", &error);
                self.problem(&format!("cannot be read ({fault})"))
            }
            Ok(Ok(read)) => match read.secret_string.filter(|value| is_token(value)) {
                Some(value) => Ok(value),
                None => self.problem(
                    "is not a token: it may hold letters, digits and -._~+/= only, and no newline at its end; store it as plain text",
                ),
            },
        }
    }

    fn problem(&self, problem: &str) -> Result<String, String> {
        let Secret { variable, arn, .. } = self;
        Err(format!("the environment variable {variable} names the secret {arn}, which {problem}"))
    }
}

/// Whether it is a bearer token (RFC 6750, section 2.1). JSON is none, and neither is a line.
fn is_token(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use serde_json::json;

    use super::*;

    /// Secrets Manager with one secret: its value, which may be read unless it is empty, and how often it was read.
    #[derive(Clone, Debug)]
    pub(crate) struct Secrets(Arc<Mutex<(String, u32)>>);

    impl HttpConnector for Secrets {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let mut secret = self.0.lock().unwrap();
            secret.1 += 1;
            let (status, body) = match secret.0.as_str() {
                "" => (400, json!({ "__type": "AccessDeniedException", "Message": "not allowed" })),
                value => (200, json!({ "SecretString": value })),
            };
            let body = SdkBody::from(body.to_string());
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body)))
        }
    }

    impl Secrets {
        pub(crate) fn with(value: &str) -> Secrets {
            Secrets(Arc::new(Mutex::new((value.to_owned(), 0))))
        }

        pub(crate) fn set(&self, value: &str) {
            self.0.lock().unwrap().0 = value.to_owned();
        }

        pub(crate) fn reads(&self) -> u32 {
            self.0.lock().unwrap().1
        }

        pub(crate) async fn token(&self) -> Token {
            let secrets = self.clone();
            let config = aws_sdk_secretsmanager::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static("us-east-1"))
                .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
                .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(secrets.clone())));
            let client = Client::from_conf(config.build());
            Token::read(client, "PROVIDER_TOKEN_SECRET", "arn:the-secret".into()).await.unwrap()
        }
    }

    impl Token {
        /// As if it had been read long enough ago to be read again.
        pub(crate) fn age(&self) {
            self.known().read_at -= READ_EVERY;
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_no_token_is_an_error_that_names_it_and_does_not_quote_it() {
        for value in ["", "t0ken\n", "t0 ken", "t0k\u{e9}n", r#"{"token":"t0ken"}"#] {
            let error = Secrets::with(value).token().await.known().value.clone().expect_err(value);
            assert!(error.contains("PROVIDER_TOKEN_SECRET") && error.contains("arn:the-secret"), "{error}");
            assert!(!error.contains("t0"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_read_again_but_not_for_each_call() {
        let secrets = Secrets::with("sk_one-1.2~3+4/5==");
        let token = secrets.token().await;
        let sends =
            async |value: &str| assert_eq!(token.authorization().await, Ok(format!("Bearer {value}")));
        secrets.set("two");
        token.refused();
        sends("sk_one-1.2~3+4/5==").await; // It was read just now.
        token.age();
        sends("two").await;
        sends("two").await;
        assert_eq!(secrets.reads(), 2);
        for unusable in ["three\n", ""] {
            secrets.set(unusable);
            token.refused();
            token.age();
            sends("two").await; // What is no token is not sent.
        }
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_read_at_the_start_is_read_later() {
        let secrets = Secrets::with("");
        let token = secrets.token().await;
        let held_up = token.authorization().await.unwrap_err();
        let error = "the environment variable PROVIDER_TOKEN_SECRET names the secret arn:the-secret, which cannot be read (GetSecretValue: denied (AccessDeniedException: not allowed); check the credentials, the role and the environment)";
        assert_eq!(held_up, Failure::misconfigured(error));
        assert_eq!(secrets.reads(), 1, "it was read just now");
        token.age();
        secrets.set("no token\n");
        let other = token.authorization().await.unwrap_err();
        assert_ne!(other, held_up, "the last problem");
        secrets.set("one");
        assert_eq!(token.authorization().await, Err(other));
        token.age();
        assert_eq!(token.authorization().await, Ok("Bearer one".to_owned()));
        assert_eq!(secrets.reads(), 3);
    }
}
