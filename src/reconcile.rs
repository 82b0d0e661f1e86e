//! reconcile: finds, on a schedule, what a destination should have ended long ago, and offers it again;
//! what it has not ended for days it gives up, with a dead letter.
//!
//! It reads the index slot by slot, behind a cursor that moves on only past what was looked at. If it
//! fails or dies anywhere, the next run looks at the same slots again: every step asks for the version
//! of the record that it was decided on, and comes to nothing the second time (G3). It makes no attempt
//! and renews none (G7): an offer is a copy more, and copies may double.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::due::{FIRST_DUE_AFTER, SHARDS, Slot, next};
use crate::fault::{Cause, Fault};
use crate::index::{Cursor, KEYS_MAX};
use crate::ledger::{Ledger, Mark, Marked, NotMarked};
use crate::moves::{Form, Move, Stamp, look_again, offer_again};
use crate::offer::Offer;
use crate::parking::DeadLetters;
use crate::record::{Change, Record};
use crate::update::Update;

/// Calls at the same time for each partition of a slot; the partitions are read together.
const AT_ONCE: usize = 4;
/// How far behind a run is that could not read its cursor.
const UNKNOWN: i64 = -1;

/// The stage that finds what is late.
#[derive(Debug)]
pub struct Reconcile {
    settings: Settings,
}

/// What reconcile is given.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The table that it looks after.
    pub ledger: Ledger,
    /// How far it has come.
    pub cursor: Cursor,
    /// The dead-letter queue of each destination. One that is not here is never given up.
    pub dead_letters: HashMap<String, DeadLetters>,
    /// How long after accept or redrive a destination that has not ended a notification is given up.
    pub give_up_after: SignedDuration,
    /// Most offers and dead letters of a run, so that an outage makes no storm.
    pub most: u32,
    /// The time.
    pub clock: Clock,
}

/// What a run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Found {
    /// Records that were due to be looked at; nearly all have ended.
    pub looked: u32,
    /// Offered again.
    pub offered: u32,
    /// Destinations that were given up, with a dead letter.
    pub given_up: u32,
    /// Open, but not late: looked at later.
    pub waiting: u32,
    /// How far behind its time it is, in seconds: 0 when it has looked at all that was due; nothing when
    /// it could not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<i64>,
}

impl Found {
    /// As a line of the log that CloudWatch makes metrics of (its embedded metric format), in the
    /// namespace `Handover`, for a function of this name.
    pub fn metrics(&self, function: &str, at: Timestamp) -> String {
        let mut line = serde_json::to_value(self).expect("numbers are JSON");
        let names: Vec<String> =
            line.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let unit = |name: &str| if name == "BehindSeconds" { "Seconds" } else { "Count" };
        let metrics = names.iter().map(|name| json!({ "Name": name, "Unit": unit(name) }));
        line["_aws"] = json!({
            "Timestamp": at.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": "Handover",
                "Dimensions": [["FunctionName"]],
                "Metrics": metrics.collect::<Vec<_>>(),
            }],
        });
        line["FunctionName"] = function.into();
        line.to_string()
    }
}

/// What to do about a record.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Nothing: it has ended, or is to be found elsewhere in the index.
    Nothing,
    /// To give up these destinations.
    GiveUp(Vec<String>),
    /// To offer it again.
    Offer(Update),
    /// To look again later.
    Wait(Update),
}

/// Why a slot was not done.
enum Stopped {
    /// There was as much to do as a run may do.
    Full,
    Fault(Fault),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Stopped {
        Stopped::Fault(fault)
    }
}

struct Counts {
    looked: AtomicU32,
    offered: AtomicU32,
    given_up: AtomicU32,
    waiting: AtomicU32,
    behind_seconds: AtomicI64,
}

impl Default for Counts {
    fn default() -> Counts {
        let [looked, offered, given_up, waiting] = [0; 4].map(AtomicU32::new);
        Counts { looked, offered, given_up, waiting, behind_seconds: AtomicI64::new(UNKNOWN) }
    }
}

impl Counts {
    fn found(self) -> Found {
        let behind_seconds = self.behind_seconds.into_inner();
        Found {
            looked: self.looked.into_inner(),
            offered: self.offered.into_inner(),
            given_up: self.given_up.into_inner(),
            waiting: self.waiting.into_inner(),
            behind_seconds: (behind_seconds != UNKNOWN).then_some(behind_seconds),
        }
    }
}

impl Reconcile {
    /// With these settings.
    pub fn new(settings: Settings) -> Reconcile {
        Reconcile { settings }
    }

    /// Looks at the slots that are due, by `until`. What is left is left to the next run.
    pub async fn run(&self, until: Instant) -> Found {
        let counts = Counts::default();
        let now = self.settings.clock.now();
        match timeout_at(until, self.look_until(Slot::end(now), now, &counts)).await {
            Ok(Ok(())) => (),
            Ok(Err(fault)) => tracing::error!(%fault, "reconcile goes on with its next run"),
            Err(_) => tracing::error!("reconcile had no time left, and goes on with its next run"),
        }
        counts.found()
    }

    /// Looks at slot after slot, and keeps how far it came.
    async fn look_until(&self, end: Slot, now: Timestamp, counts: &Counts) -> Result<(), Fault> {
        let Settings { cursor, give_up_after, .. } = &self.settings;
        // Before it first ran nothing can have waited longer.
        let mut slot = cursor.get().await?.unwrap_or_else(|| Slot::of(now - *give_up_after));
        loop {
            let behind = end.begin().duration_since(slot.begin()).as_secs().max(0);
            counts.behind_seconds.store(behind, Ordering::Relaxed);
            if slot >= end {
                return Ok(());
            }
            match self.look(slot, now, counts).await {
                Ok(()) => slot = slot.next(),
                Err(Stopped::Full) => return Ok(()),
                Err(Stopped::Fault(fault)) => return Err(fault),
            }
            cursor.set(slot).await?;
        }
    }

    /// Looks at every record of a slot.
    async fn look(&self, slot: Slot, now: Timestamp, counts: &Counts) -> Result<(), Stopped> {
        let buckets = (0..SHARDS).map(|shard| Ok(slot.bucket(shard)));
        stream::iter(buckets)
            .try_for_each_concurrent(None, |bucket| self.look_at_bucket(bucket, now, counts))
            .await
    }

    async fn look_at_bucket(&self, bucket: String, now: Timestamp, counts: &Counts) -> Result<(), Stopped> {
        let ledger = &self.settings.ledger;
        let mut from = None;
        loop {
            let page = ledger.page(&bucket, from).await?;
            counts.looked.fetch_add(page.ids.len() as u32, Ordering::Relaxed);
            let open = stream::iter(page.ids.chunks(KEYS_MAX)).map(|ids| ledger.not_ended(ids.to_vec()));
            let open: Vec<Vec<String>> = open.buffered(AT_ONCE).try_collect().await?;
            stream::iter(open.concat().into_iter().map(Ok))
                .try_for_each_concurrent(AT_ONCE, |id| self.settle(id, &bucket, now, counts))
                .await?;
            if page.next.is_none() {
                return Ok(());
            }
            from = page.next;
        }
    }

    /// Does what is to be done about a record; where it changes meanwhile, looks again.
    async fn settle(&self, id: String, bucket: &str, now: Timestamp, counts: &Counts) -> Result<(), Stopped> {
        let Settings { ledger, give_up_after, dead_letters, most, .. } = &self.settings;
        loop {
            let done = |it: &AtomicU32| it.load(Ordering::Relaxed);
            if done(&counts.offered) + done(&counts.given_up) >= *most {
                return Err(Stopped::Full);
            }
            let record = match ledger.get(&id).await {
                Ok(Some(record)) => record,
                // What is in the index is in the table; only what has ended is deleted, and it is not this.
                Ok(None) => return Err(Fault::new("GetItem", Cause::Missing).into()),
                Err(fault) if fault.is_not_a_record() => {
                    tracing::error!(id, %fault, "reconcile leaves it alone");
                    return Ok(());
                }
                Err(fault) => return Err(fault.into()),
            };
            let can_give_up = |name: &str| dead_letters.contains_key(name);
            let (update, counted) = match decide(&record, bucket, now, *give_up_after, can_give_up) {
                Verdict::Nothing => return Ok(()),
                Verdict::GiveUp(names) => {
                    let given_up = join_all(names.iter().map(|name| self.give_up(&record, name, now))).await;
                    let count = given_up.iter().filter(|it| matches!(it, Ok(true))).count();
                    counts.given_up.fetch_add(count as u32, Ordering::Relaxed);
                    match given_up.into_iter().find_map(Result::err) {
                        None => continue,
                        // A queue in trouble holds up nothing but what is to go there.
                        Some(fault) => {
                            tracing::error!(id, %fault, "reconcile tries again later");
                            let later = now + FIRST_DUE_AFTER;
                            (look_again(&record, now, later, Change::Wait), &counts.waiting)
                        }
                    }
                }
                Verdict::Offer(update) => (update, &counts.offered),
                Verdict::Wait(update) => (update, &counts.waiting),
            };
            if ledger.update(&id, &update).await?.is_none() {
                counted.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// Sends the dead letter, then marks the destination dead, unless it did something meanwhile; says
    /// whether it did.
    async fn give_up(&self, record: &Record, name: &str, now: Timestamp) -> Result<bool, Fault> {
        let Settings { ledger, dead_letters, .. } = &self.settings;
        let Some((letters, delivery)) = dead_letters.get(name).zip(record.destinations.get(name)) else {
            return Ok(false);
        };
        let waited = if delivery.sequenced { ", in which it may have waited for its turn" } else { "" };
        let reason = format!("not ended within {} h{waited}", self.settings.give_up_after.as_hours());
        tracing::error!(id = record.id, destination = name, reason, "dead-lettered");
        let offer = Offer::of(record, vec![name.to_owned()], now);
        letters.bury(&offer, name, delivery.attempts, &reason).await?;
        let it = Move::Dead {
            attempts: delivery.attempts,
            offers: record.offers,
            fails: false,
            reason,
            call: None,
        };
        let stamp = Stamp { now, relayed_at: None, received_at: None, ledger: SignedDuration::ZERO };
        let form = Form::guess(&it, record.destinations.len());
        let mark = Mark { id: record.id.clone(), destination: name.to_owned(), it, form, stamp };
        match ledger.make(mark).await {
            Err(NotMarked::Fault(fault)) => Err(fault),
            made => Ok(matches!(made, Ok(Marked::Now))),
        }
    }
}

/// What to do about a record that stands in this bucket.
fn decide(
    record: &Record,
    bucket: &str,
    now: Timestamp,
    give_up_after: SignedDuration,
    can_give_up: impl Fn(&str) -> bool,
) -> Verdict {
    // The index may show it where it was, or where this very run has put it.
    if record.bucket != bucket || record.open == 0 {
        return Verdict::Nothing;
    }
    let ends_at = |name: &str, since| can_give_up(name).then_some(since + give_up_after);
    let late: Vec<String> = record
        .pending()
        .filter(|(name, delivery)| ends_at(name, record.since(delivery)).is_some_and(|at| at <= now))
        .map(|(name, _)| name.clone())
        .collect();
    if !late.is_empty() {
        return Verdict::GiveUp(late);
    }
    let by_end = |at: Timestamp, name: &str, since| ends_at(name, since).map_or(at, |end| at.min(end));
    let due = record.pending().map(|(name, it)| by_end(it.due_at, name, record.since(it))).min();
    match due {
        Some(due) if due > now => Verdict::Wait(look_again(record, now, due, Change::Wait)),
        _ => {
            let due_at = |name: &str, since| by_end(next(since, now), name, since);
            offer_again(record, now, |name, it| due_at(name, record.since(it)))
                .map_or(Verdict::Nothing, Verdict::Offer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::due::bucket;
    use crate::record::State;
    use crate::record::tests::{at, event_for};
    use crate::update::tests::applied;

    const MINUTE: i64 = 60_000;
    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn decided(record: &Record, minutes: i64) -> Verdict {
        let now = record.accepted_at + SignedDuration::from_mins(minutes);
        decide(record, &record.bucket, now, DAY, |_| true)
    }

    fn made(record: &Record, update: &Update) -> Record {
        Record::decode(applied(update, &record.encode()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_due_is_offered_to_all_that_are_pending_and_renews_no_attempt() {
        let mut record = event_for(&["a", "b"]);
        record.destinations.get_mut("a").unwrap().attempts = 3;
        record.destinations.get_mut("b").unwrap().state = State::Done;
        let Verdict::Offer(update) = decided(&record, 31) else { panic!("it is due") };
        let offered = made(&record, &update);
        assert_eq!((offered.offers, offered.change, offered.version), (2, Change::Offer, 2));
        assert_eq!(offered.destinations["a"].attempts, 3);
        assert_eq!(offered.destinations["a"].due_at, at(1_000 + 150 * MINUTE));
        assert_eq!(offered.destinations["b"], record.destinations["b"]);
        assert_eq!(offered.bucket, bucket(&record.id, at(1_000 + 150 * MINUTE)));
    }

    #[test]
    fn what_is_open_but_not_due_is_looked_at_when_it_is() {
        let mut record = event_for(&["a"]);
        let due_at = at(1_000 + 50 * MINUTE);
        record.destinations.get_mut("a").unwrap().due_at = due_at;
        let Verdict::Wait(update) = decided(&record, 31) else { panic!("it is not due") };
        let waits = made(&record, &update);
        assert_eq!((waits.offers, waits.change, &waits.bucket), (1, Change::Wait, &bucket("1", due_at)));
        assert_eq!(waits.destinations, record.destinations);
    }

    #[test]
    fn what_has_not_ended_for_days_is_given_up() {
        let mut record = event_for(&["a", "b"]);
        record.destinations.get_mut("b").unwrap().redriven_at = Some(at(1_000 + MINUTE));
        assert_eq!(decided(&record, 24 * 60), Verdict::GiveUp(vec!["a".into()]));
        assert_eq!(decided(&record, 24 * 60 + 1), Verdict::GiveUp(vec!["a".into(), "b".into()]));
        let now = record.accepted_at + DAY;
        let unknown = decide(&record, &record.bucket, now, DAY, |_| false);
        assert!(matches!(unknown, Verdict::Offer(_)), "without a dead-letter queue it is offered on");
    }

    #[test]
    fn it_is_looked_at_when_it_is_to_be_given_up() {
        let record = event_for(&["a"]);
        let Verdict::Offer(update) = decided(&record, 23 * 60) else { panic!("it is due") };
        let end = record.accepted_at + DAY;
        assert_eq!(made(&record, &update).destinations["a"].due_at, end);
    }

    #[test]
    fn what_a_run_found_is_a_line_of_metrics() {
        let found = Found { offered: 2, behind_seconds: Some(0), ..Found::default() };
        let line: serde_json::Value =
            serde_json::from_str(&found.metrics("handover-reconcile", at(5))).unwrap();
        assert_eq!((&line["Offered"], &line["FunctionName"]), (&json!(2), &json!("handover-reconcile")));
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        assert!(metrics.contains(&json!({ "Name": "BehindSeconds", "Unit": "Seconds" })));
        assert!(metrics.iter().all(|metric| line[metric["Name"].as_str().unwrap()].is_number()));
    }

    /// The numbers that a stack is deployed with belong together: `template.yaml` derives the
    /// retentions from `GiveUpAfterDays`.
    #[test]
    fn retentions_outlast_what_they_hold() {
        const DAY: i64 = 24 * 3_600;
        const LETTERS: i64 = 14 * DAY;
        let template = include_str!("../template.yaml");
        let after = |text: &str, of: &str| {
            let (_, rest) = text.split_once(of).unwrap_or_else(|| panic!("{of} is in the template"));
            rest.to_owned()
        };
        let number = |text: &str| -> i64 {
            let digits = text.trim_start_matches([' ', ':', '"']);
            digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()
        };
        let offered: Vec<&str> = template.lines().filter(|line| line.contains("QueueSeconds: ")).collect();
        assert!(!offered.is_empty());
        let ledger_days = number(&after(&after(template, "\n  LedgerDays:"), "MinValue"));
        for line in offered {
            let days = number(line);
            let queue = number(&after(line, "QueueSeconds"));
            assert!(queue > days * DAY, "a parked copy lasts until it is given up: {line}");
            assert!(queue < LETTERS, "SQS counts from the first enqueue: {line}");
            assert!(ledger_days > days + LETTERS / DAY, "a record outlasts its dead letter: {line}");
        }
        let letters = template.matches(&format!("MessageRetentionPeriod: {LETTERS}")).count();
        assert_eq!(letters, 6, "dead letters and failures are kept as long as SQS can");
        let first = crate::due::FIRST_DUE_AFTER;
        assert!(first > crate::due::AHEAD + SignedDuration::from_mins(15), "an invocation takes 15 min");
    }

    #[test]
    fn what_has_ended_or_moved_on_is_left_alone() {
        let mut record = event_for(&["a"]);
        let now = record.accepted_at + DAY;
        assert_eq!(decide(&record, "another bucket", now, DAY, |_| true), Verdict::Nothing);
        record.destinations.get_mut("a").unwrap().state = State::Done;
        record.open = 0;
        assert_eq!(decided(&record, 31), Verdict::Nothing);
    }
}
