//! The destination `refund` behind the Kinesis stream.

use handover::Draft;
use handover::record::{Change, Dispatch, Record, State, Status};
use serde_json::{Value, json};

use crate::world::{FUNCTIONS, World, dispatch, kinesis_event, refunds, routes, unique};

fn failures(answer: &Value) -> &Vec<Value> {
    answer["batchItemFailures"].as_array().unwrap()
}

/// G4: a whole batch of the stream that is redelivered, several times and concurrently, changes nothing.
#[tokio::test]
async fn g4_an_effect_is_applied_once_when_the_whole_batch_is_redelivered() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let (ids, messages) = refunds(&account, 30);
    world.send(&messages).await;
    world.until(&ids, Status::Done).await;
    let before = futures_util::future::join_all(ids.iter().map(|id| world.record(id))).await;

    let ours = |data: &Vec<u8>| ids.contains(&Dispatch::decode(data).unwrap().notification.id);
    let mut batch = world.stream().await;
    batch.retain(ours);
    assert!(batch.len() >= 30, "each refund went through the stream at least once");
    batch.extend(batch.clone());
    let event = kinesis_event(&batch);
    let again = futures_util::future::join_all((0..3).map(|_| world.invoke("refund", &event))).await;
    assert!(again.iter().all(|answer| failures(answer).is_empty()), "{again:?}");

    let after = futures_util::future::join_all(ids.iter().map(|id| world.record(id))).await;
    assert_eq!(after, before);
    assert_eq!(world.balance(&account).await, 30);
    assert_eq!(world.entries(&account).await.len(), 30);
}

/// G6: a copy that arrives after its notification is completed, in whatever state, applies nothing and
/// changes nothing.
#[tokio::test]
async fn g6_a_late_copy_of_a_completed_notification_changes_nothing() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let completions =
        [(State::Done, Status::Done), (State::Rejected, Status::Rejected), (State::Closed, Status::Closed)];
    let mut completed = Vec::new();
    for (state, status) in completions {
        let data = json!({ "account": account, "amount": 5 });
        let refund = Draft::command("refund.requested", "orders", &data).build(unique("completed")).unwrap();
        let mut record = Record::accept(refund, &routes(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        record.destinations.get_mut("refund").unwrap().state = state;
        (record.status, record.open, record.change) = (status, 0, Change::Mark);
        record.closed = u32::from(state == State::Closed);
        world.put(&record).await;
        completed.push(record);
    }
    let late: Vec<_> =
        completed.iter().map(|record| dispatch(record.notification(), &["refund"]).encode()).collect();
    let answer = world.invoke("refund", &kinesis_event(&late)).await;
    assert!(failures(&answer).is_empty(), "a copy of a completed notification is dropped: {answer}");
    for record in completed {
        assert_eq!(world.record(&record.id).await.unwrap(), record);
    }
    assert_eq!((world.balance(&account).await, world.entries(&account).await.len()), (0, 0));
}

/// A copy without its record is not taken for a duplicate: it goes to the retry queue, and its neighbours are
/// completed. Data that is not a dispatch is dead-lettered unchanged.
#[tokio::test]
async fn a_copy_without_its_record_applies_nothing() {
    let world = World::connect().await;
    let _not_killed = FUNCTIONS.read().await;
    let account = world.account().await;
    let (ids, messages) = refunds(&account, 1);
    world.send(&messages).await;
    world.until(&ids, Status::Done).await;
    let data = json!({ "account": account, "amount": 5 });
    let lost = Draft::command("refund.requested", "orders", &data).build(unique("lost")).unwrap();
    let neighbour = world.record(&ids[0]).await.unwrap().notification();
    let raw = unique("not a dispatch");
    let copies = [
        dispatch(lost.clone().into(), &["refund"]).encode(),
        dispatch(neighbour, &["refund"]).encode(),
        raw.clone().into(),
    ];
    let answer = world.invoke("refund", &kinesis_event(&copies)).await;
    assert!(failures(&answer).is_empty(), "no copy blocks the shard: {answer}");
    assert_eq!(world.record(&lost.id).await, None);
    assert_eq!(world.balance(&account).await, 1);
    let dead_letter = world.dead_letter("refund", &raw).await;
    assert_eq!(dead_letter["error"], "this is not a dispatch of a notification");
}
