//! The simulation for a destination of yours.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use handover::notification::encode;
use handover::record::Record;
use handover::{Checked, Destination, Effect, External, Failure, Kind, Notification, Routes};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::at_rest::SentMessage;
use crate::aws::dynamodb::Table;
use crate::aws::panic_text;
use crate::faults::plan::Plan;
use crate::faults::rates::Faults;
use crate::names::PRODUCER;
use crate::run::run;
use crate::runner::run_all;
use crate::shrink::shortest;
use crate::stack::Stack;
use crate::workload::Workload;

/// The environment variable that replays a plan.
const REPLAY: &str = "HANDOVER_PLAN";
/// The time-out of the function of a destination whose effect is a call.
const EXTERNAL_SECONDS: u64 = 60;

/// Runs a destination of yours, as it is deployed, many times, each time with other faults.
///
/// In each run the simulation checks what Handover guarantees: every message is stored or refused, every
/// notification is completed or is dead with a dead letter, there are no more attempts than its schedule has, and a record
/// changes only by the design's transitions. You check the result of your effects [at rest](Check::at_rest).
/// Once faults have stopped, dead notifications are redriven, so that only those stay dead that can never be
/// applied.
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
///     Draft::command("points.earned", "shop", &data).build(format!("reward-{n}")).unwrap()
/// });
/// handover_sim::check("rewards", |_| Rewards)
///     .table("customers", &["customer"])
///     .sends(rewards)
///     .at_rest(|stack| assert_eq!(stack.sum("customers", "points"), 30))
///     .over_seeds(0..20);
/// ```
///
/// A failure panics with what did not hold, the shortest history found that leads to it, and the
/// environment variable that replays exactly that.
///
/// # Limits
/// Keys of your tables are texts, and the tables have no index. A handler reaches the simulated AWS by the
/// client that it is given; any other call is a real one. It must not spawn tasks that call AWS: on
/// Lambda, what an invocation leaves behind may never go on. It must not read a clock or draw random numbers
/// by itself, or a seed does not give the same history twice. Send about five notifications: many small
/// runs find more than few large ones.
pub fn check<D: Destination>(
    name: &str,
    destination: impl Fn(&handover::dynamodb::Client) -> D + Sync + 'static,
) -> Check {
    let served = name.to_owned();
    Check::new(name, move |stack| stack.serve(&served, destination(stack.dynamodb())))
}

/// Runs a destination of yours whose effect is a call, as [`check`] does. Its function has a minute.
///
/// The provider is yours, too: `external` makes a new one for each run, which answers in memory, without a connection.
/// The simulation kills functions and fails calls of AWS around its calls, so that they are repeated. Have your provider
/// refuse what would take effect twice, such as another key for what it has: then the notification is never done, which
/// you see [at rest](Check::at_rest).
pub fn check_external<E: External>(
    name: &str,
    external: impl Fn(&handover::dynamodb::Client) -> E + Sync + 'static,
) -> Check<EXTERNAL_SECONDS> {
    let served = name.to_owned();
    Check::new(name, move |stack| stack.serve_external(&served, external(stack.dynamodb())))
}

/// What [`check`] or [`check_external`] runs, in a function with this time-out.
#[must_use = "nothing runs before `over_seeds`"]
pub struct Check<const TIMEOUT_SECONDS: u64 = 5> {
    name: String,
    serve: Box<dyn Fn(&Stack) + Sync>,
    routes: Option<Routes>,
    sequenced: bool,
    tables: Vec<Table>,
    items: Vec<(String, Value)>,
    messages: Vec<Checked>,
    faults: Faults,
    at_rest: Box<dyn Fn(&AtRest) + Sync>,
}

impl<const TIMEOUT_SECONDS: u64> Check<TIMEOUT_SECONDS> {
    fn new(name: &str, serve: impl Fn(&Stack) + Sync + 'static) -> Self {
        Check {
            name: name.to_owned(),
            serve: Box::new(serve),
            routes: None,
            sequenced: false,
            tables: Vec::new(),
            items: Vec::new(),
            messages: Vec::new(),
            faults: Faults::USUAL,
            at_rest: Box::new(|_| ()),
        }
    }

    /// Adds a table that the effects write to: its name, and the attributes of its key, one or two.
    pub fn table(mut self, name: &str, key: &[&str]) -> Self {
        assert!(
            (1..=2).contains(&key.len()),
            "the key of `{name}` has {} attributes; it is one or two",
            key.len()
        );
        self.tables.push(Table::new(name, key));
        self
    }

    /// Puts an item into a table before anything is sent.
    pub fn item(mut self, table: &str, item: Value) -> Self {
        self.items.push((table.to_owned(), item));
        self
    }

    /// Adds notifications to send; some are sent twice.
    pub fn sends(mut self, notifications: impl IntoIterator<Item = Checked>) -> Self {
        self.messages.extend(notifications);
        self
    }

    /// Sets the routes. Without them, each type that is sent has a route to the destination. Other
    /// destinations of the routes, such as those of emits, take everything.
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = Some(routes);
        self
    }

    /// Routes them so that the destination applies them in sequence; they need sequence numbers.
    pub fn sequenced(mut self) -> Self {
        self.sequenced = true;
        self
    }

    /// Sets the rates of faults, instead of [`Faults::USUAL`].
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Sets what to assert when everything is completed.
    pub fn at_rest(mut self, assert: impl Fn(&AtRest) + Sync + 'static) -> Self {
        self.at_rest = Box::new(assert);
        self
    }

    /// Runs these seeds, on every core.
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
        let failed = match (run_all(&plans, run, |_| ()), replay) {
            (Ok(_), _) => return,
            (Err(failed), Some(_)) => *failed,
            (Err(failed), None) => shortest(&failed, run),
        };
        panic!("{failed}To replay exactly this: {REPLAY}='{}' cargo test", failed.plan);
    }

    /// The route of a message, with its channel if it is an event that is applied in sequence.
    fn route(&self, sent: &Checked) -> Vec<(String, Value)> {
        let r#type = sent.r#type.clone();
        let sequenced = if self.sequenced { vec![&self.name] } else { vec![] };
        let to_it = |kind: &str| json!({ "kind": kind, "destinations": [self.name], "sequenced": sequenced });
        if sent.kind == Kind::Command || !self.sequenced {
            return vec![(r#type, to_it(sent.kind.as_str()))];
        }
        let key = sent.partitionkey.as_deref().and_then(|key| key.split_once('/'));
        let (channel, _) =
            key.expect("an event in sequence has its channel, `/` and an id as `partitionkey`");
        let route = json!({ "kind": "event", "channel": channel });
        vec![(r#type, route), (channel.to_owned(), to_it("channel"))]
    }
}

impl<const TIMEOUT_SECONDS: u64> Workload for Check<TIMEOUT_SECONDS> {
    const REDRIVES: bool = true;
    const TIMEOUT: Duration = Duration::from_secs(TIMEOUT_SECONDS);

    fn tables(&self) -> Vec<Table> {
        self.tables.clone()
    }

    fn routes(&self) -> Routes {
        self.routes.clone().unwrap_or_else(|| {
            let routes = self.messages.iter().flat_map(|sent| self.route(sent));
            Value::Object(routes.collect()).to_string().parse().expect("a route for each type")
        })
    }

    fn serve(&self, stack: &Stack) {
        for (table, item) in &self.items {
            let item = serde_dynamo::to_item::<_, serde_dynamo::Item>(item);
            let item = item.unwrap_or_else(|error| panic!("an item of `{table}`: {error}"));
            stack.put(table, &serde_json::to_value(item).expect("JSON"));
        }
        (self.serve)(stack);
        for other in stack.routes().destinations().into_iter().filter(|name| *name != self.name) {
            stack.serve(other, Elsewhere);
        }
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
        // Each once, since `at_rest` counts on it, and some again.
        let again = self.messages.iter().enumerate().filter(|(at, _)| draw(3, 0, *at as u64) == 0);
        let again: Vec<_> =
            again.filter(|(at, _)| stack.sends(*at)).map(|(_, notification)| notification).collect();
        let mut sent = Vec::new();
        for (at, notification) in self.messages.iter().chain(again).enumerate() {
            sleep(Duration::from_millis(draw(2_000, 1, at as u64))).await;
            let message = String::from_utf8(encode(notification)).expect("JSON");
            stack.send(&message);
            let data = notification.data.deserialize().expect("JSON");
            let key = notification.key();
            sent.push(SentMessage {
                key,
                data,
                message,
                sender: PRODUCER,
                malformed: false,
                feasible: false,
            });
        }
        sent
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        let asserted = quietly(|| (self.at_rest)(&AtRest(stack)));
        asserted.err().map(|panic| format!("at rest: {panic}")).into_iter().collect()
    }
}

/// Takes what the destination under test sends elsewhere.
struct Elsewhere;

impl Destination for Elsewhere {
    type Data = Value;

    async fn apply(&self, _: &Notification<Value>) -> Result<Effect, Failure> {
        Ok(Effect::new())
    }
}

/// The stack when everything is completed.
pub struct AtRest<'a>(&'a Stack);

impl AtRest<'_> {
    /// The items of a table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let items = self.0.items(table).into_iter();
        items.map(|json| serde_dynamo::from_item(item(json)).expect("JSON")).collect()
    }

    /// The sum of an attribute over the items of a table that have it.
    pub fn sum(&self, table: &str, attribute: &str) -> i64 {
        self.items(table).iter().filter_map(|item| item[attribute].as_i64()).sum()
    }

    /// The records of all notifications, including emitted ones.
    pub fn records(&self) -> Vec<Record> {
        let records = self.0.records().into_iter();
        records.map(|json| Record::decode(item(json)).expect("a record")).collect()
    }
}

fn item(json: Value) -> serde_dynamo::Item {
    serde_json::from_value(json).expect("DynamoDB's JSON")
}

/// Runs what may panic, and returns the text of a panic without printing it.
fn quietly(work: impl FnOnce()) -> Result<(), String> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                hook(panic);
            }
        }));
    });
    QUIET.set(true);
    let worked = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    worked.map_err(panic_text)
}
