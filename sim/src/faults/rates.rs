//! How often each fault is injected, and the numbers that decide it.

use std::ops::Range;

use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::faults::rng::{Purpose, below, happens, of_name};
use crate::faults::site::Call;

/// How often each fault is injected, in thousandths; 0 switches it off.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Of a thousand calls, those that fail before they take effect.
    pub lost_request: u64,
    /// Of a thousand calls, those that take effect and whose answer is lost.
    pub lost_answer: u64,
    /// Of a thousand calls, those that are throttled.
    pub throttle: u64,
    /// Of a thousand writes to DynamoDB, those that conflict with a transaction on an item.
    pub conflict: u64,
    /// Of a thousand batches, those of which a part is taken.
    pub partial: u64,
    /// Of a thousand reads that are not consistent, those that return a state up to 2 s old.
    pub stale: u64,
    /// Of a thousand reads and updates of a record, those that do not find it.
    pub missing: u64,
    /// Of a thousand calls that send copies, those whose copies somebody else wrote.
    pub forged: u64,
    /// Of a thousand calls, those that take seconds.
    pub slow: u64,
    /// Of a thousand invocations, those that die at some await.
    pub death: u64,
    /// Of a thousand invocations, those that stop for up to 32 s and go on.
    pub freeze: u64,
    /// Of a thousand batches of which something was done, those that are delivered again.
    pub again: u64,
    /// Of a thousand fetches from a stream, those that take up to 5 s.
    pub late: u64,
    /// Of a thousand messages that have others behind them, those that are overtaken.
    pub overtaken: u64,
    /// Of a thousand mappings of a stream, those that are disabled for up to 20 s.
    pub stop: u64,
    /// Of a thousand mappings of a stream, those that are disabled for longer than its retention.
    pub forget: u64,
    /// Of a thousand fetches from a stream, those that are never delivered.
    pub unread: u64,
    /// Of a thousand copies that are received from a retry queue, those that are deleted instead.
    pub purged: u64,
    /// Of a thousand functions and programs, those whose clock is up to 600 ms ahead or behind.
    pub skew: u64,
    /// Of a thousand runs, those in which a service, or all, answers nobody for some seconds.
    pub outage: u64,
    /// Of a thousand runs, those in which the roles of destinations lack an action for some minutes.
    pub denied: u64,
    /// Of a thousand transactions of a destination, those that contention and other conditions cancel together.
    pub mixed: u64,
    /// Of a thousand writes, those that take effect minutes later.
    pub delayed: u64,
    /// Of a thousand invocations, those that are throttled.
    pub not_invoked: u64,
    /// Of a thousand times that a schedule fires, those at which it fires again a moment later.
    pub overlap: u64,
    /// Of a thousand functions and programs without leases, those whose clock is up to 20 min ahead or behind.
    pub far_skew: u64,
    /// Of a thousand batches of statements, those that are refused as invalid.
    pub refused: u64,
}

/// Polls that seven of eight invocations do not exceed (of 161,000, in November 2026).
const POLLS_USUAL: u64 = 12;
/// How many times the usual polls may double: three of 100,000 invocations have more than that.
const POLLS_DOUBLINGS: u64 = 4;

impl Faults {
    /// A little of everything.
    pub const USUAL: Faults = Faults {
        lost_request: 30,
        lost_answer: 60,
        throttle: 40,
        conflict: 60,
        partial: 150,
        stale: 300,
        missing: 10,
        forged: 20,
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
        denied: 60,
        mixed: 40,
        delayed: 10,
        not_invoked: 30,
        overlap: 100,
        far_skew: 30,
        refused: 10,
    };

    /// The usual ones, and copies are lost often, so that reconcile has much to do.
    pub const LOSING: Faults = Faults { unread: 60, purged: 60, ..Faults::USUAL };

    /// The usual ones, and often functions freeze, calls take long and batches are redelivered: leases
    /// expire while their holders live.
    pub const STALLING: Faults = Faults { slow: 150, freeze: 500, again: 400, ..Faults::USUAL };

    /// None.
    pub const NONE: Faults = Faults {
        lost_request: 0,
        lost_answer: 0,
        throttle: 0,
        conflict: 0,
        partial: 0,
        stale: 0,
        missing: 0,
        forged: 0,
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
        denied: 0,
        mixed: 0,
        delayed: 0,
        not_invoked: 0,
        overlap: 0,
        far_skew: 0,
        refused: 0,
    };

    /// The fault of the nth call of an invocation, if any.
    pub(crate) fn of_call(&self, call: &Call, seed: u64, elapsed_ms: u64) -> Option<Fault> {
        if self.is_out(&call.service, seed, elapsed_ms) {
            return Some(Fault::LostRequest);
        }
        if self.is_denied(call, seed, elapsed_ms) {
            return Some(Fault::Denied);
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
            (Fault::Forged, self.forged),
            (Fault::Mixed, self.mixed),
            (Fault::Delayed, self.delayed),
            (Fault::Refused, self.refused),
        ];
        faults.into_iter().filter(|(fault, _)| fault.applies_to(&call.site, call.consistent)).find_map(
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
            && out.iter().any(|prefix| service.starts_with(prefix))
            && happens(self.outage, seed, &[Purpose::Outage as u64, 0])
    }

    /// Whether the roles of destinations lack the action of this call at this time of a run.
    fn is_denied(&self, call: &Call, seed: u64, elapsed_ms: u64) -> bool {
        const ACTIONS: [&str; 7] = [
            "BatchExecuteStatement",
            "ChangeMessageVisibilityBatch",
            "GetItem",
            "SendMessage to dead letters",
            "SendMessage to retry",
            "TransactWriteItems",
            "UpdateItem",
        ];
        let draw = |end, what| below(end, seed, &[Purpose::Denied as u64, what]);
        let (begin_ms, for_ms) = (draw(15_000, 1), 500 + draw(240_000, 2));
        happens(self.denied, seed, &[Purpose::Denied as u64, 0])
            && (begin_ms..begin_ms + for_ms).contains(&elapsed_ms)
            && call.site.call.starts_with(ACTIONS[draw(ACTIONS.len() as u64, 3) as usize])
            && Fault::Denied.applies_to(&call.site, call.consistent)
    }

    /// The fault of this kind, which is no call's, that affects `who`; without `at`, the point is drawn, too.
    pub(crate) fn of(&self, seed: u64, who: &str, fault: Fault, at: Option<u64>) -> Option<InjectedFault> {
        const HOUR_MS: u64 = 3_600_000;
        // The rate, the points it is drawn from, and how long it lasts, in milliseconds.
        let (per_mille, points, for_ms) = match fault {
            Fault::Death => (self.death, 1..1 + POLLS_USUAL, 0..1),
            Fault::Freeze => (self.freeze, 1..1 + POLLS_USUAL, 100..8_000),
            Fault::Again => (self.again, 0..1, 0..5_000),
            Fault::Late => (self.late, 0..1, 250..5_000),
            Fault::Overtaken => (self.overtaken, 0..1, 0..1),
            Fault::Stop => (self.stop, 0..30_000, 1_000..20_000),
            Fault::Forget => (self.forget, 0..30_000, 25 * HOUR_MS..30 * HOUR_MS),
            Fault::Unread => (self.unread, 0..1, 0..1),
            Fault::Purged => (self.purged, 0..1, 0..1),
            Fault::Skew => (self.skew, 0..4, 1..600),
            Fault::FarSkew => (self.far_skew, 0..4, 60_000..20 * 60_000),
            Fault::NotInvoked => (self.not_invoked, 0..1, 0..1),
            Fault::Overlap => (self.overlap, 0..1, 0..1_000),
            _ => return None,
        };
        let about = [Purpose::Injection as u64, fault as u64, of_name(who), at.unwrap_or_default()];
        let draw = |range: Range<u64>, what| {
            range.start + below(range.end - range.start, seed, &[&about[..], &[what]].concat())
        };
        // Half of the deaths and freezes are at a usual poll, the others at up to 2, 4, 8 or 16 times as many.
        let is_at_poll = matches!(fault, Fault::Death | Fault::Freeze);
        let doublings = (1 + draw(0..2 * POLLS_DOUBLINGS, 4)).saturating_sub(POLLS_DOUBLINGS);
        let further = if is_at_poll { draw(0..1 << doublings, 5) * POLLS_USUAL } else { 0 };
        // Some freeze for longer than a lease lasts.
        let times = if fault == Fault::Freeze && draw(0..4, 3) == 0 { 4 } else { 1 };
        (draw(0..1_000, 0) < per_mille).then(|| InjectedFault {
            who: who.to_owned(),
            fault,
            at: at.unwrap_or_else(|| draw(points, 1) + further),
            for_ms: times * draw(for_ms, 2),
        })
    }
}
