//! The records of an invocation's payload, as AWS documents them for each kind of stream.

pub mod dynamodb;
pub mod kinesis;

use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;

/// The kinds of streams that an event source mapping reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A DynamoDB stream.
    DynamoDb,
    /// A Kinesis data stream.
    Kinesis,
}

impl Source {
    /// The property under which filter patterns find a record's data.
    pub(crate) fn data_property(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Kinesis => "data",
        }
    }
}

/// The time since the Unix epoch.
fn since_epoch(time: &DateTime) -> Option<Duration> {
    Some(Duration::new(u64::try_from(time.secs()).ok()?, time.subsec_nanos()))
}
