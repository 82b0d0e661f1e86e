//! A provider, as a destination reaches it.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use handover::lambda::{on_unknown, seconds, start, variable};
use handover::{Error, Notification, OnUnknown};
use serde::Serialize;

use crate::answer::Answer;
use crate::request::{NoAnswer, connector, get, post, send};
use crate::token::Token;
use crate::url;

/// The variable with the provider's URL.
const URL: &str = "PROVIDER_URL";
/// The variable with the ARN of the secret that has the token.
const TOKEN_SECRET: &str = "PROVIDER_TOKEN_SECRET";

/// A provider, and how it is called.
pub struct Provider {
    /// The SDK's HTTP client, so that the function needs no second one.
    pub http: SharedHttpConnector,
    /// The provider's URL, before the path of a request; see [`checked`](url::checked).
    pub url: String,
    /// What its idempotency keys are derived from, beside the notification: the stack and the destination, so
    /// that two of them can have one account at the provider.
    pub scope: String,
    /// The bearer token, if the provider takes one.
    pub token: Option<Token>,
    /// Longest time of a call.
    pub timeout: Duration,
    /// What follows when the outcome of a call is unknown.
    pub on_unknown: OnUnknown,
}

impl Provider {
    /// The provider that the environment names: `PROVIDER_URL`, `PROVIDER_KEY_SCOPE`, `PROVIDER_TOKEN_SECRET` (empty
    /// where it takes no token), `PROVIDER_TIMEOUT_SECONDS`, `PROVIDER_UNKNOWN` (`retry`, `ask` or `escalate`) and
    /// `PROVIDER_KEY_SECONDS`.
    ///
    /// # Errors
    /// When one is missing or not valid.
    pub async fn from_environment() -> Result<Provider, Error> {
        let secrets = Client::new(&start()?);
        Ok(Provider {
            http: connector(),
            url: url::checked(URL, variable(URL)?)?,
            scope: variable("PROVIDER_KEY_SCOPE")?,
            token: Token::read(secrets, TOKEN_SECRET, variable(TOKEN_SECRET)?).await,
            timeout: seconds("PROVIDER_TIMEOUT_SECONDS")?,
            on_unknown: on_unknown("PROVIDER_UNKNOWN", seconds("PROVIDER_KEY_SECONDS")?)?,
        })
    }

    /// The idempotency key of every call for a notification.
    pub fn key<T>(&self, notification: &Notification<T>) -> String {
        notification.key().idempotency_key(&self.scope)
    }

    /// Posts this body for a notification to a path, such as `/payments`.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn post<T>(
        &self,
        path: &str,
        notification: &Notification<T>,
        body: &impl Serialize,
    ) -> Result<Answer, NoAnswer> {
        let post = post(format!("{}{path}", self.url), self.key(notification), body)?;
        send(&self.http, self.token.as_ref(), post).await
    }

    /// Gets a path.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn get(&self, path: &str) -> Result<Answer, NoAnswer> {
        send(&self.http, self.token.as_ref(), get(format!("{}{path}", self.url))?).await
    }
}
