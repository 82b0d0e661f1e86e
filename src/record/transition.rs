//! The table of transitions: which there are, when each may be made, and what it changes.
//!
//! This is the table of `docs/design.md` §3 as pure functions. A transition is one conditional update of the
//! record. Its condition depends on two things that a destination may not know: the state of its delivery, and
//! the status that the transition leaves behind, which depends on whether other destinations are open or dead.
//! The two are an [`Expected`]. A destination guesses them. Where the guess is wrong the update fails,
//! DynamoDB returns the record, and [`Expected::of`] reads the right ones from it or says why the record
//! refuses the transition.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::attributes::{
    AT, ATTEMPTS, BUCKET, CALLED_AT, CHANGE, CLOSED, DEAD, DEAD_LETTER_AT, DISPATCHES, DUE_AT, ENDED_AT,
    ERROR, EXPIRES_AT, FAILURES, FAULT, FENCE, HOLDER, IN_RETRY_QUEUE, KIND, LEASE_UNTIL, OPEN, REASON,
    RECEIVED_AT, REDISPATCHED, REDRIVEN_AT, RELAYED_AT, RESULT, RETRY_AFTER, SETTLED, SINCE, STATE, STATUS,
    UPDATED_AT, VERSION, of_delivery,
};
use super::delivery::{Delivery, ERROR_BYTES_MAX, FailedAttempt, Settled, State, shortened};
use super::due::{DEAD_DUE_AFTER, bucket, dead_bucket};
use super::record::{Change, Record, Status};
use super::redispatch::redispatched;
use super::update::{Condition, Path, Set, Update, is_same_millisecond, millis, number, text};
use crate::notification::{Json, Kind};

/// A transition of one destination's delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Transition {
    /// The effect is applied.
    Done {
        /// The result of a stored effect.
        result: Option<Json>,
        /// The fence of an external effect's holder.
        fence: Option<u32>,
    },
    /// The owner of a command rejects it.
    Rejected {
        /// Why; shortened to 512 bytes.
        reason: String,
        /// The fence of an external effect's holder.
        fence: Option<u32>,
    },
    /// An attempt failed.
    Attempt {
        /// Its number, from 1.
        number: u32,
        /// What went wrong; shortened to 512 bytes.
        error: String,
        /// How much longer than usual it asked to wait, in seconds.
        retry_after: u32,
        /// When reconcile checks the record next.
        due_at: Timestamp,
        /// The dispatch whose copy is in the retry queue.
        dispatch: u32,
        /// What is known of the external call.
        call: Option<Called>,
    },
    /// An external effect is about to start.
    Lease {
        /// The number of the lease, from 1. It was decided on a record whose fence was one less.
        fence: u32,
        /// When the lease expires.
        until: Timestamp,
        /// Unique id of the lease holder.
        holder: String,
        /// When the first call of unknown outcome began: this call or an earlier one.
        called_at: Timestamp,
    },
    /// The call under this lease is known not to have taken effect, and is no attempt of its own.
    Release {
        /// The holder's fence.
        fence: u32,
        /// When reconcile checks the record next, if the copy waits in the retry queue meanwhile.
        due_at: Option<Timestamp>,
    },
    /// A fault keeps it from being decided, and counts no attempt.
    Fault {
        /// When the fault that was read was recorded last, if there was one.
        before: Option<Timestamp>,
        /// When it was first recorded with this error.
        since: Timestamp,
        /// What went wrong; shortened to 512 bytes.
        error: String,
        /// When reconcile checks the record next: the copy waits in the retry queue meanwhile.
        due_at: Timestamp,
    },
    /// The destination gives up. The dead letter has been sent.
    Dead {
        /// The attempts recorded before.
        attempts: u32,
        /// The dispatches recorded before. A redrive since then may have removed the dead letter.
        dispatches: u32,
        /// Whether the reason is one more failed attempt.
        fails: bool,
        /// Why it gives up; shortened to 512 bytes.
        reason: String,
        /// What is known of the external call.
        call: Option<Called>,
    },
    /// An operator has it tried again.
    Redrive {
        /// When reconcile checks the record next.
        due_at: Timestamp,
        /// What the operator found out about a call of unknown outcome.
        settled: Option<Settled>,
        /// The fence of that call.
        fence: Option<u32>,
    },
    /// An operator closes it.
    Closed {
        /// Why; shortened to 512 bytes.
        reason: String,
    },
}

/// What the holder of an external effect knows of a call that did not complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    /// The holder's fence.
    pub(crate) fence: u32,
    /// Whether the call may have taken effect. If so its lease runs on, since it may do so later, too.
    pub(crate) is_unknown: bool,
}

/// Why a record refuses a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The delivery is in a state that the transition does not lead from.
    Was(State),
    /// The record does not name this destination.
    UnknownDestination,
    /// An event cannot be rejected.
    NotACommand,
    /// The record has this many attempts, not as many as the transition says. Another copy counted one, or a
    /// redrive reset them.
    Counted(u32),
    /// The record has this many dispatches, more than the transition says. A redrive may have come between.
    Dispatched(u32),
    /// This same call applied it before, and its answer was lost.
    OwnWrite,
    /// Another holder has the lease.
    Held,
    /// The delivery has no call of unknown outcome to settle.
    NoUnknownCall,
    /// The copy has other content than the record: somebody else wrote it.
    OtherContent,
}

/// What a transition expects of the record; see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The state of the delivery before.
    pub(crate) from: State,
    /// The status of the record after.
    pub(crate) after: Status,
}

/// When a transition is made, and the times of the timeline that it records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransitionTimes {
    pub(crate) now: Timestamp,
    /// When the dispatch that led to it was relayed.
    pub(crate) relayed_at: Option<Timestamp>,
    /// When the destination received that dispatch.
    pub(crate) received_at: Option<Timestamp>,
    /// How long a completed record is kept.
    pub(crate) retention: SignedDuration,
}

impl Transition {
    /// The state that it leads to.
    pub(super) fn to(&self, from: State) -> State {
        match self {
            Transition::Done { .. } => State::Done,
            Transition::Rejected { .. } => State::Rejected,
            Transition::Lease { .. } | Transition::Release { .. } | Transition::Fault { .. } => from,
            Transition::Attempt { .. } | Transition::Redrive { .. } => State::Pending,
            Transition::Dead { .. } => State::Dead,
            Transition::Closed { .. } => State::Closed,
        }
    }

    /// Why it is rejected, dead or closed.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Transition::Rejected { reason, .. }
            | Transition::Dead { reason, .. }
            | Transition::Closed { reason } => Some(reason),
            Transition::Done { .. }
            | Transition::Attempt { .. }
            | Transition::Lease { .. }
            | Transition::Release { .. }
            | Transition::Fault { .. }
            | Transition::Redrive { .. } => None,
        }
    }

    fn leads_from(&self, state: State) -> bool {
        match self {
            // From dead, too: by a late copy, or by a dead letter that somebody moved to the retry queue.
            Transition::Done { .. }
            | Transition::Rejected { .. }
            | Transition::Lease { .. }
            | Transition::Release { .. }
            | Transition::Closed { .. } => matches!(state, State::Pending | State::Dead),
            Transition::Attempt { .. } | Transition::Fault { .. } | Transition::Dead { .. } => {
                state == State::Pending
            }
            Transition::Redrive { .. } => state == State::Dead,
        }
    }

    fn change(&self) -> Change {
        match self {
            Transition::Done { .. } | Transition::Rejected { .. } => Change::Mark,
            Transition::Attempt { .. } => Change::Attempt,
            Transition::Lease { .. } => Change::Lease,
            Transition::Release { .. } => Change::Release,
            Transition::Fault { .. } => Change::Fault,
            Transition::Dead { .. } => Change::Dead,
            Transition::Redrive { .. } => Change::Dispatch,
            Transition::Closed { .. } => Change::Close,
        }
    }

    /// Whether the delivery shows this same transition as its last one.
    fn is_own_write(&self, delivery: &Delivery, now: Timestamp) -> bool {
        match self {
            Transition::Lease { fence, holder, .. } => {
                delivery.fence == *fence && delivery.holder.as_ref() == Some(holder)
            }
            Transition::Attempt { number, error, .. } => {
                delivery.state == State::Pending && is_recorded(delivery, *number, error, now)
            }
            Transition::Redrive { .. } => {
                let is_now = |at| is_same_millisecond(at, now);
                delivery.state == State::Pending && delivery.redriven_at.is_some_and(is_now)
            }
            // By this call, or by another copy: it is recorded.
            Transition::Fault { before, .. } => delivery.fault.as_ref().map(|fault| fault.at) != *before,
            // Their states say so, whoever led there.
            Transition::Done { .. }
            | Transition::Rejected { .. }
            | Transition::Release { .. }
            | Transition::Dead { .. }
            | Transition::Closed { .. } => false,
        }
    }

    /// Whether the record allows it, apart from the delivery's state.
    fn is_allowed(&self, record: &Record, delivery: &Delivery) -> Result<(), Refused> {
        if self.fence().is_some_and(|fence| fence != delivery.fence) {
            return Err(Refused::Held);
        }
        match self {
            Transition::Rejected { .. } if record.kind != Kind::Command => Err(Refused::NotACommand),
            Transition::Attempt { number, .. } if delivery.attempts + 1 != *number => {
                Err(Refused::Counted(delivery.attempts))
            }
            Transition::Dead { dispatches, .. } if record.dispatches != *dispatches => {
                Err(Refused::Dispatched(record.dispatches))
            }
            Transition::Dead { attempts, .. } if delivery.attempts != *attempts => {
                Err(Refused::Counted(delivery.attempts))
            }
            Transition::Redrive { settled: Some(_), .. } | Transition::Release { .. }
                if delivery.called_at.is_none() =>
            {
                Err(Refused::NoUnknownCall)
            }
            Transition::Done { .. }
            | Transition::Rejected { .. }
            | Transition::Attempt { .. }
            | Transition::Lease { .. }
            | Transition::Release { .. }
            | Transition::Fault { .. }
            | Transition::Dead { .. }
            | Transition::Redrive { .. }
            | Transition::Closed { .. } => Ok(()),
        }
    }

    /// Whether what the notification says is applied by it, or soon after it.
    pub(crate) fn applies_content(&self) -> bool {
        match self {
            Transition::Done { .. } | Transition::Rejected { .. } | Transition::Lease { .. } => true,
            Transition::Attempt { .. }
            | Transition::Release { .. }
            | Transition::Fault { .. }
            | Transition::Dead { .. }
            | Transition::Redrive { .. }
            | Transition::Closed { .. } => false,
        }
    }

    /// The fence that the record has to have.
    pub(crate) fn fence(&self) -> Option<u32> {
        match self {
            Transition::Done { fence, .. }
            | Transition::Rejected { fence, .. }
            | Transition::Redrive { fence, .. } => *fence,
            Transition::Attempt { call, .. } | Transition::Dead { call, .. } => call.map(|call| call.fence),
            Transition::Lease { fence, .. } => Some(fence - 1),
            Transition::Release { fence, .. } => Some(*fence),
            Transition::Fault { .. } | Transition::Closed { .. } => None,
        }
    }

    /// How many more destinations are open, dead and closed after it.
    fn tally(&self, from: State) -> (i64, i64, i64) {
        let count = |state: State| i64::from(self.to(from) == state) - i64::from(from == state);
        (count(State::Pending), count(State::Dead), count(State::Closed))
    }
}

impl Expected {
    /// What this transition has to expect of this record, or why the record refuses it.
    pub(crate) fn of(
        record: &Record,
        destination: &str,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Expected, Refused> {
        let delivery = record.destinations.get(destination).ok_or(Refused::UnknownDestination)?;
        let from = delivery.state;
        if transition.is_own_write(delivery, now) {
            return Err(Refused::OwnWrite);
        }
        if !transition.leads_from(from) {
            return Err(Refused::Was(from));
        }
        transition.is_allowed(record, delivery)?;
        let (open, dead, closed) = transition.tally(from);
        let after = match () {
            () if i64::from(record.open) + open > 0 => Status::Init,
            () if i64::from(record.dead) + dead > 0 => Status::Dead,
            () if transition.to(from) == State::Rejected => Status::Rejected,
            () if i64::from(record.closed) + closed > 0 => Status::Closed,
            () => Status::Done,
        };
        Ok(Expected { from, after })
    }

    /// The likely expectation of a destination whose dispatch named this many destinations: all are pending,
    /// and of several this one is not the last.
    pub(crate) fn guess(transition: &Transition, destinations: usize) -> Expected {
        let after = match transition.to(State::Pending) {
            State::Pending | State::Unknown => Status::Init,
            State::Done | State::Rejected | State::Dead | State::Closed if destinations > 1 => Status::Init,
            State::Done => Status::Done,
            State::Rejected => Status::Rejected,
            State::Dead => Status::Dead,
            State::Closed => Status::Closed,
        };
        Expected { from: State::Pending, after }
    }
}

/// The conditional update that makes a transition.
pub(crate) fn plan(
    transition: &Transition,
    destination: &str,
    expected: Expected,
    id: &str,
    times: &TransitionTimes,
) -> Update {
    let here = |name: &str| of_delivery(destination, name);
    let mut update =
        Update { conditions: Vec::with_capacity(6), sets: Vec::with_capacity(14), removes: vec![] };
    update.conditions.push(Condition::Is(here(STATE), text(expected.from.as_str())));
    update.conditions.extend(tally_conditions(transition, expected));

    let (open, dead, closed) = transition.tally(expected.from);
    for (name, more) in [(OPEN, open), (DEAD, dead), (CLOSED, closed)] {
        if more != 0 {
            update.sets.push((name.into(), Set::Plus(more)));
        }
    }
    let mut set = |path: Path, value| update.sets.push((path, Set::To(value)));
    set(STATUS.into(), text(expected.after.as_str()));
    set(CHANGE.into(), text(transition.change().as_str()));
    set(UPDATED_AT.into(), millis(times.now));
    set(here(STATE), text(transition.to(expected.from).as_str()));
    for (name, time) in [(RELAYED_AT, times.relayed_at), (RECEIVED_AT, times.received_at)] {
        if let Some(time) = time {
            set(here(name), millis(time));
        }
    }
    let to = transition.to(expected.from);
    if to != expected.from && to != State::Pending {
        set(here(ENDED_AT), millis(times.now));
    }
    if matches!(expected.after, Status::Done | Status::Rejected | Status::Closed) {
        set(EXPIRES_AT.into(), number((times.now + times.retention).as_second()));
    }
    if to != expected.from && expected.after == Status::Dead {
        set(BUCKET.into(), text(dead_bucket(id, times.now + DEAD_DUE_AFTER)));
    }
    // The reason says why it was dead, which is not why it is done.
    if expected.from == State::Dead && matches!(transition, Transition::Done { .. }) {
        update.removes.push(here(REASON));
    }
    update.sets.push((VERSION.into(), Set::Plus(1)));
    own_part(transition, &here, id, times, &mut update);
    update
}

/// The conditions on the other destinations that follow from the expected status.
fn tally_conditions(transition: &Transition, expected: Expected) -> Vec<Condition> {
    let (open, dead, closed) = transition.tally(expected.from);
    let to = transition.to(expected.from);
    // After the transition the count has to be zero, or above zero.
    let zero = |name: &str, more: i64| Condition::Is(name.into(), number(-more));
    let above_zero = |name: &str, more: i64| Condition::Above(name.into(), -more);
    match expected.after {
        // A delivery that stays pending leaves the record INIT, whatever the others are.
        Status::Init if to == State::Pending => vec![],
        Status::Init | Status::Unknown => vec![above_zero(OPEN, open)],
        Status::Dead if to == State::Dead => vec![zero(OPEN, open)],
        Status::Dead => vec![zero(OPEN, open), above_zero(DEAD, dead)],
        Status::Closed if to == State::Closed => vec![zero(OPEN, open), zero(DEAD, dead)],
        Status::Closed => vec![zero(OPEN, open), zero(DEAD, dead), above_zero(CLOSED, closed)],
        // A command has one destination, so that no other can be closed.
        Status::Rejected => vec![zero(OPEN, open), zero(DEAD, dead)],
        Status::Done => vec![zero(OPEN, open), zero(DEAD, dead), zero(CLOSED, closed)],
    }
}

/// The conditions and changes of this kind of transition alone.
fn own_part(
    transition: &Transition,
    here: &dyn Fn(&str) -> Path,
    id: &str,
    times: &TransitionTimes,
    update: &mut Update,
) {
    let Update { conditions, sets, removes } = update;
    conditions.extend(transition.fence().map(|fence| Condition::Is(here(FENCE), number(fence))));
    let mut set = |path: Path, value| sets.push((path, Set::To(value)));
    match transition {
        Transition::Done { result, .. } => {
            if let Some(result) = result {
                set(here(RESULT), text(result.as_str()));
            }
        }
        Transition::Rejected { reason, .. } => {
            conditions.push(Condition::Is(KIND.into(), text(Kind::Command.as_str())));
            set(here(REASON), text(shortened(reason, ERROR_BYTES_MAX)));
        }
        Transition::Attempt { number: nth, error, retry_after, due_at, dispatch, call } => {
            conditions.push(Condition::Is(here(ATTEMPTS), number(nth - 1)));
            set(here(DUE_AT), millis(*due_at));
            set(here(IN_RETRY_QUEUE), number(dispatch));
            sets.extend(failed(here, *nth, error, *retry_after, times.now));
            removes.extend(released(here, *call));
        }
        Transition::Lease { fence, until, holder, called_at } => {
            set(here(FENCE), number(fence));
            set(here(LEASE_UNTIL), millis(*until));
            set(here(HOLDER), text(holder));
            set(here(CALLED_AT), millis(*called_at));
        }
        Transition::Release { due_at, .. } => {
            conditions.push(Condition::Above(here(CALLED_AT), 0));
            if let Some(due_at) = due_at {
                set(here(DUE_AT), millis(*due_at));
            }
            removes.extend([here(LEASE_UNTIL), here(CALLED_AT)]);
        }
        Transition::Fault { before, since, error, due_at } => {
            conditions.push(match before {
                Some(at) => Condition::Is(here(FAULT) + "." + AT, millis(*at)),
                None => Condition::Absent(here(FAULT)),
            });
            set(here(DUE_AT), millis(*due_at));
            let (at, error) = (millis(times.now), text(shortened(error, ERROR_BYTES_MAX)));
            let fault = [(SINCE, millis(*since)), (AT, at), (ERROR, error)];
            let fault = fault.map(|(name, value)| (name.to_owned(), value));
            set(here(FAULT), AttributeValue::M(fault.into()));
        }
        Transition::Dead { attempts, dispatches, fails, reason, call } => {
            conditions.push(Condition::Is(DISPATCHES.into(), number(dispatches)));
            conditions.push(Condition::Is(here(ATTEMPTS), number(attempts)));
            set(here(REASON), text(shortened(reason, ERROR_BYTES_MAX)));
            if *fails {
                sets.extend(failed(here, attempts + 1, reason, 0, times.now));
            }
            removes.extend(released(here, *call));
        }
        Transition::Closed { reason } => set(here(REASON), text(shortened(reason, ERROR_BYTES_MAX))),
        Transition::Redrive { due_at, settled, fence } => {
            set(here(ATTEMPTS), number(0));
            set(here(DUE_AT), millis(*due_at));
            set(here(REDRIVEN_AT), millis(times.now));
            set(BUCKET.into(), text(bucket(id, *due_at)));
            removes.extend([EXPIRES_AT.into(), here(ENDED_AT), here(DEAD_LETTER_AT), here(REASON)]);
            if let Some((settled, fence)) = settled.zip(*fence) {
                conditions.push(Condition::Above(here(CALLED_AT), 0));
                // Whoever decided before, on an outcome that was unknown then, is refused.
                set(here(FENCE), number(fence + 1));
                match settled {
                    Settled::Done => set(here(SETTLED), text(settled.as_str())),
                    Settled::Again => removes.extend([here(CALLED_AT), here(SETTLED)]),
                    // Read from a later release, and never written.
                    Settled::Unknown => (),
                }
            }
            sets.push((DISPATCHES.into(), Set::Plus(1)));
            sets.push((REDISPATCHED.into(), redispatched()));
        }
    }
}

/// The attributes to clear once a call is known not to have taken effect.
fn released(here: &dyn Fn(&str) -> Path, call: Option<Called>) -> Vec<Path> {
    match call {
        Some(Called { is_unknown: false, .. }) => vec![here(LEASE_UNTIL), here(CALLED_AT)],
        Some(Called { is_unknown: true, .. }) | None => vec![],
    }
}

/// Whether the last recorded attempt has this number, time and error.
fn is_recorded(delivery: &Delivery, nth: u32, error: &str, now: Timestamp) -> bool {
    let is_same = |failure: &FailedAttempt| {
        is_same_millisecond(failure.at, now) && failure.error == shortened(error, ERROR_BYTES_MAX)
    };
    delivery.attempts == nth && delivery.failures.get(&nth.to_string()).is_some_and(is_same)
}

/// The changes that record a failed attempt.
fn failed(
    here: &dyn Fn(&str) -> Path,
    nth: u32,
    error: &str,
    retry_after: u32,
    now: Timestamp,
) -> [(Path, Set); 2] {
    let path = format!("{}.{nth}", here(FAILURES));
    let error = text(shortened(error, ERROR_BYTES_MAX));
    let asks = (retry_after > 0).then(|| (RETRY_AFTER.to_owned(), number(retry_after)));
    let failure = [(AT.to_owned(), millis(now)), (ERROR.to_owned(), error)].into_iter().chain(asks);
    [(path, Set::To(AttributeValue::M(failure.collect()))), (here(ATTEMPTS), Set::To(number(nth)))]
}

#[cfg(test)]
mod tests;
