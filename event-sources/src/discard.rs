//! Records that are discarded: given up without success.

use std::time::Duration;

use crate::batch::BatchId;

/// Records of the shard that will not be delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discard {
    /// For [`Input::Discarded`](crate::Input::Discarded).
    pub id: BatchId,
    /// Why the records are discarded.
    pub reason: DiscardReason,
    /// How often the function has run with the first of the records.
    pub invocations: u32,
    /// The sequence numbers of the records, in the order of the shard. Never empty.
    pub sequence_numbers: Vec<String>,
    /// When the first of the records arrived in the stream.
    pub first_arrived_at: Duration,
    /// When the last of the records arrived in the stream.
    pub last_arrived_at: Duration,
}

/// Why records are discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscardReason {
    /// The last of MaximumRetryAttempts has failed.
    RetryAttemptsExhausted {
        /// Whether the last invocation ended with a function error. If not, it reported batch item
        /// failures.
        function_error: bool,
    },
    /// The records are older than MaximumRecordAgeInSeconds or the stream's retention period.
    RecordAgeExceeded,
}

impl DiscardReason {
    /// AWS's name for the reason: `requestContext.condition` of the invocation record.
    pub fn condition(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted { .. } => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
        }
    }
}
