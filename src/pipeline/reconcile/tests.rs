use super::*;
use crate::record::tests::{applied, at, event_for};
use crate::record::{AHEAD, Control, State, Status, bucket, dead_letter_renewed};

const MINUTE: i64 = 60_000;
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn decided(record: &Record, minutes: i64) -> Action {
    let now = record.accepted_at + SignedDuration::from_mins(minutes);
    decide(record, &record.bucket, now, DAY, &Controls::default(), |_| true)
}

fn made(record: &Record, update: &Update) -> Record {
    Record::decode(applied(update, &record.encode()).unwrap()).unwrap()
}

#[test]
fn a_due_record_is_dispatched_to_all_that_are_pending_and_keeps_its_attempts() {
    let mut record = event_for(&["a", "b"]);
    record.destinations.get_mut("a").unwrap().attempts = 3;
    record.destinations.get_mut("b").unwrap().state = State::Done;
    record.open = 1;
    let Action::Dispatch(update) = decided(&record, 31) else { panic!("it is due") };
    let dispatched = made(&record, &update);
    assert_eq!((dispatched.dispatches, dispatched.change, dispatched.version), (2, Change::Dispatch, 2));
    assert_eq!(dispatched.destinations["a"].attempts, 3);
    assert_eq!(dispatched.destinations["a"].due_at, at(1_000 + 150 * MINUTE));
    assert_eq!(dispatched.destinations["b"], record.destinations["b"]);
    assert_eq!(dispatched.bucket, bucket(&record.id, at(1_000 + 150 * MINUTE)));
}

#[test]
fn a_record_that_is_not_due_is_checked_when_it_is() {
    let mut record = event_for(&["a"]);
    let due_at = at(1_000 + 50 * MINUTE);
    record.destinations.get_mut("a").unwrap().due_at = due_at;
    let Action::Wait(update) = decided(&record, 31) else { panic!("it is not due") };
    let waits = made(&record, &update);
    assert_eq!((waits.dispatches, waits.change, &waits.bucket), (1, Change::Wait, &bucket("1", due_at)));
    assert_eq!(waits.destinations, record.destinations);
}

#[test]
fn a_record_is_due_at_its_very_time() {
    let record = event_for(&["a"]);
    assert_eq!(record.destinations["a"].due_at, record.accepted_at + FIRST_DUE_AFTER);
    assert!(matches!(decided(&record, 30), Action::Dispatch(_)));
    assert!(matches!(decided(&record, 29), Action::Wait(_)));
}

#[test]
fn after_days_without_completion_it_gives_up() {
    let mut record = event_for(&["a", "b"]);
    record.destinations.get_mut("b").unwrap().redriven_at = Some(at(1_000 + MINUTE));
    assert_eq!(decided(&record, 24 * 60), Action::GiveUp(vec!["a".into()]));
    assert_eq!(decided(&record, 24 * 60 + 1), Action::GiveUp(vec!["a".into(), "b".into()]));
    let now = record.accepted_at + DAY;
    let without_queue = decide(&record, &record.bucket, now, DAY, &Controls::default(), |_| false);
    assert!(matches!(without_queue, Action::Dispatch(_)));
}

#[test]
fn what_is_open_at_a_paused_destination_is_only_checked_later() {
    let mut controls = Controls::default();
    let (record, hour) = (event_for(&["a", "b"]), 60 * MINUTE);
    let decided = |controls: &Controls, record: &Record, hours: i64| {
        let now = record.accepted_at + SignedDuration::from_hours(hours);
        decide(record, &record.bucket, now, DAY, controls, |_| true)
    };
    for name in ["a", "b"] {
        controls.0.insert(name.into(), Control::Paused { since: at(0), reason: "it loses".into() });
    }
    let Action::Wait(update) = decided(&controls, &record, 48) else { panic!("both are paused") };
    let waits = made(&record, &update);
    assert_eq!((waits.dispatches, &waits.bucket), (1, &bucket("1", at(1_000 + 49 * hour))));
    assert_eq!(waits.destinations, record.destinations);

    controls.0.insert("b".into(), Control::Running { resumed_at: None });
    assert_eq!(decided(&controls, &record, 48), Action::GiveUp(vec!["b".into()]));
    let Action::Dispatch(update) = decided(&controls, &record, 2) else { panic!("b is late") };
    let dispatched = made(&record, &update);
    assert_eq!(dispatched.destinations["a"].due_at, at(1_000 + 3 * hour), "it is checked within the hour");
}

#[test]
fn after_a_resume_giving_up_is_counted_anew() {
    let (record, mut controls) = (event_for(&["a"]), Controls::default());
    controls.0.insert("a".into(), Control::Running { resumed_at: Some(record.accepted_at + DAY * 9) });
    let decided = |after| {
        let now = record.accepted_at + after;
        decide(&record, &record.bucket, now, DAY, &controls, |_| true)
    };
    let Action::Dispatch(update) = decided(DAY * 9) else { panic!("it waits") };
    let due_at = made(&record, &update).destinations["a"].due_at;
    assert_eq!(due_at, record.accepted_at + DAY * 9 + FIRST_DUE_AFTER, "as after a redrive");
    assert!(matches!(decided(DAY * 10 - SignedDuration::from_secs(1)), Action::Dispatch(_)));
    assert_eq!(decided(DAY * 10), Action::GiveUp(vec!["a".into()]));
}

#[test]
fn a_record_is_checked_when_it_is_time_to_give_up() {
    let record = event_for(&["a"]);
    let Action::Dispatch(update) = decided(&record, 23 * 60) else { panic!("it is due") };
    let end = record.accepted_at + DAY;
    assert_eq!(made(&record, &update).destinations["a"].due_at, end);
}

/// The retentions in `infra/` follow from `GiveUpAfterDays`.
#[test]
fn retentions_outlast_what_they_hold() {
    const DAY: i64 = 24 * 3_600;
    const DEAD_LETTERS: i64 = 14 * DAY;
    let (core, destination) = (crate::templates::CORE, crate::templates::DESTINATION);
    let after = |text: &str, of: &str| {
        let (_, rest) = text.split_once(of).unwrap_or_else(|| panic!("{of} is in the template"));
        rest.to_owned()
    };
    let number = |text: &str| -> i64 {
        let digits = text.trim_start_matches([' ', ':', '"']);
        digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()
    };
    let derived = |template: &'static str| -> Vec<&str> {
        template.lines().filter(|line| line.contains("QueueSeconds: ")).collect()
    };
    assert!(!derived(core).is_empty());
    assert_eq!(derived(core), derived(destination));
    let ledger_days = number(&after(&after(core, "\n  LedgerDays:"), "MinValue"));
    for line in derived(core) {
        let days = number(line);
        let queue = number(&after(line, "QueueSeconds"));
        assert!(queue > days * DAY, "a copy lasts until reconcile gives up: {line}");
        assert!(queue < DEAD_LETTERS, "SQS counts from the first enqueue: {line}");
        assert!(ledger_days > days + DEAD_LETTERS / DAY, "a record outlasts its dead letter: {line}");
    }
    let letters = [core, destination]
        .map(|template| template.matches(&format!("MessageRetentionPeriod: {DEAD_LETTERS}")).count());
    assert_eq!(letters, [3, 2], "dead letters and failures are kept as long as SQS can");
    assert!(FIRST_DUE_AFTER > AHEAD + SignedDuration::from_mins(15), "an invocation takes 15 min");
}

#[test]
fn a_delivery_in_a_state_of_a_later_release_is_checked_later() {
    let mut record = event_for(&["a"]);
    record.destinations.get_mut("a").unwrap().state = State::Unknown;
    let Action::Wait(update) = decided(&record, 31) else { panic!("it is open") };
    assert_eq!(made(&record, &update).bucket, bucket("1", at(1_000 + 61 * MINUTE)));
}

#[test]
fn a_completed_record_and_one_in_another_bucket_are_left_alone() {
    let mut record = event_for(&["a"]);
    let now = record.accepted_at + DAY;
    assert_eq!(decide(&record, "another bucket", now, DAY, &Controls::default(), |_| true), Action::Nothing);
    record.destinations.get_mut("a").unwrap().state = State::Done;
    record.open = 0;
    assert_eq!(decided(&record, 31), Action::Nothing);
}

/// A record that is dead at "a" since it was accepted, and in a slot of dead records.
fn dead() -> Record {
    let mut record = event_for(&["a"]);
    let accepted_at = record.accepted_at;
    let delivery = record.destinations.get_mut("a").unwrap();
    (delivery.state, delivery.ended_at) = (State::Dead, Some(accepted_at));
    (record.status, record.open, record.dead) = (Status::Dead, 0, 1);
    record.bucket = "dead".into();
    record
}

#[test]
fn g3_a_dead_letter_is_sent_anew_before_it_is_gone() {
    const DAY_MINUTES: i64 = 24 * 60;
    let record = dead();
    let Action::Wait(update) = decided(&record, 4 * DAY_MINUTES) else { panic!("its letter lasts") };
    let waits = made(&record, &update);
    assert_eq!(waits.bucket, crate::record::dead_bucket("1", record.accepted_at + DAY * 6));
    assert_eq!(decided(&waits, 6 * DAY_MINUTES), Action::Renew(vec!["a".into()]));
    let now = record.accepted_at + DAY * 7;
    let renewed = made(&waits, &dead_letter_renewed(&waits, &["a".into()], now));
    assert_eq!((renewed.change, renewed.destinations["a"].dead_letter_at), (Change::Renew, Some(now)));
    let Action::Wait(update) = decided(&renewed, 7 * DAY_MINUTES) else { panic!("its new letter lasts") };
    assert_eq!(made(&renewed, &update).bucket, crate::record::dead_bucket("1", now + DAY * 6));
    let Action::Wait(update) = decide(&record, "dead", now, DAY, &Controls::default(), |_| false) else {
        panic!("it has no queue")
    };
    assert_eq!(made(&record, &update).bucket, crate::record::dead_bucket("1", now + DAY * 3));
}

#[test]
fn a_dead_letter_of_a_record_that_is_open_elsewhere_is_renewed_too() {
    let mut record = event_for(&["a", "b"]);
    let delivery = record.destinations.get_mut("a").unwrap();
    (delivery.state, delivery.ended_at) = (State::Dead, Some(at(1_000)));
    (record.open, record.dead) = (1, 1);
    assert!(matches!(decided(&record, 24 * 60 - 1), Action::Dispatch(_)));
    let now = record.accepted_at + DAY * 6;
    assert_eq!(
        decide(&record, &record.bucket, now, DAY * 10, &Controls::default(), |_| true),
        Action::Renew(vec!["a".into()])
    );
}
