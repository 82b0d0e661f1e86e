//! The trace that a notification belongs to, by W3C Trace Context: <https://www.w3.org/TR/trace-context/>.

use std::collections::BTreeSet;

/// Longest tracestate, in bytes: what every tracing system has to carry.
const TRACESTATE_BYTES_MAX: usize = 512;
/// Most members of a tracestate.
const MEMBERS_MAX: usize = 32;
/// Longest key and longest value of a member of a tracestate, in bytes.
const MEMBER_PART_BYTES_MAX: usize = 256;

/// The traceparent in the form of version 00; none where the text is not one. Of a later version what version 00 has
/// is kept, as the standard says.
pub(super) fn traceparent(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &&str, length| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let [version, trace, parent, flags, more @ ..] = &parts[..] else { return None };
    let is_set = |id: &str| id.bytes().any(|byte| byte != b'0');
    let is_known = hex(version, 2) && *version != "ff" && (*version != "00" || more.is_empty());
    let is_whole = hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && is_set(trace) && is_set(parent);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    // Version 00 knows the flag "sampled" alone.
    let flags = if *version == "00" { flags } else { flags & 1 };
    (is_known && is_whole).then(|| format!("00-{trace}-{parent}-{flags:02x}"))
}

/// Whether a trace is as it is kept.
pub(super) fn is_kept(parent: Option<&str>, state: Option<&str>) -> bool {
    parent.is_none_or(|text| traceparent(text).as_deref() == Some(text))
        && state.is_none_or(|text| tracestate(text).as_deref() == Some(text))
}

/// The tracestate without its empty members and the spaces around members; none where the text is not one, or has no
/// member.
pub(super) fn tracestate(text: &str) -> Option<String> {
    if text.len() > TRACESTATE_BYTES_MAX {
        return None;
    }
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<&str> = members.filter(|member| !member.is_empty()).collect();
    let keys = members.iter().map(|member| key_of(member)).collect::<Option<BTreeSet<_>>>()?;
    let are_distinct = keys.len() == members.len();
    (are_distinct && (1..=MEMBERS_MAX).contains(&members.len())).then(|| members.join(","))
}

/// The key of a member `key=value`, if it is one.
fn key_of(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let has_length = |part: &str| (1..=MEMBER_PART_BYTES_MAX).contains(&part.len());
    let of_key = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let is_key = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.bytes().all(of_key)
        && key.bytes().filter(|byte| *byte == b'@').count() <= 1;
    // The spaces at its end are gone.
    let is_value = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=');
    (is_key && is_value && has_length(key) && has_length(value)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_the_w3c_form() {
        assert_eq!(traceparent(GOOD).as_deref(), Some(GOOD));
        for bad in [
            "",
            "123",
            "é",
            &GOOD.to_uppercase(),
            &GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            &GOOD[..54],
            &format!("{GOOD}-extra"),
            &GOOD.replace("00-0a", "ff-0a"),
        ] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn of_a_later_version_the_known_parts_are_kept() {
        let later = format!("{}-extra", GOOD.replace("00-0a", "cc-0a").replace("-01", "-ff"));
        assert_eq!(traceparent(&later).as_deref(), Some(GOOD));
    }
    #[test]
    fn a_tracestate_is_a_list_of_members() {
        for (text, kept) in [
            ("rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7"),
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            (" a=1 ,\t, 0b@c_d-e*f/g= x y ,", "a=1,0b@c_d-e*f/g= x y"),
        ] {
            assert_eq!(tracestate(text).as_deref(), Some(kept), "{text}");
        }
        for bad in
            ["", " , ", "a", "a=", "=1", "A=1", "a=1,a=2", "a=1=2", "a=é", "a=\u{7f}", "@a=1", "a@b@c=1"]
        {
            assert_eq!(tracestate(bad), None, "{bad}");
        }
        let members = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        assert!(tracestate(&members(MEMBERS_MAX)).is_some());
        assert_eq!(tracestate(&members(MEMBERS_MAX + 1)), None);
        let valued = |bytes: usize| format!("a={},b={}", "x".repeat(bytes), "x".repeat(200));
        assert!(tracestate(&valued(MEMBER_PART_BYTES_MAX)).is_some());
        assert_eq!(tracestate(&valued(MEMBER_PART_BYTES_MAX + 1)), None);
        let long = format!("a={},b={}", "x".repeat(256), "x".repeat(252));
        assert_eq!((long.len(), tracestate(&long)), (513, None));
        assert!(tracestate(&long[..TRACESTATE_BYTES_MAX]).is_some());
    }

    proptest! {
        #[test]
        fn what_is_kept_of_a_tracestate_is_one(text in "[ab@=, \t1é]{0,20}") {
            if let Some(kept) = tracestate(&text) {
                prop_assert_eq!(tracestate(&kept), Some(kept));
            }
        }
    }
}
