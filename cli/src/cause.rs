//! The cause of an error, as far as its text says it: what one cause writes differs in positions, ids and times.

/// Words before a number that only says where.
const PLACES: [&str; 6] = ["byte", "character", "column", "line", "offset", "position"];
/// From this number of digits on, a word is an id, a time or an amount. What has fewer is a status, a count or a
/// version, and belongs to the cause.
const DIGITS_OF_AN_ID: usize = 4;
/// What stands for a word that is left out.
const LEFT_OUT: &str = "…";

/// The error without what differs from one notification to the next.
pub fn cause(error: &str) -> String {
    let mut cause = String::with_capacity(error.len());
    let (mut previous, mut is_left_out, mut between) = ("", false, "");
    for word in words(error) {
        if !word.starts_with(is_part_of_a_word) {
            between = word;
            cause.push_str(word);
            continue;
        }
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_place = PLACES.contains(&previous) && digits == word.len();
        // The minutes and seconds of a time.
        let goes_on =
            is_left_out && matches!(between, ":" | ".") && word.starts_with(|c: char| c.is_ascii_digit());
        is_left_out = is_place || goes_on || digits >= DIGITS_OF_AN_ID;
        cause.push_str(if is_left_out { LEFT_OUT } else { word });
        previous = word;
    }
    cause
}

/// The words of a text and what is between them, in turn.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_word = rest.starts_with(is_part_of_a_word);
        let end = rest.find(|c| is_part_of_a_word(c) != is_word).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

fn is_part_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_one_text_and_another_is_another() {
        for (error, expected) in [
            ("JSON of another form at byte 36", "JSON of another form at byte …"),
            ("JSON of another form (line 1, column 13)", "JSON of another form (line …, column …)"),
            (
                "the provider answered 503 to 3f2b8c1a-77d0-4e1c-9a6e-0d1c2b3a4f5e",
                "the provider answered 503 to …",
            ),
            ("no account acc-000017 since 2026-11-27T02:00:00Z", "no account … since …:…:…"),
            (
                "write 0 of the effect was refused (ConditionalCheckFailed)",
                "write 0 of the effect was refused (ConditionalCheckFailed)",
            ),
            (
                "AccessDenied: arn:aws:sts::123456789012:assumed-role/refund",
                "AccessDenied: arn:aws:sts::…:assumed-role/refund",
            ),
            ("é 12 und übrig", "é 12 und übrig"),
            ("", ""),
        ] {
            assert_eq!(cause(error), expected);
        }
        assert_ne!(cause("status 503"), cause("status 404"));
        assert_ne!(cause("write 0 of the effect"), cause("write 1 of the effect"));
    }
}
