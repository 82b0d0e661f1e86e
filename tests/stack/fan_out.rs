//! Fan-out: one event, and four destinations, three of which run in one function and hand over to queues.

use aws_sdk_sqs::types::QueueAttributeName::{FifoQueue, MaximumMessageSize};
use handover::notification::encode;
use handover::record::{Record, State, Status};
use handover::{CallFailure, Draft, Effect, External, Failure, Notification, ToQueue};
use serde_json::json;

use crate::world::{FUNCTIONS, World, routes, unique};

const QUEUES: [&str; 3] = ["books", "crm", "stock"];

fn approved(account: &str) -> Notification {
    let data = json!({ "account": account, "amount": 5 });
    Draft::event("refund.approved", "orders", &data).build(unique("approved")).unwrap().into()
}

fn states(record: &Record) -> Vec<(&str, State)> {
    record.destinations.iter().map(|(name, delivery)| (&**name, delivery.state)).collect()
}

/// G3, G6: each destination has attempts of its own. While one fails, the others complete the event; the last to end
/// writes the status.
#[tokio::test]
async fn a_destination_that_fails_holds_up_no_other() {
    let world = World::connect().await;
    let (sound, failing) = (approved(&world.account().await), approved(&unique("absent")));
    world.send(&[&sound, &failing].map(|event| String::from_utf8(encode(event)).unwrap())).await;

    let record = world.record_when(&sound.id, |record| record.status != Status::Init).await;
    assert_eq!(record.status, Status::Done, "{record:?}");
    let done =
        |state| [("books", State::Done), ("crm", State::Done), ("refund", state), ("stock", State::Done)];
    world.record_when(&failing.id, |record| states(record) == done(State::Pending)).await;
    let record = world.record_when(&failing.id, |record| record.status != Status::Init).await;
    assert_eq!((record.status, states(&record)), (Status::Dead, done(State::Dead).to_vec()));
    let attempts = |name: &str| record.destinations[name].attempts;
    assert_eq!((attempts("refund"), QUEUES.map(attempts)), (6, [0; 3]));

    for name in QUEUES {
        let messages = world.take(&world.queue_url(name).await, 1).await;
        // Other tests send there, too, and one has a type that these routes do not know.
        let read = |body: &str| routes().decode(body.as_bytes()).ok().map(Notification::from);
        let is_ours = |event: &Notification| [&sound.id, &failing.id].contains(&&event.id);
        let taken = messages.iter().filter_map(|message| read(message.body().unwrap()));
        let mut taken: Vec<_> = taken.filter(is_ours).collect();
        taken.sort_by_key(|event| event.id != sound.id);
        assert_eq!(taken, [sound.clone(), failing.clone()], "{name}");
    }
}

/// A FIFO queue drops the repeat of a call whose answer was lost.
#[tokio::test]
async fn a_fifo_queue_has_a_repeat_once() {
    let world = World::connect().await;
    let create = world.sqs.create_queue().queue_name(format!("{}.fifo", unique("elsewhere")));
    let url = create.attributes(FifoQueue, "true").send().await.unwrap().queue_url.unwrap();
    let queue = ToQueue::new(world.sqs.clone(), &url);
    let draft = |key: &str| Draft::event("t", "s", &json!({ "text": "\u{ffff}" })).partitionkey(key);
    let events =
        ["one", "one", "other"].map(|key| Notification::from(draft(key).build(unique("fifo")).unwrap()));
    for event in events.iter().chain(&events) {
        let _: Effect = queue.call(&event.typed().unwrap()).await.unwrap();
    }
    let messages = world.take(&url, 1).await;
    let read = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["id"].clone();
    let mut ids: Vec<_> = messages.iter().map(|message| read(message.body().unwrap())).collect();
    ids.sort_by_key(|id| events.iter().position(|event| *id == event.id));
    assert_eq!(ids, events.map(|event| event.id));
}

/// What a queue does not take is refused for good, and not held up as if the queue were wrong.
#[tokio::test]
async fn an_event_over_the_limit_of_its_queue_is_a_permanent_failure() {
    let world = World::connect().await;
    let create = world.sqs.create_queue().queue_name(unique("small")).attributes(MaximumMessageSize, "1024");
    let url = create.send().await.unwrap().queue_url.unwrap();
    let name = url.rsplit('/').next().unwrap();
    let event = Draft::event("t", "s", &"x".repeat(1_024)).build(unique("large")).unwrap();
    let refused =
        ToQueue::new(world.sqs.clone(), &url).call(&Notification::from(event).typed().unwrap()).await;
    let why =
        format!("the queue {name}: SendMessage: AWS rejected the request as invalid (InvalidParameterValue)");
    assert_eq!(refused.unwrap_err(), CallFailure::not_done(Failure::permanent(why)));
    assert!(world.take(&url, 1).await.is_empty());
}

/// What another stack forwards is accepted with its id and its cause, and nobody else is believed these. A local AWS has
/// one `SenderId` for all, which is no role's: so the event of the queue's mapping is made here.
#[tokio::test]
async fn what_is_forwarded_keeps_its_id_and_its_cause() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let url = world.create_queue(unique("upstream-elsewhere")).await;
    let draft = Draft::event("steps.counted", "activity", &json!({ "steps": 1_000 }));
    let mut emitted = Notification::from(draft.build("of-an-emit").unwrap());
    emitted.id = format!("emit:{}", unique("0"));
    (emitted.causationid, emitted.correlationid) = (Some("walk".into()), Some("day".into()));
    let _: Effect = ToQueue::new(world.sqs.clone(), &url).call(&emitted.typed().unwrap()).await.unwrap();
    let body = world.take(&url, 1).await.remove(0).body.unwrap();
    let sent_by = |sender: &str| {
        let attributes = json!({ "SenderId": sender, "SentTimestamp": "1", "ApproximateReceiveCount": "1" });
        json!({ "Records": [{
            "messageId": unique("message"), "receiptHandle": "none", "body": body, "attributes": attributes,
            "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        }]})
    };
    assert_eq!(world.invoke("accept", &sent_by("AROAPRODUCER:x")).await, json!({ "batchItemFailures": [] }));
    let [reason] = &*world.refusals(std::slice::from_ref(&body)).await else { panic!("one reason") };
    assert!(reason.starts_with("reserved-id: "), "{reason}");
    assert!(world.record(&emitted.id).await.is_none());

    assert_eq!(world.invoke("accept", &sent_by("AROAFORWARDER:x")).await, json!({ "batchItemFailures": [] }));
    let record = world.record(&emitted.id).await.unwrap();
    assert_eq!(record.notification(), emitted);
}
