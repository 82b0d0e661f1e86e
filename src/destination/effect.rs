//! What a destination returns: an effect to apply, or a rejection.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use serde::Serialize;

use super::failure::Failure;
use crate::notification::{Draft, Json, Refusal};
use crate::record::RESULT_BYTES_MAX;

/// Most writes and emits of one effect: a transaction takes 100 actions, and one is the mark, one the outcome that the
/// sender may ask for. At a sequenced destination it is three less, for the position, its own registration, and the
/// next one.
pub const ACTIONS_MAX: usize = 98;
/// Most calls of a handler in one attempt, while a condition fails that says [`or_retry`](Write::or_retry).
pub const CALLS_MAX: u32 = 5;
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
    pub(crate) writes: Vec<Write>,
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

/// A write to DynamoDB: a put, update, delete or condition check, with or without a condition. What follows when its
/// condition fails is part of it; if it says nothing, the attempt has failed.
///
/// ```
/// use handover::dynamodb::types::{AttributeValue, ConditionCheck};
/// use handover::{Effect, Write};
///
/// let is_open = ConditionCheck::builder()
///     .table_name("accounts")
///     .key("account", AttributeValue::S("a-1".into()))
///     .condition_expression("attribute_exists(account)")
///     .build()?;
/// let effect = Effect::new().write(Write::from(is_open).or_reject("there is no such account"));
/// # Ok::<(), aws_sdk_dynamodb::error::BuildError>(())
/// ```
///
/// Where the conditions of several writes failed at once, the first of these decides: one that says
/// [`or_retry`](Write::or_retry), one that says nothing, one that says [`or_else`](Write::or_else) or
/// [`or_reject`](Write::or_reject); of two alike the first. So a handler that reads before it decides puts `or_retry` on a
/// condition that what it read is unchanged: then it rejects nothing on a read that was stale. A write that AWS refuses
/// for another reason has failed, whatever it says.
#[derive(Clone, Debug)]
pub struct Write {
    pub(crate) action: TransactWriteItem,
    pub(crate) otherwise: Otherwise,
}

/// What follows when the condition of a write fails.
#[derive(Clone, Debug)]
pub(crate) enum Otherwise {
    Retry,
    Fail,
    Else(Box<Effect>),
}

impl Write {
    fn new(action: TransactWriteItem) -> Write {
        Write { action, otherwise: Otherwise::Fail }
    }

    fn has_condition(&self) -> bool {
        let TransactWriteItem { put, update, delete, condition_check, .. } = &self.action;
        put.as_ref().is_some_and(|put| put.condition_expression.is_some())
            || update.as_ref().is_some_and(|update| update.condition_expression.is_some())
            || delete.as_ref().is_some_and(|delete| delete.condition_expression.is_some())
            || condition_check.is_some()
    }

    /// If the condition fails, this effect is applied in place of the one that the write is part of: its writes, its
    /// emits, and its result or rejection. Its writes may say what follows in turn. It counts from the moment at which the
    /// condition failed: what somebody changes after that does not take it back.
    pub fn or_else(self, effect: Effect) -> Write {
        Write { otherwise: Otherwise::Else(Box::new(effect)), ..self }
    }

    /// If the condition fails, the command is rejected for this reason, for good. It is
    /// [`or_else`](Write::or_else) with [`Effect::reject`]; at an event it is a permanent failure. A rejection that emits
    /// nothing is marked by a statement, so the function's role needs `dynamodb:PartiQLUpdate`.
    ///
    /// In the effect of an [`External`](crate::External) it rejects a command whose call has been made.
    pub fn or_reject(self, reason: impl Into<String>) -> Write {
        self.or_else(Effect::reject(reason))
    }

    /// If the condition fails, somebody else was faster: the handler is called again at once, to read and decide again.
    /// After [`CALLS_MAX`] calls, or when half of the invocation's time is over, the attempt has failed. In the effect of
    /// an [`External`](crate::External) the attempt has failed at once, since its call has been made.
    pub fn or_retry(self) -> Write {
        Write { otherwise: Otherwise::Retry, ..self }
    }
}

impl From<Put> for Write {
    fn from(put: Put) -> Self {
        Write::new(TransactWriteItem::builder().put(put).build())
    }
}

impl From<Update> for Write {
    fn from(update: Update) -> Self {
        Write::new(TransactWriteItem::builder().update(update).build())
    }
}

impl From<Delete> for Write {
    fn from(delete: Delete) -> Self {
        Write::new(TransactWriteItem::builder().delete(delete).build())
    }
}

impl From<ConditionCheck> for Write {
    fn from(check: ConditionCheck) -> Self {
        Write::new(TransactWriteItem::builder().condition_check(check).build())
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

    /// Adds a write to a table of yours, in the same account and Region. If its condition fails, nothing of the effect
    /// is applied, and what the write says follows; if it says nothing, the attempt has failed.
    pub fn write(mut self, write: impl Into<Write>) -> Effect {
        self.writes.push(write.into());
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

    /// Whether a write of it, or of an effect in its place, says [`or_retry`](Write::or_retry): the handler may then be
    /// called several times in one attempt.
    pub fn may_decide_again(&self) -> bool {
        self.writes.iter().any(|write| match &write.otherwise {
            Otherwise::Retry => true,
            Otherwise::Fail => false,
            Otherwise::Else(other) => other.may_decide_again(),
        })
    }

    /// Checks the effect, and those that may be applied in its place, against the limits of a transaction and of the
    /// record.
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
        for (at, write) in self.writes.iter().enumerate() {
            if !matches!(write.otherwise, Otherwise::Fail) && !write.has_condition() {
                return Err(Failure::permanent(format!(
                    "write {at} of the effect says what follows when its condition fails, and has none; add a condition"
                )));
            }
            if let Otherwise::Else(other) = &write.otherwise {
                other.check(sequenced)?;
            }
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

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::destination::failure::FailureKind;

    #[test]
    fn an_effect_is_held_to_its_limits() {
        let draft = || Draft::event("t", "s", &());
        let emits =
            |count: usize| (0..count).fold(Effect::new(), |effect, n| effect.emit(n.to_string(), draft()));
        assert_eq!(emits(ACTIONS_MAX).check(false), Ok(()));
        assert!(emits(ACTIONS_MAX).check(true).unwrap_err().error.contains("limit of 95"));
        let failure = emits(ACTIONS_MAX + 1).check(false).unwrap_err();
        assert!(failure.kind == FailureKind::Permanent && failure.error.contains("limit of 98"));
        let twice = Effect::new().emit("a", draft()).emit("b", draft()).emit("a", draft());
        assert!(twice.check(false).unwrap_err().error.contains("two emits have the name `a`"));
        let result = |bytes: usize| Effect::new().result(&"x".repeat(bytes - 2)).check(false);
        assert_eq!(result(RESULT_BYTES_MAX), Ok(()));
        assert!(result(RESULT_BYTES_MAX + 1).unwrap_err().error.contains("4097 bytes"));
        let check = || ConditionCheck::builder().table_name("t").key("k", AttributeValue::Bool(true));
        let check = check().condition_expression("attribute_exists(k)").build().unwrap();
        let nested = Effect::new().write(Write::from(check).or_else(emits(ACTIONS_MAX + 1)));
        assert!(
            nested.check(false).unwrap_err().error.contains("limit of 98"),
            "of what may be applied, too"
        );
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
        let put = effect.writes[0].action.put().unwrap();
        assert_eq!((put.table_name(), put.item()["account"].as_s().unwrap().as_str()), ("t", "a"));
        assert_eq!(effect.check(false), Ok(()));
        let failure = Effect::new().put("t", &5).check(false).unwrap_err();
        assert!(
            failure.kind == FailureKind::Permanent && failure.error.contains("no form in DynamoDB"),
            "{}",
            failure.error
        );
    }
}
