//! A call to AWS that did not do what it was asked to.

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::record::NotARecord;

/// First pause before a call is repeated within an invocation, in milliseconds.
const BACKOFF_BASE_MS: f64 = 10.0;
/// Longest pause before a call is repeated within an invocation, in milliseconds.
const BACKOFF_MAX_MS: f64 = 1_000.0;

/// A call to AWS that failed. Whether it took effect may be unknown; every call that
/// Handover makes may be repeated.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {cause}")]
pub struct Fault {
    operation: &'static str,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    /// Another transaction holds the item. The SDK does not retry this; we do.
    #[error("contended by another transaction")]
    Contended,
    #[error("throttled; more capacity or fewer writers would help")]
    Throttled,
    /// No answer, or that of a service in trouble.
    #[error("no answer ({0})")]
    Unavailable(String),
    /// AWS will answer the same again until somebody mends permissions or set-up.
    #[error("refused ({0}); check the role and the environment")]
    Refused(String),
    /// The request itself is wrong: over a limit, or of a form that the table does not take.
    #[error("AWS does not take such a request ({0})")]
    Invalid(String),
    #[error("there is no such table, queue, stream or function ({0})")]
    NoResource(String),
    /// A record that was offered is not in the table.
    #[error("the record is not in the table; was it deleted, or is this another table?")]
    Missing,
    #[error(transparent)]
    NotARecord(#[from] NotARecord),
    /// Somebody changed it by hand.
    #[error(
        "the item is not a position: `position` is a whole number from 1, or is not there; mend the table"
    )]
    NotAPosition,
    /// The function was deployed before its routes.
    #[error("it applies notifications in sequence, and has no POSITIONS_TABLE; set it in its template")]
    NoPositions,
}

impl Fault {
    pub(crate) fn new(operation: &'static str, cause: impl Into<Cause>) -> Fault {
        Fault { operation, cause: cause.into() }
    }

    /// The fault that an error of the SDK is.
    pub fn of<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Fault {
        let cause = match error {
            SdkError::TimeoutError(_) => Cause::Unavailable("time-out".into()),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                Cause::Unavailable("time-out".into())
            }
            SdkError::DispatchFailure(failure) if failure.is_io() => Cause::Unavailable("connection".into()),
            SdkError::DispatchFailure(_) => {
                Cause::Refused("not sent; are there credentials and a Region?".into())
            }
            SdkError::ResponseError(_) => Cause::Unavailable("unreadable response".into()),
            SdkError::ServiceError(service) if service.raw().status().is_server_error() => {
                Cause::Unavailable(format!("status {}", service.raw().status().as_u16()))
            }
            SdkError::ServiceError(service) => Cause::of_code(service.err().code(), service.err().message()),
            _ => Cause::Refused("the request could not be built".into()),
        };
        Fault::new(operation, cause)
    }

    /// The invocation ended before the answer came.
    pub(crate) fn no_time(operation: &'static str) -> Fault {
        Fault::new(operation, Cause::Unavailable("no time left".into()))
    }

    /// Whether the same call may well succeed soon.
    pub fn is_retryable(&self) -> bool {
        matches!(self.cause, Cause::Contended | Cause::Throttled | Cause::Unavailable(_))
    }

    /// Whether the request itself is wrong, so that no repeat would mend it.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.cause, Cause::Invalid(_))
    }

    /// Whether the record is not in the table.
    pub(crate) fn is_missing_record(&self) -> bool {
        matches!(self.cause, Cause::Missing)
    }

    /// Whether what was read is not a record.
    pub(crate) fn is_not_a_record(&self) -> bool {
        matches!(self.cause, Cause::NotARecord(_))
    }

    /// Whether what the call names is not there: another Region, another stack, or none.
    pub fn is_missing_resource(&self) -> bool {
        matches!(self.cause, Cause::NoResource(_))
    }

    /// Whether it may have taken effect all the same.
    pub fn could_have_taken_effect(&self) -> bool {
        matches!(self.cause, Cause::Unavailable(_))
    }
}

impl Cause {
    /// The codes of DynamoDB, Kinesis and SQS, of calls, statements and transactions alike.
    pub(crate) fn of_code(code: Option<&str>, message: Option<&str>) -> Cause {
        match code.unwrap_or("no code") {
            "TransactionConflict" | "TransactionConflictException" | "TransactionInProgressException" => {
                Cause::Contended
            }
            "ProvisionedThroughputExceeded"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "LimitExceededException"
            | "KMSThrottlingException"
            | "ThrottlingError"
            | "ThrottlingException" => Cause::Throttled,
            code @ ("InternalServerError"
            | "InternalFailure"
            | "InternalServerErrorException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException") => Cause::Unavailable(code.into()),
            code @ ("ResourceNotFound"
            | "ResourceNotFoundException"
            | "QueueDoesNotExist"
            | "AWS.SimpleQueueService.NonExistentQueue") => Cause::NoResource(code.into()),
            code @ ("ItemCollectionSizeLimitExceeded"
            | "ItemCollectionSizeLimitExceededException"
            | "ValidationError"
            | "ValidationException") => Cause::Invalid(code.into()),
            // This says which permission is missing; other messages may quote values.
            code @ ("AccessDenied" | "AccessDeniedException") => {
                Cause::Refused(format!("{code}: {}", message.unwrap_or_default()))
            }
            code => Cause::Refused(code.into()),
        }
    }
}

/// How long to wait before a call is repeated: exponential, with full jitter, so that those
/// who met do not meet again. `random` is from 0 to 1.
pub(crate) fn backoff(tries: u32, random: f64) -> Duration {
    let longest = (BACKOFF_BASE_MS * 2f64.powi(tries.min(16) as i32)).min(BACKOFF_MAX_MS);
    Duration::from_millis((longest * random) as u64)
}

/// Waits before try number `tries`, from 1, of a call is repeated.
pub(crate) async fn pause(tries: u32) {
    tokio::time::sleep(backoff(tries, fastrand::f64())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_to_do() {
        let fault = |code| Fault::new("PutItem", Cause::of_code(Some(code), Some("secret")));
        assert!(fault("ThrottlingException").is_retryable());
        assert!(!fault("ThrottlingException").could_have_taken_effect());
        assert!(fault("TransactionConflictException").is_retryable());
        assert!(fault("InternalServerError").could_have_taken_effect());
        assert!(!fault("ValidationException").is_retryable() && fault("ValidationException").is_invalid());
        assert!(!fault("ValidationException").to_string().contains("secret"));
    }

    #[test]
    fn pauses_double_up_to_a_second() {
        assert_eq!(backoff(1, 1.0), Duration::from_millis(20));
        assert_eq!(backoff(3, 0.5), Duration::from_millis(40));
        assert_eq!(backoff(99, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(99, 0.0), Duration::ZERO);
    }
}
