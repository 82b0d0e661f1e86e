//! Version tokens: what a caller has seen of a notification, as the `ETag` of an answer.
//!
//! A read with a token never shows an older version (G10). The token is opaque, and no secret: who may read the
//! notification may know it. It has a check, so that one of another notification, or one that was changed on its way, is
//! not taken for a version.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::notification::NotificationKey;
use crate::record::Record;

/// The first byte of a token of this form.
const FORM: u8 = 1;
const CHECK_BYTES: usize = 6;

/// A version of a record. An id may be used again after its record has expired, so that a version alone would not tell.
/// What was accepted later is later, whatever its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VersionToken {
    accepted_at_ms: i64,
    version: u64,
}

impl VersionToken {
    /// The version of a record.
    pub(super) fn of(record: &Record) -> VersionToken {
        VersionToken { accepted_at_ms: record.accepted_at.as_millisecond(), version: record.version }
    }

    /// As an `ETag`, quotes included.
    pub(super) fn etag(self, key: &NotificationKey) -> String {
        let bytes = self.bytes();
        format!("\"{}\"", URL_SAFE_NO_PAD.encode([&bytes[..], &check(&bytes, key)].concat()))
    }

    /// Reads an `ETag` of this notification; `None` if it is none.
    pub(super) fn read(etag: &str, key: &NotificationKey) -> Option<VersionToken> {
        let text = etag.strip_prefix('"')?.strip_suffix('"')?;
        let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (bytes, checked) = decoded.split_at_checked(1 + 8 + 8)?;
        if bytes[0] != FORM || checked != check(bytes, key) {
            return None;
        }
        let accepted_at_ms = i64::from_be_bytes(bytes[1..9].try_into().ok()?);
        Timestamp::from_millisecond(accepted_at_ms).ok()?;
        Some(VersionToken { accepted_at_ms, version: u64::from_be_bytes(bytes[9..].try_into().ok()?) })
    }

    fn bytes(self) -> Vec<u8> {
        [&[FORM][..], &self.accepted_at_ms.to_be_bytes(), &self.version.to_be_bytes()].concat()
    }
}

fn check(bytes: &[u8], key: &NotificationKey) -> [u8; CHECK_BYTES] {
    // Neither an id nor a source has a space.
    let hash = Sha256::new().chain_update(bytes).chain_update(key.to_string()).finalize();
    std::array::from_fn(|at| hash[at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> NotificationKey {
        NotificationKey::new("order-7", "shop")
    }

    #[test]
    fn what_was_accepted_later_is_later_whatever_its_version() {
        let token = |accepted_at_ms, version| VersionToken { accepted_at_ms, version };
        assert!(token(1, 9) < token(2, 1) && token(2, 1) < token(2, 2));
    }

    #[test]
    fn a_token_is_of_one_notification() {
        let etag = VersionToken { accepted_at_ms: 5, version: 2 }.etag(&key());
        for other in [NotificationKey::new("order-8", "shop"), NotificationKey::new("order-7", "store")] {
            assert_eq!(VersionToken::read(&etag, &other), None);
        }
        for text in ["", "\"\"", "*", "W/\"AQ\"", "\"AQ\"", "AQ", &etag[1..], &format!("W/{etag}")] {
            assert_eq!(VersionToken::read(text, &key()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_written_and_in_no_other_form(
            accepted_at_ms in 0..4_102_444_800_000_i64,
            version in 1..u64::MAX,
            at in 1_usize..30,
            to in "[A-Za-z0-9_-]",
        ) {
            let token = VersionToken { accepted_at_ms, version };
            let etag = token.etag(&key());
            prop_assert_eq!(VersionToken::read(&etag, &key()), Some(token));
            let mut changed = etag.clone();
            changed.replace_range(at..at + 1, &to);
            if changed != etag {
                prop_assert_eq!(VersionToken::read(&changed, &key()), None);
            }
        }
    }
}
