//! The transaction that commits an effect with its mark: what the reasons of its cancellation mean.

use aws_sdk_dynamodb::types::CancellationReason;

use super::call::{TRANSACT, returned_record};
use crate::aws::{Cause, Fault};
use crate::record::{Item, Record};

/// Place of the mark in the transaction. Then come the position, if any, the effect's writes, and the emits.
const MARK_AT: usize = 0;

/// The code of a reason whose condition failed.
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// Why a transaction was cancelled.
#[derive(Debug)]
pub(crate) enum Cancellation {
    /// The mark's condition failed on this item, if there is one.
    Mark(Option<Item>),
    /// The condition on the position of a sequenced destination failed on this item, if there is one.
    Position(Option<Item>),
    /// The emits at these places are stored already. Leave them out and send the rest.
    Emitted(Vec<usize>),
    /// The id of the emit at this place is stored with other content.
    EmitConflict { at: usize },
    /// The condition of the effect's write with this number, from 0, failed, or AWS refused the write.
    Write { at: usize, code: String },
    /// Nothing was decided.
    Fault(Fault),
}

/// Judges a cancellation. The mark's own reason comes first: if the notification is completed, nothing else
/// matters. Contention and throttling come before the other failed conditions: the transaction is sent again
/// anyway, and then fresh conditions count.
pub(crate) fn judge(
    reasons: &[CancellationReason],
    sequenced: bool,
    writes: usize,
    emits: &[Record],
) -> Cancellation {
    let failed = |reason: &CancellationReason| reason.code() == Some(CONDITION_FAILED);
    let cause = |reason: &CancellationReason| Cause::of_code(reason.code(), None);
    if let Some(reason) = reasons.get(MARK_AT).filter(|reason| failed(reason)) {
        return Cancellation::Mark(reason.item().cloned());
    }
    let is_set = |reason: &&CancellationReason| reason.code().is_some_and(|code| code != "None");
    let faults = reasons.iter().filter(is_set).map(cause).map(|cause| Fault::new(TRANSACT, cause));
    if let Some(fault) = faults.into_iter().find(Fault::is_retryable) {
        return Cancellation::Fault(fault);
    }
    let mut others = reasons.get(MARK_AT + 1..).unwrap_or_default();
    if sequenced && let Some((position, rest)) = others.split_first() {
        if failed(position) {
            return Cancellation::Position(position.item().cloned());
        }
        others = rest;
    }
    let (own, emitted) = others.split_at(writes.min(others.len()));
    if let Some((at, reason)) = own.iter().enumerate().find(|(_, reason)| is_set(reason)) {
        return Cancellation::Write { at, code: reason.code().unwrap_or_default().to_owned() };
    }
    let mut stored = Vec::new();
    for (at, (reason, record)) in
        emitted.iter().zip(emits).enumerate().filter(|(_, (reason, _))| failed(reason))
    {
        match returned_record(TRANSACT, reason.item().cloned()) {
            Ok(accepted) if record.is_repeat_of(&accepted) => stored.push(at),
            Ok(_) => return Cancellation::EmitConflict { at },
            Err(fault) => return Cancellation::Fault(fault),
        }
    }
    match (stored.is_empty(), reasons.iter().find(is_set)) {
        (false, _) => Cancellation::Emitted(stored),
        (true, Some(reason)) => Cancellation::Fault(Fault::new(TRANSACT, cause(reason))),
        (true, None) => {
            let cause = Cause::Unavailable("cancelled without a reason".into());
            Cancellation::Fault(Fault::new(TRANSACT, cause))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::State;
    use crate::record::tests::event_for;

    fn reason(code: &str, record: Option<&Record>) -> CancellationReason {
        CancellationReason::builder().code(code).set_item(record.map(Record::encode)).build()
    }

    fn none() -> CancellationReason {
        reason("None", None)
    }

    /// The cancellation of a mark, one write and one emit.
    fn judged(mark: CancellationReason, write: CancellationReason, emit: CancellationReason) -> Cancellation {
        judge(&[mark, write, emit], false, 1, &[event_for(&["b"])])
    }

    #[test]
    fn only_the_marks_own_reason_says_what_became_of_the_record() {
        let mut completed = event_for(&["a"]);
        completed.destinations.get_mut("a").unwrap().state = State::Done;
        let item = completed.encode();
        let mark = judged(reason(CONDITION_FAILED, Some(&completed)), reason(CONDITION_FAILED, None), none());
        assert!(matches!(mark, Cancellation::Mark(Some(returned)) if returned == item));
        let write = judged(none(), reason(CONDITION_FAILED, Some(&completed)), none());
        assert!(matches!(write, Cancellation::Write { at: 0, code } if code == CONDITION_FAILED));
    }

    #[test]
    fn a_position_comes_after_the_mark_and_before_the_writes() {
        let judged = |mark, position| judge(&[mark, position, reason(CONDITION_FAILED, None)], true, 1, &[]);
        assert!(matches!(judged(none(), reason(CONDITION_FAILED, None)), Cancellation::Position(None)));
        assert!(matches!(judged(none(), none()), Cancellation::Write { at: 0, .. }));
        let mark = reason(CONDITION_FAILED, Some(&event_for(&["a"])));
        assert!(matches!(judged(mark, reason(CONDITION_FAILED, None)), Cancellation::Mark(_)));
    }

    #[test]
    fn contention_and_throttling_are_retried_before_conditions_count() {
        for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
            let contended = judged(none(), reason(CONDITION_FAILED, None), reason(code, None));
            assert!(
                matches!(&contended, Cancellation::Fault(fault) if fault.is_retryable()),
                "{contended:?}"
            );
            let contended = judged(reason(code, None), none(), none());
            assert!(
                matches!(&contended, Cancellation::Fault(fault) if fault.is_retryable()),
                "{contended:?}"
            );
        }
    }

    #[test]
    fn a_cancellation_without_reasons_is_retried() {
        let unexplained = judge(&[], false, 1, &[]);
        assert!(
            matches!(&unexplained, Cancellation::Fault(fault) if fault.is_retryable()),
            "{unexplained:?}"
        );
    }

    #[test]
    fn a_stored_emit_is_left_out_and_other_content_is_a_conflict() {
        let stored = judged(none(), none(), reason(CONDITION_FAILED, Some(&event_for(&["b"]))));
        assert!(matches!(stored, Cancellation::Emitted(places) if places == [0]));
        let mut other = event_for(&["b"]);
        other.digest = "v2:other".into();
        let conflict = judged(none(), none(), reason(CONDITION_FAILED, Some(&other)));
        assert!(matches!(conflict, Cancellation::EmitConflict { at: 0 }));
    }
}
