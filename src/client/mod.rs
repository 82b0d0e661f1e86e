//! A client of the HTTP interface. Read [`Client`] first; `signed.rs` signs a request and reads its answer.

mod answer;
pub(crate) mod client;
mod signed;

pub use answer::{ClientError, End, Problem, Receipt};
pub use client::Client;
pub use signed::{Answer, SendError, SignedClient};
