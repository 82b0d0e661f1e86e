//! The retry policy: how severe a failure is, when a destination gives up, and what waits. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::failure::{Failure, FailureKind};
use super::retry_schedule::{RetrySchedule, UNCOUNTED_WAIT_MAX, WAIT_MAX};
use crate::aws::HeldUp;
use crate::code::Code;
use crate::record::{
    Called, Delivery, ERROR_BYTES_MAX, FIRST_DUE_AFTER, Refused, State, Transition, shortened,
};
use crate::store::TransitionError;

/// After how many receives a copy that counts no attempt is replaced by a new one. SQS dead-letters a message after
/// `RetryMaxReceives`, which is 30 at least, so that the 20 attempts of the longest schedule still fit.
pub(crate) const RECEIVES_RENEWED: u32 = 10;
/// How many more receives than counted attempts are nothing unusual: the copy of an attempt that was counted from the
/// stream, or one that counted none.
const UNTRACED_MAX: u32 = 1;
/// The error of a handler that blocked its thread.
pub(crate) const BLOCKED: &str = "the handler blocked its thread";
/// How often a fault that lasts is recorded.
const FAULT_RECORDED_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// The first receive at which a retryable fault is recorded. Most pass before that.
const RETRYABLE_RECORDED_FROM: u32 = 3;
/// Why a destination has not completed a notification.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCompleted {
    /// The handler failed, panicked, or took too long.
    #[error("{}", .0.error)]
    Failed(Failure),
    #[error(transparent)]
    NotApplied(#[from] TransitionError),
    /// The condition of a write failed that says `or_retry`, and this attempt calls its handler no more.
    #[error(
        "the condition of write {at} of the effect failed, and of this attempt no call or no time is left; another writer is faster, or it is never true"
    )]
    Overtaken { at: usize },
    #[error("no time is left in this invocation")]
    OutOfTime,
    /// Nothing was begun.
    #[error("its destination is paused")]
    Paused,
    /// It failed after the start of an external effect was recorded.
    #[error("{error}")]
    Called { error: Box<NotCompleted>, called: Called },
}

impl From<Failure> for NotCompleted {
    fn from(failure: Failure) -> Self {
        NotCompleted::Failed(failure)
    }
}

/// How severe a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Nothing was decided: it is tried again, and no attempt is counted.
    Uncounted,
    /// A failed attempt.
    Attempt,
    /// A failed attempt after which no other can succeed: the last.
    Last,
}

impl Severity {
    /// For logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Severity::Uncounted => "uncounted",
            Severity::Attempt => "attempt",
            Severity::Last => "last",
        }
    }
}

impl NotCompleted {
    /// For the holder of an external effect, if it is one: it could not record the outcome of its call.
    pub(crate) fn after_call(self, fence: Option<u32>) -> NotCompleted {
        match fence {
            Some(fence) => {
                NotCompleted::Called { error: Box::new(self), called: Called { fence, is_unknown: true } }
            }
            None => self,
        }
    }

    /// What is known of an external call that was started.
    pub(crate) fn called(&self) -> Option<Called> {
        match self {
            NotCompleted::Called { called, .. } => Some(*called),
            NotCompleted::Failed(_)
            | NotCompleted::NotApplied(_)
            | NotCompleted::Overtaken { .. }
            | NotCompleted::OutOfTime
            | NotCompleted::Paused => None,
        }
    }

    /// Whether its copy may be dropped: it is early and registered, so that it is gone on with when its turn comes; or
    /// its destination is paused, and whoever resumes that has it dispatched again.
    pub(crate) fn needs_no_copy(&self) -> bool {
        matches!(self, NotCompleted::NotApplied(TransitionError::Early) | NotCompleted::Paused)
    }

    /// Whether its sequence is completed, perhaps by another notification.
    pub(crate) fn finds_sequence_taken(&self) -> bool {
        match self {
            NotCompleted::Called { error, .. } => error.finds_sequence_taken(),
            NotCompleted::NotApplied(error) => matches!(error, TransitionError::SequenceTaken),
            NotCompleted::Failed(_)
            | NotCompleted::Overtaken { .. }
            | NotCompleted::OutOfTime
            | NotCompleted::Paused => false,
        }
    }

    /// What held it up; `None` where nothing is wrong with the stack.
    pub(crate) fn held_up_by(&self) -> Option<HeldUp> {
        match self {
            NotCompleted::Called { error, .. } => error.held_up_by(),
            NotCompleted::NotApplied(TransitionError::Fault(fault)) => Some(HeldUp::by(fault)),
            NotCompleted::OutOfTime => Some(HeldUp { cause: Code::OutOfTime, lasts: false }),
            // In the words of AWS's faults.
            NotCompleted::Failed(failure) => match failure.kind {
                FailureKind::Throttled => Some(HeldUp { cause: Code::Throttled, lasts: false }),
                FailureKind::Misconfigured => Some(HeldUp { cause: Code::Misconfigured, lasts: true }),
                FailureKind::Transient | FailureKind::Permanent => None,
            },
            NotCompleted::NotApplied(_) | NotCompleted::Overtaken { .. } | NotCompleted::Paused => None,
        }
    }

    /// How long the handler asks to wait, in addition to the usual wait.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            NotCompleted::Called { error, .. } => error.retry_after(),
            NotCompleted::Failed(failure) => failure.retry_after.min(UNCOUNTED_WAIT_MAX),
            NotCompleted::NotApplied(_)
            | NotCompleted::Overtaken { .. }
            | NotCompleted::OutOfTime
            | NotCompleted::Paused => Duration::ZERO,
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match self {
            NotCompleted::Called { error, .. } => error.severity(),
            NotCompleted::Failed(failure) => match failure.kind {
                FailureKind::Transient => Severity::Attempt,
                FailureKind::Permanent => Severity::Last,
                FailureKind::Throttled | FailureKind::Misconfigured => Severity::Uncounted,
            },
            NotCompleted::Overtaken { .. } => Severity::Attempt,
            NotCompleted::OutOfTime | NotCompleted::Paused => Severity::Uncounted,
            NotCompleted::NotApplied(error) => match error {
                TransitionError::Fault(_) | TransitionError::Early => Severity::Uncounted,
                TransitionError::Condition { .. } | TransitionError::Write { .. } => Severity::Attempt,
                TransitionError::Invalid(_)
                | TransitionError::EmitConflict { .. }
                | TransitionError::SequenceTaken => Severity::Last,
                TransitionError::Refused(refused) => match refused {
                    // A state of a later release: a function of that release decides. Of a copy with other
                    // content nothing is decided: from the retry queue its record is tried.
                    Refused::Held
                    | Refused::Counted(_)
                    | Refused::Dispatched(_)
                    | Refused::OtherContent
                    | Refused::Was(State::Unknown) => Severity::Uncounted,
                    Refused::Was(_)
                    | Refused::UnknownDestination
                    | Refused::NotACommand
                    | Refused::OwnWrite
                    | Refused::NoUnknownCall => Severity::Last,
                },
            },
        }
    }
}

/// Whether the attempt of this number and severity is the last.
pub(crate) fn gives_up(severity: Severity, number: u32, schedule: &RetrySchedule) -> bool {
    match severity {
        Severity::Uncounted => false,
        Severity::Attempt => number >= schedule.attempts_max(),
        Severity::Last => true,
    }
}

/// How long a copy has to wait still, whose last attempt failed so short a time ago that another one would not be apart
/// from it. It may be a further copy, or one whose wait is longer than the delay of a message that is sent.
pub(crate) fn rest_of_wait(
    delivery: &Delivery,
    schedule: &RetrySchedule,
    now: Timestamp,
) -> Option<Duration> {
    let failed = delivery.failures.get(&delivery.attempts.to_string())?;
    let (failed_at, retry_after) = (failed.at, Duration::from_secs(failed.retry_after.into()));
    let usual = [schedule.apart(delivery.attempts), schedule.longest_wait(delivery.attempts)];
    let [apart, longest] = usual.map(|usual| (usual + retry_after).min(WAIT_MAX));
    // The attempt has said when reconcile checks it: this long after the wait that was drawn.
    let ends_at = (delivery.due_at - FIRST_DUE_AFTER).clamp(failed_at + apart, failed_at + longest);
    let is_too_soon = now < failed_at + apart;
    // In whole seconds, as SQS takes it, and not less.
    is_too_soon.then(|| Duration::from_secs(ends_at.duration_since(now).as_secs_f64().ceil() as u64))
}

/// When reconcile checks a notification next whose copy waits in the retry queue without an attempt. The copy is tried
/// before, and the time is moved again: so reconcile dispatches it only if the copy is lost.
pub(crate) fn due_after_uncounted(now: Timestamp) -> Timestamp {
    now + FIRST_DUE_AFTER + UNCOUNTED_WAIT_MAX
}

/// What to record of a copy of the retry queue that counted no attempt: what held it up, first when it is known to
/// last, and then rarely.
pub(crate) fn fault_to_record(
    error: &NotCompleted,
    delivery: &Delivery,
    receives: u32,
    now: Timestamp,
) -> Option<Transition> {
    let is_soon = !error.held_up_by()?.lasts && receives < RETRYABLE_RECORDED_FROM;
    if is_soon || delivery.state != State::Pending {
        return None;
    }
    let error = shortened(&error.to_string(), ERROR_BYTES_MAX);
    let since = match delivery.present_fault() {
        Some(fault) if fault.error == error && now < fault.at + FAULT_RECORDED_EVERY => return None,
        Some(fault) if fault.error == error => fault.since,
        _ => now,
    };
    let before = delivery.fault.as_ref().map(|fault| fault.at);
    let due_at = due_after_uncounted(now + FAULT_RECORDED_EVERY);
    Some(Transition::Fault { before, since, error, due_at })
}

/// Whether a copy was received so much more often than attempts were counted that it may kill its function each time.
pub(crate) fn leaves_no_trace(attempts: u32, receives: u32) -> bool {
    receives > attempts + UNTRACED_MAX
}

/// Whether an attempt blocked its thread, maybe before a redrive.
pub(crate) fn has_blocked(delivery: Option<&Delivery>) -> bool {
    delivery.is_some_and(|delivery| delivery.failures.values().any(|failed| failed.error == BLOCKED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{Cause, Fault};
    use crate::record::tests::{at, event_for};
    use crate::record::{FailedAttempt, RecordedFault};

    #[test]
    fn an_undecided_attempt_is_not_counted() {
        let fault = |code| {
            NotCompleted::from(TransitionError::Fault(Fault::new("", Cause::of_code(Some(code), None))))
        };
        for code in
            ["TransactionConflict", "ThrottlingException", "AccessDeniedException", "InternalServerError"]
        {
            assert_eq!(fault(code).severity(), Severity::Uncounted, "{code}");
        }
        assert_eq!(NotCompleted::OutOfTime.severity(), Severity::Uncounted);
        assert_eq!(NotCompleted::Paused.severity(), Severity::Uncounted);
        for refused in [Refused::Held, Refused::Was(State::Unknown)] {
            assert_eq!(NotCompleted::from(TransitionError::Refused(refused)).severity(), Severity::Uncounted);
        }
        assert_eq!(NotCompleted::from(TransitionError::Early).severity(), Severity::Uncounted);
    }

    #[test]
    fn an_attempt_that_no_repeat_can_help_is_the_last() {
        assert_eq!(NotCompleted::from(Failure::permanent("no")).severity(), Severity::Last);
        assert_eq!(
            NotCompleted::from(TransitionError::EmitConflict { id: "1".into() }).severity(),
            Severity::Last
        );
        assert_eq!(
            NotCompleted::from(TransitionError::Refused(Refused::NotACommand)).severity(),
            Severity::Last
        );
        assert_eq!(
            NotCompleted::from(TransitionError::Refused(Refused::Was(State::Closed))).severity(),
            Severity::Last
        );
    }

    #[test]
    fn what_logs_and_metrics_name_a_failure() {
        let names = [Severity::Uncounted, Severity::Attempt, Severity::Last].map(Severity::as_str);
        assert_eq!(names, ["uncounted", "attempt", "last"]);
        let fault = |code| Fault::new("Op", Cause::of_code(Some(code), None));
        let denied = HeldUp { cause: Code::Denied, lasts: true };
        let error = NotCompleted::from(TransitionError::Fault(fault("AccessDeniedException")));
        assert_eq!(error.held_up_by(), Some(denied));
        let out_of_time = HeldUp { cause: Code::OutOfTime, lasts: false };
        assert_eq!(NotCompleted::OutOfTime.held_up_by(), Some(out_of_time));
        assert_eq!(NotCompleted::from(TransitionError::SequenceTaken).held_up_by(), None);
    }

    #[test]
    fn a_sequence_that_is_taken_is_found_after_a_call_too() {
        let taken = || NotCompleted::from(TransitionError::SequenceTaken);
        assert!(taken().finds_sequence_taken() && taken().after_call(Some(1)).finds_sequence_taken());
        let other = || NotCompleted::from(TransitionError::Early);
        assert!(!other().finds_sequence_taken() && !other().after_call(Some(1)).finds_sequence_taken());
        assert!(!NotCompleted::OutOfTime.finds_sequence_taken());
    }

    #[test]
    fn a_copy_that_came_twice_more_than_attempts_were_counted_may_kill_its_function() {
        assert!(!leaves_no_trace(0, 1) && leaves_no_trace(0, 2));
        assert!(!leaves_no_trace(5, 6) && leaves_no_trace(5, 7));
    }

    #[test]
    fn only_what_registered_will_be_notified() {
        assert!(NotCompleted::from(TransitionError::Early).needs_no_copy());
        assert!(NotCompleted::Paused.needs_no_copy());
        assert!(!NotCompleted::OutOfTime.needs_no_copy());
    }

    #[test]
    fn after_a_call_its_outcome_is_unknown() {
        let after = |fence| NotCompleted::from(Failure::transient("503")).after_call(fence);
        assert_eq!(after(Some(3)).called(), Some(Called { fence: 3, is_unknown: true }));
        assert_eq!(after(None).called(), None);
        assert_eq!(
            (after(Some(3)).to_string(), after(Some(3)).severity()),
            ("503".into(), Severity::Attempt)
        );
        assert_eq!(NotCompleted::OutOfTime.retry_after(), Duration::ZERO);
    }

    fn schedule(waits: &str) -> RetrySchedule {
        RetrySchedule::doubling(Duration::from_secs(120)).with_waits(waits).unwrap()
    }

    #[test]
    fn g7_the_last_attempt_is_that_of_the_schedule() {
        assert_eq!(NotCompleted::from(Failure::transient("no")).severity(), Severity::Attempt);
        assert_eq!(NotCompleted::Overtaken { at: 0 }.severity(), Severity::Attempt);
        let six = RetrySchedule::doubling(Duration::from_secs(120));
        assert!(!gives_up(Severity::Attempt, 5, &six));
        assert!(gives_up(Severity::Attempt, 6, &six));
        assert!(gives_up(Severity::Last, 1, &six));
        assert!(!gives_up(Severity::Uncounted, 6, &six));
        assert!(gives_up(Severity::Attempt, 1, &schedule("none")));
        // A function with a longer schedule may have counted them.
        assert!(gives_up(Severity::Attempt, 9, &schedule("5,300")));
    }

    #[test]
    fn a_copy_waits_as_long_as_its_attempt_has_said() {
        let schedule = schedule("1000,40000");
        let failed_at = at(1_000_000);
        let seconds = SignedDuration::from_secs;
        let mut delivery = event_for(&["a"]).destinations.remove("a").unwrap();
        assert_eq!(rest_of_wait(&delivery, &schedule, failed_at), None, "it never failed");
        delivery.attempts = 2;
        delivery
            .failures
            .insert("2".into(), FailedAttempt { at: failed_at, error: "no".into(), retry_after: 0 });
        let rest_of = |delivery: &mut Delivery, due: i64, now: i64| {
            delivery.due_at = failed_at + FIRST_DUE_AFTER + seconds(due);
            rest_of_wait(delivery, &schedule, failed_at + seconds(now)).map(|rest| rest.as_secs())
        };
        let mut rest = |due, now| rest_of(&mut delivery, due, now);
        assert_eq!([rest(30_000, 900), rest(30_000, 19_999)], [Some(29_100), Some(10_001)]);
        assert_eq!(rest(30_000, 20_000), None, "half of the wait is over");
        // Somebody else moved the check, or the attempt was of another schedule.
        assert_eq!([rest(90_000, 900), rest(5, 900)], [Some(39_100), Some(19_100)]);
        delivery.failures.get_mut("2").unwrap().retry_after = 600;
        let mut rest = |due, now| rest_of(&mut delivery, due, now);
        assert_eq!([rest(30_600, 20_000), rest(90_000, 900)], [Some(10_600), Some(39_700)]);
        assert_eq!(rest(30_600, 20_600), None, "half of the wait is over, and what it asked for");
    }

    #[test]
    fn what_another_system_refuses_for_now_counts_no_attempt() {
        let day = Duration::from_secs(86_400);
        let held_up = |failure: Failure| {
            let error = NotCompleted::from(failure.retry_after(day)).after_call(Some(1));
            assert_eq!((error.severity(), error.retry_after()), (Severity::Uncounted, UNCOUNTED_WAIT_MAX));
            error.held_up_by()
        };
        let throttled = HeldUp { cause: Code::Throttled, lasts: false };
        assert_eq!(held_up(Failure::throttled("429")), Some(throttled));
        let misconfigured = HeldUp { cause: Code::Misconfigured, lasts: true };
        assert_eq!(held_up(Failure::misconfigured("401")), Some(misconfigured));
        assert_eq!(NotCompleted::from(Failure::transient("503")).held_up_by(), None);
    }

    #[test]
    fn a_fault_is_recorded_when_it_is_known_to_last_and_then_rarely() {
        let now = at(1_000_000);
        let of = |code| {
            NotCompleted::from(TransitionError::Fault(Fault::new("Op", Cause::of_code(Some(code), None))))
        };
        let denied = of("AccessDeniedException").after_call(Some(1));
        let mut delivery = event_for(&["a"]).destinations.remove("a").unwrap();
        let due = |now| due_after_uncounted(now + FAULT_RECORDED_EVERY);
        let first = |error: &NotCompleted| {
            Some(Transition::Fault { before: None, since: now, error: error.to_string(), due_at: due(now) })
        };
        assert_eq!(fault_to_record(&denied, &delivery, 1, now), first(&denied));
        for retryable in [of("ThrottlingException"), NotCompleted::OutOfTime] {
            assert_eq!(fault_to_record(&retryable, &delivery, 2, now), None);
            assert_eq!(fault_to_record(&retryable, &delivery, 3, now), first(&retryable));
        }
        let held = NotCompleted::from(TransitionError::Refused(Refused::Held));
        assert_eq!(fault_to_record(&held, &delivery, 9, now), None, "nothing is wrong with the stack");
        let done = Delivery { state: State::Done, ..delivery.clone() };
        assert_eq!(fault_to_record(&denied, &done, 9, now), None, "nobody waits for it");

        delivery.fault = Some(RecordedFault { since: at(1), at: now, error: denied.to_string() });
        let soon = now + FAULT_RECORDED_EVERY - SignedDuration::from_millis(1);
        let later = now + FAULT_RECORDED_EVERY;
        assert_eq!(fault_to_record(&denied, &delivery, 9, soon), None);
        let fault = |since, error: &NotCompleted, at| Transition::Fault {
            before: Some(now),
            since,
            error: error.to_string(),
            due_at: due(at),
        };
        let again = fault(at(1), &denied, later);
        assert_eq!(fault_to_record(&denied, &delivery, 9, later), Some(again));
        let other = of("ResourceNotFoundException");
        let another = fault(soon, &other, soon);
        assert_eq!(fault_to_record(&other, &delivery, 9, soon), Some(another));
    }

    /// A redrive resets the attempts, not what they were.
    #[test]
    fn g8_what_blocked_before_a_redrive_is_still_suspected() {
        let mut delivery = event_for(&["a"]).destinations.remove("a").unwrap();
        assert!(!has_blocked(None) && !has_blocked(Some(&delivery)));
        let failed = |error: &str| FailedAttempt { at: at(1), error: error.into(), retry_after: 0 };
        delivery.failures.insert("2".into(), failed("no such account"));
        assert!(!has_blocked(Some(&delivery)));
        delivery.failures.insert("1".into(), failed(BLOCKED));
        assert!(delivery.attempts == 0 && has_blocked(Some(&delivery)));
    }

    /// A copy that counts no attempt is the only one: reconcile would add another with each dispatch.
    #[test]
    fn reconcile_checks_no_copy_that_waits_before_it_is_tried_again() {
        let (now, error) = (at(1_000_000), NotCompleted::from(Failure::misconfigured("401")));
        let delivery = event_for(&["a"]).destinations.remove("a").unwrap();
        let six = RetrySchedule::doubling(Duration::from_secs(120));
        let longest = six.uncounted_wait(30, UNCOUNTED_WAIT_MAX, 1.0);
        assert!(due_after_uncounted(now) >= now + longest + FIRST_DUE_AFTER);
        let Some(Transition::Fault { due_at, .. }) = fault_to_record(&error, &delivery, 1, now) else {
            panic!("it lasts")
        };
        // It is recorded again by the first copy that is tried after an hour.
        assert!(due_at >= now + FAULT_RECORDED_EVERY + longest + FIRST_DUE_AFTER);
    }
}
