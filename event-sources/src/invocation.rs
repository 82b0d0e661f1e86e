//! The outcome of an invocation, and what it says about the records of the batch.

use serde_json::Value;

/// How an invocation of the function ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvocationOutcome {
    /// The function returned this payload.
    Returned(String),
    /// The function ran and failed: it raised an error, timed out or crashed.
    FunctionError,
    /// The function did not run, as far as the driver knows: Lambda throttled or rejected the
    /// invocation, or the call of Lambda failed.
    NotInvoked,
}

/// What an invocation means for its batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BatchOutcome {
    /// Every record has succeeded.
    Succeeded,
    /// The records before `index` have succeeded. All others have failed, whatever the function
    /// reports about them, because a shard has a single checkpoint.
    FailedFrom { index: usize, failure: BatchFailure },
}

/// How the records of a batch have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchFailure {
    /// The function did not get the records.
    NotInvoked,
    /// The function failed as a whole.
    FunctionError,
    /// The function returned and reported batch item failures.
    Reported {
        /// Whether records before the lowest reported one have succeeded.
        progress: bool,
    },
}

impl InvocationOutcome {
    /// How many records at the start of a batch have succeeded. `batch` holds the sequence numbers
    /// of the batch, and `report_batch_item_failures` is the setting of the mapping.
    pub fn succeeded(&self, batch: &[String], report_batch_item_failures: bool) -> usize {
        let sequence_numbers: Vec<&str> = batch.iter().map(String::as_str).collect();
        match self.for_batch(&sequence_numbers, report_batch_item_failures) {
            BatchOutcome::Succeeded => batch.len(),
            BatchOutcome::FailedFrom { index, .. } => index,
        }
    }

    pub(crate) fn for_batch(
        &self,
        sequence_numbers: &[&str],
        report_batch_item_failures: bool,
    ) -> BatchOutcome {
        let payload = match self {
            Self::NotInvoked => {
                return BatchOutcome::FailedFrom { index: 0, failure: BatchFailure::NotInvoked };
            }
            Self::FunctionError => {
                return BatchOutcome::FailedFrom { index: 0, failure: BatchFailure::FunctionError };
            }
            Self::Returned(_) if !report_batch_item_failures => return BatchOutcome::Succeeded,
            Self::Returned(payload) => payload,
        };
        let index = lowest_failure(payload, sequence_numbers).unwrap_or(0);
        if index == sequence_numbers.len() {
            return BatchOutcome::Succeeded;
        }
        BatchOutcome::FailedFrom { index, failure: BatchFailure::Reported { progress: index > 0 } }
    }
}

/// The index of the lowest record that the function reports as failed, or the length of the batch
/// if it reports none. `None` if the payload is not a valid report, which fails the whole batch.
fn lowest_failure(payload: &str, sequence_numbers: &[&str]) -> Option<usize> {
    let none_failed = sequence_numbers.len();
    if payload.trim().is_empty() {
        return Some(none_failed);
    }
    let failures = match serde_json::from_str(payload).ok()? {
        Value::Null => return Some(none_failed),
        Value::Object(mut response) => response.remove("batchItemFailures"),
        _ => return None,
    };
    match failures {
        None | Some(Value::Null) => Some(none_failed),
        Some(Value::Array(failures)) => failures.iter().try_fold(none_failed, |lowest, failure| {
            let failed = failure.get("itemIdentifier")?.as_str()?;
            let index = sequence_numbers.iter().position(|number| *number == failed)?;
            Some(lowest.min(index))
        }),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    // "Configuring partial batch response with Kinesis Data Streams and Lambda",
    // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    // and the same for DynamoDB,
    // https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html

    use super::*;

    const BATCH: [&str; 3] = ["101", "102", "103"];

    /// How many records of the batch have succeeded.
    fn succeeded(payload: &str) -> usize {
        match InvocationOutcome::Returned(payload.into()).for_batch(&BATCH, true) {
            BatchOutcome::Succeeded => 3,
            BatchOutcome::FailedFrom { index, failure } => {
                assert!(index < 3);
                assert_eq!(failure, BatchFailure::Reported { progress: index > 0 });
                index
            }
        }
    }

    // Section "Success and failure conditions": an empty or null list, an empty or null
    // response.
    #[test]
    fn a_response_without_failures_is_a_complete_success() {
        for payload in [r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#, "{}", "null", ""] {
            assert_eq!(succeeded(payload), 3, "{payload}");
        }
    }

    // Section "Success and failure conditions": an empty or null identifier, a bad key name.
    // The page does not mention an unknown identifier or a response that cannot be read. Here they
    // fail the batch, too: as a success they would lose records.
    #[test]
    fn a_response_that_names_no_record_is_a_complete_failure() {
        for payload in [
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"identifier":"102"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"103"},{"itemIdentifier":"999"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":103}]}"#,
            r#"{"batchItemFailures":"103"}"#,
            r#"["103"]"#,
            r#"{"batchItemFail"#,
        ] {
            assert_eq!(succeeded(payload), 0, "{payload}");
        }
    }

    // Section "Report syntax": Lambda takes the lowest sequence number as the checkpoint.
    #[test]
    fn records_before_the_lowest_failure_have_succeeded() {
        let lowest_last = r#"{"batchItemFailures":[{"itemIdentifier":"103"},{"itemIdentifier":"102"}]}"#;
        assert_eq!(succeeded(lowest_last), 1);
        assert_eq!(succeeded(r#"{"batchItemFailures":[{"itemIdentifier":"101"}]}"#), 0);
    }

    // Introduction, note: without ReportBatchItemFailures, Lambda ignores a partial response.
    #[test]
    fn without_report_batch_item_failures_the_payload_is_not_read() {
        let payload = r#"{"batchItemFailures":[{"itemIdentifier":"101"}]}"#;
        let outcome = InvocationOutcome::Returned(payload.into());
        assert_eq!(outcome.for_batch(&BATCH, false), BatchOutcome::Succeeded);
    }

    // "How Lambda processes records from stream and queue-based event sources": after an error
    // the whole batch is processed again.
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
    #[test]
    fn an_error_fails_the_whole_batch() {
        let failures = [
            (InvocationOutcome::FunctionError, BatchFailure::FunctionError),
            (InvocationOutcome::NotInvoked, BatchFailure::NotInvoked),
        ];
        for (outcome, failure) in failures {
            for report in [false, true] {
                let expected = BatchOutcome::FailedFrom { index: 0, failure };
                assert_eq!(outcome.for_batch(&BATCH, report), expected);
            }
        }
    }
}
