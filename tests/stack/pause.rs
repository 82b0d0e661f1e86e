//! A paused destination.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use handover::record::{Control, State, Status};
use handover::store::Controlled;
use handover::{Draft, Effect, Notification, Routes};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::effects::{By, Tested};
use crate::world::{World, dispatch, unique};

const NAME: &str = "paused";

/// A paused destination is not called, and its copy is dropped without an attempt. After the resume a further dispatch
/// completes the notification.
#[tokio::test]
async fn a_paused_destination_is_not_called_and_counts_no_attempt() {
    let world = World::connect().await;
    let routes: Routes =
        json!({ "t": { "kind": "event", "destinations": [NAME] } }).to_string().parse().unwrap();
    let event = Draft::event("t", "tests", &7).build(unique("paused")).unwrap();
    let message = world.outbox(&routes).accept(event.clone()).unwrap();
    world.dynamodb.transact_write_items().transact_items(message.action()).send().await.unwrap();
    let (tested, calls) = (Tested::new(&world, NAME).await, Arc::new(AtomicU32::new(0)));
    let counts = || {
        let calls = calls.clone();
        By(move |_: &Notification<Value>| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(Effect::new())
        })
    };
    let copies = || [dispatch(event.clone().into(), &[NAME])].into_iter();

    let (positions, now) = (world.positions(), Timestamp::now());
    assert_eq!(positions.pause(NAME, "a test", now).await.unwrap(), Controlled::Applied);
    let Controlled::Was(Control::Paused { reason, .. }) =
        positions.pause(NAME, "again", Timestamp::now()).await.unwrap()
    else {
        panic!("it was paused")
    };
    assert_eq!(reason, "a test");
    tested.deliver_dispatches(counts(), copies(), 20).await;
    let record = world.record(&event.id).await.unwrap();
    let delivery = &record.destinations[NAME];
    assert_eq!((delivery.state, delivery.attempts, record.version), (State::Pending, 0, 1));
    assert_eq!((calls.load(Ordering::Relaxed), tested.left().await), (0, (0, 0)));

    assert_eq!(positions.resume(NAME, Timestamp::now()).await.unwrap(), Controlled::Applied);
    assert!(!positions.control(NAME).await.unwrap().is_paused());
    tested.deliver_dispatches(counts(), copies(), 20).await;
    assert_eq!(world.record(&event.id).await.unwrap().status, Status::Done);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}
