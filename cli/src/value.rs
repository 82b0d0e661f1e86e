//! The values of the command line, checked before any call: AWS would refuse them in words of its own, or take an
//! empty one for all.

use clap::builder::RangedI64ValueParser;
use handover::notification::{DESTINATION_BYTES_MAX, ID_BYTES_MAX, SOURCE_BYTES_MAX};
use handover::record::KEPT_WITHOUT_SUBSCRIBERS;
use jiff::SignedDuration;

/// Longest name of a stack, in bytes: Lambda takes 64 of `NAME-accept`.
const STACK_BYTES_MAX: usize = 57;

/// An id of a notification.
pub fn id(text: &str) -> Result<String, String> {
    visible(text, ID_BYTES_MAX)
}

/// A source of notifications.
pub fn source(text: &str) -> Result<String, String> {
    visible(text, SOURCE_BYTES_MAX)
}

/// A name that routes may give a destination.
pub fn destination(text: &str) -> Result<String, String> {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
    match begins && text.len() <= DESTINATION_BYTES_MAX && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a name has 1 to {DESTINATION_BYTES_MAX} characters of a-z, 0-9 and _, a letter first"
        )),
    }
}

/// Most dispatches in a second, as reconcile makes by default.
pub const RATE: u32 = 100;

/// A number of dispatches in a second.
pub fn rate() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=10_000)
}

/// A text that says something: every text contains the empty one.
pub fn text(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("it is empty; write a text".into()),
        false => Ok(text.to_owned()),
    }
}

/// A length of time, such as `90s`, `30m`, `2h` or `3d`.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let (number, unit) = text.split_at(text.len() - usize::from(text.ends_with(['s', 'm', 'h', 'd'])));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 0,
    };
    let number = number.parse::<u32>().ok().filter(|_| seconds > 0);
    number
        .map(|number| SignedDuration::from_secs(i64::from(number) * seconds))
        .ok_or_else(|| "a length of time is a whole number and s, m, h or d, such as 30m".to_owned())
}

/// A length of time in which every record is kept, however it ended.
pub fn recent(text: &str) -> Result<SignedDuration, String> {
    let time = duration(text)?;
    match time <= KEPT_WITHOUT_SUBSCRIBERS {
        true => Ok(time),
        false => Err("at most 30d: a completed record may be kept no longer".into()),
    }
}

/// Checks the name of a stack, by what tables, queues and functions may have as theirs.
pub fn check_stack(name: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        name.len() <= STACK_BYTES_MAX && name.bytes().all(is_part_of_a_name),
        "`{name}` is not the name of a stack, which has 1 to {STACK_BYTES_MAX} letters, digits, - and _; correct --stack or HANDOVER_STACK"
    );
    Ok(())
}

/// Checks the name of a Region, which is a part of the names of hosts.
pub fn check_region(name: &str) -> anyhow::Result<()> {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    anyhow::ensure!(
        name.bytes().all(is_plain) && !name.starts_with('-') && !name.ends_with('-'),
        "`{name}` is not the name of a Region, such as us-east-1; correct --region, AWS_REGION or the region of your profile"
    );
    Ok(())
}

fn visible(text: &str, bytes_max: usize) -> Result<String, String> {
    match (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(format!("it has 1 to {bytes_max} visible ASCII characters, without spaces")),
    }
}

fn is_part_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use handover::{Draft, Routes};

    use super::*;

    #[test]
    fn a_value_is_taken_if_a_notification_can_have_it() {
        let long = |bytes| "x".repeat(bytes);
        for bytes in [0, 1, 32, 33, 128, 129, 256, 257] {
            let text = long(bytes);
            assert_eq!(id(&text).is_ok(), Draft::event("t", "s", &0).build(&*text).is_ok(), "{bytes}");
            assert_eq!(source(&text).is_ok(), Draft::event("t", &*text, &0).build("1").is_ok(), "{bytes}");
        }
        for text in ["a b", " ", "a\n", "é", "order-7/refund", "~!"] {
            assert_eq!(id(text).is_ok(), Draft::event("t", "s", &0).build(text).is_ok(), "{text}");
        }
        // One that an effect emitted.
        assert!(id("emit:0123456789abcdef").is_ok());
        for name in ["", "a", "a_1", "1a", "_a", "A", "a b", "a-b", "é", &long(32), &long(33)] {
            let routes = format!(r#"{{"t":{{"kind":"event","destinations":["{name}"]}}}}"#);
            assert_eq!(destination(name).is_ok(), routes.parse::<Routes>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_name_that_aws_would_refuse_is_refused_here() {
        for name in ["handover", "handover-dev", "Handover_2", &"x".repeat(57)] {
            assert!(check_stack(name).is_ok(), "{name}");
        }
        for name in ["a b", "a.b", "a/b", "é", &"x".repeat(58)] {
            let error = check_stack(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{name}` is not the name of a stack, ")), "{error}");
        }
        for name in ["us-east-1", "us-gov-west-1", "local"] {
            assert!(check_region(name).is_ok(), "{name}");
        }
        for name in ["bad region", "us-east-1 ", "-", "us-east-1.example", "US-EAST-1"] {
            let error = check_region(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{name}` is not the name of a Region, ")), "{error}");
        }
    }

    #[test]
    fn a_text_is_not_blank() {
        assert!(["", " ", "\t\n"].iter().all(|blank| text(blank).is_err()));
        assert_eq!(text(" paid ").unwrap(), " paid ");
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("3d", 259_200), ("0s", 0)] {
            assert_eq!(duration(text), Ok(SignedDuration::from_secs(seconds)), "{text}");
        }
        assert_eq!(recent("30d"), Ok(KEPT_WITHOUT_SUBSCRIBERS));
        assert!(recent("31d").unwrap_err().starts_with("at most 30d"));
        for text in ["", "s", "5", "-5m", "1.5h", "5w", "5 m", "99999999999d", "é", "5é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
