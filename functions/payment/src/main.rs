//! Runs the destination `payment` as a Lambda function.

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use handover::lambda::{on_unknown, seconds, variable};
use handover::{Error, run_external};
use payment::Payments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
    let payments = Payments {
        http: SharedHttpConnector::new(connector),
        url: variable("PROVIDER_URL")?,
        scope: variable("PROVIDER_KEY_SCOPE")?,
        token: variable("PROVIDER_TOKEN")?,
        timeout: seconds("PROVIDER_TIMEOUT_SECONDS")?,
        on_unknown: on_unknown("PROVIDER_UNKNOWN", seconds("PROVIDER_KEY_SECONDS")?)?,
    };
    run_external(payments).await
}
