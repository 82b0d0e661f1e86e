//! The codes of errors: one list for HTTP, for the command, for refused messages and for metrics.

use std::fmt;

use serde::{Serialize, Serializer};

/// Declares [`Code`]: of each code its title, its variant, its text and its status in HTTP.
macro_rules! codes {
    ($(#[doc = $title:literal] $variant:ident = $text:literal, $status:expr;)+) => {
        /// The stable name of a kind of error, for scripts, alarms, dashboards and tests. Texts of errors may change with a
        /// release, codes do not.
        ///
        /// A problem of HTTP has it as `code`, the command prints it as `error[CODE]: TEXT`, a refused message carries
        /// `CODE: TEXT` in the attribute `reason` of its dead letter, and the metric `Faults` has it as `Cause`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The code as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text),+ }
            }

            /// What it means, in a sentence.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title.trim_ascii()),+ }
            }

            /// The status of an HTTP answer with this code; `None` where HTTP does not answer with it. A fault that a repeat
            /// does not mend is answered as [`Code::Unexpected`].
            pub const fn http_status(self) -> Option<u16> {
                match self { $(Code::$variant => $status),+ }
            }
        }
    };
}

codes! {
    // A message that is refused.

    /// The message is not UTF-8.
    NotUtf8 = "not-utf8", Some(400);
    /// The message is not JSON.
    MalformedJson = "malformed-json", Some(400);
    /// An object has the same key twice.
    DuplicateKey = "duplicate-key", Some(400);
    /// A number is not one that a double holds exactly.
    Number = "number", Some(400);
    /// Objects and arrays nest too deeply.
    TooDeep = "too-deep", Some(400);
    /// The event is JSON, but not an object.
    NotAnObject = "not-an-object", Some(400);
    /// The event is larger than any event may be.
    TooLarge = "too-large", Some(413);
    /// A required attribute is missing from an event, or an item from its table.
    Missing = "missing", Some(400);
    /// An attribute has the wrong JSON type.
    WrongType = "wrong-type", Some(400);
    /// An attribute is longer than it may be.
    TooLong = "too-long", Some(400);
    /// An attribute has a value that it cannot have, or AWS rejected a request as invalid.
    Invalid = "invalid", Some(400);
    /// The id begins as only those of emitted notifications do.
    ReservedId = "reserved-id", Some(400);
    /// The source is the one of the outcomes that Handover sends.
    ReservedSource = "reserved-source", Some(400);
    /// An attribute has a name that CloudEvents does not allow.
    UnknownAttribute = "unknown-attribute", Some(400);
    /// The extension attributes are too many, or too large together.
    TooManyExtensions = "too-many-extensions", Some(400);
    /// The kind is neither `command` nor `event`.
    UnknownKind = "unknown-kind", Some(400);
    /// No route takes the type.
    UnknownType = "unknown-type", Some(400);
    /// The route of the type is for the other kind.
    WrongKind = "wrong-kind", Some(400);
    /// The route of the type does not take it from this source.
    ForeignSource = "foreign-source", Some(403);
    /// The route of the type does not take it from its source by this sender.
    ForeignSender = "foreign-sender", Some(403);
    /// The event is larger than the route of its type allows.
    TooLargeForRoute = "too-large-for-route", Some(413);
    /// No route takes the outcome that the event asks for.
    Outcome = "outcome", Some(400);
    /// The event asks for an outcome, and no destination would end it.
    NoOutcome = "no-outcome", Some(400);
    /// The type belongs to a channel, and the partition key does not say what the event is about.
    NotKeyed = "not-keyed", Some(400);
    /// A destination applies the type in sequence, and the notification is not numbered.
    NotNumbered = "not-numbered", Some(400);
    /// The source has sent other content under the same id.
    Conflict = "conflict", Some(409);
    /// SQS did not take the line.
    Sqs = "sqs", None;

    // A request over HTTP.

    /// The caller has not said who it is.
    Unauthenticated = "unauthenticated", Some(401);
    /// The caller may not do this.
    Forbidden = "forbidden", Some(403);
    /// There is nothing at this path.
    UnknownPath = "unknown-path", Some(404);
    /// The path does not take this method.
    MethodNotAllowed = "method-not-allowed", Some(405);
    /// The body is not of a media type that is taken.
    UnsupportedMediaType = "unsupported-media-type", Some(415);
    /// The body is not of the form that the call takes.
    InvalidBody = "invalid-body", Some(400);
    /// The headers are larger than they may be.
    HeaderTooLarge = "header-too-large", Some(431);
    /// A header came twice that may come once.
    DuplicateHeader = "duplicate-header", Some(400);
    /// A header has a value that it cannot have.
    InvalidHeader = "invalid-header", Some(400);
    /// The query has a parameter that the path does not take.
    UnknownParameter = "unknown-parameter", Some(400);
    /// A parameter has a value that it cannot have.
    InvalidParameter = "invalid-parameter", Some(400);
    /// The event has no id, and the request no `Idempotency-Key`.
    NoId = "no-id", Some(400);
    /// The event has an id, and the request another `Idempotency-Key`.
    KeyAndId = "key-and-id", Some(400);
    /// The `Idempotency-Key` is not one.
    InvalidKey = "invalid-key", Some(400);
    /// Other content was sent with the same `Idempotency-Key`.
    KeyReused = "key-reused", Some(422);
    /// The version token is not one of this notification.
    InvalidToken = "invalid-token", Some(400);
    /// The cursor is not one of this list.
    InvalidCursor = "invalid-cursor", Some(400);
    /// The batch has more items than it may have.
    TooManyItems = "too-many-items", Some(400);
    /// The record that the version token is of has expired, or was replaced.
    Gone = "gone", Some(410);
    /// The service cannot carry the request out until somebody corrects it.
    Unexpected = "unexpected", Some(500);

    // What is named, and what becomes of it.

    /// There is no record of the notification, or no refused message of the id.
    UnknownNotification = "unknown-notification", Some(404);
    /// Several sources have used the id, and none is named.
    SeveralSources = "several-sources", Some(300);
    /// The routes do not name the destination, or the notification does not go there.
    UnknownDestination = "unknown-destination", Some(400);
    /// A call to another system may still be running.
    CallRunning = "call-running", Some(409);
    /// There is no call with an unknown outcome to settle.
    NoUnknownCall = "no-unknown-call", Some(409);
    /// The record changed meanwhile.
    Changed = "changed", Some(409);

    // A command that cannot begin.

    /// No stack is named, or not by a name that one can have.
    NoStack = "no-stack", None;
    /// No Region is named, or not by a name that one can have.
    NoRegion = "no-region", None;
    /// The profile that is named does not exist, or cannot be read.
    NoProfile = "no-profile", None;
    /// A variable that has to name an endpoint does not.
    NoEndpoint = "no-endpoint", None;
    /// There is no stack of this name in this account and Region.
    UnknownStack = "unknown-stack", None;
    /// The destination has no queues.
    NotDeployed = "not-deployed", None;
    /// The routes of the stack, or of the repository, cannot be read or used.
    NoRoutes = "no-routes", Some(503);
    /// The command asks before it acts on many, and nobody can answer.
    NeedsYes = "needs-yes", None;
    /// The current folder is not one that `handover new` wrote.
    NoRepository = "no-repository", None;
    /// Something of this name is there already.
    Exists = "exists", None;

    // What holds a message up, a call to AWS above all.

    /// Another transaction holds the item.
    Contended = "contended", Some(503);
    /// AWS, or another system, takes no more for now.
    Throttled = "throttled", Some(503);
    /// AWS gave no answer.
    Unavailable = "unavailable", Some(503);
    /// The item is in a state of a later release.
    LaterRelease = "later-release", Some(503);
    /// AWS refuses whoever calls.
    Denied = "denied", None;
    /// There is no such table, queue, stream, function or secret.
    NoResource = "no-resource", None;
    /// The item that was read is malformed.
    Unreadable = "unreadable", None;
    /// The invocation ended before the notification was completed.
    OutOfTime = "out-of-time", None;
    /// Another system refuses every call until somebody corrects the set-up.
    Misconfigured = "misconfigured", None;
    /// The function `accept` cannot use its routes, and accepts nothing.
    Routes = "routes", None;
}

impl fmt::Display for Code {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_has_a_text_of_its_own_and_a_sentence() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(code.as_str().bytes().all(is_plain), "{code}");
            assert!(code.title().ends_with('.') && !code.title().starts_with(' '), "{code}");
        }
    }

    #[test]
    fn a_code_is_written_as_its_text() {
        assert_eq!(format!("{:>10}|{}", Code::NoId, Code::NotUtf8), "     no-id|not-utf8");
        assert_eq!(serde_json::to_string(&Code::KeyReused).unwrap(), "\"key-reused\"");
    }

    #[test]
    fn an_answer_of_http_says_who_has_to_act() {
        let status = |code: Code| code.http_status();
        assert_eq!(
            [Code::Missing, Code::TooLarge, Code::ForeignSender].map(status),
            [400, 413, 403].map(Some)
        );
        assert_eq!([Code::Throttled, Code::Unexpected, Code::Gone].map(status), [503, 500, 410].map(Some));
        assert_eq!([Code::Denied, Code::NoStack].map(status), [None, None]);
        assert!(
            Code::ALL.iter().filter_map(|code| status(*code)).all(|status| (300..=599).contains(&status))
        );
    }
}
