//! The trace that a notification belongs to, by W3C Trace Context: <https://www.w3.org/TR/trace-context/>.

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

/// Whether the text is a traceparent in the form of version 00.
pub(crate) fn is_traceparent(text: &str) -> bool {
    traceparent(text).is_some_and(|kept| kept == text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
