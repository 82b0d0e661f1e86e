//! A record of a stream, as the engine takes it.

use std::time::Duration;

use serde_json::Value;

/// The kinds of streams that an event source mapping can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamKind {
    /// A DynamoDB stream.
    DynamoDb,
    /// A Kinesis data stream.
    Kinesis,
}

/// A record that was read from a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub(crate) sequence_number: String,
    pub(crate) ordering_key: String,
    pub(crate) event: Value,
    /// `None` if the stream did not say.
    pub(crate) arrived_at: Option<Duration>,
}

impl Record {
    /// A record with its sequence number, its ordering key and the JSON that the function gets as
    /// one of the event's `Records`. [`event`](crate::event) builds all three from what the SDK
    /// returns.
    ///
    /// Records with the same ordering key are delivered in the order of the shard, whatever the
    /// ParallelizationFactor. It is the partition key in Kinesis and the item's key in DynamoDB.
    ///
    /// Without [`arrived_at`](Self::arrived_at), the record counts as having arrived when it was
    /// fetched.
    pub fn new(sequence_number: impl Into<String>, ordering_key: impl Into<String>, event: Value) -> Self {
        let (sequence_number, ordering_key) = (sequence_number.into(), ordering_key.into());
        Self { sequence_number, ordering_key, event, arrived_at: None }
    }

    /// Sets the time at which the record arrived in the stream, on the clock that
    /// [`Shard::handle`](crate::Shard::handle) is given.
    pub fn arrived_at(self, arrived_at: Option<Duration>) -> Self {
        Self { arrived_at, ..self }
    }

    /// The sequence number of the record in its shard.
    pub fn sequence_number(&self) -> &str {
        &self.sequence_number
    }
}
