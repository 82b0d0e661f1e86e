//! What a message is: its attributes and limits, how it is read and written, and where it is routed.
//!
//! A message is checked once, at the door, and is a [`Checked`] notification from then on. Nothing here
//! calls AWS.
//!
//! Read [`Notification`] first, then [`Draft`] (how one is made) and [`Checked`] (what accept takes).

pub(crate) mod checked;
mod cloudevent;
mod digest;
pub(crate) mod draft;
pub(crate) mod extension;
mod hash;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod kind;
pub(crate) mod notification;
pub(crate) mod refusal;
pub(crate) mod rfc3339;
pub(crate) mod routes;
mod trace;

pub use checked::EVENT_BYTES_MAX;
pub(crate) use checked::{Checked, check_stored};
pub use cloudevent::encode;
pub(crate) use cloudevent::{Event, is_json};
pub(crate) use digest::{digest, is_repeat};
pub(crate) use draft::Draft;
pub(crate) use extension::Extension;
pub use extension::{EXTENSION_BYTES_MAX, EXTENSION_NAME_BYTES_MAX, EXTENSIONS_BYTES_MAX, EXTENSIONS_MAX};
pub(crate) use hash::hex;
pub(crate) use json::{Json, plain, verbatim};
pub(crate) use key::{NotificationKey, keyed_id};
pub(crate) use kind::Kind;
pub use notification::{
    DATASCHEMA_BYTES_MAX, ID_BYTES_MAX, OUTCOME_SOURCE, PARTITIONKEY_BYTES_MAX, SEQUENCE_MAX,
    SOURCE_BYTES_MAX, SUBJECT_BYTES_MAX, TYPE_BYTES_MAX,
};
pub(crate) use notification::{Notification, is_id, is_source};
pub(crate) use refusal::Refusal;
pub use routes::{BadRoutes, DESTINATION_BYTES_MAX, DESTINATIONS_MAX, ROUTE_BYTES_MAX, Route};
pub(crate) use routes::{Routes, is_destination};
