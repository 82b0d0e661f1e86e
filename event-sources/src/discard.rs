//! Records that are given up.

use std::time::Duration;

use crate::batch::BatchId;

/// Records of the shard that will not be delivered any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discard {
    /// To be given back when it is done.
    pub id: BatchId,
    /// Why they are given up.
    pub reason: Reason,
    /// How often the function has run with the first of them.
    pub invocations: u32,
    /// Of the records, in their order; at least one.
    pub sequence_numbers: Vec<String>,
    /// When the first of them arrived in the stream.
    pub first_arrived_at: Duration,
    /// When the last of them arrived in the stream.
    pub last_arrived_at: Duration,
}

/// Why records are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// MaximumRetryAttempts is spent.
    RetryAttemptsExhausted {
        /// The last invocation ended in an error of the function; else it reported failures.
        function_error: bool,
    },
    /// They are older than MaximumRecordAgeInSeconds, or than the stream keeps records.
    RecordAgeExceeded,
}

impl Reason {
    /// AWS's word for it, `condition` in what the on-failure destination gets.
    pub fn condition(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted { .. } => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
        }
    }
}
