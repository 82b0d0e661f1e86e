//! The transaction that commits an effect with its mark: what the reasons of its cancellation mean.

use aws_sdk_dynamodb::types::CancellationReason;

use super::call::{TRANSACT, returned_record};
use crate::aws::{Cause, Fault};
use crate::record::{Item, Record};

/// Place of the mark in the transaction. Then come the actions on the position, the effect's writes, and the emits.
const MARK_AT: usize = 0;

/// The code of a reason whose condition failed.
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// Why a transaction was cancelled.
#[derive(Debug)]
pub(crate) enum Cancellation {
    /// The mark's condition failed on this item, if there is one.
    Mark(Option<Item>),
    /// A condition on the position of a sequenced destination, or on a registration, failed.
    Position,
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
    positions: usize,
    writes: usize,
    emits: &[Record],
) -> Cancellation {
    if let Some(reason) = reasons.get(MARK_AT).filter(|reason| failed(reason)) {
        return Cancellation::Mark(reason.item().cloned());
    }
    if let Some(fault) = undecided(reasons) {
        return Cancellation::Fault(fault);
    }
    let others = reasons.get(MARK_AT + 1..).unwrap_or_default();
    let (of_position, others) = others.split_at(positions.min(others.len()));
    if of_position.iter().any(failed) {
        return Cancellation::Position;
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
    match stored.is_empty() {
        false => Cancellation::Emitted(stored),
        true => Cancellation::Fault(first_fault(reasons)),
    }
}

/// Judges a cancellation of a transaction that registers: `None` where a condition failed.
pub(crate) fn judge_registration(reasons: &[CancellationReason]) -> Option<Fault> {
    let decided = reasons.iter().any(failed);
    undecided(reasons).or_else(|| (!decided).then(|| first_fault(reasons)))
}

fn failed(reason: &CancellationReason) -> bool {
    reason.code() == Some(CONDITION_FAILED)
}

fn is_set(reason: &&CancellationReason) -> bool {
    reason.code().is_some_and(|code| code != "None")
}

fn faults(reasons: &[CancellationReason]) -> impl Iterator<Item = Fault> {
    reasons.iter().filter(is_set).map(|reason| Fault::new(TRANSACT, Cause::of_code(reason.code(), None)))
}

/// The contention or the throttling that cancelled a transaction.
fn undecided(reasons: &[CancellationReason]) -> Option<Fault> {
    faults(reasons).find(Fault::is_retryable)
}

fn first_fault(reasons: &[CancellationReason]) -> Fault {
    let none = || Fault::new(TRANSACT, Cause::Unavailable("cancelled without a reason".into()));
    faults(reasons).next().unwrap_or_else(none)
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
        judge(&[mark, write, emit], 0, 1, &[event_for(&["b"])])
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
        let failed = || reason(CONDITION_FAILED, None);
        let judged = |mark, position, next| judge(&[mark, position, next, failed()], 2, 1, &[]);
        assert!(matches!(judged(none(), failed(), none()), Cancellation::Position));
        assert!(matches!(judged(none(), none(), failed()), Cancellation::Position));
        assert!(matches!(judged(none(), none(), none()), Cancellation::Write { at: 0, .. }));
        let mark = reason(CONDITION_FAILED, Some(&event_for(&["a"])));
        assert!(matches!(judged(mark, failed(), none()), Cancellation::Mark(_)));
    }

    #[test]
    fn contention_and_throttling_are_retried_before_conditions_count() {
        for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
            let registration = judge_registration(&[reason(CONDITION_FAILED, None), reason(code, None)]);
            assert!(registration.unwrap().is_retryable());
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
        assert!(judge_registration(&[]).unwrap().is_retryable());
        assert!(judge_registration(&[none(), reason(CONDITION_FAILED, None)]).is_none());
        let unexplained = judge(&[], 0, 1, &[]);
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
