//! Polls the stream of one mapping: every shard, as soon as the shard may start.

use std::time::Duration;

use event_sources::Lineage;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;

use crate::clients::Clients;
use crate::mapping::Mapping;
use crate::reader::Reader;
use crate::shard_poller::{ShardEnd, ShardPoller};
use crate::stream::Stream;

/// The pause between two calls that list the shards of a stream.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// Polls each shard in a task of its own, until `stop` becomes true and all tasks have ended.
pub async fn poll(
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
                for shard_id in lineage.start(&listed) {
                    let reader = Reader::new(stream.clone(), shard_id.clone(), poll_interval);
                    let poller = ShardPoller::new(mapping.clone(), shard_id, clients.clone(), reader);
                    shards.spawn(poller.run(stop.clone()));
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                warn!(stream = mapping.stream.arn, error, "cannot list the shards");
            }
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = shards.join_next() => match ended.expect("a shard's poller does not panic") {
                ShardEnd::Drained { shard_id } => lineage.drained(shard_id),
                ShardEnd::Stopped => {}
            },
            () = sleep(DISCOVERY_INTERVAL) => {}
        }
    }
    while shards.join_next().await.is_some() {}
}
