//! A user's destination: one that is right, and one whose mistake is reported readably.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use handover::dynamodb::types::{AttributeValue, Update};
use handover::record::State;
use handover::{
    CallFailure, Checked, Destination, Draft, Effect, External, Failure, Notification, OnUnknown,
};
use handover_sim::{Check, Faults, check, check_external};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Reward {
    customer: String,
    points: u32,
}

/// Adds points by a write that it returns; or, by mistake, by a call of its own.
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
        Draft::command("points.earned", "shop", &data).build(format!("reward-{n}")).unwrap()
    });
    check("rewards", move |dynamodb| Rewards { dynamodb: dynamodb.clone(), calls })
        .table("customers", &["customer"])
        .sends(rewards)
        .at_rest(|stack| assert_eq!(stack.sum("customers", "points"), 30, "points of all customers"))
}

#[test]
fn a_returned_write_is_applied_once() {
    rewards(false).over_seeds(0..100);
}

/// Takes what has every attribute as it was sent, and fails for ever otherwise.
struct Exact {
    sent: Vec<Checked>,
}

impl Destination for Exact {
    type Data = Value;

    async fn apply(&self, notification: &Notification<Value>) -> Result<Effect, Failure> {
        match self.sent.iter().any(|sent| sent.typed().is_ok_and(|sent| sent == *notification)) {
            true => Ok(Effect::new()),
            false => Err(Failure::permanent("it is not what was sent")),
        }
    }
}

#[test]
fn every_attribute_that_was_sent_reaches_the_destination() {
    let sent: Vec<Checked> = (1..=3)
        .map(|n| {
            Draft::event("points.earned", "shop", &json!({ "é": n }))
                .subject("c-1 é")
                .time("2026-11-22T08:15:00.123456789Z".parse().unwrap())
                .partitionkey("c-1")
                .sequence(n)
                .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .tracestate("a=1,b=2")
                .dataschema("https://shop.example/points.json")
                .extension("campaign", "spring é")
                .extension("dispatch", i32::MIN)
                .extension("version", n == 2)
                .build(format!("points-{n}"))
                .unwrap()
        })
        .collect();
    check("exact", {
        let sent = sent.clone();
        move |_| Exact { sent: sent.clone() }
    })
    .sends(sent)
    .at_rest(|stack| {
        for record in stack.records() {
            assert_eq!(record.destinations["exact"].state, State::Done, "{record:?}");
        }
    })
    .over_seeds(0..100);
}

/// Calls a provider that honours keys; by mistake, a repeat has another one.
#[derive(Default)]
struct Calls {
    keys: Mutex<BTreeMap<u32, String>>,
    forgets: bool,
}

impl External for Calls {
    type Data = u32;

    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::Retry { key_lives: Duration::from_secs(24 * 3_600) }
    }

    async fn call(&self, notification: &Notification<u32>) -> Result<Effect, CallFailure> {
        let mut keys = self.keys.lock().unwrap();
        let scope = if self.forgets && keys.contains_key(&notification.data) { "again" } else { "scope" };
        let key = notification.key().idempotency_key(scope);
        match *keys.entry(notification.data).or_insert_with(|| key.clone()) == key {
            true => Ok(Effect::new()),
            false => Err(CallFailure::not_done(Failure::permanent("another key"))),
        }
    }
}

fn calls(forgets: bool) {
    check_external("calls", move |_| Calls { forgets, ..Calls::default() })
        .sends((1..=3).map(|n| Draft::command("call.made", "shop", &n).build(format!("call-{n}")).unwrap()))
        .at_rest(|stack| {
            for record in stack.records() {
                let delivery = &record.destinations["calls"];
                assert_eq!(delivery.state, State::Done, "{:?}", delivery.reason);
            }
        })
        .over_seeds(0..100);
}

#[test]
fn each_call_is_made_and_repeated_with_its_key() {
    calls(false);
}

#[test]
fn a_call_that_is_repeated_with_another_key_is_found() {
    let failure = std::panic::catch_unwind(|| calls(true)).unwrap_err().downcast::<String>().unwrap();
    assert!(failure.contains("VIOLATION at rest") && failure.contains("another key"), "{failure}");
}

/// A write whose condition holds only after the write before it: out of turn it would fail and count an
/// attempt.
struct Steps;

impl Destination for Steps {
    type Data = u32;

    async fn apply(&self, step: &Notification<u32>) -> Result<Effect, Failure> {
        let number = |n: u32| AttributeValue::N(n.to_string());
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
        let draft = Draft::event("step.taken", "shop", &n).partitionkey("stairs/s-1").sequence(n);
        draft.build(format!("step-{n}")).unwrap()
    };
    for order in orders(&[1, 2, 3, 4]) {
        check("steps", |_| Steps)
            .table("stairs", &["stairs"])
            .item("stairs", json!({ "stairs": "s-1", "step": 0 }))
            .sends(order.into_iter().map(step))
            .sequenced()
            .at_rest(|stack| {
                assert_eq!(stack.sum("stairs", "step"), 4);
                for record in stack.records() {
                    assert_eq!(record.destinations["steps"].attempts, 0, "{record:?}");
                }
            })
            .over_seeds(0..10);
    }
}

/// The failure prints what did not hold, the shortest history, and how to replay it.
#[test]
fn a_call_of_a_handlers_own_is_found_and_reported() {
    let faults = Faults { lost_answer: 100, ..Faults::NONE };
    let failure = std::panic::catch_unwind(|| rewards(true).faults(faults).over_seeds(0..100)).unwrap_err();
    let failure = failure.downcast::<String>().unwrap();
    println!("{failure}");
    assert!(
        failure.contains("VIOLATION at rest") && failure.contains("points of all customers"),
        "{failure}"
    );
    assert!(failure.contains("UpdateItem"), "{failure}");
    let (_, replay) = failure.rsplit_once("HANDOVER_PLAN='").unwrap();
    let (plan, _) = replay.split_once('\'').unwrap();
    let plan: handover_sim::Plan = plan.parse().unwrap();
    let handover_sim::PlannedFaults::Listed(faults) = &plan.faults else { panic!("{plan}") };
    // A later release may hold a delivery, too, which is no fault of the plan.
    assert!(faults.len() <= 1, "one fault is enough: {plan}");
    assert!(failure.lines().count() < 70, "{failure}");
}

/// Emits what no route takes.
struct Tells;

impl Destination for Tells {
    type Data = u32;

    async fn apply(&self, _: &Notification<u32>) -> Result<Effect, Failure> {
        Ok(Effect::new().emit("told", Draft::event("points.told", "shop", &1)))
    }
}

/// The record and the history say why an emit fails to a type that no route takes.
#[test]
fn each_failed_attempt_and_what_is_dead_at_the_end_is_in_the_history() {
    let tells = || {
        check("rewards", |_| Tells)
            .sends([Draft::command("points.earned", "shop", &10).build("reward-1").unwrap()])
            .at_rest(|stack| panic!("{:?}", stack.records()[0].destinations["rewards"].failures["6"].error))
            .faults(Faults::NONE)
            .over_seeds(0..1);
    };
    let history = std::panic::catch_unwind(tells).unwrap_err();
    let history = history.downcast::<String>().unwrap();
    let error =
        "emit `told`: no route takes the type `points.told`; check its spelling, or add a route for it";
    assert!(history.contains(&format!("VIOLATION at rest: {error:?}")), "{history}");
    let failed: Vec<&str> =
        history.lines().filter_map(|line| Some(line.split_once(": attempt ")?.1)).collect();
    // It is redriven once.
    let expected = |number| format!("{} of reward-1 of shop at rewards failed: {error}", number % 6 + 1);
    assert_eq!(failed, (0..12).map(expected).collect::<Vec<_>>());
    let dead = format!("at the end: reward-1 of shop is dead at rewards: {error}\n");
    assert_eq!(history.matches(&dead).count(), 1, "{history}");
}
