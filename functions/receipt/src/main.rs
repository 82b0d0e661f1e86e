//! Runs the destination `receipt` as a Lambda function.

use handover::lambda::{on_unknown, seconds, start, variable};
use handover::{Error, run_external};
use handover_external_http::secretsmanager::Client;
use handover_external_http::{Token, connector, url};
use receipt::Receipts;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (token, secrets) = ("PROVIDER_TOKEN_SECRET", Client::new(&start()?));
    let receipts = Receipts {
        http: connector(),
        url: url::checked("PROVIDER_URL", variable("PROVIDER_URL")?)?,
        scope: variable("PROVIDER_KEY_SCOPE")?,
        token: Token::read(secrets, token, variable(token)?).await,
        timeout: seconds("PROVIDER_TIMEOUT_SECONDS")?,
        on_unknown: on_unknown("PROVIDER_UNKNOWN", seconds("PROVIDER_KEY_SECONDS")?)?,
    };
    run_external(receipts).await
}
