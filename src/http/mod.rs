//! The HTTP interface: a client service hands a notification over, asks what became of it, and waits for that.
//!
//! Read [`Api`] first: the table of its calls, one file each. `request.rs` and `headers.rs` say what a request may be,
//! `problem.rs` what a caller is told where it is refused, `token.rs` what a version is.

mod accept;
mod api;
mod batch;
mod call;
mod caller;
mod cursor;
mod headers;
mod list;
mod operate;
mod problem;
mod read;
mod request;
mod response;
mod selection;
mod settings;
mod token;
mod wait;

pub use api::Api;
pub use batch::ITEMS_MAX;
pub use caller::Scope;
pub use headers::{IDEMPOTENCY_KEY_BYTES_MAX, WAIT_MAX};
pub use request::{BODY_BYTES_MAX, FunctionUrlEvent, HEADERS_BYTES_MAX};
pub use response::Response;
pub use settings::ApiSettings;
