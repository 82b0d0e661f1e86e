//! The part of a record that belongs to one destination.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use jiff::fmt::serde::timestamp::millisecond;
use serde::{Deserialize, Serialize};

use crate::notification::{Json, plain};

/// Longest error, rejection or closing reason that is kept, in bytes.
pub const ERROR_BYTES_MAX: usize = 512;
/// Largest result of a stored effect, in bytes.
pub const RESULT_BYTES_MAX: usize = 4 * 1024;
/// Most bytes that the names of a delivery's emits take on the record.
pub const EMIT_NAMES_BYTES_MAX: usize = 2 * 1024;

/// The state of a notification at one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Not applied yet.
    Pending,
    /// Applied. Final.
    Done,
    /// Rejected by the owner of the command. Final.
    Rejected,
    /// Given up. A dead letter holds the payload.
    Dead,
    /// Closed by an operator. Final.
    Closed,
    /// A state of a later release. It is read, and never written. Such a state counts in `open` unless it is
    /// final or dead.
    #[serde(other)]
    Unknown,
}

impl State {
    /// Whether no transition leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Rejected | State::Closed)
    }

    /// The stored text.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Done => "done",
            State::Rejected => "rejected",
            State::Dead => "dead",
            State::Closed => "closed",
            State::Unknown => "unknown",
        }
    }
}

/// What an operator found out about an external call whose outcome was unknown.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settled {
    /// The call took effect.
    Done,
    /// The call did not take effect. It will be made again.
    Again,
    /// A value of a later release. It is read, and never written.
    #[serde(other)]
    Unknown,
}

impl Settled {
    /// The stored text.
    pub fn as_str(self) -> &'static str {
        match self {
            Settled::Done => "done",
            Settled::Again => "again",
            Settled::Unknown => "unknown",
        }
    }
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// When it was recorded.
    #[serde(with = "millisecond::required")]
    pub at: Timestamp,
    /// What went wrong, shortened to [`ERROR_BYTES_MAX`].
    pub error: String,
    /// How much longer than usual it asked to wait, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after: u32,
}

/// A fault that counted no attempt: the last one that was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedFault {
    /// When it was first recorded with this error.
    #[serde(with = "millisecond::required")]
    pub since: Timestamp,
    /// When it was recorded last. While it lasts, that is about once an hour.
    #[serde(with = "millisecond::required")]
    pub at: Timestamp,
    /// What went wrong, shortened to [`ERROR_BYTES_MAX`].
    pub error: String,
}

/// The part of a record that belongs to one destination.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Whether it is applied here.
    pub state: State,
    /// Whether this destination applies it in order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sequenced: bool,
    /// Failed attempts since it was accepted or redriven.
    pub attempts: u32,
    /// The failed attempts by number. It is there from the start, so that an update can add to it.
    pub failures: BTreeMap<String, FailedAttempt>,
    /// What kept it from being decided last, if that lasted. It stays when it is over: see
    /// [`Delivery::present_fault`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<RecordedFault>,
    /// When reconcile checks whether it is late. It stays when the delivery is completed.
    #[serde(with = "millisecond::required")]
    pub due_at: Timestamp,
    /// The latest dispatch whose copy went into the retry queue with a failed attempt; 0 before the first. Other
    /// copies of it are repeats, and count nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_retry_queue: u32,
    /// Lease expiry. Until then only `holder` may start a call, and an earlier call may still take effect.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub lease_until: Option<Timestamp>,
    /// The number of leases taken. Only the latest holder may record a result.
    pub fence: u32,
    /// Unique id of the latest lease holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// When the first external call of unknown outcome began.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub called_at: Option<Timestamp>,
    /// What an operator found out about that call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// When the dispatch that led to the latest write was relayed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub relayed_at: Option<Timestamp>,
    /// When the destination received that dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub received_at: Option<Timestamp>,
    /// When an operator redrove it last, or replayed it: the attempts count from then.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub redriven_at: Option<Timestamp>,
    /// When an operator added this destination, by a replay.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub replayed_at: Option<Timestamp>,
    /// When it left the state pending.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub ended_at: Option<Timestamp>,
    /// When its dead letter was sent, if that was renewed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millisecond::optional")]
    pub dead_letter_at: Option<Timestamp>,
    /// Why it was rejected, closed, or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The result of a stored effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The names of what its effect emitted, as far as they fit into [`EMIT_NAMES_BYTES_MAX`]. The ids derive from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emits: Vec<String>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub emits_left_out: u32,
}

impl Delivery {
    /// That of a notification which is new to its destination.
    pub(super) fn pending(sequenced: bool, due_at: Timestamp) -> Delivery {
        Delivery {
            state: State::Pending,
            sequenced,
            attempts: 0,
            failures: BTreeMap::new(),
            fault: None,
            due_at,
            in_retry_queue: 0,
            lease_until: None,
            fence: 0,
            holder: None,
            called_at: None,
            settled: None,
            relayed_at: None,
            received_at: None,
            redriven_at: None,
            replayed_at: None,
            ended_at: None,
            dead_letter_at: None,
            reason: None,
            result: None,
            emits: vec![],
            emits_left_out: 0,
        }
    }

    /// The map of a record's item.
    pub(super) fn encode(&self) -> AttributeValue {
        serde_dynamo::to_attribute_value(self).expect("a delivery has only values that DynamoDB knows")
    }

    /// The fault that keeps it pending, as far as it is known: no attempt and no redrive came after it.
    pub fn present_fault(&self) -> Option<&RecordedFault> {
        let attempted = self.failures.get(&self.attempts.to_string()).map(|failed| failed.at);
        let later = attempted.max(self.redriven_at);
        self.fault.as_ref().filter(|fault| self.state == State::Pending && Some(fault.at) > later)
    }

    /// Why it ended, if a reason is kept; or what keeps it pending; or the failed attempt of last.
    pub fn last_error(&self) -> Option<&str> {
        let fault = self.present_fault().map(|fault| &fault.error);
        let last = self.failures.values().max_by_key(|failed| failed.at).map(|failed| &failed.error);
        self.reason.as_ref().or(fault).or(last).map(String::as_str)
    }
}

pub(super) fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// The text on one line, cut to `bytes_max` bytes, with an ellipsis where it was cut. A destination or a provider wrote
/// it: control characters, and what SQS does not take, become U+FFFD.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    let on_one_line = |c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { plain(c) };
    let mut text: String = text.chars().map(on_one_line).collect();
    if text.len() > bytes_max {
        let end = (0..=bytes_max - '…'.len_utf8()).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}
