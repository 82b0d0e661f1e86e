//! What may go wrong with a call, and how often.

use crate::draw::{below, happens};

/// How often each fault strikes, of a thousand times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A call fails before it took effect.
    pub lost_request: u64,
    /// A call takes effect, and its answer is lost.
    pub lost_answer: u64,
    /// A call is throttled.
    pub throttle: u64,
    /// A transaction meets another one on an item.
    pub conflict: u64,
    /// `PutRecords`, or a batch of SQS, takes a part.
    pub partial: u64,
    /// A call takes seconds.
    pub slow: u64,
    /// An invocation dies at some await. What it sent before still takes effect.
    pub death: u64,
    /// An invocation stands still for seconds, and goes on.
    pub freeze: u64,
    /// A mapping delivers a batch again that was done.
    pub again: u64,
    /// In a run, a service answers nobody for some seconds, or none does.
    pub outage: u64,
}

impl Faults {
    /// Of everything a little.
    pub const USUAL: Faults = Faults {
        lost_request: 30,
        lost_answer: 60,
        throttle: 40,
        conflict: 60,
        partial: 200,
        slow: 20,
        death: 100,
        freeze: 60,
        again: 100,
        outage: 600,
    };

    /// None at all.
    pub const NONE: Faults = Faults {
        lost_request: 0,
        lost_answer: 0,
        throttle: 0,
        conflict: 0,
        partial: 0,
        slow: 0,
        death: 0,
        freeze: 0,
        again: 0,
        outage: 0,
    };
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It fails before it took effect.
    LostRequest,
    /// It takes effect, and its answer is lost.
    LostAnswer,
    /// It is throttled.
    Throttle,
    /// A transaction that meets another one.
    Conflict,
    /// A batch of which a part is taken.
    Partial,
    /// It takes seconds.
    Slow,
}

/// What a draw is for, so that no two share one.
#[derive(Clone, Copy)]
pub enum Purpose {
    Fault = 1,
    WayThere,
    WayBack,
    Part,
    Death,
    DeathAt,
    Freeze,
    FreezeAt,
    FreezeFor,
    Again,
    Send,
    Clock,
    Outage,
}

impl Faults {
    /// The fault of the nth call of an invocation, if any.
    pub fn of_call(&self, operation: &str, seed: u64, invocation: u64, call: u64) -> Option<Fault> {
        let at = below(1_000, seed, &[Purpose::Fault as u64, invocation, call]);
        let conflict = if operation == "TransactWriteItems" { self.conflict } else { 0 };
        let batch = matches!(operation, "PutRecords" | "SendMessageBatch" | "ChangeMessageVisibilityBatch");
        let partial = if batch { self.partial } else { 0 };
        let mut end = 0;
        let faults = [
            (Fault::LostRequest, self.lost_request),
            (Fault::LostAnswer, self.lost_answer),
            (Fault::Throttle, self.throttle),
            (Fault::Conflict, conflict),
            (Fault::Partial, partial),
            (Fault::Slow, self.slow),
        ];
        faults.into_iter().find_map(|(fault, per_mille)| {
            end += per_mille;
            (at < end).then_some(fault)
        })
    }

    /// Whether a service answers nobody at this time of a run.
    pub fn is_out(&self, service: &str, seed: u64, elapsed_ms: u64) -> bool {
        let draw = |end, what| below(end, seed, &[Purpose::Outage as u64, what]);
        let all = ["DynamoDB", "Kinesis", "AmazonSQS"];
        let both = [all[0], all[2]];
        let out: &[&str] = [&all[..1], &all[1..2], &all[2..], &both, &all][draw(5, 1) as usize];
        let (begin_ms, for_ms) = (draw(15_000, 2), 500 + draw(10_000, 3));
        out.iter().any(|it| service.starts_with(it))
            && happens(self.outage, seed, &[Purpose::Outage as u64, 0])
            && (begin_ms..begin_ms + for_ms).contains(&elapsed_ms)
    }

    /// At which poll an invocation dies, if it does.
    pub fn death(&self, seed: u64, invocation: u64) -> Option<u64> {
        happens(self.death, seed, &[Purpose::Death as u64, invocation])
            .then(|| 1 + below(24, seed, &[Purpose::DeathAt as u64, invocation]))
    }

    /// At which poll an invocation stands still, and for how many milliseconds, if it does.
    pub fn freeze(&self, seed: u64, invocation: u64) -> Option<(u64, u64)> {
        happens(self.freeze, seed, &[Purpose::Freeze as u64, invocation]).then(|| {
            let at = 1 + below(24, seed, &[Purpose::FreezeAt as u64, invocation]);
            (at, 100 + below(8_000, seed, &[Purpose::FreezeFor as u64, invocation]))
        })
    }
}
