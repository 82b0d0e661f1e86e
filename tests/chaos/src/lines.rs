//! The messages to send: refunds, with repeats, contradictions and mistakes among them.

use std::collections::HashSet;

use fastrand::Rng;
use refunds::generate::{Line, Refund, account, event, refused, respelled};

/// The number of accounts that get refunds.
pub const ACCOUNTS: u32 = 200;
/// The smallest refund, in cents. All amounts differ, and with up to 5,000 refunds no amount is the sum of
/// two others, so the surplus of a balance identifies the refund that was applied twice.
const AMOUNT_MIN: u32 = 10_000;
/// One refund in this many is sent again unchanged.
const REPEATED: u32 = 10;
/// One refund in this many is sent again in another spelling.
const RESPELLED: u32 = 40;
/// One refund in this many is sent again with another amount.
const CONTRADICTED: u32 = 40;
/// After one refund in this many comes a line with a mistake.
const MISTAKEN: u32 = 50;
/// One valid line in this many is sent by HTTP. One with a mistake is not: HTTP has codes of its own for some, which
/// tests/stack/api.rs checks.
const BY_HTTP: u32 = 4;

/// A text to send.
pub struct Text {
    /// The line.
    pub text: String,
    /// Whether it is sent by HTTP, or else to the queue.
    pub by_http: bool,
}

/// The lines and the order in which they are sent.
pub struct Sending {
    /// Each text once.
    pub lines: Vec<Line>,
    /// The texts in the order in which they are sent, with the repeats.
    pub texts: Vec<Text>,
}

impl Sending {
    /// Generates this number of refunds, with repeats, contradictions and mistakes in addition.
    pub fn generate(count: u32, rng: &mut Rng) -> Sending {
        let (mut lines, mut repeats) = (Vec::new(), Vec::new());
        for number in 0..count {
            let refund = refund(number, rng);
            lines.push(Line::valid(event(&refund), refund.clone()));
            if rng.u32(..REPEATED) == 0 {
                repeats.push(event(&refund));
            }
            if rng.u32(..RESPELLED) == 0 {
                lines.push(Line::valid(respelled(&refund), refund.clone()));
            }
            if rng.u32(..MISTAKEN) == 0 {
                let mistaken = Refund { id: format!("mistaken-{number:06}"), ..refund.clone() };
                lines.extend(rng.choice(refused(&mistaken)));
            }
            if rng.u32(..CONTRADICTED) == 0 {
                let other = Refund { amount: refund.amount + u64::from(count), ..refund };
                lines.push(Line::valid(event(&other), other));
            }
        }
        // Some mistakes leave nothing that tells two lines apart.
        let mut seen = HashSet::new();
        lines.retain(|line| seen.insert(line.text.clone()));
        // Each with whether it is valid.
        let once = lines.iter().map(|line| (line.text.clone(), line.refund.is_some()));
        let again = repeats.into_iter().map(|text| (text, true));
        let mut texts: Vec<Text> = once
            .chain(again)
            .map(|(text, is_valid)| Text { text, by_http: is_valid && rng.u32(..BY_HTTP) == 0 })
            .collect();
        rng.shuffle(&mut texts);
        Sending { lines, texts }
    }
}

fn refund(number: u32, rng: &mut Rng) -> Refund {
    Refund {
        id: format!("refund-{number:06}"),
        account: account(rng.u32(..ACCOUNTS)),
        amount: u64::from(AMOUNT_MIN + number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use refunds::generate::ExpectedOutcome;

    #[test]
    fn the_number_of_refunds_is_exact_and_every_kind_of_line_is_among_them() {
        let Sending { lines, texts } = Sending::generate(1_000, &mut Rng::with_seed(7));
        let valid: Vec<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
        let ids: HashSet<&str> = valid.iter().map(|refund| refund.id.as_str()).collect();
        let contents: HashSet<&Refund> = valid.iter().copied().collect();
        let amounts: HashSet<u64> = contents.iter().map(|refund| refund.amount).collect();
        let mistaken =
            lines.iter().filter(|line| matches!(line.expected, ExpectedOutcome::Refused(_))).count();
        assert_eq!((ids.len(), amounts.len()), (1_000, contents.len()));
        assert!(contents.len() > ids.len(), "no refund is contradicted");
        assert!(valid.len() > contents.len(), "no refund is respelled");
        assert!(texts.len() > lines.len(), "no refund is repeated");
        assert!(mistaken > 0, "no line has a mistake");
        assert!(texts.iter().any(|text| text.by_http) && texts.iter().any(|text| !text.by_http));
    }

    #[test]
    fn equal_seeds_generate_equal_texts() {
        let texts = |seed| {
            let texts = Sending::generate(100, &mut Rng::with_seed(seed)).texts;
            texts.into_iter().map(|text| (text.text, text.by_http)).collect::<Vec<_>>()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }
}
