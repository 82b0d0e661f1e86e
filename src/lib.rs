//! Handover.
pub mod event;
mod digest;
pub mod json;
mod moves;
pub mod notification;
pub mod offer;
pub mod record;
pub mod refusal;
pub mod route;
mod update;
pub use json::Json;
pub use notification::{Draft, Kind, Notification};
pub use refusal::Refusal;
pub use route::Routes;
