//! The transaction that commits an effect with its mark: what the reasons of its cancellation mean.

use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};

use super::call::{TRANSACT, returned_record};
use crate::aws::{Cause, Fault};
use crate::record::{Item, Record};

/// Place of the mark in the transaction. Then come the actions on the position, the effect's writes, and the emits.
const MARK_AT: usize = 0;

/// The code of a reason whose condition failed.
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// A write of an effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EffectWrite<'a> {
    pub(crate) action: &'a TransactWriteItem,
    pub(crate) precedence: Precedence,
}

/// What follows when the condition of a write fails. Of several writes whose conditions failed, the first in this order
/// decides: after another call of the handler the others may hold, and what another effect ends is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Precedence {
    /// The handler decides again.
    Retry,
    /// The attempt has failed.
    Fail,
    /// Another effect is applied.
    Else,
}

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
    /// The condition of the effect's write with this number, from 0, failed: what the write says follows.
    Condition { at: usize },
    /// AWS refused the effect's write with this number for another reason.
    Write { at: usize, code: String },
    /// Nothing was decided.
    Fault(Fault),
}

/// Judges a cancellation. The mark's own reason comes first: if the notification is completed, nothing else
/// matters. Contention and throttling come before the other failed conditions: the transaction is sent again
/// anyway, and then fresh conditions count. Another effect comes last: what is rejected stays so, and must not have been
/// decided on what somebody else has changed.
pub(crate) fn judge(
    reasons: &[CancellationReason],
    positions: usize,
    writes: &[EffectWrite],
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
    let (own, emitted) = others.split_at(writes.len().min(others.len()));
    match first_refused(own, writes) {
        Some((Precedence::Else, other)) => judge_emits(emitted, emits).err().unwrap_or(other),
        Some((Precedence::Retry | Precedence::Fail, write)) => write,
        None => match judge_emits(emitted, emits) {
            Ok(stored) if stored.is_empty() => Cancellation::Fault(first_fault(reasons)),
            Ok(stored) => Cancellation::Emitted(stored),
            Err(conflict) => conflict,
        },
    }
}

/// The refused write that decides.
fn first_refused(
    reasons: &[CancellationReason],
    writes: &[EffectWrite],
) -> Option<(Precedence, Cancellation)> {
    let refused = reasons.iter().zip(writes).enumerate().filter(|(_, (reason, _))| is_set(reason));
    let judged = refused.map(|(at, (reason, write))| match failed(reason) {
        true => (write.precedence, Cancellation::Condition { at }),
        false => {
            let code = reason.code().unwrap_or_default().to_owned();
            (Precedence::Fail, Cancellation::Write { at, code })
        }
    });
    judged.min_by_key(|(precedence, _)| *precedence)
}

/// The places of the emits that are stored already.
fn judge_emits(reasons: &[CancellationReason], emits: &[Record]) -> Result<Vec<usize>, Cancellation> {
    let mut stored = Vec::new();
    for (at, (reason, record)) in
        reasons.iter().zip(emits).enumerate().filter(|(_, (reason, _))| failed(reason))
    {
        match returned_record(TRANSACT, reason.item().cloned()) {
            Ok(accepted) if record.is_repeat_of(&accepted) => stored.push(at),
            Ok(_) => return Err(Cancellation::EmitConflict { at }),
            Err(fault) => return Err(Cancellation::Fault(fault)),
        }
    }
    Ok(stored)
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
        judged_of(&[mark, write, emit], 0, &[Precedence::Fail])
    }

    /// The cancellation of a transaction with writes of these precedences, and one emit.
    fn judged_of(reasons: &[CancellationReason], positions: usize, writes: &[Precedence]) -> Cancellation {
        let action = TransactWriteItem::builder().build();
        let write = |precedence: &Precedence| EffectWrite { action: &action, precedence: *precedence };
        let writes: Vec<_> = writes.iter().map(write).collect();
        judge(reasons, positions, &writes, &[event_for(&["b"])])
    }

    #[test]
    fn only_the_marks_own_reason_says_what_became_of_the_record() {
        let mut completed = event_for(&["a"]);
        completed.destinations.get_mut("a").unwrap().state = State::Done;
        let item = completed.encode();
        let mark = judged(reason(CONDITION_FAILED, Some(&completed)), reason(CONDITION_FAILED, None), none());
        assert!(matches!(mark, Cancellation::Mark(Some(returned)) if returned == item));
        let write = judged(none(), reason(CONDITION_FAILED, Some(&completed)), none());
        assert!(matches!(write, Cancellation::Condition { at: 0 }));
    }

    #[test]
    fn of_several_writes_the_one_that_decides_again_comes_first_and_another_effect_last() {
        use Precedence::{Else, Fail, Retry};
        let all = |writes: &[Precedence], emit: CancellationReason| {
            let mut reasons = vec![none()];
            reasons.extend(writes.iter().map(|_| reason(CONDITION_FAILED, None)));
            judged_of(&[reasons, vec![emit]].concat(), 0, writes)
        };
        let decides = |writes: &[Precedence]| match all(writes, none()) {
            Cancellation::Condition { at } => at,
            other => panic!("{other:?}"),
        };
        assert_eq!(decides(&[Else, Fail, Retry]), 2);
        assert_eq!(decides(&[Else, Fail]), 1);
        assert_eq!(decides(&[Else, Else]), 0, "of two alike the first");
        let mut other = event_for(&["b"]);
        let stored = || reason(CONDITION_FAILED, Some(&event_for(&["b"])));
        assert!(matches!(all(&[Else], stored()), Cancellation::Condition { at: 0 }));
        other.digest = "v2:other".into();
        let conflict = || reason(CONDITION_FAILED, Some(&other));
        assert!(matches!(all(&[Else], conflict()), Cancellation::EmitConflict { at: 0 }));
        assert!(matches!(all(&[Retry], conflict()), Cancellation::Condition { at: 0 }));
        // What is no condition has failed, whatever the write says of its condition.
        let refused = [none(), reason("ValidationError", None), reason(CONDITION_FAILED, None), none()];
        let refused = judged_of(&refused, 0, &[Retry, Else]);
        assert!(
            matches!(&refused, Cancellation::Write { at: 0, code } if code == "ValidationError"),
            "{refused:?}"
        );
    }

    #[test]
    fn a_position_comes_after_the_mark_and_before_the_writes() {
        let failed = || reason(CONDITION_FAILED, None);
        let judged =
            |mark, position, next| judged_of(&[mark, position, next, failed()], 2, &[Precedence::Fail]);
        assert!(matches!(judged(none(), failed(), none()), Cancellation::Position));
        assert!(matches!(judged(none(), none(), failed()), Cancellation::Position));
        assert!(matches!(judged(none(), none(), none()), Cancellation::Condition { at: 0 }));
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
        let unexplained = judged_of(&[], 0, &[Precedence::Else]);
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
