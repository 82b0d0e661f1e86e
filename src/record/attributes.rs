//! The name of every stored attribute, in one place.
//!
//! `Record` and `Delivery` have fields of the same names, which serde writes; a test in `record/tests.rs`
//! compares them with these lists. Conditions, updates, projections and the template's filter use the same names.

/// Partition key of a record in the `notifications` table.
pub(crate) const ID: &str = "id";
/// Sort key of a record: two sources may use one id.
pub(crate) const SOURCE: &str = "source";
/// The condition that there is no record with the key of this one.
pub(crate) const ABSENT: &str = "attribute_not_exists(id)";
pub(crate) const KIND: &str = "kind";
pub(crate) const DIGEST: &str = "digest";
pub(crate) const STATUS: &str = "status";
pub(crate) const DESTINATIONS: &str = "destinations";
pub(crate) const OPEN: &str = "open";
pub(crate) const DEAD: &str = "dead";
pub(crate) const CLOSED: &str = "closed";
pub(crate) const CORRELATIONID: &str = "correlationid";
pub(crate) const OUTCOMETO: &str = "outcometo";
pub(crate) const OUTCOME_DESTINATIONS: &str = "outcome_destinations";
pub(crate) const OUTCOME_ID: &str = "outcome_id";
pub(crate) const VERSION: &str = "version";
pub(crate) const DISPATCHES: &str = "dispatches";
pub(crate) const REDISPATCHED: &str = "redispatched";
pub(crate) const CHANGE: &str = "change";
/// Key of the index [`DUE_INDEX`].
pub(crate) const BUCKET: &str = "bucket";
pub(crate) const UPDATED_AT: &str = "updated_at";
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The index of the `notifications` table that reconcile reads.
pub(crate) const DUE_INDEX: &str = "due";

// Of a delivery: the part of a record that belongs to one destination.
pub(crate) const STATE: &str = "state";
pub(crate) const SEQUENCED: &str = "sequenced";
pub(crate) const ATTEMPTS: &str = "attempts";
pub(crate) const FAILURES: &str = "failures";
pub(crate) const FAULT: &str = "fault";
pub(crate) const DUE_AT: &str = "due_at";
pub(crate) const IN_RETRY_QUEUE: &str = "in_retry_queue";
pub(crate) const LEASE_UNTIL: &str = "lease_until";
pub(crate) const FENCE: &str = "fence";
pub(crate) const HOLDER: &str = "holder";
pub(crate) const CALLED_AT: &str = "called_at";
pub(crate) const SETTLED: &str = "settled";
pub(crate) const RELAYED_AT: &str = "relayed_at";
pub(crate) const RECEIVED_AT: &str = "received_at";
pub(crate) const REDRIVEN_AT: &str = "redriven_at";
pub(crate) const ENDED_AT: &str = "ended_at";
pub(crate) const DEAD_LETTER_AT: &str = "dead_letter_at";
pub(crate) const REASON: &str = "reason";
pub(crate) const RESULT: &str = "result";
pub(crate) const EMITS: &str = "emits";
pub(crate) const EMITS_LEFT_OUT: &str = "emits_left_out";

// Of a failed attempt, and of a fault.
pub(crate) const AT: &str = "at";
pub(crate) const ERROR: &str = "error";
/// Of a failed attempt.
pub(crate) const RETRY_AFTER: &str = "retry_after";
/// Of a fault.
pub(crate) const SINCE: &str = "since";

/// Key of an item of the `positions` table. The item of sequence 0 is the position, with [`POSITION`] and
/// [`REGISTERED_TO`]. Every other item is the registration of its sequence, with [`ID`], and with [`CLOSED`] where an
/// operator closed it. Under the name of a destination alone is its control item, with [`PAUSED_AT`] and [`REASON`] while
/// it is paused, and [`RESUMED_AT`] after that. Under `/waiters` are the places of callers that wait.
pub(crate) const POSITION_KEY: &str = "key";
/// Sort key of that table.
pub(crate) const SEQUENCE: &str = "sequence";
pub(crate) const POSITION: &str = "position";
pub(crate) const REGISTERED_TO: &str = "registered_to";
pub(crate) const PAUSED_AT: &str = "paused_at";
pub(crate) const RESUMED_AT: &str = "resumed_at";
/// Of a place of a caller that waits, which has a [`HOLDER`], too.
pub(crate) const UNTIL: &str = "until";

/// Key of an item of reconcile's table. Its other attributes are [`CURSOR_SLOT`], and one for each partition of
/// that slot that was begun, with how many pages were checked and where the next one begins.
pub(crate) const CURSOR_NAME: &str = "name";
pub(crate) const CURSOR_SLOT: &str = "slot";
pub(crate) const PAGES: &str = "pages";

/// Path of a delivery's attribute. No name in a path has a dot.
pub(crate) fn of_delivery(destination: &str, name: &str) -> String {
    [DESTINATIONS, ".", destination, ".", name].concat()
}

#[cfg(test)]
pub(crate) const OF_RECORD: &[&str] = &[
    "id",
    "type",
    "kind",
    "source",
    "subject",
    "time",
    "time_nanos",
    "partitionkey",
    "sequence",
    "traceparent",
    "tracestate",
    "causationid",
    "correlationid",
    "outcometo",
    "outcome_destinations",
    "outcome_id",
    "dataschema",
    "extensions",
    "data",
    "digest",
    "status",
    "destinations",
    "open",
    "dead",
    "closed",
    "version",
    "dispatches",
    "redispatched",
    "change",
    "bucket",
    "sent_at",
    "sender",
    "accepted_at",
    "updated_at",
    "expires_at",
];
#[cfg(test)]
pub(crate) const OF_DELIVERY: &[&str] = &[
    "state",
    "sequenced",
    "attempts",
    "failures",
    "fault",
    "due_at",
    "in_retry_queue",
    "lease_until",
    "fence",
    "holder",
    "called_at",
    "settled",
    "relayed_at",
    "received_at",
    "redriven_at",
    "replayed_at",
    "ended_at",
    "dead_letter_at",
    "reason",
    "result",
    "emits",
    "emits_left_out",
];
