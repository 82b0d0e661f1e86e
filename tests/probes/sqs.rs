//! SQS.

use std::time::{Duration, Instant};

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName as Name};

use crate::world::World;

/// How much earlier than documented a message may seem to arrive: clocks differ, and queues count in seconds.
const EARLY: Duration = Duration::from_millis(200);

fn system<'a>(message: &'a Message, name: &Name) -> &'a str {
    &message.attributes.as_ref().unwrap()[name]
}

pub async fn a_message_that_is_not_deleted_is_redelivered(world: &World) {
    let queue = world.queue(2).await;
    world.send(&queue, "1").await;
    let first = world.message(&queue).await;
    let received = Instant::now();
    let second = world.message(&queue).await;
    assert!(received.elapsed() + EARLY >= Duration::from_secs(2), "{:?}", received.elapsed());
    assert_eq!(system(&first, &Name::ApproximateReceiveCount), "1");
    assert_eq!(system(&second, &Name::ApproximateReceiveCount), "2");
    let handle = second.receipt_handle.unwrap();
    world.sqs.delete_message().queue_url(&queue.url).receipt_handle(handle).send().await.unwrap();
    assert_eq!(world.receive(&queue, 4).await, None);
}

pub async fn a_message_received_too_often_is_a_dead_letter(world: &World) {
    let (queue, dead) = (world.queue(1).await, world.queue(30).await);
    world.redrive(&queue, &dead, 2).await;
    let value = MessageAttributeValue::builder().data_type("String").string_value("why").build().unwrap();
    let send = world.sqs.send_message().queue_url(&queue.url).message_body("the body");
    send.message_attributes("reason", value.clone()).send().await.unwrap();
    let mut received = 0;
    let dead_letter = world
        .until("the dead letter", async || {
            received += usize::from(world.receive(&queue, 1).await.is_some());
            world.receive(&dead, 0).await
        })
        .await;
    assert_eq!((received, dead_letter.body.as_deref()), (2, Some("the body")));
    assert_eq!(dead_letter.message_attributes, Some([("reason".to_owned(), value)].into()));
}

pub async fn the_visibility_of_a_message_can_be_changed(world: &World) {
    let queue = world.queue(600).await;
    world.send(&queue, "1").await;
    let message = world.message(&queue).await;
    let change = world.sqs.change_message_visibility().queue_url(&queue.url).visibility_timeout(3);
    let changed = Instant::now();
    change.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
    world.message(&queue).await;
    assert!(changed.elapsed() + EARLY >= Duration::from_secs(3), "{:?}", changed.elapsed());
}

pub async fn a_delayed_message_is_not_delivered_early(world: &World) {
    let queue = world.queue(30).await;
    let send = world.sqs.send_message().queue_url(&queue.url).message_body("1").delay_seconds(3);
    let sent = Instant::now();
    send.send().await.unwrap();
    world.message(&queue).await;
    assert!(sent.elapsed() + EARLY >= Duration::from_secs(3), "{:?}", sent.elapsed());
}

pub async fn a_message_may_have_1_mib(world: &World) {
    let queue = world.queue(30).await;
    let send = async |bytes: usize| {
        world.sqs.send_message().queue_url(&queue.url).message_body("x".repeat(bytes)).send().await
    };
    send(1 << 20).await.unwrap();
    assert_eq!(world.message(&queue).await.body.unwrap().len(), 1 << 20);
    let error = send((1 << 20) + 1).await.unwrap_err();
    assert!(error.code().is_some_and(|code| code.contains("InvalidParameterValue")), "{error:?}");
}

pub async fn a_message_keeps_its_time_of_sending(world: &World) {
    let queue = world.queue(1).await;
    world.send(&queue, "1").await;
    let first = world.message(&queue).await;
    let second = world.message(&queue).await;
    assert_eq!(system(&second, &Name::ApproximateReceiveCount), "2");
    assert_eq!(system(&first, &Name::SentTimestamp), system(&second, &Name::SentTimestamp));
}

pub async fn dead_letters_can_be_moved_to_a_named_queue(world: &World) {
    let (queue, dead, other) = (world.queue(30).await, world.queue(30).await, world.queue(30).await);
    world.redrive(&queue, &dead, 2).await;
    // Sent there directly, as Handover does, so SQS knows no source queue of it.
    world.send(&dead, "the body").await;
    let task = world.sqs.start_message_move_task().source_arn(&dead.arn).destination_arn(&other.arn);
    task.send().await.unwrap();
    assert_eq!(world.message(&other).await.body.as_deref(), Some("the body"));
}
