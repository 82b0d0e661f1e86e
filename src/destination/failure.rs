//! Why a destination did not apply a notification, as a user says it.

use std::time::Duration;

use crate::error::with_causes;

/// Why a destination did not apply a notification. An error that you return with `?` becomes a transient
/// failure, with its causes in the text. Do not put secrets or payloads into an error: the text is kept and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) error: String,
    /// How long to wait at least, beside the usual wait; zero if nobody asked for it.
    pub(crate) retry_after: Duration,
}

/// What a failure says of the notification that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Transient,
    Permanent,
    Throttled,
    Misconfigured,
}

impl Failure {
    /// A failure that a later attempt may not have: a failed attempt.
    pub fn transient(error: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Transient, error)
    }

    /// A failure that every attempt would have. The notification is dead-lettered at once.
    pub fn permanent(error: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Permanent, error)
    }

    /// Another system takes no more for now, such as an API that answers 429. The notification waits, and no
    /// attempt is counted.
    pub fn throttled(error: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Throttled, error)
    }

    /// Every notification would fail until somebody corrects the set-up, such as a token that an API refuses. The
    /// notification waits, and no attempt is counted. The metric `LastingFaults` counts it, and its record shows
    /// the error: give the same text each time.
    pub fn misconfigured(error: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Misconfigured, error)
    }

    /// The same failure, after which the notification waits for this time in addition to its usual wait. More than
    /// a quarter of an hour counts as a quarter of an hour, which is also the longest wait that counts no attempt.
    pub fn retry_after(self, wait: Duration) -> Failure {
        Failure { retry_after: wait, ..self }
    }

    fn new(kind: FailureKind, error: impl Into<String>) -> Failure {
        Failure { kind, error: error.into(), retry_after: Duration::ZERO }
    }
}

/// `Failure` itself does not implement `Error`, so that every error can become one.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::transient(with_causes(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_is_a_transient_failure_with_its_causes() {
        fn fails() -> Result<(), Failure> {
            "x".parse::<u32>()?;
            Ok(())
        }
        let failure = fails().unwrap_err();
        assert!(failure.kind == FailureKind::Transient && failure.error.contains("invalid digit"));
        let refused = std::io::Error::other("port 7: connection refused");
        let call = aws_sdk_dynamodb::error::SdkError::<std::io::Error, ()>::construction_failure(refused);
        assert!(Failure::from(call).error.contains("port 7: connection refused"));
    }
}
