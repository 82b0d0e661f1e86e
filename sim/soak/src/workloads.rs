//! The workloads by their names.

use handover_sim::{Plan, Run, run};

use crate::commerce::Commerce;
use crate::credit::Credit;
use crate::fan_out::FanOut;
use crate::forward::Forward;
use crate::http::Http;
use crate::operated::Operated;
use crate::ordered::Ordered;
use crate::payments::Payments;
use crate::replayed::Replayed;

/// A workload's name, and how it is run.
pub type NamedWorkload = (&'static str, fn(Plan) -> Run);

/// Refunds, orders and notes.
pub const COMMERCE: NamedWorkload = ("commerce", |plan| run(&Commerce, plan));
/// External effects.
pub const PAYMENTS: NamedWorkload = ("payments", |plan| run(&Payments, plan));
/// Numbered notifications.
pub const ORDERED: NamedWorkload = ("ordered", |plan| run(&Ordered, plan));
/// Commands that their owner may reject, and effects whose conditions say what follows.
pub const CREDIT: NamedWorkload = ("credit", |plan| run(&Credit, plan));
/// Events that go to several destinations, some of which hand over to queues.
pub const FAN_OUT: NamedWorkload = ("fan_out", |plan| run(&FanOut, plan));
/// What one stack forwards to another.
pub const FORWARD: NamedWorkload = ("forward", |plan| run(&Forward, plan));
/// What operators pause and resume.
pub const OPERATED: NamedWorkload = ("operated", |plan| run(&Operated, plan));
/// Destinations to which operators replay what came before them.
pub const REPLAYED: NamedWorkload = ("replayed", |plan| run(&Replayed, plan));
/// Services that hand over by HTTP, read with version tokens, and wait.
pub const HTTP: NamedWorkload = ("http", |plan| run(&Http, plan));

/// Every workload.
pub const WORKLOADS: [NamedWorkload; 9] =
    [COMMERCE, PAYMENTS, ORDERED, CREDIT, FAN_OUT, FORWARD, OPERATED, REPLAYED, HTTP];
