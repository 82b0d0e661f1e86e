//! A destination of somebody's: one that is right, and one whose mistake is told readably.

use handover::dynamodb::types::{AttributeValue, Update};
use handover::{Destination, Draft, Effect, Failure, Notification};
use handover_sim::{Check, Faults, check};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Reward {
    customer: String,
    points: u32,
}

/// Adds points by a write that it returns; or, which is the mistake, by a call of its own.
struct Rewards {
    dynamodb: handover::dynamodb::Client,
    calls: bool,
}

impl Destination for Rewards {
    type Data = Reward;

    async fn apply(&self, reward: &Notification<Reward>) -> Result<Effect, Failure> {
        let customer = AttributeValue::S(reward.data.customer.clone());
        let points = AttributeValue::N(reward.data.points.to_string());
        let update = "ADD points :points";
        if self.calls {
            let call = self.dynamodb.update_item().table_name("customers").key("customer", customer);
            call.update_expression(update).expression_attribute_values(":points", points).send().await?;
            return Ok(Effect::new());
        }
        let add =
            Update::builder().table_name("customers").key("customer", customer).update_expression(update);
        Ok(Effect::new().write(add.expression_attribute_values(":points", points).build()?))
    }
}

fn rewards(calls: bool) -> Check {
    let rewards = (1..=3).map(|n| {
        let data = json!({ "customer": "c-1", "points": 10 });
        Draft::command("points.earned", "shop", &data).with_id(format!("reward-{n}")).unwrap()
    });
    check("rewards", move |dynamodb| Rewards { dynamodb: dynamodb.clone(), calls })
        .table("customers", &["customer"])
        .sends(rewards)
        .at_rest(|world| assert_eq!(world.sum("customers", "points"), 30, "points of all customers"))
}

#[test]
fn what_it_returns_is_applied_once() {
    rewards(false).over_seeds(0..100);
}

/// A write that holds only behind the one before it: it would fail, and count an attempt, out of turn.
struct Steps;

impl Destination for Steps {
    type Data = u32;

    async fn apply(&self, step: &Notification<u32>) -> Result<Effect, Failure> {
        let number = |it: u32| AttributeValue::N(it.to_string());
        let set = Update::builder().table_name("stairs").key("stairs", AttributeValue::S("s-1".into()));
        let set =
            set.update_expression("SET step = :step").expression_attribute_values(":step", number(step.data));
        let set = set.condition_expression("step = :before");
        Ok(Effect::new().write(set.expression_attribute_values(":before", number(step.data - 1)).build()?))
    }
}

/// Every order of these.
fn orders(of: &[u64]) -> Vec<Vec<u64>> {
    let with_first = |at: usize| {
        let mut rest = of.to_vec();
        let first = rest.remove(at);
        orders(&rest).into_iter().map(move |order| [vec![first], order].concat())
    };
    if of.is_empty() { vec![vec![]] } else { (0..of.len()).flat_map(with_first).collect() }
}

#[test]
fn g8_a_sequenced_destination_applies_in_order_whatever_order_they_arrive_in() {
    let step = |n: u64| {
        let draft = Draft::event("step.taken", "shop", &n).partitionkey("s-1").sequence(n);
        draft.with_id(format!("step-{n}")).unwrap()
    };
    for order in orders(&[1, 2, 3, 4]) {
        check("steps", |_| Steps)
            .table("stairs", &["stairs"])
            .item("stairs", json!({ "stairs": "s-1", "step": 0 }))
            .sends(order.into_iter().map(step))
            .sequenced()
            .at_rest(|world| {
                assert_eq!(world.sum("stairs", "step"), 4);
                for record in world.records() {
                    assert_eq!(record.destinations["steps"].attempts, 0, "{record:?}");
                }
            })
            .over_seeds(0..10);
    }
}

/// The failure says what did not hold, the history, as short as it gets, and how to see it again.
#[test]
fn what_a_handler_does_by_itself_is_found_and_told() {
    let faults = Faults { lost_answer: 100, ..Faults::NONE };
    let said = std::panic::catch_unwind(|| rewards(true).faults(faults).over_seeds(0..100)).unwrap_err();
    let said = said.downcast::<String>().unwrap();
    println!("{said}");
    assert!(said.contains("VIOLATION at rest") && said.contains("points of all customers"), "{said}");
    assert!(said.contains("UpdateItem"), "{said}");
    let (_, replay) = said.rsplit_once("HANDOVER_PLAN='").unwrap();
    let (plan, _) = replay.split_once('\'').unwrap();
    let plan: handover_sim::Plan = plan.parse().unwrap();
    let handover_sim::Strikes::Listed(strikes) = &plan.strikes else { panic!("{plan}") };
    assert_eq!(strikes.len(), 1, "one thing that goes wrong is enough: {plan}");
    assert!(said.lines().count() < 60, "{said}");
}
