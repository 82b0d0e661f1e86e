//! Serves all mappings until it is told to stop.

use std::time::Duration;

use anyhow::{Result, bail};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use event_sources::Lineage;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::args::Args;
use crate::mapping::{self, Mapping};
use crate::reader::Reader;
use crate::shard_poller::ShardPoller;
use crate::stream::Stream;

/// The pause between two looks for new shards of a stream.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// How long invocations under way may take after the signal to stop.
const STOP_GRACE: Duration = Duration::from_millis(1500);

/// The longest call of a stream's or a queue's API.
const CALL_MAX: Duration = Duration::from_secs(30);

/// The longest invocation: Lambda's own limit of 15 minutes, and a minute on the way.
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
    fn new(config: &SdkConfig) -> Self {
        let longest = |duration| TimeoutConfig::builder().operation_timeout(duration).build();
        let calls = config.to_builder().timeout_config(longest(CALL_MAX)).build();
        // Each invocation counts: the engine decides whether there is another.
        let lambda = config
            .to_builder()
            .timeout_config(longest(INVOCATION_MAX))
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

/// Finds the mappings, polls their streams, and returns after SIGTERM or SIGINT.
pub async fn run(args: &Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut pollers = JoinSet::new();
    let (stop, stopped) = watch::channel(false);

    tokio::select! {
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        started = start(args, &mut pollers, &stopped) => started?,
    }
    println!("ready: {} mappings", pollers.len());

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Some(ended) = pollers.join_next() => bail!("a poll loop has ended: {ended:?}"),
    }
    info!("stopping");
    stop.send_replace(true);
    let ended = async { while pollers.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, ended).await.is_err() {
        warn!("invocations were still under way; their records will come again");
    }
    Ok(())
}

async fn start(args: &Args, pollers: &mut JoinSet<()>, stopped: &watch::Receiver<bool>) -> Result<()> {
    let config = aws_config::defaults(BehaviorVersion::latest());
    // A local AWS speaks plain HTTP.
    let config = config.http_client(Builder::new().build_http()).load().await;
    if config.endpoint_url().is_none() {
        bail!(
            "AWS_ENDPOINT_URL is not set; it names the local AWS to serve (on AWS itself, Lambda \
             serves the mappings)"
        );
    }
    let clients = Clients::new(&config);
    let mappings = mapping::find(&clients.lambda, args).await?;
    for mut mapping in mappings {
        let stream = Stream::open(&clients, &mapping).await?;
        if let Some(retention) = stream.retention() {
            mapping.settings.retention = retention;
        }
        let poll_interval = Duration::from_millis(args.poll_interval_ms);
        let clients = clients.clone();
        pollers.spawn(poll(mapping, stream, clients, poll_interval, stopped.clone()));
    }
    Ok(())
}

/// Polls every shard of one mapping's stream, each in a task of its own.
async fn poll(
    mapping: Mapping,
    stream: Stream,
    clients: Clients,
    poll_interval: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut lineage = Lineage::default();
    let mut shards = JoinSet::new();
    loop {
        match stream.shards().await {
            Ok(listed) => {
                for shard_id in lineage.begin(&listed) {
                    let reader = Reader::new(stream.clone(), shard_id.clone(), poll_interval);
                    let poller = ShardPoller::new(mapping.clone(), shard_id, clients.clone(), reader);
                    shards.spawn(poller.run(stop.clone()));
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                warn!(stream = mapping.stream.arn, error, "cannot list shards");
            }
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = shards.join_next() => {
                if let Some(drained) = ended.expect("a shard's poll loop does not panic") {
                    lineage.drained(drained);
                }
            }
            () = sleep(DISCOVERY_INTERVAL) => {}
        }
    }
    while shards.join_next().await.is_some() {}
}
