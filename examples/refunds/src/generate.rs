//! The refunds: each line with its expected outcome. How the line is made decides the outcome, not the code
//! under test.

use std::fmt::Write;

use handover::record::Record;

/// The number of accounts that get refunds.
pub const ACCOUNTS: u32 = 20;
/// An account that is opened when its refund has failed twice.
pub const LATE: &str = "account-late";
/// An account that is opened when its refunds are dead; then they are redriven.
pub const ABSENT: &str = "account-absent";
/// Refunds to that account.
pub const ABSENT_REFUNDS: u32 = 3;
/// Refunds that are valid and new.
const ORIGINALS: u32 = 200;
/// Every 7th refund is repeated.
const REPEAT_EVERY: u32 = 7;
/// Every 20th refund is sent again with another amount.
const CONTRADICT_EVERY: u32 = 20;

/// The expected outcome of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpectedOutcome {
    /// Of the lines with its id the first to arrive is stored. Of the others, those with the same content are
    /// duplicates, and those with other content conflicts.
    Valid,
    /// It is refused with this code.
    Refused(&'static str),
}

/// A line of the file.
#[derive(Clone, Debug)]
pub struct Line {
    /// The text as sent.
    pub text: String,
    /// Its id, account and amount; `None` if the line is refused.
    pub refund: Option<Refund>,
    /// The expected outcome.
    pub expected: ExpectedOutcome,
}

impl Line {
    /// A valid line with this refund.
    pub fn valid(text: String, refund: Refund) -> Line {
        Line { text, refund: Some(refund), expected: ExpectedOutcome::Valid }
    }
}

/// A refund, as far as the summary needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refund {
    /// The notification's id.
    pub id: String,
    /// The account to credit.
    pub account: String,
    /// In cents.
    pub amount: u64,
}

impl Refund {
    /// The refund of a record.
    pub fn from_record(record: &Record) -> Option<Refund> {
        let data: serde_json::Value = record.data.deserialize().ok()?;
        let account = data.get("account")?.as_str()?.to_owned();
        Some(Refund { id: record.id.clone(), account, amount: data.get("amount")?.as_u64()? })
    }
}

/// The name of account `number`, from 0.
pub fn account(number: u32) -> String {
    format!("account-{number:02}")
}

fn refund(number: u32) -> Refund {
    let account = account(number.wrapping_mul(7) % ACCOUNTS);
    Refund { id: format!("refund-{number:04}"), account, amount: u64::from(100 + number * 37 % 9_900) }
}

/// A refund as a producer sends it.
pub fn event(refund: &Refund) -> String {
    let Refund { id, account, amount } = refund;
    format!(
        r#"{{"specversion":"1.0","id":"{id}","type":"refund.requested","kind":"command","source":"orders","subject":"{account}","data":{{"account":"{account}","amount":{amount}}}}}"#
    )
}

/// Refunds to accounts that do not exist: one to the late account, the others to the absent one.
pub fn failing() -> Vec<Refund> {
    let refund = |id: String, account: &str| Refund { id, account: account.into(), amount: 1_000 };
    let late = std::iter::once(refund("refund-late".into(), LATE));
    late.chain((1..=ABSENT_REFUNDS).map(|number| refund(format!("refund-absent-{number}"), ABSENT))).collect()
}

/// The same content in another spelling: another order, spaces, a number with a fraction.
pub fn respelled(refund: &Refund) -> String {
    let Refund { id, account, amount } = refund;
    format!(
        r#"{{ "data": {{ "amount": {amount}.0, "account": "{account}" }}, "subject": "{account}", "source": "orders", "kind": "command", "type": "refund.requested", "id": "{id}", "specversion": "1.0", "time": "2026-11-22T08:15:00Z" }}"#
    )
}

/// This refund with mistakes: one line for each kind of refusal.
pub fn refused(refund: &Refund) -> Vec<Line> {
    let valid = event(refund);
    let id = refund.id.as_str();
    let replaced = |part: &str, other: &str| {
        assert!(valid.contains(part), "{part}");
        valid.replacen(part, other, 1)
    };
    let extensions: String = (0..33).map(|number| format!(r#""e{number}":true,"#)).collect();
    let lines = vec![
        ("this is not JSON".into(), "malformed-json"),
        (valid[..valid.len() - 2].into(), "malformed-json"),
        (replaced(r#""amount""#, r#""amount":1,"amount""#), "duplicate-key"),
        (replaced(r#""specversion":"1.0","#, r#""specversion":"1.0","id":"refund-9998","#), "duplicate-key"),
        (replaced(&format!(r#""id":"{id}","#), ""), "missing"),
        (replaced(r#""source":"orders","#, ""), "missing"),
        (replaced(id, ""), "invalid"),
        (replaced(id, &id.replace('-', " ")), "invalid"),
        (replaced(id, &format!("emit:{id}")), "reserved-id"),
        (replaced(id, &"9".repeat(129)), "too-long"),
        (replaced(&format!(r#""{id}""#), "9999"), "wrong-type"),
        (replaced(r#""amount":"#, r#""amount":9007199254740993,"cents":"#), "number"),
        (replaced(r#""amount":"#, r#""amount":1e400,"cents":"#), "number"),
        (replaced("refund.requested", "refund.requestd"), "unknown-type"),
        (replaced(r#""kind":"command""#, r#""kind":"query""#), "unknown-kind"),
        (replaced(r#""kind":"command""#, r#""kind":"event""#), "wrong-kind"),
        (replaced(r#""subject":"#, r#""partitionKey":"#), "unknown-attribute"),
        (replaced(r#""source":"#, &format!(r#"{extensions}"source":"#)), "too-many-extensions"),
        (format!("[{valid}]"), "not-an-object"),
        (
            replaced(
                r#""account":"#,
                &format!(r#""notes":{}0{},"account":"#, "[".repeat(70), "]".repeat(70)),
            ),
            "too-deep",
        ),
    ];
    let line = |(text, code)| Line { text, refund: None, expected: ExpectedOutcome::Refused(code) };
    lines.into_iter().map(line).collect()
}

/// All lines, in the order of the file.
pub fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    let mut refused = refused(&refund(9_999)).into_iter();
    let mut failing = failing().into_iter();
    for number in 1..=ORIGINALS {
        let refund = refund(number);
        lines.push(Line::valid(event(&refund), refund.clone()));
        if number % REPEAT_EVERY == 0 {
            lines.push(Line::valid(event(&refund), refund.clone()));
            lines.push(Line::valid(respelled(&refund), refund.clone()));
        }
        if number % CONTRADICT_EVERY == 0 {
            let other = Refund { amount: refund.amount + 1, ..refund };
            lines.push(Line::valid(event(&other), other));
        }
        if number % 50 == 0 {
            lines.extend(failing.next().map(|refund| Line::valid(event(&refund), refund)));
        }
        if number % 10 == 0 {
            lines.extend(refused.next());
        }
    }
    assert!(refused.next().is_none() && failing.next().is_none(), "every line is in the file");
    lines
}

/// The text of the file.
pub fn file() -> String {
    lines().iter().fold(String::new(), |mut file, line| {
        writeln!(file, "{}", line.text).expect("writing to a string cannot fail");
        file
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_checked_in_file_is_what_is_generated() {
        assert!(
            include_str!("../../refunds.jsonl") == file(),
            "run `target/debug/refunds generate > examples/refunds.jsonl`"
        );
    }

    #[test]
    fn each_line_is_taken_or_refused_as_the_summary_expects() {
        let routes = r#"{"refund.requested":{"kind":"command","destinations":["refund"]}}"#;
        let routes: handover::Routes = routes.parse().unwrap();
        for Line { text, expected, .. } in lines() {
            let accepted = routes.decode(text.as_bytes()).and_then(|event| routes.of(&event).map(drop));
            let refused = accepted.err().map(|refusal| refusal.code().as_str());
            let expected = match expected {
                ExpectedOutcome::Refused(code) => Some(code),
                _ => None,
            };
            assert_eq!(refused, expected, "{text}");
        }
    }

    #[test]
    fn the_file_has_enough_of_every_kind() {
        let lines = lines();
        let refunds = || lines.iter().filter_map(|line| line.refund.as_ref());
        let ids: BTreeSet<_> = refunds().map(|refund| &refund.id).collect();
        let accounts: BTreeSet<_> = refunds().map(|refund| &refund.account).collect();
        assert_eq!((ids.len(), accounts.len()), (204, 22));
        assert!(
            lines.iter().filter(|line| matches!(line.expected, ExpectedOutcome::Refused(_))).count() >= 20
        );
    }
}
