//! One invocation of the function.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use event_sources::{Batch, InvocationOutcome};
use tracing::{debug, warn};

use crate::mapping::Mapping;

/// Invokes the function with the batch. The engine decides whether to retry.
///
/// The log never has a payload. Of what the function returns, it has only the lowest record that
/// is reported as failed.
pub async fn invoke(lambda: &Client, mapping: &Mapping, shard: &str, batch: Batch) -> InvocationOutcome {
    let function = &mapping.function_arn;
    let (records, attempt) = (batch.sequence_numbers.len(), batch.attempt);
    debug!(function, shard, records, attempt, "invoking the function");
    let request = lambda
        .invoke()
        .function_name(function)
        .invocation_type(InvocationType::RequestResponse)
        .payload(Blob::new(batch.payload));
    let output = match request.send().await {
        Ok(output) => output,
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            warn!(function, shard, records, attempt, error, "cannot invoke the function");
            return InvocationOutcome::NotInvoked;
        }
    };
    if let Some(error) = output.function_error() {
        warn!(function, shard, records, attempt, error, "the function failed");
        return InvocationOutcome::FunctionError;
    }
    let payload = output.payload().map_or(&[][..], |blob| blob.as_ref());
    let outcome = InvocationOutcome::Returned(String::from_utf8_lossy(payload).into_owned());
    let reports = mapping.settings.report_batch_item_failures;
    let succeeded = outcome.succeeded(&batch.sequence_numbers, reports);
    if let Some(failed) = batch.sequence_numbers.get(succeeded) {
        debug!(function, shard, records, attempt, succeeded, failed, "the function reported failures");
    }
    outcome
}
