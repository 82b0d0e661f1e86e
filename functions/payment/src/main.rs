//! Runs the destination `payment` as a Lambda function.

use aws_sdk_secretsmanager::Client;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use handover::lambda::{on_unknown, seconds, start, variable};
use handover::{Error, run_external};
use payment::{Payments, Token, url};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let secrets = Client::new(&start()?);
    let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
    let payments = Payments {
        http: SharedHttpConnector::new(connector),
        url: url::checked(variable("PROVIDER_URL")?)?,
        scope: variable("PROVIDER_KEY_SCOPE")?,
        token: Token::read(secrets, variable("PROVIDER_TOKEN_SECRET")?).await,
        timeout: seconds("PROVIDER_TIMEOUT_SECONDS")?,
        on_unknown: on_unknown("PROVIDER_UNKNOWN", seconds("PROVIDER_KEY_SECONDS")?)?,
    };
    run_external(payments).await
}
