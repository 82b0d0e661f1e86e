//! What identifies a notification.

use std::fmt;

#[cfg(any(feature = "client", feature = "lambda"))]
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::hash::hashed;

/// What stands for itself in a path: the unreserved characters of RFC 3986.
#[cfg(any(feature = "client", feature = "lambda"))]
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What the id of an emitted notification begins with, and no other: the door refuses it. Whoever knows the parent
/// knows the rest of the id, and could take it before the emit.
pub(super) const EMITTED: &str = "emit:";
/// The same of the id of a notification that its sender named by an idempotency key.
pub(super) const KEYED: &str = "key:";

/// Identifies a notification, as CloudEvents does: an id is unique within its source, and two sources may use
/// the same one. It is the key of the record.
///
/// ```
/// use handover::NotificationKey;
///
/// let key = NotificationKey::new("order-42", "shop-1");
/// assert_eq!(key.to_string(), "order-42 of shop-1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationKey {
    /// The notification's id.
    pub id: String,
    /// The service that sent it.
    pub source: String,
}

impl NotificationKey {
    /// The key of these parts.
    pub fn new(id: impl Into<String>, source: impl Into<String>) -> NotificationKey {
        NotificationKey { id: id.into(), source: source.into() }
    }

    /// The id of a notification that a destination emits: a repeat of the emit has the same id and finds its
    /// own record.
    pub(crate) fn emitted_id(&self, destination: &str, name: &str) -> String {
        format!("{EMITTED}{}", hashed(&[&self.source, &self.id, destination, name]))
    }

    /// Its path in the HTTP interface, with its query.
    #[cfg(any(feature = "client", feature = "lambda"))]
    pub(crate) fn path(&self) -> String {
        let escaped = |text| utf8_percent_encode(text, UNRESERVED);
        format!("/notifications/{}?source={}", escaped(&self.id), escaped(&self.source))
    }

    /// An idempotency key for another system: 32 hexadecimal digits, the same for every repeat of the
    /// notification. `scope` keeps apart what one account there sees of several stacks and destinations.
    pub fn idempotency_key(&self, scope: &str) -> String {
        hashed(&[scope, &self.source, &self.id])
    }
}

/// The id of a notification that its sender named by an idempotency key: the same for every repeat of that caller with that
/// key, and of no other caller.
pub(crate) fn keyed_id(caller: &str, key: &str) -> String {
    format!("{KEYED}{}", hashed(&["idempotency-key", caller, key]))
}

/// No id and no source has a space.
impl fmt::Display for NotificationKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {}", self.id, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_with_both_parts() {
        assert_eq!(NotificationKey::new("1", "shop").to_string(), "1 of shop");
    }

    #[test]
    #[cfg(any(feature = "client", feature = "lambda"))]
    fn a_path_leads_to_the_notification_whatever_is_in_its_id() {
        let key = NotificationKey::new("a/b?c%d", "https://shop/1&2");
        assert_eq!(key.path(), "/notifications/a%2Fb%3Fc%25d?source=https%3A%2F%2Fshop%2F1%262");
    }

    #[test]
    fn an_idempotency_key_depends_on_every_part_and_on_where_they_end() {
        let key =
            |scope: &str, id: &str, source: &str| NotificationKey::new(id, source).idempotency_key(scope);
        let once = key("pay", "1", "shop");
        assert_eq!(once, key("pay", "1", "shop"));
        assert_eq!(once.len(), 32);
        for other in
            [key("pay", "2", "shop"), key("pay", "1", "shops"), key("pa", "1", "yshop"), key("", "1", "shop")]
        {
            assert_ne!(once, other);
        }
    }

    #[test]
    fn a_keyed_id_is_of_one_caller() {
        assert_eq!(keyed_id("AROA1", "7"), keyed_id("AROA1", "7"));
        assert_ne!(keyed_id("AROA1", "7"), keyed_id("AROA2", "7"));
        assert_ne!(keyed_id("AROA1", "7"), keyed_id("AROA1", "8"));
    }

    #[test]
    fn an_emitted_id_depends_on_every_part_and_on_where_they_end() {
        let emitted = |id: &str, source: &str, destination: &str, name: &str| {
            NotificationKey::new(id, source).emitted_id(destination, name)
        };
        let once = emitted("a", "s", "b", "c");
        assert_eq!(once, emitted("a", "s", "b", "c"));
        assert!(once.starts_with(EMITTED) && once.len() == EMITTED.len() + 32, "{once}");
        for other in [
            emitted("ab", "s", "", "c"),
            emitted("a", "s", "bc", ""),
            emitted("a", "s", "c", "b"),
            emitted("a", "r", "b", "c"),
            emitted("", "sa", "b", "c"),
        ] {
            assert_ne!(once, other);
        }
    }
}
