//! A notification that is within every limit.

use std::ops::Deref;

use super::cloudevent::{encoded_bytes, read};
use super::notification::Notification;
use super::refusal::Refusal;

/// Largest event, in bytes, both as sent and as encoded. An item takes 400 KB; the record adds errors,
/// results and the timeline, each with a limit of its own.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// A notification that is within every limit. Only such a notification is accepted, so that no later stage
/// checks it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked(Notification);

impl Checked {
    /// Checks a notification.
    ///
    /// # Errors
    /// When an attribute or the encoded event is over its limit.
    pub fn new(notification: Notification) -> Result<Checked, Refusal> {
        notification.check_attributes()?;
        within_limit(encoded_bytes(&notification))?;
        Ok(Checked(notification))
    }

    /// Reads an event from the wire, strictly, and checks it.
    ///
    /// # Errors
    /// The first reason found. The same bytes always give the same reason.
    pub fn decode(bytes: &[u8]) -> Result<Checked, Refusal> {
        within_limit(bytes.len())?;
        Checked::new(read(bytes)?)
    }
}

fn within_limit(bytes: usize) -> Result<(), Refusal> {
    match bytes > EVENT_BYTES_MAX {
        true => Err(Refusal::TooLarge { bytes, max: EVENT_BYTES_MAX }),
        false => Ok(()),
    }
}

impl Deref for Checked {
    type Target = Notification;

    fn deref(&self) -> &Notification {
        &self.0
    }
}

impl From<Checked> for Notification {
    fn from(checked: Checked) -> Notification {
        checked.0
    }
}
