//! A sequenced destination: how fast a key catches up after a failed attempt, and what the other keys take beside one
//! whose handler hangs.

use std::cell::RefCell;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handover::{Destination, Draft, Effect, Failure, Notification, Routes};
use handover_sim::item::{data, destinations, number, text};
use handover_sim::{SentMessage, Stack, Table, Timing, Workload};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{measure, quantile};

const DESTINATION: &str = "journal";

/// Notifications of the key that catches up, the time between two of them, and the one whose first attempt fails.
const OF_KEY: u64 = 1_600;
const OF_KEY_EVERY_MS: u64 = 100;
const FAILS: u64 = 50;
/// One that took no longer than this did not wait for the one that failed, in milliseconds.
const NOT_HELD_UP_MS: i64 = 1_000;

/// The notifications of each healthy key.
const OF_EACH: u64 = 2;
/// All are sent in half an hour, in which the one that hangs has most of its attempts.
const WITHIN_MS: u64 = 1_800_000;
/// How much earlier than the first of its key the second one is sent, in a third of the keys.
const EARLY_MS: u64 = 100;

/// How fast a key caught up, in which ten notifications a second were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// The notifications that were behind the one that failed when it was applied, or came meanwhile.
    pub waited: i64,
    /// In how many milliseconds they were applied.
    pub took_ms: i64,
}

impl CatchUp {
    /// Notifications a second.
    pub fn rate(self) -> i64 {
        self.waited * 1_000 / self.took_ms
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let CatchUp { waited, took_ms } = self;
        write!(
            to,
            "a key with one failed attempt: {waited} waited, applied in {took_ms} ms: {}/s",
            self.rate()
        )
    }
}

/// How long the notifications of the healthy keys took from acceptance to their effect, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was beside them.
    pub beside: &'static str,
    /// How many keys there were.
    pub keys: u64,
    /// How many there were.
    pub count: usize,
    /// Half of them took no longer.
    pub p50_ms: i64,
    /// 99 of 100 took no longer.
    pub p99_ms: i64,
    /// None took longer.
    pub longest_ms: i64,
}

impl fmt::Display for Row {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Row { beside, keys, count, p50_ms, p99_ms, longest_ms } = self;
        write!(
            to,
            "{keys} keys {beside}: {count} notifications, p50 {p50_ms} ms, p99 {p99_ms} ms, longest {longest_ms} ms"
        )
    }
}

/// One key, in which an attempt fails and its copy waits for two minutes.
///
/// # Panics
/// When a guarantee does not hold, or the key does not catch up.
pub fn catch_up() -> CatchUp {
    let messages = (1..=OF_KEY).map(|sequence| {
        let luck = if sequence == FAILS { "fails-once" } else { "good" };
        (sequence * OF_KEY_EVERY_MS, message("key", sequence, luck))
    });
    let mut took = Keys::run(messages.collect());
    took.sort_by_key(|took| took.sequence);
    let failed = took.iter().find(|took| took.sequence as u64 == FAILS).expect("it was applied");
    let caught_up = took.iter().find(|took| took.sequence > failed.sequence && took.ms() <= NOT_HELD_UP_MS);
    let last = caught_up.expect("the key catches up");
    CatchUp { waited: last.sequence - failed.sequence, took_ms: last.ended_ms - failed.ended_ms }
}

/// So many healthy keys alone, and beside one whose handler never returns.
///
/// # Panics
/// When a guarantee does not hold.
pub fn beside_a_hanging_key(keys: u64) -> [Row; 2] {
    let every_ms = WITHIN_MS / (keys * OF_EACH);
    let healthy = (0..keys * OF_EACH).map(|at| {
        let (key, sequence) = (at % keys, 1 + at / keys);
        let is_early = sequence == 2 && key % 3 == 0;
        let at_ms = if is_early { (key * every_ms).saturating_sub(EARLY_MS) } else { at * every_ms };
        (at_ms, message(&format!("key-{key}"), sequence, "good"))
    });
    let healthy: Vec<_> = healthy.collect();
    let hanging = (WITHIN_MS / 200, message("hanging", 1, "hangs"));
    let beside = healthy.iter().cloned().chain([hanging]).collect();
    [row("alone", keys, Keys::run(healthy)), row("beside one that hangs", keys, Keys::run(beside))]
}

fn row(beside: &'static str, keys: u64, took: Vec<Took>) -> Row {
    let healthy = took.iter().filter(|took| !took.hangs);
    let mut took_ms: Vec<i64> = healthy.map(Took::ms).collect();
    took_ms.sort_unstable();
    let (p50_ms, p99_ms, longest_ms) =
        (quantile(&took_ms, 50), quantile(&took_ms, 99), quantile(&took_ms, 100));
    Row { beside, keys, count: took_ms.len(), p50_ms, p99_ms, longest_ms }
}

fn message(key: &str, sequence: u64, luck: &str) -> String {
    let draft = Draft::event("line.told", "shop", &json!({ "luck": luck }));
    let line = draft
        .partitionkey(format!("book/{key}"))
        .sequence(sequence)
        .build(format!("{key}-{sequence}"))
        .expect("an id");
    String::from_utf8(handover::notification::encode(&line)).expect("JSON")
}

/// When a notification was accepted and applied, in milliseconds since the epoch.
struct Took {
    sequence: i64,
    hangs: bool,
    accepted_ms: i64,
    ended_ms: i64,
}

impl Took {
    fn of(record: &Value) -> Took {
        let ended_ms = number(destinations(record)[DESTINATION], "ended_at");
        let hangs = data(record)["luck"] == "hangs";
        Took {
            sequence: number(record, "sequence"),
            hangs,
            accepted_ms: number(record, "accepted_at"),
            ended_ms,
        }
    }

    fn ms(&self) -> i64 {
        self.ended_ms - self.accepted_ms
    }
}

/// The workload: messages, and when each is sent.
struct Keys {
    messages: Vec<(u64, String)>,
    took: RefCell<Vec<Took>>,
}

impl Keys {
    fn run(mut messages: Vec<(u64, String)>) -> Vec<Took> {
        messages.sort_by_key(|(at_ms, _)| *at_ms);
        let workload = Keys { messages, took: RefCell::default() };
        measure(&workload);
        workload.took.into_inner()
    }
}

impl Workload for Keys {
    const REDRIVES: bool = false;
    /// The template's defaults.
    const TIMEOUT: Duration = Duration::from_secs(60);
    const TIMING: Option<Timing> = Some(Timing { call_ms: 5, backoff: Duration::from_secs(120) });

    fn tables(&self) -> Vec<Table> {
        vec![]
    }

    fn routes(&self) -> Routes {
        r#"{
            "book": { "kind": "channel", "destinations": ["journal"], "sequenced": ["journal"] },
            "line.told": { "kind": "event", "channel": "book" }
        }"#
        .parse()
        .expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        stack.serve(DESTINATION, Journal::default());
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let begun = Instant::now();
        for (at_ms, message) in &self.messages {
            sleep_until(begun + Duration::from_millis(*at_ms)).await;
            stack.send(message);
        }
        vec![]
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        let records = stack.records();
        let dead = |record: &&Value| text(record, "status") == "DEAD";
        let is_expected = |record: &&Value| data(record)["luck"] == "hangs";
        let found = records.iter().filter(dead).filter(|record| !is_expected(record));
        let found = found.map(|record| format!("{} is dead", text(record, "id"))).collect();
        self.took.replace(records.iter().map(Took::of).collect());
        found
    }
}

#[derive(Default)]
struct Journal {
    has_failed: AtomicBool,
}

#[derive(Deserialize)]
struct Line {
    luck: String,
}

impl Destination for Journal {
    type Data = Line;

    async fn apply(&self, line: &Notification<Line>) -> Result<Effect, Failure> {
        match line.data.luck.as_str() {
            "hangs" => pending().await,
            "fails-once" if !self.has_failed.swap(true, Ordering::Relaxed) => {
                Err(Failure::transient("not yet"))
            }
            _ => Ok(Effect::new()),
        }
    }
}
