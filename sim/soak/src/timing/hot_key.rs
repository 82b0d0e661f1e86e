//! A partition key with three times what its shard takes, and what becomes of the other notifications.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use handover::{Destination, Draft, Effect, Failure, Notification, Routes};
use handover_sim::item::{self, destinations, number, state, text};
use handover_sim::{SentMessage, Stack, Table, Workload};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{measure, quantile};

/// Transactions of the producer, and the time between two of them: eight in a second.
const TRANSACTIONS: u64 = 40;
const EVERY: Duration = Duration::from_millis(125);
/// Notifications of a transaction that have no key, and bytes of their data: 80 in a second.
const OTHERS: usize = 10;
const OTHERS_BYTES: usize = 1_000;
/// The same of the hot key: 3 MB in a second.
const HOT: usize = 6;
const HOT_BYTES: usize = 62_500;

const HOT_KEY: &str = "hot";
const DESTINATION: &str = "audit";

/// How long some of the notifications took from acceptance to their effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which notifications.
    pub of: &'static str,
    /// How many.
    pub count: usize,
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: i64,
    /// 99 of 100 took no longer, in milliseconds.
    pub p99_ms: i64,
}

impl Row {
    fn new(of: &'static str, mut took_ms: Vec<i64>) -> Row {
        took_ms.sort_unstable();
        Row { of, count: took_ms.len(), p50_ms: quantile(&took_ms, 50), p99_ms: quantile(&took_ms, 99) }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Row { of, count, p50_ms, p99_ms } = self;
        write!(to, "{of:<40} {count:>6} p50 {p50_ms:>6} ms  p99 {p99_ms:>6} ms")
    }
}

/// The others alone; then, beside a hot key: those of the other shards, those of its shard, and its own.
///
/// # Panics
/// When a guarantee does not hold.
pub fn rows() -> Vec<Row> {
    let alone = HotKey::run(0);
    let beside = HotKey::run(HOT);
    let of = |took: &[Took], whose: fn(&Took) -> bool| {
        took.iter().filter(|took| whose(took)).map(|took| took.ms).collect::<Vec<_>>()
    };
    vec![
        Row::new("others, alone", of(&alone, |_| true)),
        Row::new("others, beside a hot key", of(&beside, |took| !took.is_hot && !took.is_in_hot_shard)),
        Row::new(
            "others in the shard of the hot key",
            of(&beside, |took| !took.is_hot && took.is_in_hot_shard),
        ),
        Row::new("the hot key", of(&beside, |took| took.is_hot)),
    ]
}

/// How long one notification took.
struct Took {
    ms: i64,
    is_hot: bool,
    is_in_hot_shard: bool,
}

/// The workload.
struct HotKey {
    /// Notifications of the hot key in a transaction.
    hot: usize,
    took: RefCell<Vec<Took>>,
}

impl HotKey {
    fn run(hot: usize) -> Vec<Took> {
        let workload = HotKey { hot, took: RefCell::default() };
        measure(&workload);
        workload.took.into_inner()
    }
}

impl Workload for HotKey {
    const REDRIVES: bool = false;

    fn tables(&self) -> Vec<Table> {
        vec![]
    }

    fn routes(&self) -> Routes {
        r#"{ "told": { "kind": "event", "destinations": ["audit"] } }"#.parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        stack.limit_shards();
        stack.serve(DESTINATION, Audit);
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let begun = Instant::now();
        for nth in 0..TRANSACTIONS {
            sleep_until(begun + EVERY * nth as u32).await;
            commit(stack, nth, self.hot).await;
        }
        vec![]
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        self.took.replace(stack.records().iter().filter_map(|record| took(stack, record)).collect());
        vec![]
    }
}

/// Commits notifications by an outbox, which no queue slows down.
async fn commit(stack: &Stack, nth: u64, hot: usize) {
    let outbox = stack.outbox(Duration::ZERO);
    let message = |id: String, key: Option<&str>, bytes| {
        let draft = Draft::event("told", "shop", &"x".repeat(bytes));
        let draft = key.into_iter().fold(draft, |draft, key| draft.partitionkey(key));
        outbox.accept(draft.build(id).expect("an id")).expect("a route").action()
    };
    let others = (0..OTHERS).map(|at| message(format!("other-{nth}-{at}"), None, OTHERS_BYTES));
    let hot = (0..hot).map(|at| message(format!("hot-{nth}-{at}"), Some(HOT_KEY), HOT_BYTES));
    let call = stack.dynamodb().transact_write_items().set_transact_items(Some(others.chain(hot).collect()));
    let committed = async { call.send().await.map(drop).expect("there are no faults") };
    stack.run_program("producer", "outbox", Duration::from_secs(30), committed).await;
}

/// How long a notification took, if it is completed.
fn took(stack: &Stack, record: &Value) -> Option<Took> {
    let delivery = *destinations(record).get(DESTINATION)?;
    let ended_ms = (state(delivery) == "done").then(|| number(delivery, "ended_at"))?;
    let is_hot = text(record, "partitionkey") == HOT_KEY;
    let key = if is_hot { HOT_KEY.to_owned() } else { item::key(record).id };
    Some(Took {
        ms: ended_ms - number(record, "accepted_at"),
        is_hot,
        is_in_hot_shard: stack.shard_of(&key) == stack.shard_of(HOT_KEY),
    })
}

struct Audit;

impl Destination for Audit {
    type Data = Value;

    async fn apply(&self, _: &Notification<Value>) -> Result<Effect, Failure> {
        Ok(Effect::new())
    }
}
