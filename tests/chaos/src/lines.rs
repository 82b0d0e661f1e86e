//! What is sent: refunds, and among them repeats, contradictions and mistakes.

use std::collections::HashSet;

use fastrand::Rng;
use refunds::generate::{Line, Refund, account, event, refused, respelled};

/// Accounts that are refunded.
pub const ACCOUNTS: u32 = 200;
/// The smallest refund, in cents. Each amount is another, and up to 5,000 refunds none is as much as two
/// others: what a balance has too much names the refund that was applied twice.
const AMOUNT_MIN: u32 = 10_000;
/// Of so many refunds one is sent again as it is; in another spelling; with another amount; and one
/// line more with a mistake.
const REPEATED: u32 = 10;
const RESPELLED: u32 = 40;
const CONTRADICTED: u32 = 40;
const MISTAKEN: u32 = 50;

/// The lines, and how they are sent.
pub struct Sending {
    /// Each text once.
    pub lines: Vec<Line>,
    /// The texts in the order in which they are sent, with the repeats.
    pub texts: Vec<String>,
}

impl Sending {
    /// So many refunds with ids of their own, and what comes on top.
    pub fn draw(count: u32, rng: &mut Rng) -> Sending {
        let (mut lines, mut repeats) = (Vec::new(), Vec::new());
        for number in 0..count {
            let it = refund(number, rng);
            lines.push(Line::taken(event(&it), it.clone()));
            if rng.u32(..REPEATED) == 0 {
                repeats.push(event(&it));
            }
            if rng.u32(..RESPELLED) == 0 {
                lines.push(Line::taken(respelled(&it), it.clone()));
            }
            if rng.u32(..MISTAKEN) == 0 {
                let mistaken = Refund { id: format!("mistaken-{number:06}"), ..it.clone() };
                lines.extend(rng.choice(refused(&mistaken)));
            }
            if rng.u32(..CONTRADICTED) == 0 {
                let other = Refund { amount: it.amount + u64::from(count), ..it };
                lines.push(Line::taken(event(&other), other));
            }
        }
        // Some mistakes leave nothing that is the line's own.
        let mut seen = HashSet::new();
        lines.retain(|line| seen.insert(line.text.clone()));
        let mut texts: Vec<String> = lines.iter().map(|line| line.text.clone()).chain(repeats).collect();
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
    use refunds::generate::Fate;

    #[test]
    fn has_so_many_refunds_and_some_of_everything_else() {
        let Sending { lines, texts } = Sending::draw(1_000, &mut Rng::with_seed(7));
        let taken: Vec<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
        let ids: HashSet<&str> = taken.iter().map(|refund| refund.id.as_str()).collect();
        let contents: HashSet<&Refund> = taken.iter().copied().collect();
        let amounts: HashSet<u64> = contents.iter().map(|refund| refund.amount).collect();
        let mistaken = lines.iter().filter(|line| matches!(line.fate, Fate::Refused(_))).count();
        assert_eq!((ids.len(), amounts.len()), (1_000, contents.len()));
        assert!(contents.len() > ids.len(), "none is contradicted");
        assert!(taken.len() > contents.len(), "none is respelled");
        assert!(texts.len() > lines.len(), "none is repeated");
        assert!(mistaken > 0, "none has a mistake");
    }

    #[test]
    fn a_seed_says_all() {
        let draw = |seed| Sending::draw(100, &mut Rng::with_seed(seed)).texts;
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
