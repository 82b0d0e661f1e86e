//! The destinations, beside `functions/refund`.

use std::time::Duration;

use handover::dynamodb::types::{AttributeValue, Update};
use handover::{Destination, Draft, Effect, Failure, Notification};
use handover_sim::{Killer, Time};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::commerce::tables::ITEMS;

/// After this time a handler's own failures stop.
const WELL_AFTER: Duration = Duration::from_secs(25);

/// For how long a handler may kill its function: it is dispatched again meanwhile.
const KILLS_FOR: Duration = Duration::from_secs(55 * 60);

fn is_well(time: Time) -> bool {
    time.elapsed_ms() >= WELL_AFTER.as_millis() as u64
}

/// Takes an order where there is stock, and emits what it did.
pub struct Orders {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub time: Time,
    pub killer: Killer,
}

/// An order.
#[derive(Deserialize)]
pub struct Order {
    item: String,
    luck: String,
}

impl Destination for Orders {
    type Data = Order;

    async fn apply(&self, order: &Notification<Order>) -> Result<Effect, Failure> {
        match order.data.luck.as_str() {
            // A panic that is not printed.
            "panic" if !is_well(self.time) => std::panic::resume_unwind(Box::new("what a handler does")),
            "hang" if !is_well(self.time) => std::future::pending().await,
            "kill" if !is_well(self.time) => self.killer.kill(order.key()).await,
            "kill long" if self.time.elapsed_ms() < KILLS_FOR.as_millis() as u64 => {
                self.killer.kill(order.key()).await
            }
            _ => (),
        }
        // The read may be stale; the write's condition is not.
        let key = AttributeValue::S(order.data.item.clone());
        let get = self.dynamodb.get_item().table_name(ITEMS).key("item", key.clone()).send().await?;
        let count = get.item.and_then(|item| item.get("count")?.as_n().ok()?.parse::<u32>().ok());
        let count = count.ok_or_else(|| Failure::permanent("there is no such item"))?;
        let event = |what: &str| {
            Draft::event(format!("order.{what}"), "shop", &json!({ "order": order.key().to_string() }))
        };
        if count == 0 {
            return Ok(Effect::reject("out of stock").emit("rejected", event("rejected")));
        }
        let take = Update::builder()
            .table_name(ITEMS)
            .key("item", key)
            .update_expression("SET #count = :less")
            .condition_expression("#count = :seen")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":seen", AttributeValue::N(count.to_string()))
            .expression_attribute_values(":less", AttributeValue::N((count - 1).to_string()))
            .build()?;
        Ok(Effect::new().write(take).emit("accepted", event("accepted")))
    }
}

/// Writes nothing: its effect is only the record's mark.
pub struct Audit;

impl Destination for Audit {
    type Data = Value;

    async fn apply(&self, event: &Notification<Value>) -> Result<Effect, Failure> {
        // A mistake: an event cannot be rejected.
        Ok(if event.data["say"] == "refuse" { Effect::reject("no") } else { Effect::new() })
    }
}

/// Keeps a result on the record; for some only later, when other destinations have long completed.
pub struct Notes {
    pub time: Time,
}

impl Destination for Notes {
    type Data = Value;

    async fn apply(&self, note: &Notification<Value>) -> Result<Effect, Failure> {
        match note.data["say"] == "late" && !is_well(self.time) {
            true => Err(Failure::transient("not yet")),
            false => Ok(Effect::new().result(&note.data)),
        }
    }
}
