//! Reconcile over its index of the deployed table, with a cursor of the test's own: that of the deployed function moves
//! by its schedule alone.

use std::time::Duration;

use futures_util::future::join_all;
use handover::Clock;
use handover::dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use handover::pipeline::{Reconcile, ReconcileSettings};
use handover::record::{Change, Dispatch, Record, SLOT_SECONDS, Slot, SlotKind, State, Status, bucket};
use handover::store::{AllDeadLetters, Cursors, OperatorOutcome, Walk};
use handover::{Checked, Draft, Routes};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use crate::world::{World, routes, unique};

/// How long ago the records of these tests were due: long enough for their slot to be over.
const DUE_AGO: SignedDuration = SignedDuration::from_mins(20);

/// The test's own cursor begins one slot before that.
const SLOT: SignedDuration = SignedDuration::from_secs(SLOT_SECONDS);
/// Longest time of a run.
const RUN_SECONDS_MAX: u64 = 60;
/// Longest time until the deployed reconcile has walked from a day ago until now, in seconds.
const CAUGHT_UP_SECONDS_MAX: u64 = 180;

fn refund(account: &str) -> Checked {
    let data = json!({ "account": account, "amount": 7 });
    Draft::command("refund.requested", "orders", &data).build(unique("late")).unwrap()
}

/// A pending record without a copy, accepted this long ago.
fn lost(notification: Checked, accepted_ago: SignedDuration) -> Record {
    lost_by(&routes(), notification, accepted_ago)
}

fn lost_by(routes: &Routes, notification: Checked, accepted_ago: SignedDuration) -> Record {
    let now = Timestamp::now();
    let mut record = Record::accept(notification, routes, now - accepted_ago).unwrap();
    // Its last change looks like a failed attempt, so relay does not dispatch it.
    record.change = Change::Attempt;
    record.bucket = bucket(&record.id, now - DUE_AGO);
    record
}

impl World {
    /// Runs reconcile once, over the slots since these records were due, and returns them as they are then.
    async fn reconciled(&self, records: &[&Record]) -> Vec<Record> {
        let settings = ReconcileSettings {
            ledger: self.ledger(),
            positions: self.positions(),
            cursors: Cursors::new(self.dynamodb.clone(), self.cursor_of_its_own().await),
            dead_letters: AllDeadLetters::new(self.sqs.clone(), &self.stack),
            give_up_after: SignedDuration::from_hours(24),
            dispatches_per_second: 100,
            read_units_per_second: 1_000,
            clock: Clock::system(),
        };
        Reconcile::new(settings).run(Instant::now() + Duration::from_secs(RUN_SECONDS_MAX)).await;
        let records = join_all(records.iter().map(|record| self.record(&record.id))).await;
        records.into_iter().map(Option::unwrap).collect()
    }

    /// Creates a table with a cursor before the slot in which the records of these tests were due.
    async fn cursor_of_its_own(&self) -> String {
        let table = unique("reconcile");
        let name = AttributeDefinition::builder().attribute_name("name");
        let name = name.attribute_type(ScalarAttributeType::S).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name("name").key_type(KeyType::Hash).build().unwrap();
        let create = self.dynamodb.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
        create.attribute_definitions(name).key_schema(key).send().await.unwrap();
        let begin = Slot::of(SlotKind::Open, Timestamp::now() - DUE_AGO - SLOT).begin().as_second();
        let put = self.dynamodb.put_item().table_name(&table);
        let put = put.item("name", AttributeValue::S(Walk::Due.name().into()));
        put.item("slot", AttributeValue::N(begin.to_string())).send().await.unwrap();
        table
    }
}

/// Its first run begins a day ago.
#[tokio::test]
async fn the_deployed_reconcile_walks_to_the_present_on_its_schedule() {
    let world = World::connect().await;
    let cursors = Cursors::new(world.dynamodb.clone(), world.named("reconcile"));
    let end = Slot::end(SlotKind::Open, Timestamp::now());
    let begun = Instant::now();
    while cursors.unchecked(Walk::Due).await.unwrap().is_none_or(|slot| slot < end) {
        assert!(begun.elapsed().as_secs() < CAUGHT_UP_SECONDS_MAX, "it has not come to {end:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn g3_a_notification_that_lost_its_copies_is_dispatched_again_and_a_very_late_one_is_given_up() {
    let world = World::connect().await;
    let account = world.account().await;
    let late = lost(refund(&account), SignedDuration::from_hours(1));
    let mut attempted = lost(refund(&account), SignedDuration::from_hours(1));
    attempted.destinations.get_mut("refund").unwrap().attempts = 3;
    // The stack of the tests gives up after one day.
    let very_late = lost(refund(&account), SignedDuration::from_hours(25));
    for record in [&late, &attempted, &very_late] {
        world.put(record).await;
    }
    let found = world.reconciled(&[&late, &attempted, &very_late]).await;
    assert!(found.iter().all(|record| record.version > 1), "{found:?}");

    let done = world.record_when(&late.id, |record| record.status == Status::Done).await;
    assert_eq!((done.dispatches, done.destinations["refund"].attempts), (2, 0));
    let done = world.record_when(&attempted.id, |record| record.status == Status::Done).await;
    assert_eq!(
        (done.dispatches, done.destinations["refund"].attempts),
        (2, 3),
        "a dispatch does not reset the attempts"
    );

    let dead = world.record_when(&very_late.id, |record| record.status == Status::Dead).await;
    assert_eq!(dead.destinations["refund"].reason.as_deref(), Some("not completed within 24 h"));
    let dead_letter = world.dead_letter("refund", &very_late.id).await;
    let dispatch = Dispatch::decode(dead_letter["body"].as_bytes()).unwrap();
    assert_eq!(dispatch.notification, very_late.notification());
    assert_eq!(dead_letter["error"], "not completed within 24 h");
    assert_eq!(dead_letter["attempts"], "0");
    assert_eq!(world.balance(&account).await, 14);

    let redriven = world.ledger().redrive(&very_late.key(), "refund", Timestamp::now()).await.unwrap();
    assert_eq!(redriven, OperatorOutcome::Applied);
    let done = world.record_when(&very_late.id, |record| record.status == Status::Done).await;
    assert_eq!(done.destinations["refund"].state, State::Done);
    assert_eq!(world.balance(&account).await, 21);
}

/// Reconcile knows a destination's queue by its name, in whatever stack it is.
#[tokio::test]
async fn g3_a_destination_elsewhere_is_given_up_if_it_has_a_queue() {
    let world = World::connect().await;
    let routed = |name: &str| -> Routes {
        format!(r#"{{"refund.requested":{{"kind":"command","destinations":["{name}"]}}}}"#).parse().unwrap()
    };
    let (elsewhere, nowhere) = (format!("e{}", fastrand::u32(..)), format!("n{}", fastrand::u32(..)));
    world.create_queue(world.named(&format!("{elsewhere}-dead-letters"))).await;
    let day = SignedDuration::from_hours(25);
    let [given_up, open] = [&elsewhere, &nowhere].map(|name| lost_by(&routed(name), refund("nobody"), day));
    for record in [&given_up, &open] {
        world.put(record).await;
    }
    let [given_up, open] = world.reconciled(&[&given_up, &open]).await.try_into().unwrap();
    assert_eq!((given_up.status, open.status), (Status::Dead, Status::Init), "{open:?}");
    assert_eq!(open.change, Change::Dispatch, "without a queue it is dispatched again");
    world.dead_letter(&elsewhere, &given_up.id).await;
}

#[tokio::test]
async fn a_notification_that_is_not_due_is_checked_later() {
    let world = World::connect().await;
    let mut record = lost(refund("nobody"), SignedDuration::from_hours(1));
    let due_at = Timestamp::from_second(Timestamp::now().as_second() + 3_600).unwrap();
    record.destinations.get_mut("refund").unwrap().due_at = due_at;
    world.put(&record).await;
    let [waits] = world.reconciled(&[&record]).await.try_into().unwrap();
    assert_eq!(waits.change, Change::Wait);
    assert_eq!((waits.dispatches, &waits.bucket), (1, &bucket(&record.id, due_at)));
    let (ledger, positions, retention) = (world.ledger(), world.positions(), SignedDuration::from_hours(1));
    let key = record.key();
    let closed = ledger.close(&positions, &key, "refund", "a test", Timestamp::now(), retention);
    assert_eq!(closed.await.unwrap(), OperatorOutcome::Applied);
}

/// Items that somebody else wrote, in the partitions of the index that reconcile reads and in the table's stream.
#[tokio::test]
async fn an_item_that_is_no_record_of_ours_holds_up_nobody() {
    let world = World::connect().await;
    let account = world.account().await;
    let late = lost(refund(&account), SignedDuration::from_hours(1));
    let foreign = |change: fn(&mut Record)| {
        let mut record = late.clone();
        record.id = unique("foreign");
        change(&mut record);
        record
    };
    let in_index = [
        foreign(|record| record.open = 7),
        foreign(|record| record.destinations.values_mut().for_each(|delivery| delivery.fence = u32::MAX)),
        foreign(|record| record.accepted_at = Timestamp::from_second(253_402_207_000).unwrap()),
    ];
    // Each of its characters takes six bytes in the stream, which takes no record as large.
    let in_stream = foreign(|record| {
        record.traceparent = Some("\u{1}".repeat(300_000));
        record.change = Change::Dispatch;
    });
    for record in in_index.iter().chain([&in_stream, &late]) {
        world.put(record).await;
    }
    let found = world.reconciled(&[&late]).await;
    assert!(found[0].version > 1, "{found:?}");
    let done = world.record_when(&late.id, |record| record.status == Status::Done).await;
    assert_eq!(done.dispatches, 2);
    for record in in_index {
        let key = [("id", &record.id), ("source", &record.source)];
        let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.clone())));
        let get = world.dynamodb.get_item().table_name(world.named("notifications"));
        let item = get.set_key(Some(key.into())).send().await.unwrap().item.unwrap();
        assert_eq!(item["version"], AttributeValue::N("1".into()));
    }
}
