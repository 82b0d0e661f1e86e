//! The kinds of effects. The destinations run in this process, with the library over the deployed tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use handover::destination::{CONCURRENCY_MAX, Consumer, DestinationSettings, RetrySchedule};
use handover::dynamodb::types::{AttributeValue, Update};
use handover::notification::ROUTE_BYTES_MAX;
use handover::record::{Change, Dispatch, Outcome, Record, State, Status};
use handover::store::DestinationQueues;
use handover::{Clock, Destination, Draft, Effect, Failure, Notification, Routes, Write};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, dispatch, kinesis_event, unique};

/// A destination made of a function.
pub struct By<F>(pub F);

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
        "wide":  { "kind": "event", "destinations": ["audit", "search", "mail"] },
        "order": { "kind": "command", "destinations": ["audit"] },
        "ended": { "kind": "event", "destinations": ["shop"], "sources": ["handover"] }
    }"#
    .parse()
    .unwrap()
}

/// Accepts notifications of this type through the outbox.
pub async fn accepted(world: &World, r#type: &str, count: usize) -> Vec<Notification> {
    let mut notifications = Vec::new();
    for _ in 0..count {
        let draft = match r#type {
            "order" => Draft::command(r#type, "tests", &7),
            _ => Draft::event(r#type, "tests", &7),
        };
        let notification = draft.build(unique(r#type)).unwrap();
        let message = world.outbox(&routes()).accept(notification.clone()).unwrap();
        world.dynamodb.transact_write_items().transact_items(message.action()).send().await.unwrap();
        notifications.push(notification.into());
    }
    notifications
}

/// A destination of a test, with queues of its own.
pub struct Tested<'a> {
    world: &'a World,
    settings: DestinationSettings,
    retry_queue: String,
    dead_letters: String,
}

impl Tested<'_> {
    pub async fn new<'a>(world: &'a World, name: &str) -> Tested<'a> {
        let prefix = unique("stack");
        let queue = |kind| world.create_queue(format!("{prefix}-{name}-{kind}"));
        let (retry_queue, dead_letters) = tokio::join!(queue("retry"), queue("dead-letters"));
        let settings = DestinationSettings {
            name: name.into(),
            ledger: world.ledger(),
            positions: world.positions(),
            queues: DestinationQueues::new(world.sqs.clone(), &prefix, name),
            routes: routes(),
            retention: SignedDuration::from_hours(24),
            retries: RetrySchedule::doubling(Duration::from_secs(1)),
            handler_timeout: None,
            concurrency: CONCURRENCY_MAX,
            clock: Clock::system(),
        };
        Tested { world, settings, retry_queue, dead_letters }
    }

    /// Delivers a dispatch of each notification, as the stream does, with this number of seconds to work.
    /// Each is afterwards completed, in the retry queue, or dead.
    pub async fn deliver(&self, destination: impl Destination, notifications: &[Notification], seconds: u64) {
        let dispatches = notifications.iter().map(|sent| dispatch(sent.clone(), &["audit", "search"]));
        self.deliver_dispatches(destination, dispatches, seconds).await;
    }

    /// The same of these dispatches.
    pub async fn deliver_dispatches(
        &self,
        destination: impl Destination,
        dispatches: impl Iterator<Item = Dispatch>,
        seconds: u64,
    ) {
        let copies: Vec<_> = dispatches.map(|dispatch| dispatch.encode()).collect();
        let event = serde_json::from_value(kinesis_event(&copies)).unwrap();
        let consumer = Consumer::new(destination, self.settings.clone());
        let answer = consumer.receive(event, Instant::now() + Duration::from_secs(seconds)).await;
        assert!(answer.batch_item_failures.is_empty(), "{answer:?}");
    }

    /// Delivers the messages of the retry queue, as Lambda's mapping of the queue does.
    pub async fn retry(&self, destination: impl Destination) {
        let receive =
            self.world.sqs.receive_message().queue_url(&self.retry_queue).max_number_of_messages(10);
        let receive = receive.wait_time_seconds(2).message_attribute_names("All");
        let messages = receive.send().await.unwrap().messages.unwrap_or_default();
        let record = |message: &Message| {
            json!({ "messageId": message.message_id, "receiptHandle": message.receipt_handle,
                    "body": message.body, "eventSource": "aws:sqs", "attributes": {}, "messageAttributes": {} })
        };
        let event = json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() });
        let consumer = Consumer::new(destination, self.settings.clone());
        let until = Instant::now() + Duration::from_secs(20);
        let answer = consumer.retry(serde_json::from_value(event).unwrap(), until).await;
        let failed: Vec<_> =
            answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        for message in &messages {
            if failed.contains(&message.message_id.as_deref().unwrap()) {
                continue;
            }
            let delete = self.world.sqs.delete_message().queue_url(&self.retry_queue);
            delete.receipt_handle(message.receipt_handle.as_deref().unwrap()).send().await.unwrap();
        }
    }

    /// The numbers of copies in the retry queue and of dead letters.
    pub async fn left(&self) -> (usize, usize) {
        let (retries, dead_letters) =
            tokio::join!(self.world.take(&self.retry_queue, 2), self.world.take(&self.dead_letters, 1));
        (retries.len(), dead_letters.len())
    }
}

async fn deliver(
    world: &World,
    name: &str,
    apply: impl Fn(&Notification<Value>) -> Result<Effect, Failure> + Send + Sync + 'static,
    notifications: &[Notification],
) {
    Tested::new(world, name).await.deliver(By(apply), notifications, 20).await;
}

async fn records(world: &World, notifications: &[Notification]) -> Vec<Record> {
    let records =
        futures_util::future::join_all(notifications.iter().map(|sent| world.record(&sent.id))).await;
    records.into_iter().flatten().collect()
}

#[tokio::test]
async fn marks_alone_share_calls_and_apply_once() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 60).await;
    let done = |_: &Notification<Value>| Ok(Effect::new());
    deliver(&world, "audit", done, &facts).await;
    let completed = records(&world, &facts).await;
    assert!(
        completed.iter().all(|record| (record.status, record.version, record.open) == (Status::Done, 2, 0))
    );
    assert!(completed.iter().all(|record| record.expires_at.is_some()));
    assert!(completed.iter().all(|record| record.destinations["audit"].received_at.is_some()));

    deliver(&world, "audit", done, &[&facts[..], &facts].concat()).await;
    assert_eq!(records(&world, &facts).await, completed);
}

#[tokio::test]
async fn a_stored_effect_is_kept_on_the_record_and_a_repeat_does_not_replace_it() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 2).await;
    deliver(&world, "audit", |_| Ok(Effect::new().result(&"first")), &facts).await;
    deliver(&world, "audit", |_| Ok(Effect::new().result(&"second")), &facts).await;
    for record in records(&world, &facts).await {
        assert_eq!(record.destinations["audit"].result.as_ref().unwrap().as_str(), "\"first\"");
    }
}

#[tokio::test]
async fn the_last_of_two_destinations_sets_the_status() {
    let world = World::connect().await;
    let news = accepted(&world, "news", 30).await;
    let done = |_: &Notification<Value>| Ok(Effect::new());
    deliver(&world, "search", done, &news[..10]).await;
    let half = records(&world, &news[..10]).await;
    assert!(half.iter().all(|record| (record.status, record.open) == (Status::Init, 1)));
    assert!(half.iter().all(|record| record.expires_at.is_none()));

    // Both destinations take the rest concurrently.
    tokio::join!(deliver(&world, "audit", done, &news), deliver(&world, "search", done, &news));
    for record in records(&world, &news).await {
        assert_eq!((record.status, record.open, record.version), (Status::Done, 0, 3));
        assert!(record.destinations.values().all(|delivery| delivery.state == State::Done));
    }
}

/// The state of its own delivery refuses a repeat, also while other deliveries are open.
#[tokio::test]
async fn a_repeat_is_recognised_while_other_destinations_are_open() {
    let world = World::connect().await;
    let wide = accepted(&world, "wide", 1).await;
    let account = world.account().await;
    let credit = credit(&world, &account);
    deliver(&world, "audit", credit.clone(), &wide).await;
    let once = world.record(&wide[0].id).await.unwrap();
    assert_eq!((once.open, once.version), (2, 2));
    deliver(&world, "audit", credit, &wide).await;
    assert_eq!(world.record(&wide[0].id).await.unwrap(), once);
    assert_eq!(world.balance(&account).await, 1);
}

/// G4 at every moment: the library is stopped after 0.3 ms, 0.6 ms, and so on, as by a crash between any two
/// calls. Then everything is redelivered.
#[tokio::test]
async fn g4_an_effect_and_its_mark_commit_together_wherever_the_function_dies() {
    let world = World::connect().await;
    let account = world.account().await;
    let facts = accepted(&world, "fact", 100).await;
    let credit = credit(&world, &account);
    let tested = Tested::new(&world, "audit").await;
    let mut stopped = 0;
    for (nth, fact) in facts.iter().enumerate() {
        let consumer = Consumer::new(By(credit.clone()), tested.settings.clone());
        let event = kinesis_event(&[dispatch(fact.clone(), &["audit"]).encode()]);
        let until = Instant::now() + Duration::from_secs(20);
        let receive = consumer.receive(serde_json::from_value(event).unwrap(), until);
        let crash_after = Duration::from_micros(300) * nth as u32;
        stopped += u32::from(tokio::time::timeout(crash_after, receive).await.is_err());
    }
    assert!(stopped > 5, "only {stopped} were stopped: this proves nothing");
    tested.deliver(By(credit), &facts, 20).await;
    assert!(records(&world, &facts).await.iter().all(|record| record.status == Status::Done));
    assert_eq!(world.balance(&account).await, 100);
}

/// A handler that adds a cent to an account.
fn credit(
    world: &World,
    account: &str,
) -> impl Fn(&Notification<Value>) -> Result<Effect, Failure> + Clone + Send + Sync + 'static {
    let (table, account) = (world.named("accounts"), account.to_owned());
    move |_| {
        let update = Update::builder().table_name(&table).key("account", AttributeValue::S(account.clone()));
        let update = update.update_expression("ADD balance :n");
        Ok(Effect::new()
            .write(update.expression_attribute_values(":n", AttributeValue::N("1".into())).build()?))
    }
}

/// A mark of a record that does not exist is a fault, not a duplicate: the copy is kept.
#[tokio::test]
async fn a_mark_without_its_record_is_retried() {
    let world = World::connect().await;
    let lost = Draft::event("fact", "tests", &7).build(unique("lost")).unwrap();
    let tested = Tested::new(&world, "audit").await;
    tested.deliver(By(|_: &Notification<Value>| Ok(Effect::new())), &[lost.into()], 20).await;
    assert_eq!(tested.left().await, (1, 0));
}

#[tokio::test]
async fn an_emit_commits_with_the_mark_and_a_repeat_emits_nothing_more() {
    let world = World::connect().await;
    let news = accepted(&world, "news", 1).await;
    let emit = |news: &Notification<Value>| {
        Ok(Effect::new().emit("told", Draft::event("fact", "audit", &news.data).subject(&news.id)))
    };
    deliver(&world, "audit", emit, &news).await;
    let emitted = emitted(&world, &news[0].id).await;
    assert_eq!(emitted.len(), 1);
    assert_eq!((emitted[0].r#type.as_str(), emitted[0].data.as_str()), ("fact", "7"));
    deliver(&world, "audit", emit, &news).await;
    assert_eq!(self::emitted(&world, &news[0].id).await, emitted);

    // The emit's id is stored already with the same content: it is left out, and the rest commits.
    let mut record = world.record(&news[0].id).await.unwrap();
    record.destinations.get_mut("audit").unwrap().state = State::Pending;
    (record.open, record.change) = (2, Change::Mark);
    world.put(&record).await;
    deliver(&world, "audit", emit, &news).await;
    assert_eq!(self::emitted(&world, &news[0].id).await, emitted);
    assert_eq!(world.record(&news[0].id).await.unwrap().destinations["audit"].state, State::Done);

    // With other content it is a permanent failure. Nothing commits but that.
    world.put(&record).await;
    let other = |news: &Notification<Value>| {
        Ok(Effect::new().emit("told", Draft::event("fact", "audit", &"other").subject(&news.id)))
    };
    let tested = Tested::new(&world, "audit").await;
    tested.deliver(By(other), &news, 20).await;
    assert_eq!(self::emitted(&world, &news[0].id).await, emitted);
    assert_eq!(world.record(&news[0].id).await.unwrap().destinations["audit"].state, State::Dead);
    assert_eq!(tested.left().await, (0, 1));
}

/// The notifications with this subject.
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
    deliver(&world, "audit", reject, &orders).await;
    let rejected = &records(&world, &orders).await[0];
    assert_eq!(rejected.status, Status::Rejected);
    assert_eq!(rejected.destinations["audit"].reason.as_deref(), Some("out of stock"));

    let facts = accepted(&world, "fact", 1).await;
    let tested = Tested::new(&world, "audit").await;
    tested.deliver(By(reject), &facts, 20).await;
    assert_eq!(records(&world, &facts).await[0].status, Status::Dead);
    assert_eq!(tested.left().await, (0, 1));
}

/// G9: DynamoDB gives the reason of each action that cancelled a transaction, so a write can say what follows.
#[tokio::test]
async fn g9_a_failed_condition_rejects_a_command_or_lets_it_decide_again() {
    let world = World::connect().await;
    let table = world.named("accounts");
    let absent = move |account: &str| {
        let update = Update::builder().table_name(&table).key("account", AttributeValue::S(account.into()));
        let update =
            update.update_expression("SET balance = :n").condition_expression("attribute_exists(account)");
        Write::from(update.expression_attribute_values(":n", AttributeValue::N("7".into())).build().unwrap())
    };
    let (first, second) = (unique("absent"), unique("absent"));
    let rejects = |write: Write| Effect::new().write(write.or_reject("no such account"));
    let reject = {
        let (absent, first) = (absent.clone(), first.clone());
        move |_: &Notification<Value>| Ok(rejects(absent(&first)))
    };
    let orders = accepted(&world, "order", 1).await;
    deliver(&world, "audit", reject.clone(), &orders).await;
    let rejected = &records(&world, &orders).await[0];
    assert_eq!(rejected.status, Status::Rejected);
    assert_eq!(rejected.destinations["audit"].reason.as_deref(), Some("no such account"));

    // Somebody was faster: the second call decides otherwise, and the rejection of the first does not count.
    let calls = Arc::new(AtomicU32::new(0));
    let again = {
        let (absent, calls) = (absent.clone(), calls.clone());
        move |_: &Notification<Value>| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(rejects(absent(&first)).write(absent(&second).or_retry())),
            _ => Ok(Effect::new().result(&"decided again")),
        }
    };
    let orders = accepted(&world, "order", 1).await;
    deliver(&world, "audit", again, &orders).await;
    let done = &records(&world, &orders).await[0];
    assert_eq!((done.status, done.destinations["audit"].attempts), (Status::Done, 0));
    assert_eq!(calls.load(Ordering::Relaxed), 2);

    let never = unique("absent");
    let never = move |_: &Notification<Value>| Ok(Effect::new().write(absent(&never).or_retry()));
    let orders = accepted(&world, "order", 1).await;
    let tested = Tested::new(&world, "audit").await;
    tested.deliver(By(never), &orders, 20).await;
    let failed = &records(&world, &orders).await[0].destinations["audit"];
    assert!(failed.attempts == 1 && failed.failures["1"].error.contains("it is never true"), "{failed:?}");

    let facts = accepted(&world, "fact", 1).await;
    tested.deliver(By(reject), &facts, 20).await;
    assert_eq!(records(&world, &facts).await[0].status, Status::Dead, "an event cannot be rejected");
}

/// Accepts a notification whose sender asks for its outcome.
async fn asking(world: &World, draft: Draft) -> Notification {
    let notification = draft.outcome_to("ended").build(unique("asking")).unwrap();
    let message = world.outbox(&routes()).accept(notification.clone()).unwrap();
    world.dynamodb.transact_write_items().transact_items(message.action()).send().await.unwrap();
    notification.into()
}

/// The record of a notification, and of the outcome that it names.
async fn with_outcome(world: &World, of: &Notification) -> (Record, Record) {
    let record = world.record(&of.id).await.unwrap();
    let outcome = world.record(record.outcome_id.as_ref().expect("it has ended")).await.unwrap();
    (record, outcome)
}

#[tokio::test]
async fn g11_each_end_has_its_outcome_in_the_same_write() {
    let world = World::connect().await;
    let tested = Tested::new(&world, "audit").await;
    let told = |outcome: &Record| -> (Status, Option<String>) {
        assert_eq!((outcome.r#type.as_str(), outcome.source.as_str()), ("ended", "handover"));
        assert!(outcome.destinations.contains_key("shop"), "{outcome:?}");
        let told: Outcome = outcome.data.deserialize().unwrap();
        (told.status, told.reason)
    };

    // A mark alone, as a statement in a batch; a rejection; an effect that emits.
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(asking(&world, Draft::command("order", "tests", &7)).await);
    }
    let ids: Vec<String> = orders.iter().map(|order| order.id.clone()).collect();
    let apply = move |order: &Notification<Value>| match ids.iter().position(|id| *id == order.id) {
        Some(0) => Ok(Effect::new()),
        Some(1) => Ok(Effect::reject("no such account")),
        _ => Ok(Effect::new().emit("told", Draft::event("fact", "tests", &1))),
    };
    tested.deliver(By(apply), &orders, 20).await;
    let expected =
        [(Status::Done, None), (Status::Rejected, Some("no such account".to_owned())), (Status::Done, None)];
    for (order, expected) in orders.iter().zip(expected) {
        let (record, outcome) = with_outcome(&world, order).await;
        assert_eq!((record.status, told(&outcome)), (expected.0, expected));
        assert_eq!((outcome.causationid.as_ref(), outcome.status), (Some(&order.id), Status::Init));
    }
    let (record, _) = with_outcome(&world, &orders[2]).await;
    let emitted = record.emits().next().unwrap();
    assert_eq!((emitted.destination, emitted.name), (Some("audit"), "told"));
    let child = world.record(&emitted.id).await.unwrap();
    assert_eq!((child.causationid, child.correlationid), (Some(record.id.clone()), Some(record.id)));

    // Dead at one destination, done at the other; then closed by an operator, which is another end.
    let news = asking(&world, Draft::event("news", "tests", &7)).await;
    let no = |_: &Notification<Value>| Err(Failure::permanent("no"));
    tested.deliver(By(no), std::slice::from_ref(&news), 20).await;
    assert_eq!(world.record(&news.id).await.unwrap().outcome_id, None, "it is open at the other one");
    deliver(&world, "search", |_| Ok(Effect::new()), std::slice::from_ref(&news)).await;
    let (record, first) = with_outcome(&world, &news).await;
    assert_eq!((record.status, told(&first)), (Status::Dead, (Status::Dead, Some("no".into()))));
    let (ledger, now) = (world.ledger(), jiff::Timestamp::now());
    let retention = SignedDuration::from_hours(24);
    ledger.close(&world.positions(), &news.key(), "audit", "by hand", now, retention).await.unwrap();
    let (record, last) = with_outcome(&world, &news).await;
    assert_eq!((record.status, told(&last)), (Status::Closed, (Status::Closed, Some("by hand".into()))));
    assert!(world.record(&first.id).await.is_some_and(|first| first.id != last.id));
}

#[tokio::test]
async fn a_failure_affects_only_its_own_notification() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 7).await;
    let poison: Vec<String> = facts.iter().map(|fact| fact.id.clone()).collect();
    let table = world.named("accounts");
    let apply = move |fact: &Notification<Value>| match poison.iter().position(|id| *id == fact.id) {
        Some(0) => panic!("a bug"),
        Some(1) => Err(Failure::transient("not now")),
        Some(2) => Err("x".parse::<u32>().unwrap_err().into()),
        Some(3) => Ok(Effect::new().result(&"x".repeat(5_000))),
        // If the condition of a write fails, the mark is not made either.
        Some(4) => {
            let update =
                Update::builder().table_name(&table).key("account", AttributeValue::S("nobody".into()));
            let update =
                update.update_expression("ADD balance :n").condition_expression("attribute_exists(account)");
            Ok(Effect::new()
                .write(update.expression_attribute_values(":n", AttributeValue::N("1".into())).build()?))
        }
        // The routes may be of the release before.
        Some(5) => {
            let large = "x".repeat(ROUTE_BYTES_MAX);
            Ok(Effect::new().emit("large", Draft::event("fact", "audit", &large)))
        }
        _ => Ok(Effect::new()),
    };
    let tested = Tested::new(&world, "audit").await;
    tested.deliver(By(apply), &facts, 20).await;
    let records = records(&world, &facts).await;
    let statuses: Vec<_> = records.iter().map(|record| record.status).collect();
    // A result over its limit is a permanent failure: dead at once. The others are retried.
    use Status::{Dead, Done, Init};
    assert_eq!(statuses, [Init, Init, Init, Dead, Init, Init, Done]);
    let attempts: Vec<_> = records.iter().map(|record| record.destinations["audit"].attempts).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 1, 1, 0]);
    assert_eq!(records[0].destinations["audit"].failures["1"].error, "the handler panicked");
    assert_eq!(records[1].destinations["audit"].failures["1"].error, "not now");
    let too_large = &records[5].destinations["audit"].failures["1"].error;
    assert!(too_large.starts_with("emit `large`: the event takes 65"), "{too_large}");
    assert_eq!(tested.left().await, (5, 1));
}

/// A handler that never returns has failed when the time is up; its neighbours are completed.
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
    let tested = Tested::new(&world, "audit").await;
    tested.deliver(Hangs(facts[1].id.clone()), &facts, 10).await;
    let records = records(&world, &facts).await;
    let statuses: Vec<_> = records.iter().map(|record| record.status).collect();
    assert_eq!(statuses, [Status::Done, Status::Init, Status::Done]);
    assert_eq!(records[1].destinations["audit"].failures["1"].error, "the handler took too long");
    assert_eq!(tested.left().await, (1, 0));
}
