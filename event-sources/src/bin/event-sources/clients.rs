//! The clients of the local AWS.

use std::time::Duration;

use anyhow::{Result, bail};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;

/// The time limit of a call to a stream or a queue.
const CALL_MAX: Duration = Duration::from_secs(30);

/// The time limit of an invocation: Lambda's own limit of 15 minutes, and a minute to spare.
const INVOCATION_MAX: Duration = Duration::from_secs(16 * 60);

/// The SDK's clients, built once.
#[derive(Debug, Clone)]
pub struct Clients {
    pub dynamodb_streams: aws_sdk_dynamodbstreams::Client,
    pub kinesis: aws_sdk_kinesis::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub sqs: aws_sdk_sqs::Client,
}

impl Clients {
    /// Builds the clients from the environment, which must name a local AWS.
    pub async fn from_env() -> Result<Self> {
        let config = aws_config::defaults(BehaviorVersion::latest());
        // Without TLS: a local AWS serves plain HTTP.
        let config = config.http_client(Builder::new().build_http()).load().await;
        if config.endpoint_url().is_none() {
            bail!(
                "AWS_ENDPOINT_URL is not set: set it to the endpoint of the local AWS (on AWS, Lambda \
                 serves the mappings itself)"
            );
        }
        Ok(Self::new(&config))
    }

    fn new(config: &SdkConfig) -> Self {
        let time_limit = |limit| TimeoutConfig::builder().operation_timeout(limit).build();
        let calls = config.to_builder().timeout_config(time_limit(CALL_MAX)).build();
        // The SDK must not retry an invocation, because the engine counts and decides retries.
        let lambda = config
            .to_builder()
            .timeout_config(time_limit(INVOCATION_MAX))
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            dynamodb_streams: aws_sdk_dynamodbstreams::Client::new(&calls),
            kinesis: aws_sdk_kinesis::Client::new(&calls),
            lambda: aws_sdk_lambda::Client::new(&lambda),
            sqs: aws_sdk_sqs::Client::new(&calls),
        }
    }
}
