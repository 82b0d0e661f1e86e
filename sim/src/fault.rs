//! What may go wrong, and how often.

use std::fmt;
use std::ops::Range;

use crate::coverage::Site;
use crate::draw::{below, happens, of_name};
use crate::plan::Strike;

/// One kind of thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A call fails before it took effect.
    LostRequest,
    /// A call takes effect, and its answer is lost.
    LostAnswer,
    /// A call is throttled.
    Throttle,
    /// A write meets a transaction on its item.
    Conflict,
    /// A batch of which a part is taken.
    Partial,
    /// A read that is not consistent shows what was.
    Stale,
    /// The record is not there for a moment, as when a table is restored.
    Missing,
    /// A call takes seconds.
    Slow,
    /// An invocation dies at some await. What it sent before still takes effect.
    Death,
    /// An invocation stands still for seconds, and goes on.
    Freeze,
    /// A mapping delivers again what was done, at once or later.
    Again,
    /// A mapping takes seconds to fetch.
    Late,
    /// A message is overtaken in its queue by those behind it.
    Overtaken,
    /// A mapping is disabled for seconds.
    Stop,
    /// A mapping is disabled for longer than its stream keeps anything.
    Forget,
    /// What a mapping fetches is never delivered, as when it was given up.
    Unread,
    /// A parked copy is deleted, as when somebody purges its queue.
    Purged,
    /// The clock of a function is ahead of the others.
    Skew,
    /// Two instances of a function have the same notification at the same time.
    AtOnce,
}

impl Fault {
    /// Every one.
    pub const ALL: [Fault; 19] = [
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::Throttle,
        Fault::Conflict,
        Fault::Partial,
        Fault::Stale,
        Fault::Missing,
        Fault::Slow,
        Fault::Death,
        Fault::Freeze,
        Fault::Again,
        Fault::Late,
        Fault::Overtaken,
        Fault::Stop,
        Fault::Forget,
        Fault::Unread,
        Fault::Purged,
        Fault::Skew,
        Fault::AtOnce,
    ];

    /// Its name in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::LostRequest => "lost-request",
            Fault::LostAnswer => "lost-answer",
            Fault::Throttle => "throttle",
            Fault::Conflict => "conflict",
            Fault::Partial => "partial",
            Fault::Stale => "stale",
            Fault::Missing => "missing",
            Fault::Slow => "slow",
            Fault::Death => "death",
            Fault::Freeze => "freeze",
            Fault::Again => "again",
            Fault::Late => "late",
            Fault::Overtaken => "overtaken",
            Fault::Stop => "stop",
            Fault::Forget => "forget",
            Fault::Unread => "unread",
            Fault::Purged => "purged",
            Fault::Skew => "skew",
            Fault::AtOnce => "at-once",
        }
    }

    /// Whether a call can meet it; a read may ask to be consistent.
    pub(crate) fn meets(self, site: &Site, consistent: bool) -> bool {
        let (operation, what_for) = site.call.split_once(' ').unwrap_or((&site.call, ""));
        let reads = matches!(operation, "GetItem" | "Query" | "Scan" | "BatchGetItem");
        match self {
            Fault::LostRequest | Fault::LostAnswer | Fault::Throttle | Fault::Slow => !operation.is_empty(),
            Fault::Conflict => matches!(
                operation,
                "PutItem" | "UpdateItem" | "DeleteItem" | "BatchExecuteStatement" | "TransactWriteItems"
            ),
            Fault::Partial => {
                operation.ends_with("Batch")
                    || matches!(operation, "PutRecords" | "BatchExecuteStatement" | "BatchGetItem")
            }
            Fault::Stale => reads && !consistent,
            // Where a record is expected: not in the put that makes it.
            Fault::Missing => {
                what_for.is_empty()
                    && site.stage != "outbox"
                    && matches!(
                        operation,
                        "GetItem"
                            | "BatchGetItem"
                            | "UpdateItem"
                            | "BatchExecuteStatement"
                            | "TransactWriteItems"
                    )
            }
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.pad(self.as_str())
    }
}

/// How often each fault strikes, of a thousand times; 0 switches it off.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Of a thousand calls, those that fail before they took effect.
    pub lost_request: u64,
    /// Of a thousand calls, those that take effect and whose answer is lost.
    pub lost_answer: u64,
    /// Of a thousand calls, those that are throttled.
    pub throttle: u64,
    /// Of a thousand writes to DynamoDB, those that meet a transaction on an item.
    pub conflict: u64,
    /// Of a thousand batches, those of which a part is taken.
    pub partial: u64,
    /// Of a thousand reads that are not consistent, those that show what was up to 2 s ago.
    pub stale: u64,
    /// Of a thousand reads and updates of a record, those that do not find it.
    pub missing: u64,
    /// Of a thousand calls, those that take seconds.
    pub slow: u64,
    /// Of a thousand invocations, those that die at some await.
    pub death: u64,
    /// Of a thousand invocations, those that stand still for up to 32 s.
    pub freeze: u64,
    /// Of a thousand batches of which something was done, those that are delivered again.
    pub again: u64,
    /// Of a thousand fetches from a stream, those that take up to 5 s.
    pub late: u64,
    /// Of a thousand messages that others stand behind, those that are overtaken by them.
    pub overtaken: u64,
    /// Of a thousand mappings of a stream, those that are disabled for up to 20 s.
    pub stop: u64,
    /// Of a thousand mappings of a stream, those that are disabled for longer than it keeps anything.
    pub forget: u64,
    /// Of a thousand fetches from a stream, those that are never delivered.
    pub unread: u64,
    /// Of a thousand parked copies that are received, those that are deleted instead.
    pub purged: u64,
    /// Of a thousand functions and programs, those whose clock is up to 600 ms ahead.
    pub skew: u64,
    /// Of a thousand runs, those in which a service, or all, answers nobody for some seconds.
    pub outage: u64,
}

impl Faults {
    /// Of everything a little.
    pub const USUAL: Faults = Faults {
        lost_request: 30,
        lost_answer: 60,
        throttle: 40,
        conflict: 60,
        partial: 150,
        stale: 300,
        missing: 10,
        slow: 20,
        death: 150,
        freeze: 60,
        again: 100,
        late: 100,
        overtaken: 500,
        stop: 15,
        forget: 5,
        unread: 5,
        purged: 5,
        skew: 500,
        outage: 500,
    };

    /// The usual ones, and copies are lost often, so that there is much for reconcile to do.
    pub const LOSING: Faults = Faults { unread: 60, purged: 60, ..Faults::USUAL };

    /// The usual ones, and functions stand still, calls take long and batches come again often: leases end
    /// while their holders live.
    pub const STALLING: Faults = Faults { slow: 150, freeze: 500, again: 400, ..Faults::USUAL };

    /// None at all.
    pub const NONE: Faults = Faults {
        lost_request: 0,
        lost_answer: 0,
        throttle: 0,
        conflict: 0,
        partial: 0,
        stale: 0,
        missing: 0,
        slow: 0,
        death: 0,
        freeze: 0,
        again: 0,
        late: 0,
        overtaken: 0,
        stop: 0,
        forget: 0,
        unread: 0,
        purged: 0,
        skew: 0,
        outage: 0,
    };

    /// The fault of the nth call of an invocation, if any.
    pub(crate) fn of_call(&self, call: &Call, seed: u64, elapsed_ms: u64) -> Option<Fault> {
        if self.is_out(&call.service, seed, elapsed_ms) {
            return Some(Fault::LostRequest);
        }
        let at = call.draw(seed, Purpose::Fault, 1_000);
        let mut end = 0;
        let faults = [
            (Fault::LostRequest, self.lost_request),
            (Fault::LostAnswer, self.lost_answer),
            (Fault::Throttle, self.throttle),
            (Fault::Conflict, self.conflict),
            (Fault::Partial, self.partial),
            (Fault::Stale, self.stale),
            (Fault::Missing, self.missing),
            (Fault::Slow, self.slow),
        ];
        faults.into_iter().filter(|(fault, _)| fault.meets(&call.site, call.consistent)).find_map(
            |(fault, per_mille)| {
                end += per_mille;
                (at < end).then_some(fault)
            },
        )
    }

    /// Whether a service answers nobody at this time of a run.
    fn is_out(&self, service: &str, seed: u64, elapsed_ms: u64) -> bool {
        let draw = |end, what| below(end, seed, &[Purpose::Outage as u64, what]);
        let all = ["DynamoDB", "Kinesis", "AmazonSQS"];
        let both = [all[0], all[2]];
        let out: &[&str] = [&all[..1], &all[1..2], &all[2..], &both, &all][draw(5, 1) as usize];
        let (begin_ms, for_ms) = (draw(15_000, 2), 500 + draw(10_000, 3));
        (begin_ms..begin_ms + for_ms).contains(&elapsed_ms)
            && out.iter().any(|it| service.starts_with(it))
            && happens(self.outage, seed, &[Purpose::Outage as u64, 0])
    }

    /// The fault of this kind, which is no call's, that strikes somebody; `at` says where, or it is
    /// drawn, too.
    pub(crate) fn strike(&self, seed: u64, who: &str, fault: Fault, at: Option<u64>) -> Option<Strike> {
        const HOUR_MS: u64 = 3_600_000;
        // How often, from where on and within how much, for how long and how much longer.
        let (per_mille, places, for_ms) = match fault {
            Fault::Death => (self.death, 1..1 + POLLS_MAX, 0..1),
            Fault::Freeze => (self.freeze, 1..1 + POLLS_MAX, 100..8_000),
            Fault::Again => (self.again, 0..1, 0..5_000),
            Fault::Late => (self.late, 0..1, 250..5_000),
            Fault::Overtaken => (self.overtaken, 0..1, 0..1),
            Fault::Stop => (self.stop, 0..30_000, 1_000..20_000),
            Fault::Forget => (self.forget, 0..30_000, 25 * HOUR_MS..30 * HOUR_MS),
            Fault::Unread => (self.unread, 0..1, 0..1),
            Fault::Purged => (self.purged, 0..1, 0..1),
            Fault::Skew => (self.skew, 0..1, 1..600),
            _ => return None,
        };
        let about = [Purpose::Strike as u64, fault as u64, of_name(who), at.unwrap_or_default()];
        let draw = |range: Range<u64>, what| {
            range.start + below(range.end - range.start, seed, &[&about[..], &[what]].concat())
        };
        // Some stand still for longer than a lease lasts.
        let times = if fault == Fault::Freeze && draw(0..4, 3) == 0 { 4 } else { 1 };
        (draw(0..1_000, 0) < per_mille).then(|| Strike {
            who: who.to_owned(),
            fault,
            at: at.unwrap_or_else(|| draw(places, 1)),
            for_ms: times * draw(for_ms, 2),
        })
    }
}

/// A call on its way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Of the service: the first part of its target.
    pub service: String,
    pub operation: String,
    pub site: Site,
    /// Whether a read has to show every write before it.
    pub consistent: bool,
    /// Who makes it, as a number.
    pub invocation: u64,
    /// Which of its calls it is, from 0.
    pub nth: u64,
}

impl Call {
    /// A number below `end` for something about this call.
    pub fn draw(&self, seed: u64, purpose: Purpose, end: u64) -> u64 {
        below(end, seed, &[purpose as u64, self.invocation, self.nth])
    }
}

/// An invocation dies or stands still at one of its first polls; most have fewer.
const POLLS_MAX: u64 = 12;

/// What a draw is for, so that no two share one.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Fault = 1,
    WayThere,
    WayBack,
    Part,
    Lag,
    Strike,
    Fetch,
    Receive,
    Send,
    Person,
    Outage,
    GiveUp,
    Backoff,
    Provider,
}
