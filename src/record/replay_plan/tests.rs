use super::*;
use crate::notification::Draft;
use crate::record::tests::at;

const OLD: &str = r#"{
    "c": { "kind": "channel", "destinations": ["a"] },
    "t": { "kind": "event", "channel": "c" },
    "asked": { "kind": "command", "destinations": ["a"] },
    "said": { "kind": "event", "destinations": ["a"] }
}"#;
const NEW: &str = r#"{
    "c": { "kind": "channel", "destinations": ["a", "d"], "sequenced": ["d"] },
    "t": { "kind": "event", "channel": "c" },
    "asked": { "kind": "command", "destinations": ["d"] },
    "said": { "kind": "event", "destinations": ["a"] }
}"#;

/// An event of the key `k` with this number, accepted at this time by these routes.
fn event(id: &str, sequence: u64, millis: i64, routes: &str) -> Record {
    let draft = Draft::event("t", "s", &1).partitionkey("c/k").sequence(sequence);
    Record::accept(draft.build(id).unwrap(), &routes.parse().unwrap(), at(millis)).unwrap()
}

/// A day after every event was accepted.
const LATER: Timestamp = Timestamp::constant(100_000, 0);

/// The plan for these records, where the destination is at this position.
fn planned(records: &[Record], position: Option<u64>, now: Timestamp) -> ReplayPlan {
    let routes = NEW.parse().unwrap();
    let replay = Replay { destination: "d", since: at(10), now, routes: &routes };
    let found = records.iter().filter_map(|record| replay.look_at(record)).collect();
    plan(found, &position.map(|at| ("d s c/k".to_owned(), at)).into_iter().collect())
}

/// With which number it begins, the ids that it adds, and how many it leaves out as before that.
fn decided(old: &[u64], new: &[u64], position: Option<u64>) -> (Option<u64>, Vec<String>, usize) {
    let events = |numbers: &[u64], routes| -> Vec<Record> {
        numbers.iter().map(|number| event(&format!("e{number}"), *number, 20, routes)).collect()
    };
    let plan = planned(&[events(old, OLD), events(new, NEW)].concat(), position, LATER);
    assert_eq!(plan.left_out.has, new.len());
    let begins = plan.begins.first().map(|begins| begins.0.sequence);
    assert!(plan.begins.len() <= 1 && plan.adds.iter().all(|add| add.sequenced));
    (begins, plan.adds.into_iter().map(|add| add.key.id).collect(), plan.left_out.before)
}

#[test]
fn a_destination_begins_with_the_first_event_that_it_gets() {
    let ids = |numbers: &[u64]| numbers.iter().map(|number| format!("e{number}")).collect::<Vec<_>>();
    assert_eq!(decided(&[1, 2, 3], &[4], None), (None, ids(&[1, 2, 3]), 0));
    assert_eq!(decided(&[7, 5, 6], &[8, 9], None), (Some(5), ids(&[5, 6, 7]), 0));
    assert_eq!(decided(&[], &[8, 9], None), (Some(8), vec![], 0), "what came first has expired");
    assert_eq!(decided(&[], &[], None), (None, vec![], 0));
    // Numbers that are missing have expired, but for those after the last that is added.
    assert_eq!(decided(&[3, 5, 6], &[], None), (Some(5), ids(&[5, 6]), 1));
    assert_eq!(decided(&[3, 4], &[6], None), (Some(3), ids(&[3, 4]), 0));
    // One that a producer with earlier routes sent after others had the destination.
    assert_eq!(decided(&[5, 7], &[6], None), (Some(5), ids(&[5, 7]), 0));
    assert_eq!(decided(&[7], &[6], None), (Some(6), ids(&[7]), 0));
}

#[test]
fn a_destination_that_has_begun_goes_on() {
    let ids = |numbers: &[u64]| numbers.iter().map(|number| format!("e{number}")).collect::<Vec<_>>();
    assert_eq!(decided(&[3, 4, 5], &[6], Some(3)), (None, ids(&[4, 5]), 1));
    assert_eq!(decided(&[3], &[4, 5], Some(3)), (Some(4), vec![], 1), "what waits may have no copy");
    assert_eq!(decided(&[3, 5], &[], Some(1)), (None, ids(&[3, 5]), 0), "a gap is waited for");
}

#[test]
fn a_number_that_was_accepted_before_is_missed() {
    let held = |old: &[u64], position| {
        let events: Vec<Record> = old.iter().map(|number| event("e", *number, 20, OLD)).collect();
        planned(&events, position, LATER).held
    };
    assert_eq!([held(&[4, 5], Some(2)), held(&[3, 5], Some(2)), held(&[2], Some(2))], [1, 1, 0]);
    assert_eq!(held(&[4, 5], None), 0, "there it begins");
    assert_eq!(held(&[3, 4, 6], Some(2)), 1, "it goes on with 3 and 4");
    let has = planned(&[event("a", 3, 20, OLD), event("b", 5, 20, NEW)], None, LATER);
    assert_eq!((has.begins.len(), has.held), (1, 1));
    let recent = planned(&[event("e", 4, 20, OLD)], Some(2), at(60_000));
    assert_eq!(recent.held, 0, "number 3 may be on its way");
}

/// This event, as another destination has applied it in its turn.
fn applied(mut record: Record) -> Record {
    let delivery = record.destinations.get_mut("a").unwrap();
    (delivery.state, delivery.sequenced) = (State::Done, true);
    (record.open, record.status) = (0, crate::record::Status::Done);
    record
}

#[test]
fn what_is_about_to_expire_is_not_begun_with() {
    let mut first = applied(event("a", 3, 20, OLD));
    let begins = |first: &Record| {
        let plan = planned(&[first.clone(), applied(event("b", 4, 20, OLD))], None, LATER);
        (plan.begins[0].0.sequence, plan.left_out.expires)
    };
    assert_eq!(begins(&first), (3, 0));
    first.expires_at = Some(LATER + SignedDuration::from_hours(47));
    assert_eq!(begins(&first), (4, 1));
    first.expires_at = Some(LATER + SignedDuration::from_hours(49));
    assert_eq!(begins(&first), (3, 0));
}

#[test]
fn a_key_with_a_record_of_a_later_release_is_not_begun() {
    let mut later = event("a", 3, 20, OLD);
    later.status = crate::record::Status::Unknown;
    let plan = planned(&[later, event("b", 4, 20, OLD)], None, LATER);
    assert_eq!(
        (plan.begins.len(), plan.adds.len(), plan.undecided, plan.left_out.later_release),
        (0, 0, 1, 1)
    );
}

#[test]
fn a_number_that_may_be_on_its_way_is_waited_for() {
    let soon = at(60_000);
    let begins = |records: &[Record]| {
        let plan = planned(records, None, soon);
        (plan.begins.first().map(|begins| begins.0.sequence), plan.adds.len(), plan.undecided)
    };
    let [e3, e5] = [3, 5].map(|number| event("e", number, 20, OLD));
    assert_eq!(begins(&[e3.clone(), e5.clone()]), (None, 2, 1));
    // Another destination has applied it in its turn: all before it have come.
    let e5 = applied(e5);
    assert_eq!(begins(&[e3.clone(), e5.clone()]), (Some(5), 1, 0));
    let e3 = applied(e3);
    assert_eq!(begins(&[e3.clone(), event("f", 5, 20, OLD)]), (Some(3), 2, 0));
    assert_eq!(begins(&[event("f", 5, 20, NEW)]), (None, 0, 1));
    assert_eq!(begins(&[event("f", 1, 20, OLD), event("f", 3, 20, OLD)]), (None, 2, 0));
}

#[test]
fn what_has_the_destination_is_not_passed() {
    let plan = planned(&[event("a", 4, 9, NEW), event("b", 5, 20, OLD)], None, LATER);
    let begins: Vec<_> = plan.begins.iter().map(|begins| begins.0.sequence).collect();
    assert_eq!((begins, plan.adds.len(), plan.left_out.has), (vec![4], 1, 1));
}

#[test]
fn of_two_with_one_number_the_first_is_added() {
    let records = [event("b", 1, 20, OLD), event("a", 1, 30, OLD), event("c", 2, 30, OLD)];
    let plan = planned(&records, None, LATER);
    let ids: Vec<_> = plan.adds.iter().map(|add| &*add.key.id).collect();
    assert_eq!((ids, plan.left_out.number_used), (vec!["b", "c"], 1));
    let applied_second = planned(&[event("a", 1, 20, OLD), applied(event("b", 1, 30, OLD))], None, LATER);
    assert_eq!(applied_second.adds[0].key.id, "b");
    let had = planned(&[event("a", 1, 20, OLD), event("b", 1, 30, NEW)], None, LATER);
    assert_eq!((had.adds, had.left_out.number_used, had.left_out.has), (vec![], 1, 1));
}

#[test]
fn only_events_that_the_routes_lead_there_are_added() {
    let build =
        |draft: Draft| Record::accept(draft.build("1").unwrap(), &OLD.parse().unwrap(), at(20)).unwrap();
    let said = build(Draft::event("said", "s", &1));
    let asked = build(Draft::command("asked", "s", &1));
    let unnumbered = build(Draft::event("t", "s", &1).partitionkey("c/k"));
    let mut full = event("full", 1, 20, OLD);
    let a = full.destinations["a"].clone();
    full.destinations.extend((1..10).map(|n| (format!("a{n}"), a.clone())));
    let mut later = event("later", 2, 20, OLD);
    later.status = crate::record::Status::Unknown;
    let plan = planned(&[said, asked, unnumbered, full, later, event("early", 1, 9, OLD)], None, LATER);
    let left_out = LeftOut { command: 1, unnumbered: 1, full: 1, later_release: 1, ..LeftOut::default() };
    assert_eq!(plan, ReplayPlan { left_out, ..ReplayPlan::default() });
}

#[test]
fn what_is_not_in_sequence_is_added_in_the_order_of_its_acceptance() {
    let routes = OLD.replace(
        r#""said": { "kind": "event", "destinations": ["a"]"#,
        r#""said": { "kind": "event", "destinations": ["d"]"#,
    );
    let routes = routes.parse().unwrap();
    let said = |id: &str, millis| {
        let event = Draft::event("said", "s", &1).partitionkey("c/k").sequence(3).build(id).unwrap();
        Record::accept(event, &OLD.parse().unwrap(), at(millis)).unwrap()
    };
    let replay = Replay { destination: "d", since: at(10), now: LATER, routes: &routes };
    let found = [said("a", 30), said("b", 20)].iter().filter_map(|record| replay.look_at(record)).collect();
    let plan = plan(found, &BTreeMap::new());
    let adds: Vec<_> = plan.adds.iter().map(|add| (&*add.key.id, add.sequenced)).collect();
    assert_eq!((adds, plan.begins), (vec![("b", false), ("a", false)], vec![]));
}
