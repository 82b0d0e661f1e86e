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
mod rare_calls;
mod replayed;
pub mod timing;
mod workloads;

pub use commerce::Commerce;
pub use credit::Credit;
pub use fan_out::FanOut;
pub use forward::Forward;
pub use http::Http;
pub use operated::Operated;
pub use ordered::Ordered;
pub use payments::Payments;
pub use rare_calls::{RARE_CALLS, RareCall};
pub use replayed::Replayed;
pub use workloads::{
    COMMERCE, CREDIT, FAN_OUT, FORWARD, HTTP, NamedWorkload, OPERATED, ORDERED, PAYMENTS, REPLAYED, WORKLOADS,
};
