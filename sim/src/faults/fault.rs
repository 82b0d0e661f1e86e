//! What may go wrong.

use std::fmt;

use crate::faults::site::Site;

/// One kind of thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A call fails before it takes effect.
    LostRequest,
    /// A call takes effect, and its answer is lost.
    LostAnswer,
    /// A call is throttled.
    Throttle,
    /// A write conflicts with a transaction on its item.
    Conflict,
    /// A part of a batch is taken.
    Partial,
    /// A read that is not consistent returns an older state.
    Stale,
    /// The record is not found for a moment, as when a table is restored.
    Missing,
    /// A call takes seconds.
    Slow,
    /// An invocation dies at some await. What it sent before still takes effect.
    Death,
    /// An invocation stops for seconds, and goes on.
    Freeze,
    /// A mapping delivers again what was done, at once or later.
    Again,
    /// A mapping takes seconds to fetch.
    Late,
    /// A message is overtaken in its queue by those behind it.
    Overtaken,
    /// A mapping is disabled for seconds.
    Stop,
    /// A mapping is disabled for longer than its stream's retention.
    Forget,
    /// What a mapping fetches is never delivered, as when it was given up.
    Unread,
    /// A copy in a retry queue is deleted, as when somebody purges the queue.
    Purged,
    /// The clock of a function, or of some of its instances, is less than a second ahead of the others, or behind.
    Skew,
    /// Two instances of a function have the same notification at the same time.
    AtOnce,
    /// A call of a destination is denied, as by a role that lacks the action.
    Denied,
    /// What a call sends to the stream or to a retry queue has other content than the record, as when somebody else
    /// wrote it.
    Forged,
    /// A transaction is cancelled by contention and, beside that, by the conditions of the effect's own writes.
    Mixed,
    /// A write takes effect minutes later, when its caller has given it up.
    Delayed,
    /// A function is not invoked, as when it is throttled.
    NotInvoked,
    /// A schedule fires again while the invocation before runs.
    Overlap,
    /// The clock of a function is minutes ahead of the others, or behind.
    FarSkew,
    /// Every statement of a batch is refused as invalid, as by an AWS that does not take its form.
    Refused,
}

impl Fault {
    /// Every one.
    pub const ALL: [Fault; 27] = [
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::Throttle,
        Fault::Conflict,
        Fault::Partial,
        Fault::Stale,
        Fault::Missing,
        Fault::Slow,
        Fault::Death,
        Fault::Freeze,
        Fault::Again,
        Fault::Late,
        Fault::Overtaken,
        Fault::Stop,
        Fault::Forget,
        Fault::Unread,
        Fault::Purged,
        Fault::Skew,
        Fault::AtOnce,
        Fault::Denied,
        Fault::Forged,
        Fault::Mixed,
        Fault::Delayed,
        Fault::NotInvoked,
        Fault::Overlap,
        Fault::FarSkew,
        Fault::Refused,
    ];

    /// Its name in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::LostRequest => "lost-request",
            Fault::LostAnswer => "lost-answer",
            Fault::Throttle => "throttle",
            Fault::Denied => "denied",
            Fault::Forged => "forged",
            Fault::Conflict => "conflict",
            Fault::Partial => "partial",
            Fault::Stale => "stale",
            Fault::Missing => "missing",
            Fault::Slow => "slow",
            Fault::Death => "death",
            Fault::Freeze => "freeze",
            Fault::Again => "again",
            Fault::Late => "late",
            Fault::Overtaken => "overtaken",
            Fault::Stop => "stop",
            Fault::Forget => "forget",
            Fault::Unread => "unread",
            Fault::Purged => "purged",
            Fault::Skew => "skew",
            Fault::AtOnce => "at-once",
            Fault::Mixed => "mixed",
            Fault::Delayed => "delayed",
            Fault::NotInvoked => "not-invoked",
            Fault::Overlap => "overlap",
            Fault::FarSkew => "far-skew",
            Fault::Refused => "refused",
        }
    }

    /// Whether a call can have it; a read may ask to be consistent.
    pub(crate) fn applies_to(self, site: &Site, consistent: bool) -> bool {
        let (operation, its_use) = site.call.split_once(' ').unwrap_or((&site.call, ""));
        let reads = matches!(operation, "GetItem" | "Query" | "Scan" | "BatchGetItem");
        match self {
            Fault::LostRequest | Fault::LostAnswer | Fault::Throttle | Fault::Slow => !operation.is_empty(),
            // A handler's own call would be a failed attempt, and the provider has no roles.
            Fault::Denied => {
                matches!(site.stage, "stream" | "retry")
                    && !matches!(its_use, "of the handler" | "payment")
                    && !operation.is_empty()
            }
            Fault::Forged => operation == "PutRecords" || its_use == "to retry",
            Fault::Conflict => matches!(
                operation,
                "PutItem" | "UpdateItem" | "DeleteItem" | "BatchExecuteStatement" | "TransactWriteItems"
            ),
            Fault::Partial => {
                operation.ends_with("Batch")
                    || matches!(operation, "PutRecords" | "BatchExecuteStatement" | "BatchGetItem")
            }
            Fault::Stale => reads && !consistent,
            // Where a record is expected: not in the put that creates it.
            Fault::Missing => {
                its_use.is_empty()
                    && site.stage != "outbox"
                    && matches!(
                        operation,
                        "GetItem"
                            | "BatchGetItem"
                            | "UpdateItem"
                            | "BatchExecuteStatement"
                            | "TransactWriteItems"
                    )
            }
            // The transactions elsewhere have no write with a condition of its own.
            Fault::Mixed => operation == "TransactWriteItems" && matches!(site.stage, "stream" | "retry"),
            Fault::Delayed => {
                matches!(
                    operation,
                    "PutItem" | "UpdateItem" | "BatchExecuteStatement" | "TransactWriteItems" | "PutRecords"
                ) || operation.starts_with("SendMessage")
            }
            // Those of the library alone: what a handler asks for may be refused for good.
            Fault::Refused => site.call == "BatchExecuteStatement",
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.pad(self.as_str())
    }
}
