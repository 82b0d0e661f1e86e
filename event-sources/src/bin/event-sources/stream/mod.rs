//! The two kinds of streams, read through their public APIs.

mod dynamodb;
mod kinesis;

mod page;

use std::time::Duration;

use anyhow::{Result, bail};
use event_sources::{ShardInfo, StreamKind};

use crate::clients::Clients;
use crate::mapping::Mapping;
use dynamodb::DynamoDbStream;
use kinesis::KinesisStream;
pub use page::Page;

/// The stream of one mapping.
#[derive(Debug, Clone)]
pub enum Stream {
    DynamoDb(DynamoDbStream),
    Kinesis(KinesisStream),
}

impl Stream {
    pub async fn open(clients: &Clients, mapping: &Mapping) -> Result<Self> {
        match mapping.stream.kind {
            StreamKind::DynamoDb => Ok(Self::DynamoDb(DynamoDbStream::new(clients, mapping))),
            StreamKind::Kinesis => Ok(Self::Kinesis(KinesisStream::open(clients, mapping).await?)),
            kind => bail!("cannot read {}: {kind:?} streams are not supported", mapping.stream.arn),
        }
    }

    /// How long the stream keeps a record. `None` means the default of [`event_sources::MappingSettings`].
    pub fn retention(&self) -> Option<Duration> {
        match self {
            Self::DynamoDb(_) => None,
            Self::Kinesis(stream) => stream.retention(),
        }
    }

    /// All shards that the stream lists.
    pub async fn shards(&self) -> Result<Vec<ShardInfo>> {
        match self {
            Self::DynamoDb(stream) => stream.shards().await,
            Self::Kinesis(stream) => stream.shards().await,
        }
    }

    /// An iterator that starts after this sequence number, or at the oldest record.
    pub async fn iterator(&self, shard_id: &str, after: Option<&str>) -> Result<String> {
        match self {
            Self::DynamoDb(stream) => stream.iterator(shard_id, after).await,
            Self::Kinesis(stream) => stream.iterator(shard_id, after).await,
        }
    }

    pub async fn page(&self, shard_id: &str, iterator: &str) -> Result<Page> {
        match self {
            Self::DynamoDb(stream) => stream.page(iterator).await,
            Self::Kinesis(stream) => stream.page(shard_id, iterator).await,
        }
    }
}
