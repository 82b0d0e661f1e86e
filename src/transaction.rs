//! The transaction that commits an effect with its mark: what goes into it, and what its
//! cancellation means.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, TransactWriteItem};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::fault::{Cause, Fault};
use crate::moves::{Form, Lost, Move};
use crate::record::{Item, Record};

/// The name of the call in faults.
pub(crate) const CALL: &str = "TransactWriteItems";
/// Where the mark stands in the transaction; the position follows, where there is one, then the effect's
/// writes, then the emits.
pub(crate) const MARK_AT: usize = 0;

/// What the returned record says of a mark whose condition failed.
#[derive(Debug, PartialEq)]
pub(crate) enum MarkLost {
    /// Send the other form.
    Form(Form),
    /// It cannot be made; a final state among these is a duplicate.
    Lost(Lost),
}

/// Reads the item that DynamoDB returned with a failed condition of a move.
///
/// # Errors
/// A fault when there is no item, or when it is not a record.
pub(crate) fn returned(call: &'static str, item: Option<Item>) -> Result<Record, Fault> {
    let item = item.filter(|item| !item.is_empty()).ok_or(Fault::new(call, Cause::Missing))?;
    Record::decode(item).map_err(|error| Fault::new(call, error))
}

/// What the returned item says of a mark whose condition failed.
///
/// # Errors
/// A fault when there is no item (never a duplicate: an effect may not count as applied
/// because its record vanished), or when it is not a record.
pub(crate) fn mark_lost(
    call: &'static str,
    item: Option<Item>,
    destination: &str,
    it: &Move,
    now: Timestamp,
) -> Result<MarkLost, Fault> {
    let record = returned(call, item)?;
    Ok(match Form::of(&record, destination, it, now) {
        Ok(form) => MarkLost::Form(form),
        Err(lost) => MarkLost::Lost(lost),
    })
}

/// What a cancelled transaction means.
#[derive(Debug)]
pub(crate) enum Verdict {
    Mark(MarkLost),
    /// The position of a sequenced destination is another one: this item, if there is one.
    Position(Option<Item>),
    /// The emits at these places are stored already; leave them out and send the rest.
    Emitted(Vec<usize>),
    /// The id of the emit at this place is held by other content.
    EmitConflict {
        at: usize,
    },
    /// The condition of the effect's write with this number (from 0) failed, or AWS did not
    /// take it.
    Write {
        at: usize,
        code: String,
    },
    Fault(Fault),
}

/// Judges a cancellation. The mark's own reason comes first: if the notification has ended,
/// nothing else matters. Contention and throttling come before failed conditions, since the
/// whole is tried again anyway, and fresh conditions are the ones that count.
pub(crate) fn judge(
    reasons: &[CancellationReason],
    sequenced: bool,
    writes: usize,
    emits: &[Record],
    mark: impl FnOnce(Option<Item>) -> Result<MarkLost, Fault>,
) -> Verdict {
    let failed = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    let cause = |reason: &CancellationReason| Cause::of_code(reason.code(), None);
    if let Some(reason) = reasons.get(MARK_AT).filter(|reason| failed(reason)) {
        return mark(reason.item().cloned()).map_or_else(Verdict::Fault, Verdict::Mark);
    }
    let is_set = |reason: &&CancellationReason| reason.code().is_some_and(|code| code != "None");
    let faults = reasons.iter().filter(is_set).map(cause).map(|cause| Fault::new(CALL, cause));
    if let Some(fault) = faults.into_iter().find(Fault::is_retryable) {
        return Verdict::Fault(fault);
    }
    let mut others = reasons.get(MARK_AT + 1..).unwrap_or_default();
    if sequenced && let Some((position, rest)) = others.split_first() {
        if failed(position) {
            return Verdict::Position(position.item().cloned());
        }
        others = rest;
    }
    let (own, emitted) = others.split_at(writes.min(others.len()));
    if let Some((at, reason)) = own.iter().enumerate().find(|(_, reason)| is_set(reason)) {
        return Verdict::Write { at, code: reason.code().unwrap_or_default().to_owned() };
    }
    let mut stored = Vec::new();
    for (at, (reason, record)) in
        emitted.iter().zip(emits).enumerate().filter(|(_, (reason, _))| failed(reason))
    {
        let same = reason.item().and_then(|item| item.get("digest")?.as_s().ok()) == Some(&record.digest);
        match same {
            true => stored.push(at),
            false => return Verdict::EmitConflict { at },
        }
    }
    match (stored.is_empty(), reasons.iter().find(is_set)) {
        (false, _) => Verdict::Emitted(stored),
        (true, Some(reason)) => Verdict::Fault(Fault::new(CALL, cause(reason))),
        (true, None) => {
            Verdict::Fault(Fault::new(CALL, Cause::Unavailable("cancelled without a reason".into())))
        }
    }
}

/// The `ClientRequestToken`: a hash of the whole request, so that it is the same for the
/// SDK's own retries of this request and different for any other. Once-ness does not rest on
/// it.
pub(crate) fn token(actions: &[TransactWriteItem]) -> String {
    let mut content = Content(Vec::with_capacity(2 * 1024));
    for action in actions {
        content.action(action);
    }
    hex(&Sha256::digest(&content.0)[..18])
}

/// What a request says, each part with its length and maps in the order of their keys.
struct Content(Vec<u8>);

impl Content {
    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn length(&mut self, length: usize) {
        self.0.extend_from_slice(&(length as u64).to_be_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn action(&mut self, action: &TransactWriteItem) {
        if let Some(put) = action.put() {
            self.write("put", put.table_name(), put.condition_expression(), None);
            self.maps(&put.item, put.expression_attribute_names(), put.expression_attribute_values());
        }
        if let Some(update) = action.update() {
            let expressions = (update.condition_expression(), Some(update.update_expression()));
            self.write("update", update.table_name(), expressions.0, expressions.1);
            self.maps(&update.key, update.expression_attribute_names(), update.expression_attribute_values());
        }
        if let Some(delete) = action.delete() {
            self.write("delete", delete.table_name(), delete.condition_expression(), None);
            self.maps(&delete.key, delete.expression_attribute_names(), delete.expression_attribute_values());
        }
        if let Some(check) = action.condition_check() {
            self.write("check", check.table_name(), Some(check.condition_expression()), None);
            self.maps(&check.key, check.expression_attribute_names(), check.expression_attribute_values());
        }
    }

    fn write(&mut self, kind: &str, table: &str, condition: Option<&str>, update: Option<&str>) {
        [Some(kind), Some(table), condition, update].into_iter().for_each(|text| self.text(text));
    }

    fn maps(&mut self, item: &Item, names: Option<&HashMap<String, String>>, values: Option<&Item>) {
        self.item(item);
        let mut names: Vec<_> = names.into_iter().flatten().collect();
        names.sort();
        names.into_iter().for_each(|(name, path)| {
            self.text(Some(name));
            self.text(Some(path));
        });
        values.into_iter().for_each(|values| self.item(values));
    }

    fn item(&mut self, item: &Item) {
        let mut entries: Vec<_> = item.iter().collect();
        entries.sort_by_key(|(name, _)| *name);
        self.length(entries.len());
        for (name, value) in entries {
            self.text(Some(name));
            self.value(value);
        }
    }

    fn value(&mut self, value: &AttributeValue) {
        match value {
            AttributeValue::M(map) => {
                self.text(Some("M"));
                self.item(map);
            }
            AttributeValue::L(list) => {
                self.text(Some("L"));
                self.length(list.len());
                list.iter().for_each(|value| self.value(value));
            }
            AttributeValue::S(text) => {
                self.text(Some("S"));
                self.text(Some(text));
            }
            AttributeValue::N(number) => {
                self.text(Some("N"));
                self.text(Some(number));
            }
            // The others hold no map, so their debug form has one order.
            plain => self.text(Some(&format!("{plain:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::event_for;
    use crate::record::{State, Status};
    use aws_sdk_dynamodb::types::Put;

    fn reason(code: &str, record: Option<&Record>) -> CancellationReason {
        CancellationReason::builder().code(code).set_item(record.map(Record::encode)).build()
    }

    fn none() -> CancellationReason {
        reason("None", None)
    }

    /// The verdict over a mark, one write and one emit.
    fn verdict(mark: CancellationReason, write: CancellationReason, emit: CancellationReason) -> Verdict {
        let done = Move::Done { result: None, fence: None };
        judge(&[mark, write, emit], false, 1, &[event_for(&["b"])], |item| {
            mark_lost(CALL, item, "a", &done, Timestamp::UNIX_EPOCH)
        })
    }

    #[test]
    fn only_the_marks_own_reason_with_an_ended_record_means_duplicate() {
        let failed = "ConditionalCheckFailed";
        let mut ended = event_for(&["a"]);
        ended.destinations.get_mut("a").unwrap().state = State::Done;
        let was_done = |verdict| matches!(verdict, Verdict::Mark(MarkLost::Lost(Lost::Was(State::Done))));
        assert!(was_done(verdict(reason(failed, Some(&ended)), reason(failed, None), none())));
        assert!(!was_done(verdict(none(), reason(failed, Some(&ended)), none())));
        assert!(matches!(
            verdict(none(), reason(failed, None), none()),
            Verdict::Write { at: 0, code } if code == failed
        ));
        let open = event_for(&["a", "b"]);
        assert!(matches!(
            verdict(reason(failed, Some(&open)), none(), none()),
            Verdict::Mark(MarkLost::Form(Form { from: State::Pending, after: Status::Init }))
        ));
    }

    #[test]
    fn a_record_that_is_not_there_is_a_fault_never_a_duplicate() {
        let missing = verdict(reason("ConditionalCheckFailed", None), none(), none());
        assert!(matches!(&missing, Verdict::Fault(fault) if !fault.is_retryable()), "{missing:?}");
    }

    #[test]
    fn a_position_comes_after_the_mark_and_before_the_writes() {
        let failed = "ConditionalCheckFailed";
        let verdict = |mark, position| {
            let done = Move::Done { result: None, fence: None };
            judge(&[mark, position, reason(failed, None)], true, 1, &[], |item| {
                mark_lost(CALL, item, "a", &done, Timestamp::UNIX_EPOCH)
            })
        };
        assert!(matches!(verdict(none(), reason(failed, None)), Verdict::Position(None)));
        assert!(matches!(verdict(none(), none()), Verdict::Write { at: 0, .. }));
        let ended = reason(failed, Some(&event_for(&["a"])));
        assert!(matches!(verdict(ended, reason(failed, None)), Verdict::Mark(_)));
    }

    #[test]
    fn contention_and_throttling_are_tried_again_before_conditions_count() {
        for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
            let contended = verdict(none(), reason("ConditionalCheckFailed", None), reason(code, None));
            assert!(matches!(&contended, Verdict::Fault(fault) if fault.is_retryable()), "{contended:?}");
            let contended = verdict(reason(code, None), none(), none());
            assert!(matches!(&contended, Verdict::Fault(fault) if fault.is_retryable()), "{contended:?}");
        }
    }

    #[test]
    fn a_cancellation_without_reasons_is_tried_again() {
        let verdict = judge(&[], false, 1, &[], |_| unreachable!("the mark has no reason"));
        assert!(matches!(&verdict, Verdict::Fault(fault) if fault.is_retryable()), "{verdict:?}");
    }

    #[test]
    fn an_emit_that_is_stored_already_is_left_out_and_another_content_is_a_conflict() {
        let failed = "ConditionalCheckFailed";
        let stored = verdict(none(), none(), reason(failed, Some(&event_for(&["b"]))));
        assert!(matches!(stored, Verdict::Emitted(places) if places == [0]));
        let mut other = event_for(&["b"]);
        other.digest = "v1:other".into();
        let conflict = verdict(none(), none(), reason(failed, Some(&other)));
        assert!(matches!(conflict, Verdict::EmitConflict { at: 0 }));
    }

    #[test]
    fn the_token_is_a_hash_of_the_whole_request() {
        let put = |table: &str, names: [&str; 3]| {
            let item = names.iter().map(|name| (name.to_string(), AttributeValue::S("x".into())));
            let put = Put::builder().table_name(table).set_item(Some(item.collect())).build().unwrap();
            TransactWriteItem::builder().put(put).build()
        };
        let once = token(&[put("t", ["a", "b", "c"])]);
        assert_eq!(once.len(), 36);
        assert_eq!(once, token(&[put("t", ["c", "b", "a"])]));
        assert_ne!(once, token(&[put("u", ["a", "b", "c"])]));
        assert_ne!(once, token(&[put("t", ["a", "b", "d"])]));
        assert_ne!(once, token(&[put("t", ["a", "b", "c"]), put("t", ["a", "b", "c"])]));
    }
}
