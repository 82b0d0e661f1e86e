//! The kinds of effects, by destinations of the tests' own that run here: the library over
//! the deployed tables.

use std::time::Duration;

use aws_lambda_events::kinesis::KinesisEvent;
use handover::consume::Consumer;
use handover::dynamodb::types::{AttributeValue, Update};
use handover::record::{Record, State, Status};
use handover::{Clock, Destination, Draft, Effect, Failure, Notification, Routes};
use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::Instant;

use crate::world::{World, kinesis_event, offer, unique};

/// A destination made of a function.
struct By<F>(F);

impl<F> Destination for By<F>
where
    F: Fn(&Notification<Value>) -> Result<Effect, Failure> + Send + Sync + 'static,
{
    type Data = Value;

    async fn apply(&self, notification: &Notification<Value>) -> Result<Effect, Failure> {
        (self.0)(notification)
    }
}

fn routes() -> Routes {
    r#"{
        "fact":  { "kind": "event", "destinations": ["audit"] },
        "news":  { "kind": "event", "destinations": ["audit", "search"] },
        "order": { "kind": "command", "destinations": ["audit"] }
    }"#
    .parse()
    .unwrap()
}

/// Accepts notifications of a type by the outbox; returns them.
async fn accepted(world: &World, r#type: &str, count: usize) -> Vec<Notification> {
    let mut notifications = Vec::new();
    for _ in 0..count {
        let draft = match r#type {
            "order" => Draft::command(r#type, "tests", &7),
            _ => Draft::event(r#type, "tests", &7),
        };
        let notification = draft.with_id(unique(r#type)).unwrap();
        let message = world.outbox(&routes()).accept(notification.clone()).unwrap();
        world.dynamodb.transact_write_items().transact_items(message.action()).send().await.unwrap();
        notifications.push(notification);
    }
    notifications
}

/// Offers notifications to a destination; returns the ids that it gave back.
async fn deliver(
    world: &World,
    name: &str,
    apply: impl Fn(&Notification<Value>) -> Result<Effect, Failure> + Send + Sync + 'static,
    notifications: &[Notification],
) -> Vec<String> {
    let keep = SignedDuration::from_hours(24);
    let consumer = Consumer::new(By(apply), name, world.ledger(), routes(), keep, Clock::system());
    let copies: Vec<_> =
        notifications.iter().map(|it| offer(it.clone(), &["audit", "search"]).encode()).collect();
    let event: KinesisEvent = serde_json::from_value(kinesis_event(&copies)).unwrap();
    let answer = consumer.receive(event, Instant::now() + Duration::from_secs(20)).await;
    let id = |number: &String| notifications[number.parse::<usize>().unwrap()].id.clone();
    let numbers = answer.batch_item_failures.iter().filter_map(|failure| failure.item_identifier.as_ref());
    numbers.map(id).collect()
}

async fn records(world: &World, notifications: &[Notification]) -> Vec<Record> {
    let records = futures_util::future::join_all(notifications.iter().map(|it| world.record(&it.id))).await;
    records.into_iter().flatten().collect()
}

#[tokio::test]
async fn marks_alone_go_together_and_once() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 60).await;
    let done = |_: &Notification<Value>| Ok(Effect::new());
    assert!(deliver(&world, "audit", done, &facts).await.is_empty());
    let ended = records(&world, &facts).await;
    assert!(ended.iter().all(|record| (record.status, record.version, record.open) == (Status::Done, 2, 0)));
    assert!(ended.iter().all(|record| record.expires_at.is_some()));
    assert!(ended.iter().all(|record| record.destinations["audit"].received_at.is_some()));

    assert!(deliver(&world, "audit", done, &[&facts[..], &facts].concat()).await.is_empty());
    assert_eq!(records(&world, &facts).await, ended);
}

#[tokio::test]
async fn a_stored_effect_is_kept_on_the_record_and_the_first_result_stands() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 2).await;
    assert!(deliver(&world, "audit", |_| Ok(Effect::new().result(&"first")), &facts).await.is_empty());
    assert!(deliver(&world, "audit", |_| Ok(Effect::new().result(&"second")), &facts).await.is_empty());
    for record in records(&world, &facts).await {
        assert_eq!(record.destinations["audit"].result.as_ref().unwrap().as_str(), "\"first\"");
    }
}

#[tokio::test]
async fn of_two_destinations_the_last_leaves_the_status() {
    let world = World::connect().await;
    let news = accepted(&world, "news", 30).await;
    let done = |_: &Notification<Value>| Ok(Effect::new());
    assert!(deliver(&world, "search", done, &news[..10]).await.is_empty());
    let half = records(&world, &news[..10]).await;
    assert!(half.iter().all(|record| (record.status, record.open) == (Status::Init, 1)));
    assert!(half.iter().all(|record| record.expires_at.is_none()));

    // The rest at once by both.
    let (audit, search) =
        tokio::join!(deliver(&world, "audit", done, &news), deliver(&world, "search", done, &news));
    assert_eq!((audit, search), (vec![], vec![]));
    for record in records(&world, &news).await {
        assert_eq!((record.status, record.open, record.version), (Status::Done, 0, 3));
        assert!(record.destinations.values().all(|delivery| delivery.state == State::Done));
    }
}

#[tokio::test]
async fn an_emit_commits_with_the_mark_and_a_repeat_emits_nothing_more() {
    let world = World::connect().await;
    let news = accepted(&world, "news", 1).await;
    let emit = |it: &Notification<Value>| {
        Ok(Effect::new().emit("told", Draft::event("fact", "audit", &it.data).subject(&it.id)))
    };
    assert!(deliver(&world, "audit", emit, &news).await.is_empty());
    let emitted = emitted(&world, &news[0].id).await;
    assert_eq!(emitted.len(), 1);
    assert_eq!((emitted[0].r#type.as_str(), emitted[0].data.as_str()), ("fact", "7"));
    assert!(deliver(&world, "audit", emit, &news).await.is_empty());
    assert_eq!(self::emitted(&world, &news[0].id).await, emitted);

    // Its id is stored already, with the same content: it is left out, and the rest commits.
    let mut record = world.record(&news[0].id).await.unwrap();
    record.destinations.get_mut("audit").unwrap().state = State::Pending;
    (record.open, record.change) = (2, handover::record::Change::Mark);
    world.put(&record).await;
    assert!(deliver(&world, "audit", emit, &news).await.is_empty());
    assert_eq!(self::emitted(&world, &news[0].id).await, emitted);
    assert_eq!(world.record(&news[0].id).await.unwrap().destinations["audit"].state, State::Done);

    // With other content it is a failure, and nothing commits.
    world.put(&record).await;
    let other = |it: &Notification<Value>| {
        Ok(Effect::new().emit("told", Draft::event("fact", "audit", &"other").subject(&it.id)))
    };
    assert_eq!(deliver(&world, "audit", other, &news).await.len(), 1);
    assert_eq!(world.record(&news[0].id).await.unwrap(), record);
}

/// The notifications about this subject.
async fn emitted(world: &World, subject: &str) -> Vec<Record> {
    let scan = world.dynamodb.scan().table_name(world.named("notifications")).consistent_read(true);
    let scan = scan.filter_expression("subject = :subject");
    let scan = scan.expression_attribute_values(":subject", AttributeValue::S(subject.into()));
    let items: Vec<_> = scan.into_paginator().items().send().collect::<Result<_, _>>().await.unwrap();
    items.into_iter().map(|item| Record::decode(item).unwrap()).collect()
}

#[tokio::test]
async fn a_command_can_be_rejected_and_an_event_cannot() {
    let world = World::connect().await;
    let reject = |_: &Notification<Value>| Ok(Effect::reject("out of stock"));
    let orders = accepted(&world, "order", 1).await;
    assert!(deliver(&world, "audit", reject, &orders).await.is_empty());
    let rejected = &records(&world, &orders).await[0];
    assert_eq!(rejected.status, Status::Rejected);
    assert_eq!(rejected.destinations["audit"].reason.as_deref(), Some("out of stock"));

    let facts = accepted(&world, "fact", 1).await;
    assert_eq!(deliver(&world, "audit", reject, &facts).await, [facts[0].id.clone()]);
    assert_eq!(records(&world, &facts).await[0].version, 1);
}

#[tokio::test]
async fn one_failure_is_one_notifications_own() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 6).await;
    let poison: Vec<String> = facts.iter().map(|fact| fact.id.clone()).collect();
    let table = world.named("accounts");
    let apply = move |it: &Notification<Value>| match poison.iter().position(|id| *id == it.id) {
        Some(0) => panic!("as a bug would"),
        Some(1) => Err(Failure::passing("not now")),
        Some(2) => Err("x".parse::<u32>().unwrap_err().into()),
        Some(3) => Ok(Effect::new().result(&"x".repeat(5_000))),
        // A write whose condition fails takes the mark with it.
        Some(4) => {
            let update =
                Update::builder().table_name(&table).key("account", AttributeValue::S("nobody".into()));
            let update =
                update.update_expression("ADD balance :n").condition_expression("attribute_exists(account)");
            Ok(Effect::new()
                .write(update.expression_attribute_values(":n", AttributeValue::N("1".into())).build()?))
        }
        _ => Ok(Effect::new()),
    };
    let mut failed = deliver(&world, "audit", apply, &facts).await;
    failed.sort();
    let mut expected: Vec<String> = facts[..5].iter().map(|fact| fact.id.clone()).collect();
    expected.sort();
    assert_eq!(failed, expected);
    let versions: Vec<_> = records(&world, &facts).await.iter().map(|record| record.version).collect();
    assert_eq!(versions, [1, 1, 1, 1, 1, 2]);
}

/// What is not decided by the end of the invocation is given back, and what is is kept.
#[tokio::test]
async fn a_hanging_handler_is_cancelled_in_time() {
    struct Hangs(String);
    impl Destination for Hangs {
        type Data = Value;
        async fn apply(&self, notification: &Notification<Value>) -> Result<Effect, Failure> {
            if notification.id == self.0 {
                std::future::pending::<()>().await;
            }
            Ok(Effect::new())
        }
    }
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 3).await;
    let keep = SignedDuration::from_hours(24);
    let hangs = Hangs(facts[1].id.clone());
    let consumer = Consumer::new(hangs, "audit", world.ledger(), routes(), keep, Clock::system());
    let copies: Vec<_> = facts.iter().map(|it| offer(it.clone(), &["audit"]).encode()).collect();
    let event: KinesisEvent = serde_json::from_value(kinesis_event(&copies)).unwrap();
    let answer = consumer.receive(event, Instant::now() + Duration::from_secs(2)).await;
    let failed: Vec<_> =
        answer.batch_item_failures.iter().filter_map(|it| it.item_identifier.as_deref()).collect();
    assert_eq!(failed, ["1"]);
    let versions: Vec<_> = records(&world, &facts).await.iter().map(|record| record.version).collect();
    assert_eq!(versions, [2, 1, 2]);
}
