//! A DynamoDB stream.

use anyhow::{Context, Result};
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use event_sources::ShardInfo;
use event_sources::event::dynamodb::{self, Origin};

use super::page::Page;
use crate::clients::Clients;
use crate::mapping::Mapping;

#[derive(Debug, Clone)]
pub struct DynamoDbStream {
    client: Client,
    origin: Origin,
}

impl DynamoDbStream {
    pub fn new(clients: &Clients, mapping: &Mapping) -> Self {
        Self {
            client: clients.dynamodb_streams.clone(),
            origin: Origin {
                aws_region: mapping.stream.region.clone(),
                event_source_arn: mapping.stream.arn.clone(),
            },
        }
    }

    pub async fn shards(&self) -> Result<Vec<ShardInfo>> {
        let mut shards = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .client
                .describe_stream()
                .stream_arn(&self.origin.event_source_arn)
                .set_exclusive_start_shard_id(after)
                .send()
                .await?;
            let description = page.stream_description.context("DescribeStream returned no description")?;
            shards.extend(description.shards().iter().map(|shard| ShardInfo {
                id: shard.shard_id().unwrap_or_default().to_owned(),
                parents: shard.parent_shard_id().map(str::to_owned).into_iter().collect(),
            }));
            after = description.last_evaluated_shard_id;
            if after.is_none() {
                return Ok(shards);
            }
        }
    }

    pub async fn iterator(&self, shard_id: &str, after: Option<&str>) -> Result<String> {
        let from = match after {
            None => ShardIteratorType::TrimHorizon,
            Some(_) => ShardIteratorType::AfterSequenceNumber,
        };
        let request =
            self.client.get_shard_iterator().stream_arn(&self.origin.event_source_arn).shard_id(shard_id);
        let output = request
            .clone()
            .shard_iterator_type(from)
            .set_sequence_number(after.map(str::to_owned))
            .send()
            .await;
        let output = match output {
            // The records after the last one read have expired: continue with the oldest record.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_trimmed_data_access_exception()) =>
            {
                let oldest = request.shard_iterator_type(ShardIteratorType::TrimHorizon);
                oldest.send().await?
            }
            output => output?,
        };
        output.shard_iterator.context("GetShardIterator returned no iterator")
    }

    pub async fn page(&self, iterator: &str) -> Result<Page> {
        let request = self.client.get_records().shard_iterator(iterator);
        let page = request.send().await?;
        let records = page.records().iter();
        Ok(Page {
            records: records.filter_map(|record| dynamodb::record(record, &self.origin)).collect(),
            next_iterator: page.next_shard_iterator,
        })
    }
}
