//! The refunds: every line with what is to become of it, said by how the line was made and
//! not by the code that will judge it.

use std::fmt::Write;

use handover::record::Record;

/// Accounts that are refunded.
pub const ACCOUNTS: u32 = 20;
/// An account that is not there at first, and opened when its refund has failed twice.
pub const LATE: &str = "account-late";
/// An account that is not there until its refunds are dead, and redriven.
pub const ABSENT: &str = "account-absent";
/// Refunds to that account.
pub const ABSENT_REFUNDS: u32 = 3;
/// Refunds that are right and new.
const ORIGINALS: u32 = 200;
/// A sequence of lines that looks shuffled and is the same for everybody: every 7th or so
/// original is repeated, every 20th contradicted.
const REPEAT_EVERY: u32 = 7;
const CONTRADICT_EVERY: u32 = 20;

/// What is to become of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is one of the lines of its id: the first that arrives is stored; of the others
    /// those with the same content are duplicates, those with other content conflicts.
    Taken,
    /// It is refused, for the reason with this code.
    Refused(&'static str),
}

/// A line of the file.
#[derive(Clone, Debug)]
pub struct Line {
    /// As sent.
    pub text: String,
    /// Its id, account and amount, where it has them.
    pub refund: Option<Refund>,
    /// What is to become of it.
    pub fate: Fate,
}

impl Line {
    /// A line that says this.
    pub fn taken(text: String, refund: Refund) -> Line {
        Line { text, refund: Some(refund), fate: Fate::Taken }
    }
}

/// A refund, as far as the summary needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refund {
    /// The notification's id.
    pub id: String,
    /// The account it is credited to.
    pub account: String,
    /// In cents.
    pub amount: u64,
}

impl Refund {
    /// The refund that a record is of.
    pub fn of(record: &Record) -> Option<Refund> {
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

/// Refunds to accounts that are not there: one to the late, the others to the absent account.
pub fn failing() -> Vec<Refund> {
    let refund = |id: String, account: &str| Refund { id, account: account.into(), amount: 1_000 };
    let late = std::iter::once(refund("refund-late".into(), LATE));
    late.chain((1..=ABSENT_REFUNDS).map(|number| refund(format!("refund-absent-{number}"), ABSENT))).collect()
}

/// The same content in another spelling: other order, spaces, a number with a fraction.
pub fn respelled(refund: &Refund) -> String {
    let Refund { id, account, amount } = refund;
    format!(
        r#"{{ "data": {{ "amount": {amount}.0, "account": "{account}" }}, "subject": "{account}", "source": "orders", "kind": "command", "type": "refund.requested", "id": "{id}", "specversion": "1.0", "time": "2026-11-22T08:15:00Z" }}"#
    )
}

/// This refund with a mistake: a line for each that is refused.
pub fn refused(refund: &Refund) -> Vec<Line> {
    let good = event(refund);
    let id = refund.id.as_str();
    let with = |part: &str, other: &str| {
        assert!(good.contains(part), "{part}");
        good.replacen(part, other, 1)
    };
    let lines = vec![
        ("this is not JSON".into(), "malformed-json"),
        (good[..good.len() - 2].into(), "malformed-json"),
        (with(r#""amount""#, r#""amount":1,"amount""#), "duplicate-key"),
        (with(r#""specversion":"1.0","#, r#""specversion":"1.0","id":"refund-9998","#), "duplicate-key"),
        (with(&format!(r#""id":"{id}","#), ""), "missing"),
        (with(r#""kind":"command","#, ""), "missing"),
        (with(id, ""), "invalid"),
        (with(id, &id.replace('-', " ")), "invalid"),
        (with(id, &"9".repeat(129)), "too-long"),
        (with(&format!(r#""{id}""#), "9999"), "wrong-type"),
        (with(r#""amount":"#, r#""amount":9007199254740993,"cents":"#), "number"),
        (with(r#""amount":"#, r#""amount":1e400,"cents":"#), "number"),
        (with("refund.requested", "refund.requestd"), "unknown-type"),
        (with("refund.requested", "invoice.requested"), "unknown-type"),
        (with(r#""kind":"command""#, r#""kind":"query""#), "unknown-kind"),
        (with(r#""kind":"command""#, r#""kind":"event""#), "wrong-kind"),
        (with(r#""source":"#, r#""priority":1,"source":"#), "unknown-attribute"),
        (format!("[{good}]"), "not-an-object"),
        (
            with(r#""account":"#, &format!(r#""notes":{}0{},"account":"#, "[".repeat(70), "]".repeat(70))),
            "too-deep",
        ),
    ];
    let line = |(text, code)| Line { text, refund: None, fate: Fate::Refused(code) };
    lines.into_iter().map(line).collect()
}

/// All lines, in the order of the file.
pub fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    let mut refused = refused(&refund(9_999)).into_iter();
    let mut failing = failing().into_iter();
    for number in 1..=ORIGINALS {
        let it = refund(number);
        lines.push(Line::taken(event(&it), it.clone()));
        if number % REPEAT_EVERY == 0 {
            lines.push(Line::taken(event(&it), it.clone()));
            lines.push(Line::taken(respelled(&it), it.clone()));
        }
        if number % CONTRADICT_EVERY == 0 {
            let other = Refund { amount: it.amount + 1, ..it };
            lines.push(Line::taken(event(&other), other));
        }
        if number % 50 == 0 {
            lines.extend(failing.next().map(|it| Line::taken(event(&it), it)));
        }
        if number % 10 == 0 {
            lines.extend(refused.next());
        }
    }
    assert!(refused.next().is_none() && failing.next().is_none(), "every line has its place");
    lines
}

/// The file.
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
    fn it_has_enough_of_everything() {
        let lines = lines();
        let ids: BTreeSet<_> =
            lines.iter().filter_map(|line| line.refund.as_ref()).map(|it| &it.id).collect();
        let accounts: BTreeSet<_> =
            lines.iter().filter_map(|line| line.refund.as_ref()).map(|it| &it.account).collect();
        assert_eq!((ids.len(), accounts.len()), (204, 22));
        assert!(lines.iter().filter(|line| matches!(line.fate, Fate::Refused(_))).count() >= 19);
    }
}
