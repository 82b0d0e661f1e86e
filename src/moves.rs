//! The moves of a record: which there are, when each may be made, and what it changes.
//!
//! This is the table of `docs/design.md` §3 as pure functions. A move is one conditional
//! update. Its condition depends on two things that a destination may not know when it
//! begins: the state that the delivery is in, and the status that the move leaves behind
//! (whether others are still open, or dead). The two are a [`Form`]. A destination guesses
//! the likely form; where the guess is wrong the update fails, DynamoDB returns the record,
//! and [`Form::of`] reads the right form from it, or says that there is nothing to do.

use jiff::{SignedDuration, Timestamp};

use crate::due::{AHEAD, bucket};
use crate::json::Json;
use crate::record::{
    Change, Delivery, ERROR_BYTES_MAX, FailedAttempt, Record, Settled, State, Status, shortened,
};
use crate::update::{Condition, Path, Set, Update, number, text};

/// A move of one destination.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// The effect was applied; a stored effect leaves its result.
    Done {
        /// What a stored effect leaves.
        result: Option<Json>,
        /// The fence that the holder of an external effect has.
        fence: Option<u32>,
    },
    /// The owner of a command rejects it.
    Rejected {
        /// Why; shortened to 512 bytes.
        reason: String,
        /// The fence that the holder of an external effect has.
        fence: Option<u32>,
    },
    /// An attempt failed.
    Attempt {
        /// Which, from 1.
        number: u32,
        /// What went wrong; shortened to 512 bytes.
        error: String,
        /// When reconcile should look at it next.
        due_at: Timestamp,
        /// What its holder says of an external effect.
        call: Option<Called>,
    },
    /// An external effect is about to start.
    Lease {
        /// Which lease, from 1. It was decided on a record that had one less.
        fence: u32,
        /// When it ends.
        until: Timestamp,
        /// Who takes it: a name that nobody else has.
        holder: String,
        /// When the first call began whose outcome is not known: this one, or an earlier one.
        called_at: Timestamp,
    },
    /// The destination gives up. The dead letter has been sent.
    Dead {
        /// The attempts recorded so far.
        attempts: u32,
        /// The offers so far: the dead letter may be gone with a redrive since then.
        offers: u32,
        /// Whether what it dies of is a failed attempt more.
        fails: bool,
        /// What it died of; shortened to 512 bytes.
        reason: String,
        /// What its holder says of an external effect.
        call: Option<Called>,
    },
    /// A person tries again.
    Redrive {
        /// When reconcile should look at it next.
        due_at: Timestamp,
        /// What the person found out about a call whose outcome was not known.
        settled: Option<Settled>,
        /// The fence of that call.
        fence: Option<u32>,
    },
    /// A person ends it.
    Closed {
        /// Why; shortened to 512 bytes.
        reason: String,
    },
}

/// What the holder of an external effect says of a call that has not ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// Its fence.
    pub fence: u32,
    /// Whether the call may have taken effect: then its lease runs on, for it may do so still.
    pub is_unknown: bool,
}

/// Why a move cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It ended before, or it is not in a state that this move leads out of.
    Was(State),
    /// The record does not name this destination.
    Unknown,
    /// An event cannot be rejected.
    NotACommand,
    /// So many attempts are recorded, and not what it says: another copy counted one, or a
    /// redrive began anew.
    Counted(u32),
    /// It was offered so often, and more than was said: by a redrive, perhaps.
    Offered(u32),
    /// It was made by this very call, whose answer was lost.
    Own,
    /// Another holds the lease, or has taken it since.
    Held,
    /// No call of it is without an outcome, so there is nothing to settle.
    Known,
}

/// The form of a move; see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The state of the delivery before.
    pub from: State,
    /// The status of the record after.
    pub after: Status,
}

/// When a move is made, and the custody times that it takes along.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The time of the move.
    pub now: Timestamp,
    /// When the offer that led to it was relayed.
    pub relayed_at: Option<Timestamp>,
    /// When that offer was received.
    pub received_at: Option<Timestamp>,
    /// How long an ended record is kept.
    pub ledger: SignedDuration,
}

impl Move {
    fn to(&self, from: State) -> State {
        match self {
            Move::Done { .. } => State::Done,
            Move::Rejected { .. } => State::Rejected,
            Move::Lease { .. } => from,
            Move::Attempt { .. } | Move::Redrive { .. } => State::Pending,
            Move::Dead { .. } => State::Dead,
            Move::Closed { .. } => State::Closed,
        }
    }

    fn leads_from(&self, state: State) -> bool {
        match self {
            // Of a dead one, too: a late copy, or its dead letter that somebody moved to the retry queue.
            Move::Done { .. } | Move::Rejected { .. } | Move::Lease { .. } | Move::Closed { .. } => {
                matches!(state, State::Pending | State::Dead)
            }
            Move::Attempt { .. } | Move::Dead { .. } => state == State::Pending,
            Move::Redrive { .. } => state == State::Dead,
        }
    }

    fn change(&self) -> Change {
        match self {
            Move::Done { .. } | Move::Rejected { .. } => Change::Mark,
            Move::Attempt { .. } => Change::Attempt,
            Move::Lease { .. } => Change::Lease,
            Move::Dead { .. } => Change::Dead,
            Move::Redrive { .. } => Change::Offer,
            Move::Closed { .. } => Change::Close,
        }
    }

    /// Whether this very move is the last one that the delivery shows.
    fn is_made(&self, delivery: &Delivery, now: Timestamp) -> bool {
        match self {
            Move::Lease { fence, holder, .. } => {
                delivery.fence == *fence && delivery.holder.as_ref() == Some(holder)
            }
            _ if delivery.state != State::Pending => false,
            Move::Attempt { number, error, .. } => is_recorded(delivery, *number, error, now),
            Move::Redrive { .. } => {
                delivery.redriven_at.is_some_and(|at| at.as_millisecond() == now.as_millisecond())
            }
            _ => false,
        }
    }

    /// Whether the record, apart from the delivery's state, allows it.
    fn is_allowed(&self, record: &Record, delivery: &Delivery) -> Result<(), Lost> {
        match self {
            _ if self.fence().is_some_and(|fence| fence != delivery.fence) => Err(Lost::Held),
            Move::Rejected { .. } if record.kind != crate::Kind::Command => Err(Lost::NotACommand),
            Move::Attempt { number, .. } if delivery.attempts + 1 != *number => {
                Err(Lost::Counted(delivery.attempts))
            }
            Move::Dead { offers, .. } if record.offers != *offers => Err(Lost::Offered(record.offers)),
            Move::Dead { attempts, .. } if delivery.attempts != *attempts => {
                Err(Lost::Counted(delivery.attempts))
            }
            Move::Redrive { settled: Some(_), .. } if delivery.called_at.is_none() => Err(Lost::Known),
            _ => Ok(()),
        }
    }

    /// The fence that the record has to have.
    pub(crate) fn fence(&self) -> Option<u32> {
        match self {
            Move::Done { fence, .. } | Move::Rejected { fence, .. } | Move::Redrive { fence, .. } => *fence,
            Move::Attempt { call, .. } | Move::Dead { call, .. } => call.map(|call| call.fence),
            Move::Lease { fence, .. } => Some(fence - 1),
            Move::Closed { .. } => None,
        }
    }

    /// How many more are open, dead and closed after it.
    fn tally(&self, from: State) -> (i64, i64, i64) {
        let count = |state: State| i64::from(self.to(from) == state) - i64::from(from == state);
        (count(State::Pending), count(State::Dead), count(State::Closed))
    }
}

impl Form {
    /// The form that this move has for this record, or why it cannot be made.
    pub fn of(record: &Record, destination: &str, it: &Move, now: Timestamp) -> Result<Form, Lost> {
        let delivery = record.destinations.get(destination).ok_or(Lost::Unknown)?;
        let from = delivery.state;
        if it.is_made(delivery, now) {
            return Err(Lost::Own);
        }
        if !it.leads_from(from) {
            return Err(Lost::Was(from));
        }
        it.is_allowed(record, delivery)?;
        let (open, dead, closed) = it.tally(from);
        let after = match () {
            () if i64::from(record.open) + open > 0 => Status::Init,
            () if i64::from(record.dead) + dead > 0 => Status::Dead,
            () if it.to(from) == State::Rejected => Status::Rejected,
            () if i64::from(record.closed) + closed > 0 => Status::Closed,
            () => Status::Done,
        };
        Ok(Form { from, after })
    }

    /// The likely form for a destination that received an offer to so many: all is pending
    /// still, and of several it is not the last.
    pub fn guess(it: &Move, destinations: usize) -> Form {
        let after = match it.to(State::Pending) {
            State::Pending => Status::Init,
            _ if destinations > 1 => Status::Init,
            State::Done => Status::Done,
            State::Rejected => Status::Rejected,
            State::Dead => Status::Dead,
            State::Closed => Status::Closed,
        };
        Form { from: State::Pending, after }
    }
}

/// The conditional update that makes a move.
pub fn plan(it: &Move, destination: &str, form: Form, id: &str, stamp: &Stamp) -> Update {
    let here = |name: &str| of_delivery(destination, name);
    let mut update =
        Update { conditions: Vec::with_capacity(6), sets: Vec::with_capacity(14), removes: vec![] };
    update.conditions.push(Condition::Is(here("state"), text(form.from.as_str())));
    update.conditions.extend(tally_conditions(it, form));

    let (open, dead, closed) = it.tally(form.from);
    for (name, more) in [("open", open), ("dead", dead), ("closed", closed)] {
        if more != 0 {
            update.sets.push((of(name), Set::Plus(more)));
        }
    }
    let mut set = |path: Path, value| update.sets.push((path, Set::To(value)));
    set(of("status"), text(form.after.as_str()));
    set(of("change"), text(it.change().as_str()));
    set(of("updated_at"), millis(stamp.now));
    set(here("state"), text(it.to(form.from).as_str()));
    for (name, time) in [("relayed_at", stamp.relayed_at), ("received_at", stamp.received_at)] {
        if let Some(time) = time {
            set(here(name), millis(time));
        }
    }
    if !matches!(it, Move::Lease { .. }) && it.to(form.from) != State::Pending {
        set(here("ended_at"), millis(stamp.now));
    }
    if matches!(form.after, Status::Done | Status::Rejected | Status::Closed) {
        set(of("expires_at"), number((stamp.now + stamp.ledger).as_second()));
    }
    // What it died of is not why it was done.
    if form.from == State::Dead && matches!(it, Move::Done { .. }) {
        update.removes.push(here("reason"));
    }
    update.sets.push((of("version"), Set::Plus(1)));
    own_part(it, &here, id, stamp, &mut update);
    update
}

/// What the form claims of the other destinations.
fn tally_conditions(it: &Move, form: Form) -> Vec<Condition> {
    let (open, dead, closed) = it.tally(form.from);
    // After the move the count is to be zero, or above zero.
    let zero = |name, more: i64| Condition::Is(of(name), number(-more));
    let above_zero = |name, more: i64| Condition::Above(of(name), -more);
    match form.after {
        // A move that leaves its own delivery pending leaves the record INIT, whatever else.
        Status::Init if it.to(form.from) == State::Pending => vec![],
        Status::Init => vec![above_zero("open", open)],
        Status::Dead if it.to(form.from) == State::Dead => vec![zero("open", open)],
        Status::Dead => vec![zero("open", open), above_zero("dead", dead)],
        Status::Closed if it.to(form.from) == State::Closed => vec![zero("open", open), zero("dead", dead)],
        Status::Closed => vec![zero("open", open), zero("dead", dead), above_zero("closed", closed)],
        // A command has one destination: when it is rejected, nothing else can be closed.
        Status::Rejected => vec![zero("open", open), zero("dead", dead)],
        Status::Done => vec![zero("open", open), zero("dead", dead), zero("closed", closed)],
    }
}

/// What only this move asks and changes.
fn own_part(it: &Move, here: &dyn Fn(&str) -> Path, id: &str, stamp: &Stamp, update: &mut Update) {
    let Update { conditions, sets, removes } = update;
    conditions.extend(it.fence().map(|fence| Condition::Is(here("fence"), number(fence))));
    let mut set = |path: Path, value| sets.push((path, Set::To(value)));
    match it {
        Move::Done { result, .. } => {
            if let Some(result) = result {
                set(here("result"), text(result.as_str()));
            }
        }
        Move::Rejected { reason, .. } => {
            conditions.push(Condition::Is(of("kind"), text("command")));
            set(here("reason"), text(shortened(reason, ERROR_BYTES_MAX)));
        }
        Move::Attempt { number: nth, error, due_at, call } => {
            conditions.push(Condition::Is(here("attempts"), number(nth - 1)));
            set(here("due_at"), millis(*due_at));
            sets.extend(failed(here, *nth, error, stamp.now));
            removes.extend(released(here, *call));
        }
        Move::Lease { fence, until, holder, called_at } => {
            set(here("fence"), number(fence));
            set(here("lease_until"), millis(*until));
            set(here("holder"), text(holder));
            set(here("called_at"), millis(*called_at));
        }
        Move::Dead { attempts, offers, fails, reason, call } => {
            conditions.push(Condition::Is(of("offers"), number(offers)));
            conditions.push(Condition::Is(here("attempts"), number(attempts)));
            set(here("reason"), text(shortened(reason, ERROR_BYTES_MAX)));
            if *fails {
                sets.extend(failed(here, attempts + 1, reason, stamp.now));
            }
            removes.extend(released(here, *call));
        }
        Move::Closed { reason } => set(here("reason"), text(shortened(reason, ERROR_BYTES_MAX))),
        Move::Redrive { due_at, settled, .. } => {
            set(here("attempts"), number(0));
            set(here("due_at"), millis(*due_at));
            set(here("redriven_at"), millis(stamp.now));
            set(of("bucket"), text(bucket(id, *due_at)));
            removes.extend([of("expires_at"), here("ended_at"), here("reason")]);
            if let Some(settled) = settled {
                conditions.push(Condition::Above(here("called_at"), 0));
                match settled {
                    Settled::Done => set(here("settled"), text("done")),
                    Settled::Again => removes.extend([here("called_at"), here("settled")]),
                }
            }
            sets.push((of("offers"), Set::Plus(1)));
        }
    }
}

/// What goes with a call that has surely not taken effect: its lease, and that it is waited for.
fn released(here: &dyn Fn(&str) -> Path, call: Option<Called>) -> Vec<Path> {
    match call {
        Some(Called { is_unknown: false, .. }) => vec![here("lease_until"), here("called_at")],
        _ => vec![],
    }
}

/// Whether this attempt, of this time and error, is the last one that is recorded.
fn is_recorded(delivery: &Delivery, nth: u32, error: &str, now: Timestamp) -> bool {
    let recorded = delivery.failures.get(&nth.to_string());
    let is_it = |it: &FailedAttempt| {
        it.at.as_millisecond() == now.as_millisecond() && it.error == shortened(error, ERROR_BYTES_MAX)
    };
    delivery.attempts == nth && recorded.is_some_and(is_it)
}

/// The record of a failed attempt.
fn failed(here: &dyn Fn(&str) -> Path, nth: u32, error: &str, now: Timestamp) -> [(Path, Set); 2] {
    let path = format!("{}.{nth}", here("failures"));
    let error = text(shortened(error, ERROR_BYTES_MAX));
    let failure = [("at".to_owned(), millis(now)), ("error".to_owned(), error)];
    let failure = aws_sdk_dynamodb::types::AttributeValue::M(failure.into());
    [(path, Set::To(failure)), (here("attempts"), Set::To(number(nth)))]
}

/// Offers a record again: to all that are pending, each being due again when `due_at` says. It asks for
/// the version that was read, since it writes to several destinations, and none of them may have ended
/// since. `None` when none is pending.
pub fn offer_again(
    record: &Record,
    now: Timestamp,
    due_at: impl Fn(&str, &Delivery) -> Timestamp,
) -> Option<Update> {
    let dues: Vec<_> = record.pending().map(|(name, delivery)| (name, due_at(name, delivery))).collect();
    let mut update = look_again(record, now, dues.iter().map(|(_, at)| *at).min()?, Change::Offer);
    update.sets.push((of("offers"), Set::Plus(1)));
    for (name, at) in dues {
        update.sets.push((of_delivery(name, "due_at"), Set::To(millis(at))));
    }
    Some(update)
}

/// Has reconcile look at a record at another time, or a little later. It asks for the version that was
/// read.
pub(crate) fn look_again(record: &Record, now: Timestamp, at: Timestamp, change: Change) -> Update {
    let at = at.max(now + AHEAD);
    Update {
        conditions: vec![Condition::Is(of("version"), number(record.version))],
        sets: vec![
            (of("version"), Set::Plus(1)),
            (of("change"), Set::To(text(change.as_str()))),
            (of("bucket"), Set::To(text(bucket(&record.id, at)))),
            (of("updated_at"), Set::To(millis(now))),
        ],
        removes: vec![],
    }
}

fn of(name: &str) -> Path {
    name.to_owned()
}

fn of_delivery(destination: &str, name: &str) -> Path {
    ["destinations.", destination, ".", name].concat()
}

fn millis(time: Timestamp) -> aws_sdk_dynamodb::types::AttributeValue {
    number(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Draft;
    use crate::record::tests::{at, event_for};
    use crate::update::tests::applied;
    use proptest::prelude::*;

    const NOW: i64 = 100_000;
    const STATES: [State; 5] = [State::Pending, State::Done, State::Rejected, State::Dead, State::Closed];
    const STATUSES: [Status; 5] =
        [Status::Init, Status::Done, Status::Rejected, Status::Dead, Status::Closed];

    fn stamp() -> Stamp {
        Stamp {
            now: at(NOW),
            relayed_at: Some(at(2_000)),
            received_at: None,
            ledger: SignedDuration::from_hours(1),
        }
    }

    fn command() -> Record {
        let routes = r#"{"t":{"kind":"command","destinations":["a"]}}"#.parse().unwrap();
        Record::accept(Draft::command("t", "s", &"x").with_id("1").unwrap(), &routes, at(1_000)).unwrap()
    }

    fn done() -> Move {
        Move::Done { result: None, fence: None }
    }

    /// Makes a move as a destination does that knows the record.
    fn make(record: &Record, destination: &str, it: &Move) -> Result<Record, Lost> {
        let form = Form::of(record, destination, it, at(NOW))?;
        let update = plan(it, destination, form, &record.id, &stamp());
        let item = applied(&update, &record.encode()).expect("the form was read from this record");
        Ok(Record::decode(item).expect("a move leaves a record"))
    }

    fn any_move() -> impl Strategy<Value = Move> {
        let reason = || Just("because".to_owned());
        let fence = || proptest::option::of(0u32..3);
        let call = || {
            let called = |(fence, is_unknown)| Called { fence, is_unknown };
            proptest::option::of((0u32..3, any::<bool>()).prop_map(called))
        };
        prop_oneof![
            4 => (any::<bool>(), fence()).prop_map(|(stored, fence)| {
                Move::Done { result: stored.then(|| Json::of(&1).unwrap()), fence }
            }),
            1 => (reason(), fence()).prop_map(|(reason, fence)| Move::Rejected { reason, fence }),
            3 => (1u32..4, call()).prop_map(|(number, call)| {
                Move::Attempt { number, error: "no".into(), due_at: at(NOW + 9), call }
            }),
            2 => (1u32..4, "[ab]").prop_map(|(fence, holder)| {
                Move::Lease { fence, until: at(NOW + 5), holder, called_at: at(NOW) }
            }),
            3 => (0u32..4, 1u32..3, any::<bool>(), reason(), call()).prop_map(
                |(attempts, offers, fails, reason, call)| Move::Dead { attempts, offers, fails, reason, call },
            ),
            1 => proptest::option::of(prop_oneof![Just(Settled::Done), Just(Settled::Again)])
                .prop_map(|settled| Move::Redrive { due_at: at(NOW + 7), settled, fence: settled.map(|_| 1) }),
            1 => reason().prop_map(|reason| Move::Closed { reason }),
        ]
    }

    /// DESIGN §3: what the status of a record says of its destinations.
    fn status_of(record: &Record) -> Status {
        let any = |state| record.destinations.values().any(|delivery| delivery.state == state);
        match () {
            () if any(State::Pending) => Status::Init,
            () if any(State::Dead) => Status::Dead,
            () if any(State::Rejected) => Status::Rejected,
            () if any(State::Closed) => Status::Closed,
            () => Status::Done,
        }
    }

    fn count(record: &Record, state: State) -> u32 {
        record.destinations.values().filter(|delivery| delivery.state == state).count() as u32
    }

    proptest! {
        /// Over any history: the conditions and the decision agree, exactly one form of a
        /// move can be made, and the record stays consistent.
        #[test]
        fn every_history_keeps_the_table(
            command_first: bool,
            destinations in 1usize..=4,
            history in prop::collection::vec((0usize..4, any_move()), 0..24),
        ) {
            let names = &["a", "b", "c", "d"][..destinations];
            let mut record = if command_first { command() } else { event_for(names) };
            for (which, it) in history {
                let name = names[which % record.destinations.len()];
                let item = record.encode();
                let forms = STATES.into_iter().flat_map(|from| STATUSES.map(|after| Form { from, after }));
                let forms = forms.filter(|form| it.leads_from(form.from));
                let made: Vec<_> = forms
                    // Which status a move can leave at all is not a matter of the record.
                    .filter(|form| (form.after == Status::Rejected) <= (it.to(form.from) == State::Rejected))
                    .filter(|form| it.to(form.from) != State::Rejected || !matches!(form.after, Status::Done | Status::Closed))
                    .filter(|form| it.to(form.from) != State::Pending || form.after == Status::Init)
                    .filter(|form| it.to(form.from) != State::Closed || form.after != Status::Done)
                    .filter(|form| applied(&plan(&it, name, *form, &record.id, &stamp()), &item).is_some())
                    .collect();
                match Form::of(&record, name, &it, at(NOW)) {
                    Err(_) => prop_assert_eq!(made, vec![]),
                    Ok(form) => {
                        prop_assert_eq!(made, vec![form]);
                        let next = make(&record, name, &it).unwrap();
                        prop_assert!(!record.destinations[name].state.is_final());
                        prop_assert_eq!(next.status, status_of(&next));
                        prop_assert_eq!(next.open, count(&next, State::Pending));
                        prop_assert_eq!(next.dead, count(&next, State::Dead));
                        prop_assert_eq!(next.closed, count(&next, State::Closed));
                        prop_assert_eq!(next.version, record.version + 1);
                        let ended = !matches!(next.status, Status::Init | Status::Dead);
                        prop_assert_eq!(next.expires_at.is_some(), ended);
                        let redriven = matches!(it, Move::Redrive { .. });
                        prop_assert_eq!(next.change == Change::Offer, redriven);
                        let mut others = next.destinations.clone();
                        others.insert(name.into(), record.destinations[name].clone());
                        prop_assert_eq!(&others, &record.destinations);
                        record = next;
                    }
                }
            }
        }
    }

    #[test]
    fn g6_final_states_are_final() {
        for ended in [done(), Move::Closed { reason: "mended".into() }] {
            let record = make(&event_for(&["a"]), "a", &ended).unwrap();
            let was = Err(Lost::Was(record.destinations["a"].state));
            for it in [
                done(),
                Move::Dead { attempts: 0, offers: 1, fails: false, reason: "no".into(), call: None },
                Move::Redrive { due_at: at(0), settled: None, fence: None },
                Move::Attempt { number: 1, error: "no".into(), due_at: at(0), call: None },
                Move::Closed { reason: "again".into() },
            ] {
                assert_eq!(make(&record, "a", &it), was, "{it:?}");
            }
        }
    }

    #[test]
    fn g9_a_command_can_be_rejected_an_event_cannot() {
        let reject = Move::Rejected { reason: "account closed".into(), fence: None };
        let rejected = make(&command(), "a", &reject).unwrap();
        assert_eq!(rejected.status, Status::Rejected);
        assert_eq!(rejected.destinations["a"].reason.as_deref(), Some("account closed"));
        assert_eq!(make(&event_for(&["a"]), "a", &reject), Err(Lost::NotACommand));
        let guessed = plan(&reject, "a", Form::guess(&reject, 1), "1", &stamp());
        assert_eq!(applied(&guessed, &event_for(&["a"]).encode()), None);
    }

    #[test]
    fn an_attempt_counts_once_and_only_in_its_turn() {
        let attempt = |number| Move::Attempt { number, error: "no".into(), due_at: at(NOW + 1), call: None };
        let once = make(&event_for(&["a"]), "a", &attempt(1)).unwrap();
        assert_eq!(make(&once, "a", &attempt(1)), Err(Lost::Own), "its own write, met again");
        let other = Move::Attempt { number: 1, error: "another copy".into(), due_at: at(NOW), call: None };
        assert_eq!(make(&once, "a", &other), Err(Lost::Counted(1)));
        let twice = make(&once, "a", &attempt(2)).unwrap();
        let delivery = &twice.destinations["a"];
        assert_eq!((delivery.attempts, delivery.failures.len(), delivery.due_at), (2, 2, at(NOW + 1)));
        assert_eq!((twice.status, twice.change), (Status::Init, Change::Attempt));
    }

    fn lease(fence: u32, holder: &str) -> Move {
        Move::Lease { fence, until: at(NOW + 5), holder: holder.into(), called_at: at(NOW) }
    }

    #[test]
    fn g5_a_lease_has_one_holder_and_a_stale_one_records_nothing() {
        let first = make(&event_for(&["a"]), "a", &lease(1, "one")).unwrap();
        assert_eq!((first.change, first.destinations["a"].lease_until), (Change::Lease, Some(at(NOW + 5))));
        assert_eq!(make(&first, "a", &lease(1, "two")), Err(Lost::Held), "decided on what was");
        assert_eq!(make(&first, "a", &lease(1, "one")), Err(Lost::Own), "its own write, met again");
        let second = make(&first, "a", &lease(2, "two")).unwrap();
        let done = |fence| Move::Done { result: None, fence: Some(fence) };
        let failed = |fence| Move::Attempt {
            number: 1,
            error: "no".into(),
            due_at: at(NOW),
            call: Some(Called { fence, is_unknown: false }),
        };
        assert_eq!(make(&second, "a", &done(1)), Err(Lost::Held));
        assert_eq!(make(&second, "a", &failed(1)), Err(Lost::Held));
        assert_eq!(make(&second, "a", &done(2)).unwrap().status, Status::Done);
        let released = make(&second, "a", &failed(2)).unwrap();
        let delivery = &released.destinations["a"];
        assert_eq!((delivery.lease_until, delivery.called_at), (None, None));
    }

    #[test]
    fn g5_an_unknown_outcome_stays_known_as_such() {
        let called = make(&event_for(&["a"]), "a", &lease(1, "one")).unwrap();
        let call = Some(Called { fence: 1, is_unknown: true });
        let attempt = Move::Attempt { number: 1, error: "no".into(), due_at: at(NOW), call };
        let tried = make(&called, "a", &attempt).unwrap();
        let give_up = Move::Dead { attempts: 1, offers: 1, fails: true, reason: "no".into(), call };
        let dead = make(&tried, "a", &give_up).unwrap();
        let delivery = &dead.destinations["a"];
        assert_eq!((delivery.lease_until, delivery.called_at), (Some(at(NOW + 5)), Some(at(NOW))));
        let redriven = |settled| {
            let redrive = Move::Redrive { due_at: at(NOW), settled, fence: Some(1) };
            make(&dead, "a", &redrive).unwrap().destinations["a"].clone()
        };
        assert_eq!(redriven(None).called_at, Some(at(NOW)));
        assert_eq!(redriven(Some(Settled::Again)).called_at, None);
        assert_eq!(redriven(Some(Settled::Done)).settled, Some(Settled::Done));
    }

    #[test]
    fn only_an_unknown_outcome_can_be_settled() {
        let give_up = Move::Dead { attempts: 0, offers: 1, fails: false, reason: "no".into(), call: None };
        let dead = make(&event_for(&["a"]), "a", &give_up).unwrap();
        let settle = Move::Redrive { due_at: at(NOW), settled: Some(Settled::Done), fence: Some(0) };
        assert_eq!(make(&dead, "a", &settle), Err(Lost::Known));
        let guessed = plan(&settle, "a", Form { from: State::Dead, after: Status::Init }, "1", &stamp());
        assert_eq!(applied(&guessed, &dead.encode()), None);
    }

    #[test]
    fn a_dead_letter_that_was_moved_to_the_retry_queue_may_start_a_call() {
        let give_up = Move::Dead { attempts: 0, offers: 1, fails: false, reason: "no".into(), call: None };
        let dead = make(&event_for(&["a"]), "a", &give_up).unwrap();
        let called = make(&dead, "a", &lease(1, "one")).unwrap();
        assert_eq!((called.status, called.dead), (Status::Dead, 1));
        assert_eq!(called.destinations["a"].ended_at, dead.destinations["a"].ended_at);
    }

    #[test]
    fn a_redrive_starts_afresh_and_goes_into_the_stream() {
        let dead = make(
            &event_for(&["a"]),
            "a",
            &Move::Dead { attempts: 0, offers: 1, fails: false, reason: "no".into(), call: None },
        )
        .unwrap();
        assert_eq!((dead.status, dead.expires_at, dead.dead), (Status::Dead, None, 1));
        let again =
            make(&dead, "a", &Move::Redrive { due_at: at(NOW + 7), settled: None, fence: None }).unwrap();
        assert_eq!((again.status, again.change, again.offers), (Status::Init, Change::Offer, 2));
        assert_eq!(
            (&again.bucket, again.destinations["a"].redriven_at),
            (&bucket("1", at(NOW + 7)), Some(at(NOW)))
        );
        assert_eq!((again.destinations["a"].attempts, again.destinations["a"].reason.as_ref()), (0, None));
        let redrive = Move::Redrive { due_at: at(NOW + 7), settled: None, fence: None };
        assert_eq!(make(&again, "a", &redrive), Err(Lost::Own), "its own write, met again");
        let later = Form::of(&again, "a", &redrive, at(NOW + 1));
        assert_eq!(later, Err(Lost::Was(State::Pending)), "another one");
        let accepted = event_for(&["a"]);
        let at_once = Form::of(&accepted, "a", &redrive, accepted.accepted_at);
        assert_eq!(at_once, Err(Lost::Was(State::Pending)), "an accept at that very time");
    }

    #[test]
    fn giving_up_does_not_reach_past_a_redrive() {
        let attempt = Move::Attempt { number: 1, error: "no".into(), due_at: at(NOW), call: None };
        let once = make(&event_for(&["a"]), "a", &attempt).unwrap();
        let give_up = Move::Dead { attempts: 1, offers: 1, fails: true, reason: "no".into(), call: None };
        let dead = make(&once, "a", &give_up).unwrap();
        assert_eq!((dead.destinations["a"].attempts, dead.destinations["a"].failures.len()), (2, 2));
        let again = make(&dead, "a", &Move::Redrive { due_at: at(NOW), settled: None, fence: None }).unwrap();
        assert_eq!(make(&again, "a", &give_up), Err(Lost::Offered(2)));
    }

    #[test]
    fn a_late_copy_can_still_end_a_dead_one() {
        let dead = make(
            &event_for(&["a", "b"]),
            "a",
            &Move::Dead { attempts: 0, offers: 1, fails: false, reason: "no".into(), call: None },
        )
        .unwrap();
        let dead = make(&dead, "b", &done()).unwrap();
        assert_eq!(dead.status, Status::Dead);
        let record = make(&dead, "a", &done()).unwrap();
        assert_eq!((record.status, record.dead), (Status::Done, 0));
        assert_eq!(record.destinations["a"].reason, None);
    }

    #[test]
    fn an_offer_is_made_again_once_per_number_and_only_while_one_is_pending() {
        let record = event_for(&["a", "b"]);
        let update = offer_again(&record, at(NOW), |_, _| at(NOW + 7)).unwrap();
        let item = applied(&update, &record.encode()).unwrap();
        assert_eq!(applied(&update, &item), None);
        let again = Record::decode(item).unwrap();
        assert_eq!((again.offers, again.change, again.status), (2, Change::Offer, Status::Init));
        assert_eq!(again.destinations["b"].due_at, at(NOW + 7));
        assert_eq!(again.destinations["b"].attempts, 0);
        let ended = make(&event_for(&["a"]), "a", &done()).unwrap();
        assert_eq!(offer_again(&ended, at(NOW), |_, _| at(NOW)), None);
    }
}
