//! The simulation for a destination of yours.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use handover::event::encode;
use handover::record::Record;
use handover::{Destination, Effect, Failure, Json, Notification, Routes};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::aws::{NOTIFICATIONS, message};
use crate::draw::below;
use crate::dynamodb::Table;
use crate::fault::{Faults, Purpose};
use crate::many::many;
use crate::plan::Plan;
use crate::rules::Sent;
use crate::schedule::{Schedule, run};
use crate::shrink::shortest;
use crate::world::World;

/// The variable of the environment that replays a plan.
const REPLAY: &str = "HANDOVER_PLAN";

/// Runs a destination of yours, as it is deployed, under many schedules of faults.
///
/// In each, the simulation checks what Handover promises: every message is stored or parked, every
/// notification ends or is dead with a dead letter, attempts are six at most, and no record changes but
/// by the moves of the design. What your effects come to, you check [at rest](Check::at_rest). Once
/// faults have stopped, what is dead is redriven, so that only what can never be applied stays so.
///
/// ```
/// use handover::dynamodb::types::{AttributeValue, Update};
/// use handover::{Destination, Draft, Effect, Failure, Notification};
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Deserialize)]
/// struct Reward { customer: String, points: u32 }
///
/// struct Rewards;
///
/// impl Destination for Rewards {
///     type Data = Reward;
///
///     async fn apply(&self, reward: &Notification<Reward>) -> Result<Effect, Failure> {
///         let add = Update::builder()
///             .table_name("customers")
///             .key("customer", AttributeValue::S(reward.data.customer.clone()))
///             .update_expression("ADD points :points")
///             .expression_attribute_values(":points", AttributeValue::N(reward.data.points.to_string()))
///             .build()?;
///         Ok(Effect::new().write(add))
///     }
/// }
///
/// let rewards = (1..=3).map(|n| {
///     let data = json!({ "customer": "c-1", "points": 10 });
///     Draft::command("points.earned", "shop", &data).with_id(format!("reward-{n}")).unwrap()
/// });
/// handover_sim::check("rewards", |_| Rewards)
///     .table("customers", &["customer"])
///     .sends(rewards)
///     .at_rest(|world| assert_eq!(world.sum("customers", "points"), 30))
///     .over_seeds(0..20);
/// ```
///
/// A failure panics with what did not hold, the shortest history found that leads to it, and the
/// variable of the environment that replays just that.
///
/// # Limits
/// Keys of your tables are texts, and they have no index. A handler reaches the simulated AWS by the
/// client that it is given; any other call is a real one. It must not spawn tasks that call AWS: on
/// Lambda, what an invocation leaves behind may never go on. It must take time and chance from nowhere
/// else, or a seed does not give the same history twice. Send five notifications or so: many small
/// schedules find more than few large ones.
pub fn check<D: Destination>(
    name: &str,
    destination: impl Fn(&handover::dynamodb::Client) -> D + Sync + 'static,
) -> Check {
    let served = name.to_owned();
    Check {
        name: name.to_owned(),
        serve: Box::new(move |world| world.serve(&served, destination(&world.dynamodb))),
        routes: None,
        sequenced: false,
        tables: Vec::new(),
        items: Vec::new(),
        messages: Vec::new(),
        faults: Faults::USUAL,
        at_rest: Box::new(|_| ()),
    }
}

/// What [`check`] is about to run.
#[must_use = "nothing runs before `over_seeds`"]
pub struct Check {
    name: String,
    serve: Box<dyn Fn(&World) + Sync>,
    routes: Option<Routes>,
    sequenced: bool,
    tables: Vec<Table>,
    items: Vec<(String, Value)>,
    messages: Vec<Notification>,
    faults: Faults,
    at_rest: Box<dyn Fn(&AtRest) + Sync>,
}

impl Check {
    /// Adds a table that the effects write to: its name and the attributes of its key, one or two.
    pub fn table(mut self, name: &str, key: &[&str]) -> Check {
        assert!(
            (1..=2).contains(&key.len()),
            "the key of `{name}` has {} attributes; it is one or two",
            key.len()
        );
        self.tables.push(Table::new(name, key));
        self
    }

    /// Puts an item into a table before anything is sent.
    pub fn item(mut self, table: &str, item: Value) -> Check {
        self.items.push((table.to_owned(), item));
        self
    }

    /// Adds notifications to send; some are sent twice.
    pub fn sends(mut self, notifications: impl IntoIterator<Item = Notification>) -> Check {
        self.messages.extend(notifications);
        self
    }

    /// Routes instead of one to the destination from each type that is sent. What goes elsewhere,
    /// emits for example, is taken there.
    pub fn routes(mut self, routes: Routes) -> Check {
        self.routes = Some(routes);
        self
    }

    /// Routes them so that the destination applies them in sequence; they have to be numbered.
    pub fn sequenced(mut self) -> Check {
        self.sequenced = true;
        self
    }

    /// Faults instead of [`Faults::USUAL`].
    pub fn faults(mut self, faults: Faults) -> Check {
        self.faults = faults;
        self
    }

    /// What to assert when all has ended.
    pub fn at_rest(mut self, assert: impl Fn(&AtRest) + Sync + 'static) -> Check {
        self.at_rest = Box::new(assert);
        self
    }

    /// Runs the schedules of these seeds, on every core.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn over_seeds(self, seeds: Range<u64>) {
        let run = |plan: Plan| run(&self, plan);
        let replay = std::env::var(REPLAY).ok();
        let plans = match &replay {
            Some(plan) => vec![plan.parse().unwrap_or_else(|error| panic!("{REPLAY}: {error}"))],
            None => seeds.map(|seed| Plan::drawn(seed, self.faults)).collect(),
        };
        let failed = match (many(&plans, run, |_| ()), replay) {
            (Ok(_), _) => return,
            (Err(failed), Some(_)) => *failed,
            (Err(failed), None) => shortest(&failed, run),
        };
        panic!("{failed}To replay just this: {REPLAY}='{}' cargo test", failed.plan);
    }
}

impl Schedule for Check {
    const REDRIVES: bool = true;

    fn tables(&self) -> Vec<Table> {
        self.tables.clone()
    }

    fn routes(&self) -> Routes {
        self.routes.clone().unwrap_or_else(|| {
            let route = |it: &Notification| {
                let sequenced = if self.sequenced { vec![&self.name] } else { vec![] };
                let route = json!({ "kind": it.kind, "destinations": [self.name], "sequenced": sequenced });
                (it.r#type.clone(), route)
            };
            let routes: serde_json::Map<String, Value> = self.messages.iter().map(route).collect();
            Value::Object(routes).to_string().parse().expect("a route for each type")
        })
    }

    fn serve(&self, world: &World) {
        for (table, item) in &self.items {
            let item = serde_dynamo::to_item::<_, serde_dynamo::Item>(item);
            let item = item.unwrap_or_else(|error| panic!("an item of `{table}`: {error}"));
            world.aws.dynamodb().put(table, &serde_json::to_value(item).expect("JSON"));
        }
        (self.serve)(world);
        for other in world.routes.destinations().into_iter().filter(|it| *it != self.name) {
            world.serve(other, Elsewhere);
        }
    }

    async fn drive(&self, world: &World) -> Vec<Sent> {
        let draw = |end, what: u64, at: u64| below(end, world.aws.seed(), &[Purpose::Send as u64, what, at]);
        // Each once, for `at_rest` counts on it, and some again.
        let again = self.messages.iter().enumerate().filter(|(at, _)| draw(3, 0, *at as u64) == 0);
        let again: Vec<_> = again.filter(|(at, _)| world.sends(*at)).map(|(_, it)| it).collect();
        let mut sent = Vec::new();
        for (at, notification) in self.messages.iter().chain(again).enumerate() {
            sleep(Duration::from_millis(draw(2_000, 1, at as u64))).await;
            let message = String::from_utf8(encode(notification)).expect("JSON");
            world.send(&message);
            let data = notification.data.to().expect("JSON");
            let id = notification.id.clone();
            sent.push(Sent { id, data, message, malformed: false, feasible: false });
        }
        sent
    }

    fn broken(&self, world: &World, _: &[Sent]) -> Vec<String> {
        let held = quietly(|| (self.at_rest)(&AtRest(world)));
        held.err().map(|said| format!("at rest: {said}")).into_iter().collect()
    }
}

/// Takes what the destination under test sends elsewhere.
struct Elsewhere;

impl Destination for Elsewhere {
    type Data = Json;

    async fn apply(&self, _: &Notification<Json>) -> Result<Effect, Failure> {
        Ok(Effect::new())
    }
}

/// The world when all has ended.
pub struct AtRest<'a>(&'a World);

impl AtRest<'_> {
    /// The items of a table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let items = self.0.aws.dynamodb().items(table).into_iter();
        items.map(|it| serde_dynamo::from_item(item(it)).expect("JSON")).collect()
    }

    /// The sum of an attribute over the items of a table; what does not have it adds nothing.
    pub fn sum(&self, table: &str, attribute: &str) -> i64 {
        self.items(table).iter().filter_map(|it| it[attribute].as_i64()).sum()
    }

    /// The records of all notifications, emitted ones, too.
    pub fn records(&self) -> Vec<Record> {
        let records = self.0.aws.dynamodb().items(NOTIFICATIONS).into_iter();
        records.map(|it| Record::decode(item(it).into()).expect("a record")).collect()
    }
}

fn item(json: Value) -> serde_dynamo::Item {
    serde_json::from_value(json).expect("DynamoDB's JSON")
}

/// Runs what may panic, and says what it said, without printing it.
fn quietly(work: impl FnOnce()) -> Result<(), String> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    let worked = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    worked.map_err(message)
}
