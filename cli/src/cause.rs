//! The cause of an error, as far as its text says it: what one cause writes differs in positions, ids and times.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Words before a number that only says where.
const PLACES: [&str; 6] = ["byte", "character", "column", "line", "offset", "position"];
/// From this number of digits on, a word is an id, a time or an amount. What has fewer is a status, a count or a
/// version, and belongs to the cause.
const DIGITS_OF_AN_ID: usize = 4;
/// What stands for a word that is left out.
const LEFT_OUT: &str = "…";

/// What has errors of one cause.
pub struct Group<'a, T, K> {
    /// What else they have in common.
    pub of: K,
    /// The error, or its cause where the errors of the group differ.
    pub error: String,
    pub members: Vec<&'a T>,
}

/// The groups of what has one cause, the largest first. `of` says what else has to be the same, and the error.
pub fn by_cause<'a, T, K: Ord>(all: &'a [T], of: impl Fn(&'a T) -> (K, &'a str)) -> Vec<Group<'a, T, K>> {
    let mut groups: BTreeMap<(K, String), Vec<&T>> = BTreeMap::new();
    for one in all {
        let (key, error) = of(one);
        groups.entry((key, cause(error))).or_default().push(one);
    }
    let group = |((key, cause), members): ((K, String), Vec<&'a T>)| {
        let first = of(members[0]).1;
        let is_one = members.iter().all(|member| of(member).1 == first);
        Group { of: key, error: if is_one { first.to_owned() } else { cause }, members }
    };
    let mut groups: Vec<Group<T, K>> = groups.into_iter().map(group).collect();
    groups.sort_by_key(|group| Reverse(group.members.len()));
    groups
}

/// Whether an error, or the cause that stands for it in a list, contains this text.
pub fn has_text(error: &str, text: &str) -> bool {
    error.contains(text) || cause(error).contains(text)
}

/// The error without what differs from one notification to the next.
fn cause(error: &str) -> String {
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

    #[test]
    fn one_cause_is_one_group_and_the_largest_is_first() {
        let errors = [
            ("a", "no account"),
            ("a", "no JSON at byte 36"),
            ("a", "no JSON at byte 13"),
            ("b", "no account"),
        ];
        let groups = by_cause(&errors, |(of, error)| (*of, *error));
        let shown: Vec<_> =
            groups.iter().map(|group| (group.of, &*group.error, group.members.len())).collect();
        assert_eq!(shown, [("a", "no JSON at byte …", 2), ("a", "no account", 1), ("b", "no account", 1)]);
    }

    #[test]
    fn an_error_is_found_as_it_is_and_as_its_cause() {
        for text in ["no JSON", "byte 36", "no JSON at byte …"] {
            assert!(has_text("no JSON at byte 36", text), "{text}");
        }
        assert!(!has_text("no JSON at byte 36", "byte 13"));
    }
}
