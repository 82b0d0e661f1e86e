//! What a destination returns: an effect to apply, a rejection, or a failure.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use serde::Serialize;

use crate::error::with_causes;
use crate::notification::{Draft, Json, Refusal};
use crate::record::RESULT_BYTES_MAX;

/// Most writes and emits of one effect: a transaction takes 100 actions, and one is the mark. At a sequenced
/// destination it is three less, for the position, its own registration, and the next one.
pub const ACTIONS_MAX: usize = 99;
/// Actions that a mark has at a sequenced destination, beside the record's.
const POSITION_ACTIONS: usize = 3;

/// The effect of a notification. It commits together with the mark that completes the notification at this
/// destination, all or nothing:
///
/// - with [writes](Effect::write), [puts](Effect::put) or [emits](Effect::emit), in one transaction;
/// - with a [result](Effect::result) alone, or nothing at all, in one update of the record.
///
/// ```
/// use handover::{Draft, Effect};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Entry<'a> { account: &'a str, amount: u32 }
///
/// let effect = Effect::new()
///     .put("entries", &Entry { account: "account-7", amount: 5 })
///     .emit("credited", Draft::event("refund.credited", "refunds", &serde_json::json!({ "amount": 5 })));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "an effect is applied only when it is returned"]
pub struct Effect {
    pub(crate) writes: Vec<TransactWriteItem>,
    pub(crate) emits: Vec<(String, Draft)>,
    pub(crate) end: End,
    /// Whether an item has no form in DynamoDB. It waits for [`Effect::check`], so that `put` needs no `?`.
    has_unwritable: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Done { result: Option<Result<Json, Refusal>> },
    Rejected { reason: String },
}

impl Default for End {
    fn default() -> Self {
        End::Done { result: None }
    }
}

/// A write to DynamoDB: a put, update, delete or condition check, with or without a condition.
#[derive(Clone, Debug)]
pub struct Write(TransactWriteItem);

impl From<Put> for Write {
    fn from(put: Put) -> Self {
        Write(TransactWriteItem::builder().put(put).build())
    }
}

impl From<Update> for Write {
    fn from(update: Update) -> Self {
        Write(TransactWriteItem::builder().update(update).build())
    }
}

impl From<Delete> for Write {
    fn from(delete: Delete) -> Self {
        Write(TransactWriteItem::builder().delete(delete).build())
    }
}

impl From<ConditionCheck> for Write {
    fn from(check: ConditionCheck) -> Self {
        Write(TransactWriteItem::builder().condition_check(check).build())
    }
}

impl Effect {
    /// An empty effect. By itself it only marks the notification as done.
    pub fn new() -> Effect {
        Effect::default()
    }

    /// Rejects a command for good. The record keeps the reason (512 bytes of it). Writes and emits commit with
    /// the rejection. An event cannot be rejected.
    pub fn reject(reason: impl Into<String>) -> Effect {
        Effect { end: End::Rejected { reason: reason.into() }, ..Effect::default() }
    }

    /// Adds a write to a table of yours, in the same account and Region. If its condition fails, nothing is
    /// applied, and the attempt has failed.
    pub fn write(mut self, write: impl Into<Write>) -> Effect {
        self.writes.push(write.into().0);
        self
    }

    /// Adds an item to put into a table of yours, without a condition: it replaces the item of the same key.
    /// `item` becomes the item's attributes by serde. An item that has no form in DynamoDB is a permanent
    /// failure.
    pub fn put(mut self, table: impl Into<String>, item: &impl Serialize) -> Effect {
        let put = Put::builder().table_name(table);
        match serde_dynamo::to_item(item) {
            Ok(item) => {
                let put = put.set_item(Some(item)).build().expect("table and item are set");
                self.write(put)
            }
            // Its text may quote the item.
            Err(_) => {
                self.has_unwritable = true;
                self
            }
        }
    }

    /// Adds a notification to accept. `name` distinguishes the emits of one effect: a repeat of this
    /// notification must give the same message the same name.
    pub fn emit(mut self, name: impl Into<String>, draft: Draft) -> Effect {
        self.emits.push((name.into(), draft));
        self
    }

    /// Keeps a result on the record itself (4 KiB at most), for an effect that needs no other table. A
    /// rejection has a reason instead, and ignores the result.
    pub fn result(mut self, result: &impl Serialize) -> Effect {
        if let End::Done { result: kept } = &mut self.end {
            *kept = Some(Json::from_serialize(result));
        }
        self
    }

    /// Checks the effect against the limits of a transaction and of the record.
    pub(crate) fn check(&self, sequenced: bool) -> Result<(), Failure> {
        if self.has_unwritable {
            return Err(Failure::permanent(
                "an item of the effect has no form in DynamoDB; use a struct or a map with string keys",
            ));
        }
        let actions = self.writes.len() + self.emits.len();
        let max = ACTIONS_MAX - if sequenced { POSITION_ACTIONS } else { 0 };
        if actions > max {
            return Err(Failure::permanent(format!(
                "the effect has {actions} writes and emits, over the limit of {max}; split the notification"
            )));
        }
        let mut names = BTreeSet::new();
        if let Some((name, _)) = self.emits.iter().find(|(name, _)| !names.insert(name)) {
            return Err(Failure::permanent(format!(
                "two emits have the name `{name}`; give each a name of its own"
            )));
        }
        match &self.end {
            End::Done { result: Some(Err(refusal)) } => Err(Failure::permanent(format!("result: {refusal}"))),
            End::Done { result: Some(Ok(result)) } if result.as_str().len() > RESULT_BYTES_MAX => {
                let bytes = result.as_str().len();
                Err(Failure::permanent(format!(
                    "the result takes {bytes} bytes, over the limit of {RESULT_BYTES_MAX}; keep it in a table of yours"
                )))
            }
            End::Done { .. } | End::Rejected { .. } => Ok(()),
        }
    }
}

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
    fn an_effect_is_held_to_its_limits() {
        let draft = || Draft::event("t", "s", &());
        let emits =
            |count: usize| (0..count).fold(Effect::new(), |effect, n| effect.emit(n.to_string(), draft()));
        assert_eq!(emits(ACTIONS_MAX).check(false), Ok(()));
        assert!(emits(ACTIONS_MAX).check(true).unwrap_err().error.contains("limit of 96"));
        let failure = emits(ACTIONS_MAX + 1).check(false).unwrap_err();
        assert!(failure.kind == FailureKind::Permanent && failure.error.contains("limit of 99"));
        let twice = Effect::new().emit("a", draft()).emit("b", draft()).emit("a", draft());
        assert!(twice.check(false).unwrap_err().error.contains("two emits have the name `a`"));
        let result = |bytes: usize| Effect::new().result(&"x".repeat(bytes - 2)).check(false);
        assert_eq!(result(RESULT_BYTES_MAX), Ok(()));
        assert!(result(RESULT_BYTES_MAX + 1).unwrap_err().error.contains("4097 bytes"));
        assert!(Effect::new().result(&f64::MAX).check(false).is_ok());
        assert!(Effect::new().result(&u64::MAX).check(false).unwrap_err().kind == FailureKind::Permanent);
    }

    #[test]
    fn a_rejection_keeps_its_reason_and_no_result() {
        let effect = Effect::reject("no such account").result(&u64::MAX);
        assert!(matches!(&effect.end, End::Rejected { reason } if reason == "no such account"));
        assert_eq!(effect.check(false), Ok(()));
    }

    #[test]
    fn a_plain_item_is_put_by_serde() {
        let effect = Effect::new().put("t", &std::collections::BTreeMap::from([("account", "a")]));
        let put = effect.writes[0].put().unwrap();
        assert_eq!((put.table_name(), put.item()["account"].as_s().unwrap().as_str()), ("t", "a"));
        assert_eq!(effect.check(false), Ok(()));
        let failure = Effect::new().put("t", &5).check(false).unwrap_err();
        assert!(
            failure.kind == FailureKind::Permanent && failure.error.contains("no form in DynamoDB"),
            "{}",
            failure.error
        );
    }

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
