//! A Kinesis data stream.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use event_sources::ShardInfo;
use event_sources::event::kinesis::{self, Origin};

use super::page::Page;
use crate::clients::Clients;
use crate::mapping::Mapping;

#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: Client,
    stream_name: String,
    /// `None` if the local AWS does not say.
    retention: Option<Duration>,
    aws_region: String,
    event_source_arn: String,
    /// The role of the function, which every record names.
    invoke_identity_arn: String,
}

impl KinesisStream {
    pub async fn open(clients: &Clients, mapping: &Mapping) -> Result<Self> {
        let function = clients
            .lambda
            .get_function_configuration()
            .function_name(&mapping.function_arn)
            .send()
            .await
            .with_context(|| format!("cannot read the function {}", mapping.function_arn))?;
        let stream = &mapping.stream;
        let summary = clients.kinesis.describe_stream_summary().stream_name(&stream.name).send().await;
        let summary = summary.with_context(|| format!("cannot describe the stream {}", stream.arn))?;
        let summary =
            summary.stream_description_summary.context("DescribeStreamSummary returned no description")?;
        let hours = u64::try_from(summary.retention_period_hours).ok().filter(|hours| *hours > 0);
        Ok(Self {
            client: clients.kinesis.clone(),
            stream_name: stream.name.clone(),
            retention: hours.map(|hours| Duration::from_secs(hours * 60 * 60)),
            aws_region: stream.region.clone(),
            event_source_arn: stream.arn.clone(),
            invoke_identity_arn: function.role.unwrap_or_default(),
        })
    }

    pub fn retention(&self) -> Option<Duration> {
        self.retention
    }

    pub async fn shards(&self) -> Result<Vec<ShardInfo>> {
        let mut shards = Vec::new();
        let mut next = None;
        loop {
            // Kinesis rejects a request with both a token and a name.
            let request = match next {
                None => self.client.list_shards().stream_name(&self.stream_name),
                Some(token) => self.client.list_shards().next_token(token),
            };
            let page = request.send().await?;
            shards.extend(page.shards().iter().map(|shard| {
                let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
                ShardInfo {
                    id: shard.shard_id().to_owned(),
                    parents: parents.into_iter().flatten().map(str::to_owned).collect(),
                }
            }));
            next = page.next_token;
            if next.is_none() {
                return Ok(shards);
            }
        }
    }

    pub async fn iterator(&self, shard_id: &str, after: Option<&str>) -> Result<String> {
        let from = match after {
            None => ShardIteratorType::TrimHorizon,
            Some(_) => ShardIteratorType::AfterSequenceNumber,
        };
        let output = self
            .client
            .get_shard_iterator()
            .stream_name(&self.stream_name)
            .shard_id(shard_id)
            .shard_iterator_type(from)
            .set_starting_sequence_number(after.map(str::to_owned))
            .send()
            .await?;
        output.shard_iterator.context("GetShardIterator returned no iterator")
    }

    pub async fn page(&self, shard_id: &str, iterator: &str) -> Result<Page> {
        let request = self.client.get_records().shard_iterator(iterator);
        let page = request.send().await?;
        let origin = Origin {
            aws_region: self.aws_region.clone(),
            event_source_arn: self.event_source_arn.clone(),
            shard_id: shard_id.to_owned(),
            invoke_identity_arn: self.invoke_identity_arn.clone(),
        };
        let records = page.records().iter();
        Ok(Page {
            records: records.map(|record| kinesis::record(record, &origin)).collect(),
            next_iterator: page.next_shard_iterator,
        })
    }
}
