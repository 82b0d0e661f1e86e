//! Times of RFC 3339: <https://www.rfc-editor.org/rfc/rfc3339#section-5.6>.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Reads a time of RFC 3339, and nothing more of ISO 8601. Of a fraction nine digits are read. A leap second is taken
/// for the second before it, the last hours of the year 9999 for the last second that the library holds, and what its
/// offset puts before the year 0 for the begin of that year.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.to_ascii_uppercase();
    let (civil, rest) = text.split_at_checked("0000-00-00T00:00:00".len())?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?),
        None => ("", rest),
    };
    let offset = match offset {
        "Z" => 0,
        offset => offset_seconds(offset)?,
    };
    if !has_form(civil, "0000-00-00T00:00:00") {
        return None;
    }
    // Second 60 is read as 59.
    let (is_leap_second, civil) = (civil.ends_with(":60"), civil.parse::<DateTime>().ok()?);
    let nanoseconds = format!("{:0<9}", &fraction[..fraction.len().min(9)]).parse().ok()?;
    let time = civil.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |time| time.timestamp());
    let time = time.checked_add(SignedDuration::new(-offset, nanoseconds)).unwrap_or(Timestamp::MAX);
    let is_end_of_day = time.as_second().rem_euclid(86_400) == 86_399;
    (is_end_of_day || !is_leap_second).then(|| clamped(time))
}

/// The time, or the nearest one that the standard can write and that every function can read.
pub(super) fn clamped(time: Timestamp) -> Timestamp {
    let year_0 = DateTime::constant(0, 1, 1, 0, 0, 0, 0).to_zoned(TimeZone::UTC);
    let first = year_0.map_or(Timestamp::MIN, |first| first.timestamp());
    let last = Timestamp::from_second(Timestamp::MAX.as_second()).unwrap_or(Timestamp::MAX);
    time.clamp(first, last)
}

/// The offset from UTC, such as `-08:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = has_form(&text[1..], "00:00").then(|| text[1..].split_once(':')).flatten()?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// Whether a text has a digit where the form has a zero, and the form's own character elsewhere.
fn has_form(text: &str, form: &str) -> bool {
    let is_alike = |(byte, of): (u8, u8)| if of == b'0' { byte.is_ascii_digit() } else { byte == of };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(is_alike)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_standard_has() {
        for (text, same) in [
            ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.52Z"),
            ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57Z"),
            ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.87Z"),
            ("2026-11-22t08:15:00z", "2026-11-22T08:15:00Z"),
            ("2026-11-22T08:15:00-00:00", "2026-11-22T08:15:00Z"),
            ("2026-11-22T08:15:00.1234567890123Z", "2026-11-22T08:15:00.123456789Z"),
            ("1990-12-31T23:59:60Z", "1990-12-31T23:59:59Z"),
            ("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59Z"),
            ("2026-11-22T23:59:60.5Z", "2026-11-22T23:59:59.5Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-30T21:59:59+00:00", "9999-12-30T21:59:59Z"),
        ] {
            assert_eq!(parse(text), Some(same.parse().unwrap()), "{text}");
        }
        assert_eq!(parse("0000-01-01T00:00:00+23:59"), parse("0000-01-01T00:00:00Z"));
        let last = Some("9999-12-30T22:00:00Z".parse().unwrap());
        for late in ["9999-12-30T22:00:00.9Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59"] {
            assert_eq!(parse(late), last, "{late}");
        }
    }

    #[test]
    fn refuses_the_rest_of_iso_8601() {
        for text in [
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22T08:15Z",
            "2023-01-25T19:07:06.370582GMT",
            "2026-11-22 08:15:00Z",
            "20261122T081500Z",
            "2026-11-22T08:15:00+01",
            "2026-11-22T08:15:00+0100",
            "2026-11-22T08:15:00,5Z",
            "2026-11-22T08:15:00.Z",
            "2026-11-22T08:15:00.5",
            "2026-11-22T08:15:00",
            "2026-11-22T24:00:00Z",
            "2026-11-22T08:15:00-05[America/New_York]",
            "2026-11-22T08:15:00Z[UTC]",
            "-002026-11-22T08:15:00Z",
            "2026-W47-7T08:15:00Z",
            "2026-02-30T08:15:00Z",
            "2026-11-22T12:60:00Z",
            "2026-11-22T08:15:60Z",
            "1990-12-31T23:59:60-08:00",
            "2026-11-22T08:15:00+25:00",
            "2026-11-22T08:15:00+24:00",
            "2026-11-22T08:15:00+05:60",
            "2026-11-22T08:15:00\u{2212}05:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_of_the_library_is_read(nanoseconds in 0i128..253_402_207_200_000_000_000) {
            let time = Timestamp::from_nanosecond(nanoseconds).unwrap();
            prop_assert_eq!(parse(&time.to_string()), Some(time));
        }

        #[test]
        fn any_text_gives_an_answer(text in "\\PC{0,40}", tail in "\\PC{0,10}") {
            let _ = (parse(&text), parse(&format!("2026-11-22T08:15:00{tail}")));
        }
    }
}
