//! The project's own workloads in the simulation: together they make every call of the library.

mod applied;
mod caller;
mod commerce;
mod credit;
mod fan_out;
mod forward;
mod http;
mod operated;
mod operator;
mod ordered;
mod payments;
mod replayed;
pub mod timing;

pub use commerce::Commerce;
pub use credit::Credit;
pub use fan_out::FanOut;
pub use forward::Forward;
use handover_sim::{Plan, Run, run};
pub use http::Http;
pub use operated::Operated;
pub use ordered::Ordered;
pub use payments::Payments;
pub use replayed::Replayed;

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
