//! The codes of errors: one list for HTTP, for the command, for refused messages and for metrics.

mod commands;
mod faults;
mod page;
#[cfg(test)]
mod pages;
mod refusals;
mod requests;

use std::fmt;

use serde::{Serialize, Serializer};

use self::page::Page;

/// Declares [`Code`]: of each code its title, its variant, its text, its status in HTTP, and its page.
macro_rules! codes {
    ($(#[doc = $title:literal] $variant:ident = $text:literal, $status:expr, $page:expr;)+) => {
        /// The stable name of a kind of error, for scripts, alarms, dashboards and tests. Texts of errors may
        /// change with a release, codes do not.
        ///
        /// A problem of HTTP has it as `code`, the command prints it as `error[CODE]: TEXT`, a refused message
        /// carries `CODE: TEXT` in the attribute `reason` of its dead letter, and the metric `Faults` has it as
        /// `Cause`. `handover explain CODE` prints its [page](Code::page).
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

            /// The status of an HTTP answer with this code; `None` where HTTP does not answer with it. A fault that
            /// lasts until somebody corrects it is answered as [`Code::Unexpected`].
            pub const fn http_status(self) -> Option<u16> {
                match self { $(Code::$variant => $status),+ }
            }

            /// Apart from the rest, so that a program that shows no pages does not have their texts.
            fn texts(self) -> Page {
                match self { $(Code::$variant => $page),+ }
            }
        }
    };
}

codes! {
    // A message that is refused.

    /// The message is not UTF-8.
    NotUtf8 = "not-utf8", Some(400), refusals::NOT_UTF8;
    /// The message is not JSON.
    MalformedJson = "malformed-json", Some(400), refusals::MALFORMED_JSON;
    /// An object has the same key twice.
    DuplicateKey = "duplicate-key", Some(400), refusals::DUPLICATE_KEY;
    /// A number is not one that a double holds exactly.
    Number = "number", Some(400), refusals::NUMBER;
    /// Objects and arrays nest too deeply.
    TooDeep = "too-deep", Some(400), refusals::TOO_DEEP;
    /// The event is JSON, but not an object.
    NotAnObject = "not-an-object", Some(400), refusals::NOT_AN_OBJECT;
    /// The event is larger than any event may be.
    TooLarge = "too-large", Some(413), refusals::TOO_LARGE;
    /// A required attribute is missing from an event, or an item from its table.
    Missing = "missing", Some(400), refusals::MISSING;
    /// An attribute has the wrong JSON type.
    WrongType = "wrong-type", Some(400), refusals::WRONG_TYPE;
    /// An attribute is longer than it may be.
    TooLong = "too-long", Some(400), refusals::TOO_LONG;
    /// An attribute has a value that it cannot have, or AWS rejected a request as invalid.
    Invalid = "invalid", Some(400), refusals::INVALID;
    /// The id begins as only those do that Handover makes.
    ReservedId = "reserved-id", Some(400), refusals::RESERVED_ID;
    /// The source is the one of the outcomes that Handover sends.
    ReservedSource = "reserved-source", Some(400), refusals::RESERVED_SOURCE;
    /// An attribute has a name that CloudEvents does not allow.
    UnknownAttribute = "unknown-attribute", Some(400), refusals::UNKNOWN_ATTRIBUTE;
    /// The extension attributes are too many, or too large together.
    TooManyExtensions = "too-many-extensions", Some(400), refusals::TOO_MANY_EXTENSIONS;
    /// The kind is neither `command` nor `event`.
    UnknownKind = "unknown-kind", Some(400), refusals::UNKNOWN_KIND;
    /// No route takes the type.
    UnknownType = "unknown-type", Some(400), refusals::UNKNOWN_TYPE;
    /// The route of the type is for the other kind.
    WrongKind = "wrong-kind", Some(400), refusals::WRONG_KIND;
    /// The route of the type does not take it from this source.
    ForeignSource = "foreign-source", Some(403), refusals::FOREIGN_SOURCE;
    /// The route of the type does not take it from its source by this sender.
    ForeignSender = "foreign-sender", Some(403), refusals::FOREIGN_SENDER;
    /// The event is larger than the route of its type allows.
    TooLargeForRoute = "too-large-for-route", Some(413), refusals::TOO_LARGE_FOR_ROUTE;
    /// No route takes the outcome that the event asks for.
    Outcome = "outcome", Some(400), refusals::OUTCOME;
    /// The event asks for an outcome, and no destination would end it.
    NoOutcome = "no-outcome", Some(400), refusals::NO_OUTCOME;
    /// The type belongs to a channel, and the partition key does not say what the event is about.
    NotKeyed = "not-keyed", Some(400), refusals::NOT_KEYED;
    /// A destination applies the type in sequence, and the notification is not numbered.
    NotNumbered = "not-numbered", Some(400), refusals::NOT_NUMBERED;
    /// The source has sent other content under the same id.
    Conflict = "conflict", Some(409), refusals::CONFLICT;
    /// SQS did not take the line.
    Sqs = "sqs", None, refusals::SQS;

    // A request over HTTP.

    /// The caller has not said who it is.
    Unauthenticated = "unauthenticated", Some(401), requests::UNAUTHENTICATED;
    /// The caller may not do this.
    Forbidden = "forbidden", Some(403), requests::FORBIDDEN;
    /// There is nothing at this path.
    UnknownPath = "unknown-path", Some(404), requests::UNKNOWN_PATH;
    /// The path does not take this method.
    MethodNotAllowed = "method-not-allowed", Some(405), requests::METHOD_NOT_ALLOWED;
    /// The body is not of a media type that is taken.
    UnsupportedMediaType = "unsupported-media-type", Some(415), requests::UNSUPPORTED_MEDIA_TYPE;
    /// The body is not of the form that the call takes.
    InvalidBody = "invalid-body", Some(400), requests::INVALID_BODY;
    /// The headers are larger than they may be.
    HeaderTooLarge = "header-too-large", Some(431), requests::HEADER_TOO_LARGE;
    /// A header came twice that may come once.
    DuplicateHeader = "duplicate-header", Some(400), requests::DUPLICATE_HEADER;
    /// A header has a value that it cannot have.
    InvalidHeader = "invalid-header", Some(400), requests::INVALID_HEADER;
    /// The query has a parameter that the path does not take.
    UnknownParameter = "unknown-parameter", Some(400), requests::UNKNOWN_PARAMETER;
    /// A parameter has a value that it cannot have.
    InvalidParameter = "invalid-parameter", Some(400), requests::INVALID_PARAMETER;
    /// The event has no id, and the request no `Idempotency-Key`.
    NoId = "no-id", Some(400), requests::NO_ID;
    /// The event has an id, and the request another `Idempotency-Key`.
    KeyAndId = "key-and-id", Some(400), requests::KEY_AND_ID;
    /// The `Idempotency-Key` is not one.
    InvalidKey = "invalid-key", Some(400), requests::INVALID_KEY;
    /// Other content was sent with the same `Idempotency-Key`.
    KeyReused = "key-reused", Some(422), requests::KEY_REUSED;
    /// The version token is not one of this notification.
    InvalidToken = "invalid-token", Some(400), requests::INVALID_TOKEN;
    /// The cursor is not one of this list.
    InvalidCursor = "invalid-cursor", Some(400), requests::INVALID_CURSOR;
    /// The batch has more items than it may have.
    TooManyItems = "too-many-items", Some(400), requests::TOO_MANY_ITEMS;
    /// The record that the version token is of has expired, or was replaced.
    Gone = "gone", Some(410), requests::GONE;
    /// The service cannot carry the request out until somebody corrects it.
    Unexpected = "unexpected", Some(500), requests::UNEXPECTED;

    // What is named, and what becomes of it.

    /// There is no record of the notification, or no refused message of the id.
    UnknownNotification = "unknown-notification", Some(404), commands::UNKNOWN_NOTIFICATION;
    /// Several sources have used the id, and none is named.
    SeveralSources = "several-sources", Some(300), commands::SEVERAL_SOURCES;
    /// The routes do not name the destination, or the notification does not go there.
    UnknownDestination = "unknown-destination", Some(400), commands::UNKNOWN_DESTINATION;
    /// A call to another system may still be running.
    CallRunning = "call-running", None, commands::CALL_RUNNING;
    /// There is no call with an unknown outcome to settle.
    NoUnknownCall = "no-unknown-call", None, commands::NO_UNKNOWN_CALL;
    /// The record changed meanwhile.
    Changed = "changed", None, commands::CHANGED;

    // A command that cannot begin.

    /// No stack is named, or not by a name that one can have.
    NoStack = "no-stack", None, commands::NO_STACK;
    /// No Region is named, or not by a name that one can have.
    NoRegion = "no-region", None, commands::NO_REGION;
    /// The profile that is named does not exist, or cannot be read.
    NoProfile = "no-profile", None, commands::NO_PROFILE;
    /// A variable that has to name an endpoint does not.
    NoEndpoint = "no-endpoint", None, commands::NO_ENDPOINT;
    /// There is no stack of this name in this account and Region.
    UnknownStack = "unknown-stack", None, commands::UNKNOWN_STACK;
    /// The destination has no queues.
    NotDeployed = "not-deployed", None, commands::NOT_DEPLOYED;
    /// The routes of the stack, or of the repository, cannot be read or used.
    NoRoutes = "no-routes", Some(503), commands::NO_ROUTES;
    /// The command asks before it acts on many, and nobody can answer.
    NeedsYes = "needs-yes", None, commands::NEEDS_YES;
    /// The current folder is not one that `handover new` wrote.
    NoRepository = "no-repository", None, commands::NO_REPOSITORY;
    /// Something of this name is there already.
    Exists = "exists", None, commands::EXISTS;

    // What holds a message up, a call to AWS above all.

    /// Another transaction holds the item.
    Contended = "contended", Some(503), faults::CONTENDED;
    /// AWS, or another system, takes no more for now.
    Throttled = "throttled", Some(503), faults::THROTTLED;
    /// AWS gave no answer.
    Unavailable = "unavailable", Some(503), faults::UNAVAILABLE;
    /// The item is in a state of a later release.
    LaterRelease = "later-release", Some(503), faults::LATER_RELEASE;
    /// AWS refuses whoever calls.
    Denied = "denied", None, faults::DENIED;
    /// There is no such table, queue, stream, function or secret.
    NoResource = "no-resource", None, faults::NO_RESOURCE;
    /// The item that was read is malformed.
    Unreadable = "unreadable", None, faults::UNREADABLE;
    /// The invocation ended before the notification was completed.
    OutOfTime = "out-of-time", None, faults::OUT_OF_TIME;
    /// Another system refuses every call until somebody corrects the set-up.
    Misconfigured = "misconfigured", None, faults::MISCONFIGURED;
    /// The function `accept` cannot use its routes, and accepts nothing.
    Routes = "routes", None, faults::ROUTES;
}

impl Code {
    /// What leads to it.
    pub fn cause(self) -> &'static str {
        self.texts().cause.trim_ascii()
    }

    /// What to do.
    pub fn fix(self) -> &'static str {
        self.texts().fix.trim_ascii()
    }

    /// The mistake that most often leads to it, or that is most often made then.
    pub fn mistake(self) -> &'static str {
        self.texts().mistake.trim_ascii()
    }

    /// Its page in Markdown, as `handover explain` prints it and `docs/errors/` has it, from where its links lead.
    pub fn page(self) -> String {
        self.texts().markdown(self.as_str(), self.title(), self.http_status())
    }
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
