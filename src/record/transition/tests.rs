use super::*;
use crate::notification::Draft;
use crate::record::RecordedFault;
use crate::record::redispatch::{Via, dispatch_again};
use crate::record::tests::applied;
use crate::record::tests::{at, event_for};
use proptest::prelude::*;

const NOW: i64 = 100_000;
const STATES: [State; 5] = [State::Pending, State::Done, State::Rejected, State::Dead, State::Closed];
const STATUSES: [Status; 5] = [Status::Init, Status::Done, Status::Rejected, Status::Dead, Status::Closed];

fn times() -> TransitionTimes {
    TransitionTimes {
        now: at(NOW),
        relayed_at: Some(at(2_000)),
        received_at: None,
        retention: SignedDuration::from_hours(1),
    }
}

fn command() -> Record {
    let routes = r#"{"t":{"kind":"command","destinations":["a"]}}"#.parse().unwrap();
    Record::accept(Draft::command("t", "s", &"x").build("1").unwrap(), &routes, at(1_000)).unwrap()
}

fn done() -> Transition {
    Transition::Done { result: None, fence: None }
}

fn failed_attempt(number: u32, due_at: Timestamp, call: Option<Called>) -> Transition {
    Transition::Attempt { number, error: "no".into(), retry_after: 0, due_at, dispatch: 1, call }
}

/// Makes a transition as a destination that knows the record.
fn make(record: &Record, destination: &str, transition: &Transition) -> Result<Record, Refused> {
    let expected = Expected::of(record, destination, transition, at(NOW))?;
    let update = plan(transition, destination, expected, &record.id, &times());
    let item = applied(&update, &record.encode()).expect("it was read from this record");
    Ok(Record::decode(item).expect("a transition leaves a record"))
}

fn any_transition() -> impl Strategy<Value = Transition> {
    let reason = || Just("because".to_owned());
    let fence = || proptest::option::of(0u32..3);
    let call = || {
        let called = |(fence, is_unknown)| Called { fence, is_unknown };
        proptest::option::of((0u32..3, any::<bool>()).prop_map(called))
    };
    prop_oneof![
        4 => (any::<bool>(), fence()).prop_map(|(stored, fence)| {
            Transition::Done { result: stored.then(|| Json::from_serialize(&1).unwrap()), fence }
        }),
        1 => (reason(), fence()).prop_map(|(reason, fence)| Transition::Rejected { reason, fence }),
        3 => (1u32..4, call()).prop_map(|(number, call)| {
            failed_attempt(number, at(NOW + 9), call)
        }),
        2 => (1u32..4, "[ab]").prop_map(|(fence, holder)| {
            Transition::Lease { fence, until: at(NOW + 5), holder, called_at: at(NOW) }
        }),
        1 => (0u32..3, any::<bool>()).prop_map(|(fence, waits)| {
            Transition::Release { fence, due_at: waits.then(|| at(NOW + 8)) }
        }),
        1 => (any::<bool>(), reason()).prop_map(|(is_repeat, error)| {
            Transition::Fault { before: is_repeat.then(|| at(NOW)), since: at(NOW), error, due_at: at(NOW + 8) }
        }),
        3 => (0u32..4, 1u32..3, any::<bool>(), reason(), call()).prop_map(
            |(attempts, dispatches, fails, reason, call)| Transition::Dead { attempts, dispatches, fails, reason, call },
        ),
        1 => proptest::option::of(prop_oneof![Just(Settled::Done), Just(Settled::Again)])
            .prop_map(|settled| Transition::Redrive { due_at: at(NOW + 7), settled, fence: settled.map(|_| 1) }),
        1 => reason().prop_map(|reason| Transition::Closed { reason }),
    ]
}

/// `docs/design.md` §3: the status that follows from the destinations.
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
    /// Over any history: the conditions and the decision agree, exactly one expectation
    /// is met, and the record stays consistent.
    #[test]
    fn every_history_keeps_the_table(
        command_first: bool,
        destinations in 1usize..=4,
        history in prop::collection::vec((0usize..4, any_transition()), 0..24),
    ) {
        let names = &["a", "b", "c", "d"][..destinations];
        let mut record = if command_first { command() } else { event_for(names) };
        for (which, transition) in history {
            let name = names[which % record.destinations.len()];
            let item = record.encode();
            let candidates = STATES.into_iter().flat_map(|from| STATUSES.map(|after| Expected { from, after }));
            let candidates = candidates.filter(|expected| transition.leads_from(expected.from));
            let made: Vec<_> = candidates
                // Which status a transition can leave at all does not depend on the record.
                .filter(|expected| (expected.after == Status::Rejected) <= (transition.to(expected.from) == State::Rejected))
                .filter(|expected| transition.to(expected.from) != State::Rejected || !matches!(expected.after, Status::Done | Status::Closed))
                .filter(|expected| transition.to(expected.from) != State::Pending || expected.after == Status::Init)
                .filter(|expected| transition.to(expected.from) != State::Closed || expected.after != Status::Done)
                .filter(|expected| applied(&plan(&transition, name, *expected, &record.id, &times()), &item).is_some())
                .collect();
            match Expected::of(&record, name, &transition, at(NOW)) {
                Err(_) => prop_assert_eq!(made, vec![]),
                Ok(expected) => {
                    prop_assert_eq!(made, vec![expected]);
                    let next = make(&record, name, &transition).unwrap();
                    prop_assert!(!record.destinations[name].state.is_final());
                    prop_assert_eq!(next.status, status_of(&next));
                    prop_assert_eq!(next.open, count(&next, State::Pending));
                    prop_assert_eq!(next.dead, count(&next, State::Dead));
                    prop_assert_eq!(next.closed, count(&next, State::Closed));
                    prop_assert_eq!(next.version, record.version + 1);
                    let completed = !matches!(next.status, Status::Init | Status::Dead);
                    prop_assert_eq!(next.expires_at.is_some(), completed);
                    let redriven = matches!(transition, Transition::Redrive { .. });
                    prop_assert_eq!(next.change == Change::Dispatch, redriven);
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
    for ended in [done(), Transition::Closed { reason: "fixed".into() }] {
        let record = make(&event_for(&["a"]), "a", &ended).unwrap();
        let was = Err(Refused::Was(record.destinations["a"].state));
        for transition in [
            done(),
            Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None },
            Transition::Redrive { due_at: at(0), settled: None, fence: None },
            failed_attempt(1, at(0), None),
            Transition::Closed { reason: "again".into() },
        ] {
            assert_eq!(make(&record, "a", &transition), was, "{transition:?}");
        }
    }
}

#[test]
fn g9_a_command_can_be_rejected_an_event_cannot() {
    let reject = Transition::Rejected { reason: "account closed".into(), fence: None };
    let rejected = make(&command(), "a", &reject).unwrap();
    assert_eq!(rejected.status, Status::Rejected);
    assert_eq!(rejected.destinations["a"].reason.as_deref(), Some("account closed"));
    assert_eq!(make(&event_for(&["a"]), "a", &reject), Err(Refused::NotACommand));
    let guessed = plan(&reject, "a", Expected::guess(&reject, 1), "1", &times());
    assert_eq!(applied(&guessed, &event_for(&["a"]).encode()), None);
}

#[test]
fn an_attempt_counts_once_and_only_with_its_number() {
    let attempt = |number| failed_attempt(number, at(NOW + 1), None);
    let once = make(&event_for(&["a"]), "a", &attempt(1)).unwrap();
    assert_eq!(make(&once, "a", &attempt(1)), Err(Refused::OwnWrite), "its own write");
    let other = Transition::Attempt {
        number: 1,
        error: "another copy".into(),
        retry_after: 0,
        due_at: at(NOW),
        dispatch: 1,
        call: None,
    };
    assert_eq!(make(&once, "a", &other), Err(Refused::Counted(1)));
    let twice = make(&once, "a", &attempt(2)).unwrap();
    let delivery = &twice.destinations["a"];
    assert_eq!((delivery.attempts, delivery.failures.len(), delivery.due_at), (2, 2, at(NOW + 1)));
    assert_eq!((twice.status, twice.change), (Status::Init, Change::Attempt));
}

fn lease(fence: u32, holder: &str) -> Transition {
    Transition::Lease { fence, until: at(NOW + 5), holder: holder.into(), called_at: at(NOW) }
}

#[test]
fn g5_a_lease_has_one_holder_and_a_stale_one_records_nothing() {
    let first = make(&event_for(&["a"]), "a", &lease(1, "one")).unwrap();
    assert_eq!((first.change, first.destinations["a"].lease_until), (Change::Lease, Some(at(NOW + 5))));
    assert_eq!(make(&first, "a", &lease(1, "two")), Err(Refused::Held), "decided on a stale read");
    assert_eq!(make(&first, "a", &lease(1, "one")), Err(Refused::OwnWrite), "its own write");
    let second = make(&first, "a", &lease(2, "two")).unwrap();
    let done = |fence| Transition::Done { result: None, fence: Some(fence) };
    let failed = |fence| failed_attempt(1, at(NOW), Some(Called { fence, is_unknown: false }));
    assert_eq!(make(&second, "a", &done(1)), Err(Refused::Held));
    assert_eq!(make(&second, "a", &failed(1)), Err(Refused::Held));
    assert_eq!(make(&second, "a", &done(2)).unwrap().status, Status::Done);
    let released = make(&second, "a", &failed(2)).unwrap();
    let delivery = &released.destinations["a"];
    assert_eq!((delivery.lease_until, delivery.called_at), (None, None));
}

#[test]
fn g5_an_unknown_outcome_stays_known_as_such() {
    let called = make(&event_for(&["a"]), "a", &lease(1, "one")).unwrap();
    let call = Some(Called { fence: 1, is_unknown: true });
    let attempt = failed_attempt(1, at(NOW), call);
    let tried = make(&called, "a", &attempt).unwrap();
    let give_up = Transition::Dead { attempts: 1, dispatches: 1, fails: true, reason: "no".into(), call };
    let dead = make(&tried, "a", &give_up).unwrap();
    let delivery = &dead.destinations["a"];
    assert_eq!((delivery.lease_until, delivery.called_at), (Some(at(NOW + 5)), Some(at(NOW))));
    let redriven = |settled| {
        let redrive = Transition::Redrive { due_at: at(NOW), settled, fence: Some(1) };
        make(&dead, "a", &redrive).unwrap()
    };
    let delivery = |settled| redriven(settled).destinations["a"].clone();
    assert_eq!((delivery(None).called_at, delivery(None).fence), (Some(at(NOW)), 1));
    assert_eq!(delivery(Some(Settled::Again)).called_at, None);
    assert_eq!(delivery(Some(Settled::Done)).settled, Some(Settled::Done));

    // Whoever finds the outcome unknown still, on what was read before, is refused.
    for settled in [Settled::Again, Settled::Done] {
        let settled = redriven(Some(settled));
        let escalates =
            Transition::Dead { attempts: 0, dispatches: 2, fails: true, reason: "no".into(), call };
        assert_eq!(make(&settled, "a", &escalates), Err(Refused::Held));
    }
}

#[test]
fn only_an_unknown_outcome_can_be_settled() {
    let give_up =
        Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None };
    let dead = make(&event_for(&["a"]), "a", &give_up).unwrap();
    let settle = Transition::Redrive { due_at: at(NOW), settled: Some(Settled::Done), fence: Some(0) };
    assert_eq!(make(&dead, "a", &settle), Err(Refused::NoUnknownCall));
    let guessed = plan(&settle, "a", Expected { from: State::Dead, after: Status::Init }, "1", &times());
    assert_eq!(applied(&guessed, &dead.encode()), None);
}

#[test]
fn a_dead_letter_that_was_moved_to_the_retry_queue_may_start_a_call() {
    let give_up =
        Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None };
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
        &Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None },
    )
    .unwrap();
    assert_eq!((dead.status, dead.expires_at, dead.dead), (Status::Dead, None, 1));
    let again =
        make(&dead, "a", &Transition::Redrive { due_at: at(NOW + 7), settled: None, fence: None }).unwrap();
    assert_eq!((again.status, again.change, again.dispatches), (Status::Init, Change::Dispatch, 2));
    assert_eq!(
        (&again.bucket, again.destinations["a"].redriven_at),
        (&bucket("1", at(NOW + 7)), Some(at(NOW)))
    );
    assert_eq!((again.destinations["a"].attempts, again.destinations["a"].reason.as_ref()), (0, None));
    let redrive = Transition::Redrive { due_at: at(NOW + 7), settled: None, fence: None };
    assert_eq!(make(&again, "a", &redrive), Err(Refused::OwnWrite), "its own write");
    let later = Expected::of(&again, "a", &redrive, at(NOW + 1));
    assert_eq!(later, Err(Refused::Was(State::Pending)), "another one");
    let accepted = event_for(&["a"]);
    let at_once = Expected::of(&accepted, "a", &redrive, accepted.accepted_at);
    assert_eq!(at_once, Err(Refused::Was(State::Pending)), "an accept at that very time");
}

#[test]
fn giving_up_does_not_reach_past_a_redrive() {
    let attempt = failed_attempt(1, at(NOW), None);
    let once = make(&event_for(&["a"]), "a", &attempt).unwrap();
    let give_up =
        Transition::Dead { attempts: 1, dispatches: 1, fails: true, reason: "no".into(), call: None };
    let dead = make(&once, "a", &give_up).unwrap();
    assert_eq!((dead.destinations["a"].attempts, dead.destinations["a"].failures.len()), (2, 2));
    let again =
        make(&dead, "a", &Transition::Redrive { due_at: at(NOW), settled: None, fence: None }).unwrap();
    assert_eq!(make(&again, "a", &give_up), Err(Refused::Dispatched(2)));
}

#[test]
fn a_late_copy_can_still_complete_a_dead_one() {
    let dead = make(
        &event_for(&["a", "b"]),
        "a",
        &Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None },
    )
    .unwrap();
    let dead = make(&dead, "b", &done()).unwrap();
    assert_eq!(dead.status, Status::Dead);
    let record = make(&dead, "a", &done()).unwrap();
    assert_eq!((record.status, record.dead), (Status::Done, 0));
    assert_eq!(record.destinations["a"].reason, None);
}

#[test]
fn a_record_is_dispatched_again_once_per_number_and_only_while_open() {
    let record = event_for(&["a", "b"]);
    let update = dispatch_again(&record, at(NOW), Via::RetryQueue, |_, _| at(NOW + 7)).unwrap();
    let item = applied(&update, &record.encode()).unwrap();
    assert_eq!(applied(&update, &item), None);
    let again = Record::decode(item).unwrap();
    assert_eq!((again.dispatches, again.change, again.status), (2, Change::Dispatch, Status::Init));
    assert_eq!(again.destinations["b"].due_at, at(NOW + 7));
    assert_eq!(again.destinations["b"].attempts, 0);
    assert!(again.redispatched && !record.redispatched, "its copies go by the retry queue");
    let next = dispatch_again(&again, at(NOW), Via::Stream, |_, _| at(NOW)).unwrap();
    assert!(!Record::decode(applied(&next, &again.encode()).unwrap()).unwrap().redispatched);
    let completed = make(&event_for(&["a"]), "a", &done()).unwrap();
    assert_eq!(dispatch_again(&completed, at(NOW), Via::RetryQueue, |_, _| at(NOW)), None);
}

#[test]
fn g5_a_release_says_that_a_call_was_not_made_and_counts_nothing() {
    let record = event_for(&["a"]);
    let leased = make(&record, "a", &lease(1, "h")).unwrap();
    let release = |fence, due_at| Transition::Release { fence, due_at };
    let released = make(&leased, "a", &release(1, Some(at(NOW + 8)))).unwrap();
    let delivery = &released.destinations["a"];
    assert_eq!((delivery.lease_until, delivery.called_at, delivery.attempts), (None, None, 0));
    assert_eq!((released.change, delivery.state), (Change::Release, State::Pending));
    assert_eq!((delivery.due_at, &released.bucket), (at(NOW + 8), &record.bucket), "outside the index");
    let counted = make(&leased, "a", &release(1, None)).unwrap();
    assert_eq!(counted.destinations["a"].due_at, record.destinations["a"].due_at, "an attempt said it");
    let held = make(&leased, "a", &lease(2, "other")).unwrap();
    assert_eq!(make(&held, "a", &release(1, None)), Err(Refused::Held));
}

#[test]
fn a_fault_is_recorded_and_counts_nothing() {
    let fault = |before| Transition::Fault {
        before,
        since: at(NOW - 5),
        error: "denied".into(),
        due_at: at(NOW + 8),
    };
    let held_up = make(&event_for(&["a", "b"]), "a", &fault(None)).unwrap();
    let delivery = &held_up.destinations["a"];
    let recorded = RecordedFault { since: at(NOW - 5), at: at(NOW), error: "denied".into() };
    assert_eq!((delivery.present_fault(), delivery.attempts), (Some(&recorded), 0));
    assert_eq!(delivery.due_at, at(NOW + 8), "its copy waits until then");
    assert_eq!(make(&held_up, "a", &fault(None)), Err(Refused::OwnWrite), "by another copy");
    assert_eq!((held_up.change, held_up.status, held_up.open), (Change::Fault, Status::Init, 2));
    let attempt = failed_attempt(1, at(NOW), None);
    let attempted = make(&held_up, "a", &attempt).unwrap();
    assert_eq!(attempted.destinations["a"].present_fault(), None, "an attempt came after it");
    let done = make(&held_up, "a", &done()).unwrap();
    assert_eq!(done.destinations["a"].present_fault(), None);
    assert_eq!(make(&done, "a", &fault(Some(at(NOW)))), Err(Refused::Was(State::Done)));
}

#[test]
fn only_a_change_of_state_moves_a_dead_record_in_the_index() {
    let record = event_for(&["a", "b"]);
    let dead = |record: &Record, name: &str| {
        let dead =
            Transition::Dead { attempts: 0, dispatches: 1, fails: true, reason: "no".into(), call: None };
        make(record, name, &dead).unwrap()
    };
    let open = dead(&record, "a");
    assert_eq!(open.bucket, record.bucket);
    let dead = dead(&open, "b");
    assert_eq!(dead.bucket, dead_bucket("1", at(NOW) + DEAD_DUE_AFTER));
    let mut moved = dead.clone();
    moved.bucket = "elsewhere".into();
    assert_eq!(make(&moved, "a", &lease(1, "h")).unwrap().bucket, "elsewhere");
}

#[test]
fn a_completed_record_is_kept_for_its_retention() {
    let completed = make(&event_for(&["a"]), "a", &done()).unwrap();
    assert_eq!(completed.expires_at, Some(at(NOW) + times().retention));
    let ended_at = |record: &Record| record.destinations["a"].ended_at;
    assert_eq!(ended_at(&completed), Some(at(NOW)));
    let attempt = failed_attempt(1, at(NOW), None);
    assert_eq!(ended_at(&make(&event_for(&["a"]), "a", &attempt).unwrap()), None);
}

/// What a condition need not say may change between the read and the write.
#[test]
fn a_transition_asks_no_more_of_other_destinations_than_its_status_needs() {
    let asks = |transition: &Transition, after| {
        tally_conditions(transition, Expected { from: State::Pending, after })
    };
    let zero_left = |name: &str, before| Condition::Is(name.into(), number(before));
    let attempt = failed_attempt(1, at(NOW), None);
    let dead = Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None };
    let closed = Transition::Closed { reason: "fixed".into() };
    assert_eq!(asks(&attempt, Status::Init), []);
    assert_eq!(asks(&done(), Status::Init), [Condition::Above(OPEN.into(), 1)]);
    assert_eq!(asks(&dead, Status::Dead), [zero_left(OPEN, 1)]);
    assert_eq!(asks(&done(), Status::Dead), [zero_left(OPEN, 1), Condition::Above(DEAD.into(), 0)]);
    assert_eq!(asks(&closed, Status::Closed), [zero_left(OPEN, 1), zero_left(DEAD, 0)]);
    assert_eq!(
        asks(&done(), Status::Closed),
        [zero_left(OPEN, 1), zero_left(DEAD, 0), Condition::Above(CLOSED.into(), 0)]
    );
}

#[test]
fn a_guess_is_that_all_are_pending_and_this_one_is_not_the_last_of_several() {
    let guess = |transition: &Transition, many| Expected::guess(transition, many).after;
    let dead = Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None };
    let closed = Transition::Closed { reason: "fixed".into() };
    for (transition, last) in [(done(), Status::Done), (dead, Status::Dead), (closed, Status::Closed)] {
        assert_eq!([guess(&transition, 1), guess(&transition, 2)], [last, Status::Init]);
    }
    assert_eq!([guess(&lease(1, "h"), 1), guess(&lease(1, "h"), 2)], [Status::Init, Status::Init]);
}

/// What rests on the content of a copy has the digest as a condition.
#[test]
fn what_applies_content_is_known() {
    let reject = Transition::Rejected { reason: "no".into(), fence: None };
    for applies in [done(), reject, lease(1, "h")] {
        assert!(applies.applies_content(), "{applies:?}");
    }
    let release = Transition::Release { fence: 1, due_at: None };
    let closed = Transition::Closed { reason: "fixed".into() };
    for other in [release, closed, Transition::Redrive { due_at: at(NOW), settled: None, fence: None }] {
        assert!(!other.applies_content(), "{other:?}");
    }
}

/// A lease on what is dead, from a dead letter that was moved, says nothing of when and why it died.
#[test]
fn what_does_not_end_a_delivery_leaves_its_end_alone() {
    let give_up =
        Transition::Dead { attempts: 0, dispatches: 1, fails: false, reason: "no".into(), call: None };
    let mut dead = make(&event_for(&["a"]), "a", &give_up).unwrap();
    dead.destinations.get_mut("a").unwrap().ended_at = Some(at(NOW - 9));
    let leased = make(&dead, "a", &lease(1, "h")).unwrap().destinations["a"].clone();
    assert_eq!((leased.ended_at, leased.reason.as_deref()), (Some(at(NOW - 9)), Some("no")));
    let expected = Expected { from: State::Pending, after: Status::Done };
    assert_eq!(plan(&done(), "a", expected, "1", &times()).removes, Vec::<Path>::new());
}
