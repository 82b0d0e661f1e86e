//! One invocation of the function.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use event_sources::{Answer, Batch};
use tracing::{debug, warn};

use crate::mapping::Mapping;

/// Invokes the function with the batch, once: whether to try again is for the engine to say.
/// Payloads are not logged, and of the function's answers only the first failure that it reports.
pub async fn invoke(lambda: &Client, mapping: &Mapping, shard_id: &str, batch: Batch) -> Answer {
    let function_arn = &mapping.function_arn;
    let records = batch.sequence_numbers.len();
    let attempt = batch.attempt;
    debug!(function_arn, shard_id, records, attempt, "invoking");
    let request = lambda
        .invoke()
        .function_name(function_arn)
        .invocation_type(InvocationType::RequestResponse)
        .payload(Blob::new(batch.payload));
    match request.send().await {
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            warn!(function_arn, shard_id, records, attempt, error, "not invoked");
            Answer::NotInvoked
        }
        Ok(answer) if answer.function_error().is_some() => {
            let error = answer.function_error();
            warn!(function_arn, shard_id, records, attempt, error, "function failed");
            Answer::FunctionError
        }
        Ok(answer) => {
            let payload = answer.payload().map_or(&[][..], |blob| blob.as_ref());
            let answer = Answer::Returned(String::from_utf8_lossy(payload).into_owned());
            let reports = mapping.settings.report_batch_item_failures;
            let succeeded = answer.succeeded(&batch.sequence_numbers, reports);
            if let Some(failed) = batch.sequence_numbers.get(succeeded) {
                debug!(function_arn, shard_id, records, attempt, succeeded, failed, "partial failure");
            }
            answer
        }
    }
}
