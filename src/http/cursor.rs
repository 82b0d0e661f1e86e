//! Where a list goes on: opaque to a caller, with a check.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::notification::{NotificationKey, is_id, is_source};
use crate::record::{Slot, SlotKind};

const CHECK_BYTES: usize = 6;
/// Longest cursor, in bytes. Its key takes most of that.
const CURSOR_BYTES_MAX: usize = 2_048;

/// How old a cursor may be, and how far back its slots may begin: as far as records of an operator's interest go. Anybody can
/// write a cursor, and one that reached back for years would be a list without an end.
const CURSOR_LASTS: SignedDuration = SignedDuration::from_hours(24);
const SLOTS_LAST: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Where a list goes on. Its slots are those of the first page, whatever reconcile has done since.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cursor {
    /// When the first page was read.
    pub(super) now: Timestamp,
    /// What reconcile had not checked then, of what is open and of what is dead.
    pub(super) unchecked: [Option<Slot>; 2],
    /// The number of the part of the index.
    pub(super) part: usize,
    /// The last key of it that was read.
    pub(super) after: Option<NotificationKey>,
}

/// The same as it is sent, in milliseconds and seconds.
#[derive(Serialize, Deserialize)]
struct Sent(i64, [Option<i64>; 2], usize, Option<(String, String)>);

impl Cursor {
    /// The text for a caller.
    pub(super) fn text(&self, list: &str) -> String {
        let unchecked = self.unchecked.map(|slot| slot.map(|slot| slot.begin().as_second()));
        let after = self.after.as_ref().map(|key| (key.id.clone(), key.source.clone()));
        let sent = Sent(self.now.as_millisecond(), unchecked, self.part, after);
        let sent = serde_json::to_vec(&sent).expect("numbers and texts");
        URL_SAFE_NO_PAD.encode([&check(&sent, list)[..], &sent].concat())
    }

    /// Reads a text; `None` if it is none of this list, or too old.
    pub(super) fn read(text: &str, list: &str, now: Timestamp) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() <= CURSOR_BYTES_MAX)?;
        let (checked, sent) = bytes.split_at_checked(CHECK_BYTES)?;
        if checked != check(sent, list) {
            return None;
        }
        let Sent(began, [open, dead], part, after) = serde_json::from_slice(sent).ok()?;
        let began = Timestamp::from_millisecond(began).ok()?;
        // Clocks differ.
        if began < now - CURSOR_LASTS || began > now + SignedDuration::from_hours(1) {
            return None;
        }
        let slot = |kind, second: Option<i64>| match second {
            None => Some(None),
            Some(second) => {
                let begin = Timestamp::from_second(second).ok()?;
                (now - SLOTS_LAST..=now + SLOTS_LAST).contains(&begin).then(|| Some(Slot::of(kind, begin)))
            }
        };
        let after = match after {
            Some((id, source)) if is_id(&id) && is_source(&source) => Some(NotificationKey::new(id, source)),
            Some(_) => return None,
            None => None,
        };
        let unchecked = [slot(SlotKind::Open, open)?, slot(SlotKind::Dead, dead)?];
        Some(Cursor { now: began, unchecked, part, after })
    }
}

fn check(sent: &[u8], list: &str) -> [u8; CHECK_BYTES] {
    let hash = Sha256::new().chain_update(list).chain_update(sent).finalize();
    std::array::from_fn(|at| hash[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{ID_BYTES_MAX, SOURCE_BYTES_MAX};
    use crate::record::tests::at;

    #[test]
    fn a_cursor_is_of_one_list_and_is_read_as_it_was_written() {
        let cursor = Cursor {
            now: at(5_000),
            unchecked: [Some(Slot::of(SlotKind::Open, at(0))), None],
            part: 7,
            after: Some(NotificationKey::new("a", "s")),
        };
        let text = cursor.text("dead");
        assert_eq!(Cursor::read(&text, "dead", at(6_000)), Some(cursor.clone()));
        assert_eq!(Cursor::read(&text, "open", at(6_000)), None);
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed.replace_range(place..place + 1, if &text[place..place + 1] == "A" { "B" } else { "A" });
            assert_eq!(Cursor::read(&changed, "dead", at(6_000)), None, "{changed}");
        }
        assert_eq!(Cursor::read("", "dead", at(6_000)), None);
        assert_eq!(Cursor::read(&text, "dead", at(90_000_000)), None, "it is too old");
        for (began, open) in [(i64::MAX / 1_000, 0), (-62_000_000_000_000, 0), (5_000, -62_000_000_000)] {
            let unchecked = [Some(open), None];
            let sent = serde_json::to_vec(&Sent(began, unchecked, 0, None)).unwrap();
            let forged = URL_SAFE_NO_PAD.encode([&check(&sent, "dead")[..], &sent].concat());
            assert_eq!(Cursor::read(&forged, "dead", at(6_000)), None, "{began} {open}");
        }
        let longest = NotificationKey::new("x".repeat(ID_BYTES_MAX), "x".repeat(SOURCE_BYTES_MAX));
        let text = Cursor { after: Some(longest), part: usize::MAX, ..cursor }.text("dead");
        assert!(Cursor::read(&text, "dead", at(6_000)).is_some(), "{} bytes", text.len());
    }
}
