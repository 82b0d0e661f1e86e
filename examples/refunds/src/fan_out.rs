//! Fan-out: approved refunds go to four destinations, three of which hand over to queues. The queue of one is missing at
//! first.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use handover::record::{Delivery, Record, State};
use serde_json::json;
use tokio::time::sleep;

use crate::generate::account;
use crate::stack::Stack;
use crate::summary::table;

/// The type of an approved refund.
const APPROVED: &str = "refund.approved";
/// The destinations that hand over, each to the queue of its name.
const QUEUES: [&str; 3] = ["books", "crm", "stock"];
/// The one whose queue is missing at first.
const WITHOUT_QUEUE: &str = "crm";
/// The number of approved refunds.
const REFUNDS: u32 = 20;
/// Longest wait until destinations are done, in seconds.
const DONE_SECONDS_MAX: u64 = 120;
/// Time between two looks, in milliseconds.
const LOOK_MS: u64 = 500;

/// Sends the approved refunds while the queue of one destination is missing, creates that queue, and returns whether every
/// queue has every refund.
///
/// # Errors
/// When the stack cannot be reached.
pub async fn run(stack: &Stack) -> anyhow::Result<bool> {
    stack.delete_queue(WITHOUT_QUEUE).await?;
    println!(
        "\nSending {REFUNDS} approved refunds to four destinations; the queue of {WITHOUT_QUEUE} is missing:"
    );
    stack.send(&events())?;
    let is_done = |delivery: &Delivery| delivery.state == State::Done;
    let is_held_up = |delivery: &Delivery| delivery.present_fault().is_some();
    let held_up = states_when(stack, |name, delivery| match name {
        WITHOUT_QUEUE => is_held_up(delivery),
        _ => is_done(delivery),
    });
    let held_up = held_up.await?;
    println!("{held_up}");
    stack.handover(&["trace", &id(0)])?.status()?;
    println!("The queue is created, and what waited for it goes on by itself:");
    stack.create_queue(WITHOUT_QUEUE).await?;
    println!("{}", states_when(stack, |_, delivery| is_done(delivery)).await?);
    let missing = missing(stack).await?;
    match &*missing {
        [] => println!("Every queue has every refund, and the one that failed held up no other."),
        _ => println!("The queues DIFFER from what was sent: {}", missing.join(", ")),
    }
    Ok(missing.is_empty() && held_up.count(WITHOUT_QUEUE, State::Pending) == u64::from(REFUNDS))
}

/// The states when each delivery is as wanted, or when that takes too long.
async fn states_when(stack: &Stack, wanted: impl Fn(&str, &Delivery) -> bool) -> anyhow::Result<States> {
    let begun = Instant::now();
    loop {
        let records = stack.records().await?;
        let approved = || records.iter().filter(|record| record.r#type == APPROVED);
        let mut deliveries = approved().flat_map(|record| &record.destinations);
        let is_wanted = approved().count() == REFUNDS as usize
            && deliveries.all(|(name, delivery)| wanted(name, delivery));
        if is_wanted || begun.elapsed().as_secs() > DONE_SECONDS_MAX {
            return Ok(States::of(approved()));
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// What is missing in the queues. A queue may have a refund twice, since it is handed over at least once.
async fn missing(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let mut missing = Vec::new();
    for name in QUEUES {
        let ids = stack.take_ids(name).await?;
        missing
            .extend((0..REFUNDS).map(id).filter(|id| !ids.contains(id)).map(|id| format!("{id} at {name}")));
    }
    Ok(missing)
}

/// The approved refunds, one JSON object a line.
fn events() -> String {
    let event = |number: u32| {
        let data = json!({ "account": account(number), "amount": 250 });
        json!({
            "specversion": "1.0", "id": id(number), "type": APPROVED, "kind": "event", "source": "orders",
            "data": data,
        })
    };
    (0..REFUNDS).map(|number| format!("{}\n", event(number))).collect()
}

/// The id of an approved refund.
fn id(number: u32) -> String {
    format!("approved-{number:02}")
}

/// How many of the approved refunds are in which state, by destination.
struct States(BTreeMap<String, BTreeMap<&'static str, u64>>);

impl States {
    /// Those of these records.
    fn of<'r>(records: impl Iterator<Item = &'r Record>) -> States {
        let mut states: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for (name, delivery) in records.flat_map(|record| &record.destinations) {
            *states.entry(name.clone()).or_default().entry(delivery.state.as_str()).or_default() += 1;
        }
        States(states)
    }

    fn count(&self, destination: &str, state: State) -> u64 {
        let states = self.0.get(destination);
        states.and_then(|states| states.get(state.as_str())).copied().unwrap_or_default()
    }
}

impl fmt::Display for States {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let mut table = table(["destination", "done", "open", "dead"], 1..4);
        let shown = [State::Done, State::Pending, State::Dead];
        for name in self.0.keys() {
            let [done, open, dead] = shown.map(|state| self.count(name, state).to_string());
            table.add_row([name, &done, &open, &dead]);
        }
        write!(to, "{table}")
    }
}
