//! A failed call to AWS: why it failed, and what the caller may do.

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::code::Code;
use crate::error::with_causes;

/// A failed call to AWS. The call may nevertheless have taken effect. Handover may repeat any of its calls.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {cause}")]
pub struct Fault {
    operation: &'static str,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    /// Another transaction holds the item. The SDK does not retry this; Handover does.
    #[error("contended by another transaction")]
    Contended,
    #[error("throttled; add capacity or reduce the number of writers")]
    Throttled,
    /// No answer, or the answer of a service in trouble.
    #[error("no answer ({0})")]
    Unavailable(String),
    /// AWS gives the same answer until somebody corrects permissions or set-up.
    #[error("denied ({0}); check the credentials, the role and the environment")]
    Denied(String),
    /// The request is over a limit, or the table or the queue does not take its form.
    #[error("AWS rejected the request as invalid ({0})")]
    Invalid(String),
    #[error("there is no such table, queue, stream, function or secret ({0})")]
    NoResource(String),
    #[error("the item is not in the table; was it deleted, or is this another table?")]
    Missing,
    #[error(
        "the notification whose turn has come is in a state of a later release; try again when it is not"
    )]
    LaterRelease,
    /// The item exists but is malformed.
    #[error("{0}")]
    Unreadable(String),
}

impl Fault {
    pub(crate) fn new(operation: &'static str, cause: Cause) -> Fault {
        Fault { operation, cause }
    }

    /// The fault of an SDK error.
    pub fn from_sdk<E: ProvideErrorMetadata>(
        operation: &'static str,
        error: &SdkError<E, HttpResponse>,
    ) -> Fault {
        let cause = match error {
            SdkError::TimeoutError(_) => Cause::Unavailable("time-out".into()),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                Cause::Unavailable("time-out".into())
            }
            SdkError::DispatchFailure(failure) if failure.is_io() => Cause::Unavailable("connection".into()),
            SdkError::DispatchFailure(failure) => {
                let why = failure.as_connector_error().map(|error| with_causes(error));
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                Cause::Denied(format!("not sent; are there credentials?{why}"))
            }
            SdkError::ResponseError(_) => Cause::Unavailable("unreadable response".into()),
            SdkError::ServiceError(service) if service.raw().status().is_server_error() => {
                Cause::Unavailable(format!("status {}", service.raw().status().as_u16()))
            }
            SdkError::ServiceError(service) => Cause::of_code(service.err().code(), service.err().message()),
            _ => Cause::Denied("the request could not be built".into()),
        };
        Fault::new(operation, cause)
    }

    /// The invocation ended before the answer came.
    pub(crate) fn out_of_time(operation: &'static str) -> Fault {
        Fault::new(operation, Cause::Unavailable("no time was left".into()))
    }

    /// Its stable code, as metrics and the command have it.
    pub fn code(&self) -> Code {
        match self.cause {
            Cause::Contended => Code::Contended,
            Cause::Throttled => Code::Throttled,
            Cause::Unavailable(_) => Code::Unavailable,
            Cause::Denied(_) => Code::Denied,
            Cause::Invalid(_) => Code::Invalid,
            Cause::NoResource(_) => Code::NoResource,
            Cause::Missing => Code::Missing,
            Cause::LaterRelease => Code::LaterRelease,
            Cause::Unreadable(_) => Code::Unreadable,
        }
    }

    /// Whether the same call may succeed soon.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.cause,
            Cause::Contended | Cause::Throttled | Cause::Unavailable(_) | Cause::LaterRelease
        )
    }

    /// Whether AWS refused it for want of capacity.
    pub(crate) fn is_throttled(&self) -> bool {
        matches!(self.cause, Cause::Throttled)
    }

    /// Whether AWS refuses whoever calls.
    pub fn is_denied(&self) -> bool {
        matches!(self.cause, Cause::Denied(_))
    }

    /// Whether the request itself is wrong, so that a repeat would fail again.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.cause, Cause::Invalid(_))
    }

    /// Whether the item is not in the table.
    pub(crate) fn is_missing_item(&self) -> bool {
        matches!(self.cause, Cause::Missing)
    }

    /// Whether the item that was read is malformed.
    pub fn is_unreadable(&self) -> bool {
        matches!(self.cause, Cause::Unreadable(_))
    }

    /// Whether the named resource does not exist: another Region or stack, or nothing is deployed.
    pub fn is_missing_resource(&self) -> bool {
        matches!(self.cause, Cause::NoResource(_))
    }

    /// Whether the call may have taken effect all the same.
    pub fn could_have_taken_effect(&self) -> bool {
        matches!(self.cause, Cause::Unavailable(_))
    }
}

impl Cause {
    /// The codes of DynamoDB, Kinesis, SQS and Lambda, of calls, statements and transactions alike.
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
            | "KMS.ThrottlingException"
            | "KMSThrottlingException"
            | "ThrottlingError"
            | "ThrottlingException"
            | "TooManyRequestsException" => Cause::Throttled,
            code @ ("InternalServerError"
            | "InternalFailure"
            | "InternalServerErrorException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException") => Cause::Unavailable(code.into()),
            code @ ("ResourceNotFound"
            | "ResourceNotFoundException"
            | "QueueDoesNotExist"
            | "AWS.SimpleQueueService.NonExistentQueue") => Cause::NoResource(code.into()),
            code @ ("InvalidMessageContents"
            | "InvalidParameterValue"
            | "ItemCollectionSizeLimitExceeded"
            | "ItemCollectionSizeLimitExceededException"
            | "ValidationError"
            | "ValidationException") => Cause::Invalid(code.into()),
            // This message names the missing permission. Other messages may quote values.
            code @ ("AccessDenied" | "AccessDeniedException") => {
                Cause::Denied(format!("{code}: {}", message.unwrap_or_default()))
            }
            code => Cause::Denied(code.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::error::{ConnectorError, ErrorMetadata};
    use aws_sdk_dynamodb::operation::put_item::PutItemError;

    use super::*;

    /// What a caller may ask of a fault, where the answer is yes.
    fn said_of(fault: &Fault) -> Vec<&'static str> {
        let answers = [
            ("retryable", fault.is_retryable()),
            ("throttled", fault.is_throttled()),
            ("invalid", fault.is_invalid()),
            ("missing item", fault.is_missing_item()),
            ("unreadable", fault.is_unreadable()),
            ("missing resource", fault.is_missing_resource()),
            ("effect", fault.could_have_taken_effect()),
        ];
        answers.into_iter().filter_map(|(name, is_so)| is_so.then_some(name)).collect()
    }

    #[test]
    fn a_cause_tells_its_code_and_what_to_do() {
        let text = String::new;
        for (cause, code, expected) in [
            (Cause::Contended, Code::Contended, &["retryable"] as &[_]),
            (Cause::Throttled, Code::Throttled, &["retryable", "throttled"]),
            (Cause::Unavailable(text()), Code::Unavailable, &["retryable", "effect"]),
            (Cause::Denied(text()), Code::Denied, &[]),
            (Cause::Invalid(text()), Code::Invalid, &["invalid"]),
            (Cause::NoResource(text()), Code::NoResource, &["missing resource"]),
            (Cause::Missing, Code::Missing, &["missing item"]),
            (Cause::LaterRelease, Code::LaterRelease, &["retryable"]),
            (Cause::Unreadable(text()), Code::Unreadable, &["unreadable"]),
        ] {
            let fault = Fault::new("PutItem", cause);
            assert_eq!((fault.code(), &*said_of(&fault)), (code, expected));
        }
        assert_eq!(said_of(&Fault::out_of_time("PutItem")), ["retryable", "effect"]);
    }

    #[test]
    fn an_error_of_the_sdk_has_a_cause() {
        type Error = SdkError<PutItemError, HttpResponse>;
        let raw = |status: u16| HttpResponse::new(status.try_into().unwrap(), "".into());
        let answer = |status| {
            let error = ErrorMetadata::builder().code("ThrottlingException").build();
            Error::service_error(PutItemError::generic(error), raw(status))
        };
        let not_sent = |error: fn(_) -> ConnectorError| Error::dispatch_failure(error("port 7".into()));
        let user = "PutItem: denied (not sent; are there credentials?: user error: port 7); \
                    check the credentials, the role and the environment";
        for (error, expected) in [
            (Error::timeout_error("late"), "PutItem: no answer (time-out)"),
            (not_sent(ConnectorError::timeout), "PutItem: no answer (time-out)"),
            (not_sent(ConnectorError::io), "PutItem: no answer (connection)"),
            (not_sent(ConnectorError::user), user),
            (Error::response_error("torn", raw(200)), "PutItem: no answer (unreadable response)"),
            (answer(503), "PutItem: no answer (status 503)"),
            (answer(400), "PutItem: throttled; add capacity or reduce the number of writers"),
            (
                Error::construction_failure("no table"),
                "PutItem: denied (the request could not be built); check the credentials, the role and the environment",
            ),
        ] {
            assert_eq!(Fault::from_sdk("PutItem", &error).to_string(), expected);
        }
    }

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
}
