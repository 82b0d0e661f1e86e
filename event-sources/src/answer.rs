//! What an invocation's answer says about the records of its batch.

use serde_json::Value;

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The function returned this payload.
    Returned(String),
    /// The function ran and failed: an error that it raised, a time-out, a crash.
    FunctionError,
    /// No answer of the function came back: Lambda throttled or refused the invocation, or
    /// the call to Lambda failed.
    NotInvoked,
}

/// What an answer says about a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How many records at the beginning have succeeded. All from there on have failed, whatever
    /// the function says of them, because a shard has one checkpoint only.
    pub succeeded: usize,
    /// How the others have failed; `None` if there are no others.
    pub failure: Option<Failure>,
}

/// How records have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The function did not get them.
    NotInvoked,
    /// It failed as a whole.
    FunctionError,
    /// It returned, and reported them.
    Reported {
        /// There were others before them, which have succeeded.
        progress: bool,
    },
}

impl Answer {
    /// How many records at the beginning of a batch have succeeded by this answer, where
    /// `report_batch_item_failures` says whether the mapping has ReportBatchItemFailures.
    pub fn succeeded(&self, batch: &[String], report_batch_item_failures: bool) -> usize {
        let numbers: Vec<&str> = batch.iter().map(String::as_str).collect();
        self.judge(&numbers, report_batch_item_failures).succeeded
    }

    pub(crate) fn judge(&self, sequence_numbers: &[&str], report_batch_item_failures: bool) -> Verdict {
        let all = sequence_numbers.len();
        let payload = match self {
            Self::NotInvoked => return Verdict { succeeded: 0, failure: Some(Failure::NotInvoked) },
            Self::FunctionError => return Verdict { succeeded: 0, failure: Some(Failure::FunctionError) },
            Self::Returned(_) if !report_batch_item_failures => {
                return Verdict { succeeded: all, failure: None };
            }
            Self::Returned(payload) => payload,
        };
        let succeeded = before_lowest_failure(payload, sequence_numbers).unwrap_or(0);
        let failure = (succeeded < all).then_some(Failure::Reported { progress: succeeded > 0 });
        Verdict { succeeded, failure }
    }
}

/// `None` where the payload names no record of the batch as it should, which fails the batch.
fn before_lowest_failure(payload: &str, sequence_numbers: &[&str]) -> Option<usize> {
    let all = sequence_numbers.len();
    if payload.trim().is_empty() {
        return Some(all);
    }
    let failures = match serde_json::from_str(payload).ok()? {
        Value::Null => return Some(all),
        Value::Object(mut response) => response.remove("batchItemFailures"),
        _ => return None,
    };
    match failures {
        None | Some(Value::Null) => Some(all),
        Some(Value::Array(failures)) => failures.iter().try_fold(all, |lowest, failure| {
            let failed = failure.get("itemIdentifier")?.as_str()?;
            let position = sequence_numbers.iter().position(|n| *n == failed)?;
            Some(lowest.min(position))
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

    fn reported(payload: &str) -> usize {
        let Verdict { succeeded, failure } = Answer::Returned(payload.into()).judge(&BATCH, true);
        let expected = (succeeded < 3).then_some(Failure::Reported { progress: succeeded > 0 });
        assert_eq!(failure, expected);
        succeeded
    }

    // Section "Success and failure conditions": an empty or null list, an empty or null
    // response.
    #[test]
    fn an_answer_without_failures_is_a_complete_success() {
        for payload in [r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#, "{}", "null", ""] {
            assert_eq!(reported(payload), 3, "{payload}");
        }
    }

    // Section "Success and failure conditions": an empty or null identifier, a bad key name.
    // That an unknown identifier and an answer that cannot be read fail the batch too is the
    // cautious reading: to take them for success would lose records.
    #[test]
    fn an_answer_that_names_no_record_is_a_complete_failure() {
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
            assert_eq!(reported(payload), 0, "{payload}");
        }
    }

    // Section "Report syntax": of several, the lowest sequence number is the checkpoint.
    #[test]
    fn records_before_the_lowest_failure_have_succeeded() {
        let lowest_last = r#"{"batchItemFailures":[{"itemIdentifier":"103"},{"itemIdentifier":"102"}]}"#;
        assert_eq!(reported(lowest_last), 1);
        assert_eq!(reported(r#"{"batchItemFailures":[{"itemIdentifier":"101"}]}"#), 0);
    }

    // Introduction, note: a partial response counts only where the mapping asks for it.
    #[test]
    fn without_report_batch_item_failures_the_payload_is_not_read() {
        let payload = r#"{"batchItemFailures":[{"itemIdentifier":"101"}]}"#;
        let answer = Answer::Returned(payload.into());
        assert_eq!(answer.judge(&BATCH, false), Verdict { succeeded: 3, failure: None });
    }

    // "How Lambda processes records from stream and queue-based event sources": after an error
    // the whole batch is processed again.
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
    #[test]
    fn an_error_fails_the_whole_batch() {
        let failures =
            [(Answer::FunctionError, Failure::FunctionError), (Answer::NotInvoked, Failure::NotInvoked)];
        for (answer, failure) in failures {
            for report in [false, true] {
                let expected = Verdict { succeeded: 0, failure: Some(failure) };
                assert_eq!(answer.judge(&BATCH, report), expected);
            }
        }
    }
}
