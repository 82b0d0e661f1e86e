//! A notification that is within every limit but its route's.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::cloudevent::{encoded_bytes, read};
use super::extension::{self, Extension};
use super::key::{EMITTED, KEYED};
use super::kind::Kind;
use super::notification::{Notification, OUTCOME_SOURCE};
use super::refusal::Refusal;
use super::rfc3339;
use super::trace::{is_kept, traceparent, tracestate};

/// Largest event, in bytes, both as sent and as encoded. An item takes 400 KB; the record adds errors,
/// results and the timeline, each with a limit of its own.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// A notification that is within every limit but its route's, which [`Routes::of`](super::Routes::of) checks. Only such
/// a notification is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    notification: Notification,
    bytes: usize,
}

impl Checked {
    /// Checks a notification. What is no trace is dropped with a warning: a trace that breaks is no reason to lose a
    /// message. So is a cause, which only an emitted notification has.
    ///
    /// # Errors
    /// When an attribute or the encoded event is over its limit, the id is that of an emitted notification, or the source
    /// is that of outcomes.
    pub fn new(notification: Notification) -> Result<Checked, Refusal> {
        if notification.id.starts_with(EMITTED) || notification.id.starts_with(KEYED) {
            return Err(Refusal::ReservedId);
        }
        Checked::named(notification)
    }

    /// Checks a notification whose id is none of those that are reserved, or derives from its sender's own key.
    fn named(notification: Notification) -> Result<Checked, Refusal> {
        Checked::sent(Notification { causationid: None, correlationid: None, ..notification })
    }

    /// Checks a notification that another stack forwards: its id may be that of an emit, and its cause is believed.
    fn forwarded(mut notification: Notification) -> Result<Checked, Refusal> {
        notification.causationid = taken_text(&mut notification.extensions, "causationid");
        notification.correlationid = taken_text(&mut notification.extensions, "correlationid");
        Checked::sent(notification)
    }

    /// Checks a notification that this stack did not emit. Its source is not that of outcomes: an outcome of this stack
    /// could have the id of one of another.
    fn sent(notification: Notification) -> Result<Checked, Refusal> {
        match notification.source == OUTCOME_SOURCE {
            true => Err(Refusal::ReservedSource),
            false => Checked::emitted(notification),
        }
    }

    /// Checks a notification whose id was not chosen by its sender.
    pub(super) fn emitted(mut notification: Notification) -> Result<Checked, Refusal> {
        notification.check_attributes()?;
        extension::check(&notification.extensions)?;
        notification.time = notification.time.map(rfc3339::clamped);
        keep_trace(&mut notification);
        let bytes = encoded_bytes(&notification);
        within_limit(bytes)?;
        Ok(Checked { notification, bytes })
    }

    /// How many bytes the event takes, as encoded: in JSON without white space.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads an event from the wire, strictly, and checks it.
    ///
    /// # Errors
    /// The first reason found. The same bytes always give the same reason.
    pub fn decode(bytes: &[u8]) -> Result<Checked, Refusal> {
        Checked::decode_by(bytes, None, |_| Err(Refusal::Missing { field: "kind" }), |_| false)
    }

    /// The same of an event that may leave out its `kind`: then it has the one of its type. Without an id it has this one,
    /// if there is one. It may be an event that another stack forwards.
    pub(super) fn decode_by(
        bytes: &[u8],
        id: Option<&str>,
        kind_of: impl Fn(&str) -> Result<Kind, Refusal>,
        is_forwarded: impl Fn(&Notification) -> bool,
    ) -> Result<Checked, Refusal> {
        within_limit(bytes.len())?;
        let (notification, says_kind) = read(bytes, id)?;
        let mut checked = match is_forwarded(&notification) {
            true => Checked::forwarded(notification),
            false if id == Some(&*notification.id) => Checked::named(notification),
            false => Checked::new(notification),
        }?;
        if !says_kind {
            checked.notification.kind = kind_of(&checked.notification.r#type)?;
            checked.bytes = encoded_bytes(&checked.notification);
        }
        Ok(checked)
    }
}

/// Checks every attribute of a stored notification but the data: each was within its limit when it was accepted.
///
/// # Errors
/// The first attribute that was not: somebody else wrote it.
pub(crate) fn check_stored<T>(notification: &Notification<T>) -> Result<(), Refusal> {
    notification.check_attributes()?;
    extension::check_limits(&notification.extensions)?;
    let Notification { traceparent, tracestate, .. } = notification;
    match is_kept(traceparent.as_deref(), tracestate.as_deref()) {
        true => Ok(()),
        false => {
            Err(Refusal::Invalid { field: "traceparent".into(), problem: "is none of W3C Trace Context" })
        }
    }
}

/// Takes an attribute that is a text out of the extension attributes.
fn taken_text(extensions: &mut BTreeMap<String, Extension>, name: &str) -> Option<String> {
    match extensions.get(name) {
        Some(Extension::Text(text)) => {
            let text = text.clone();
            extensions.remove(name);
            Some(text)
        }
        _ => None,
    }
}

/// Keeps the `traceparent` and the `tracestate` that goes with it, as far as they are of W3C Trace Context.
fn keep_trace(notification: &mut Notification) {
    if let Some(text) = notification.traceparent.take() {
        notification.traceparent = traceparent(&text);
        if notification.traceparent.is_none() {
            let Notification { id, source, .. } = notification;
            tracing::warn!(id, source, "dropped its traceparent, which is not one of W3C Trace Context");
        }
    }
    // An empty one is a list of no members.
    if let Some(text) = notification.tracestate.take().filter(|text| !text.is_empty()) {
        notification.tracestate = notification.traceparent.as_ref().and_then(|_| tracestate(&text));
        if notification.tracestate.is_none() {
            let Notification { id, source, .. } = notification;
            tracing::warn!(
                id,
                source,
                "dropped its tracestate, which is not one of W3C Trace Context or has no traceparent"
            );
        }
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
        &self.notification
    }
}

impl From<Checked> for Notification {
    fn from(checked: Checked) -> Notification {
        checked.notification
    }
}
