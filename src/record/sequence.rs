//! The sequence of a notification: its number, and what numbers it.

use super::attributes::{POSITION_KEY, SEQUENCE};
use super::record::{Item, Record};
use super::update::{number, text};
use crate::notification::{Notification, NotificationKey};

/// The sequence of a notification at one destination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SequenceKey {
    /// Key of the position: destination, source and partition key.
    pub(crate) key: String,
    /// Its number, from 1.
    pub(crate) sequence: u64,
    notification: NotificationKey,
}

impl SequenceKey {
    /// The sequence of a notification at a destination, if it is numbered. The names of destinations and
    /// sources have no spaces.
    pub(crate) fn new<T>(notification: &Notification<T>, destination: &str) -> Option<SequenceKey> {
        let (key, sequence) = notification.partitionkey.as_ref().zip(notification.sequence)?;
        let key = format!("{destination} {} {key}", notification.source);
        Some(SequenceKey { key, sequence, notification: notification.key() })
    }

    /// That of the notification of a record.
    pub(crate) fn of(record: &Record, destination: &str) -> Option<SequenceKey> {
        // Without its data, which may be large.
        SequenceKey::new(&record.notification_with(()), destination)
    }

    /// The notification.
    pub(crate) fn notification(&self) -> &NotificationKey {
        &self.notification
    }

    /// The notification that is registered under this id. All of a key have one source.
    pub(crate) fn registered(&self, id: &str) -> NotificationKey {
        NotificationKey::new(id, &self.notification.source)
    }

    pub(crate) fn id(&self) -> &str {
        &self.notification.id
    }

    /// The key of an item of this key: of the position, whose sequence is 0, or of a registration.
    pub(crate) fn item_key(&self, sequence: u64) -> Item {
        Item::from([(POSITION_KEY.to_owned(), text(&self.key)), (SEQUENCE.to_owned(), number(sequence))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Draft;

    #[test]
    fn a_key_is_of_a_destination_and_a_source() {
        let numbered = Draft::event("t", "s", &()).partitionkey("k 1").sequence(1).build("x").unwrap();
        let sequence_key = SequenceKey::new(&numbered, "a").unwrap();
        assert_eq!(sequence_key.key, "a s k 1");
        let item_key = [("key", text("a s k 1")), ("sequence", number(7_u64))];
        assert_eq!(
            sequence_key.item_key(7),
            Item::from(item_key.map(|(name, value)| (name.to_owned(), value)))
        );
        let unnumbered = Draft::event("t", "s", &()).partitionkey("k").build("x").unwrap();
        assert_eq!(SequenceKey::new(&unnumbered, "a"), None);
    }
}
