//! Receipts, through the deployed `receipt` and a provider that is an HTTP server. Each is for an event that `refund`
//! applies, too.

use handover::record::{Record, State, Status};
use handover::{Draft, NotificationKey};
use handover_provider::Seen;
use serde_json::json;

use crate::world::{World, serve_provider, unique};

/// A refund of 5 cents that was granted.
struct Granted {
    world: World,
    id: String,
    account: String,
}

impl Granted {
    /// To the customer with this mailbox, whose name says how the provider treats it.
    async fn to(mailbox: &str) -> Granted {
        serve_provider();
        let world = World::connect().await;
        let (id, account) = (unique("granted"), world.account().await);
        let data = json!({ "account": account, "amount": 5, "email": format!("{mailbox}@example.com") });
        let event = Draft::event("refund.granted", "orders", &data).build(&id).unwrap();
        world.send(&[String::from_utf8(handover::notification::encode(&event)).unwrap()]).await;
        Granted { world, id, account }
    }

    async fn record_when(&self, wanted: impl Fn(&Record) -> bool) -> Record {
        self.world.record_when(&self.id, wanted).await
    }

    /// What the provider has seen of its receipt.
    fn seen(&self) -> Seen {
        self.world.seen_by_provider("receipt", &NotificationKey::new(&*self.id, "orders"))
    }
}

/// G5: a receipt is sent once, within a lease. The record keeps the provider's id.
#[tokio::test]
async fn g5_a_receipt_is_sent_once() {
    let granted = Granted::to("good").await;
    let done = granted.record_when(|record| record.status == Status::Done).await;
    let delivery = &done.destinations["receipt"];
    assert_eq!(granted.seen(), Seen { requests: 1, made: 1 });
    assert_eq!((delivery.fence, delivery.attempts), (1, 0));
    assert!(delivery.result.as_ref().unwrap().as_str().contains("email of "));
    assert_eq!(granted.world.balance(&granted.account).await, 5);
}

/// G8: what the provider refuses for good is a dead letter of its own destination. The other one is done.
#[tokio::test]
async fn g8_a_receipt_that_is_refused_for_good_is_dead_and_its_refund_is_done() {
    let granted = Granted::to("refused").await;
    let is = |record: &Record, name, state| record.destinations[name].state == state;
    granted
        .record_when(|record| is(record, "receipt", State::Dead) && is(record, "refund", State::Done))
        .await;
    assert_eq!(granted.seen(), Seen { requests: 1, made: 0 });
    assert_eq!(granted.world.balance(&granted.account).await, 5);
    let dead_letter = granted.world.dead_letter("receipt", &granted.id).await;
    assert_eq!((&*dead_letter["attempts"], &*dead_letter["error"]), ("1", "the provider answered 422"));
}

/// G7: a provider that is busy counts no attempt, and says how long to wait.
#[tokio::test]
async fn g7_a_receipt_waits_for_a_busy_provider_and_is_sent() {
    let granted = Granted::to("busy-once").await;
    let done = granted.record_when(|record| record.status == Status::Done).await;
    let delivery = &done.destinations["receipt"];
    assert_eq!((granted.seen(), delivery.attempts), (Seen { requests: 2, made: 1 }, 0));
    let waited = delivery.ended_at.unwrap() - done.accepted_at;
    assert!(waited.get_seconds() >= handover_provider::RETRY_AFTER_SECONDS, "{waited}");
}

/// G5: after a call without an answer, the next one has the same key, and the receipt is sent once.
#[tokio::test]
async fn g5_a_receipt_without_an_answer_is_asked_for_again_with_its_key_and_sent_once() {
    for granted in [Granted::to("hangs-once").await, Granted::to("lost-once").await] {
        let done = granted.record_when(|record| record.status == Status::Done).await;
        let delivery = &done.destinations["receipt"];
        assert_eq!(granted.seen(), Seen { requests: 2, made: 1 });
        assert_eq!((delivery.fence, delivery.attempts), (2, 1));
    }
}
