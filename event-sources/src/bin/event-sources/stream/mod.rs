//! The two kinds of streams, read through their public APIs.

mod dynamodb;
mod kinesis;

use std::time::Duration;

use anyhow::Result;
use event_sources::{Record, ShardInfo, Source};

use crate::mapping::Mapping;
use crate::poller::Clients;
use dynamodb::DynamoDbStream;
use kinesis::KinesisStream;

/// A stream, as one mapping reads it.
#[derive(Debug, Clone)]
pub enum Stream {
    DynamoDb(DynamoDbStream),
    Kinesis(KinesisStream),
}

/// What one GetRecords returned.
#[derive(Debug)]
pub struct Page {
    pub records: Vec<Record>,
    /// `None` at the end of a closed shard.
    pub next_iterator: Option<String>,
}

impl Stream {
    pub async fn open(clients: &Clients, mapping: &Mapping) -> Result<Self> {
        Ok(match mapping.stream.source {
            Source::DynamoDb => Self::DynamoDb(DynamoDbStream::new(clients, mapping)),
            Source::Kinesis => Self::Kinesis(KinesisStream::open(clients, mapping).await?),
        })
    }

    /// How long it keeps a record, if that is not what every stream of its kind does.
    pub fn retention(&self) -> Option<Duration> {
        match self {
            Self::DynamoDb(_) => None,
            Self::Kinesis(stream) => stream.retention(),
        }
    }

    /// Every shard that the stream lists, on all pages.
    pub async fn shards(&self) -> Result<Vec<ShardInfo>> {
        match self {
            Self::DynamoDb(stream) => stream.shards().await,
            Self::Kinesis(stream) => stream.shards().await,
        }
    }

    /// An iterator behind this sequence number, or at the oldest record.
    pub async fn iterator(&self, shard_id: &str, after: Option<&str>) -> Result<Option<String>> {
        match self {
            Self::DynamoDb(stream) => stream.iterator(shard_id, after).await,
            Self::Kinesis(stream) => stream.iterator(shard_id, after).await,
        }
    }

    pub async fn records(&self, shard_id: &str, iterator: &str) -> Result<Page> {
        match self {
            Self::DynamoDb(stream) => stream.records(iterator).await,
            Self::Kinesis(stream) => stream.records(shard_id, iterator).await,
        }
    }
}
