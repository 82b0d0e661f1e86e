//! What became of the refunds, compared with what was expected.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use handover::record::{Record, Status};
use jiff::{SignedDuration, Timestamp};

use crate::discrepancies::Discrepancies;
use crate::generate::{ABSENT, ExpectedOutcome, LATE, Line, Refund};
use crate::stack::Found;

/// What is counted, how many were expected, how many were found.
pub type Row = (String, u64, u64);

/// The totals by outcome and in money.
pub struct Summary {
    rows: Vec<Row>,
    discrepancies: Discrepancies,
    from_send: Vec<SignedDuration>,
    from_accept: Vec<SignedDuration>,
}

impl Summary {
    /// The outcomes of these lines. `more` rows go between the refused and the applied.
    pub fn of(lines: &[Line], found: &Found, more: Vec<Row>) -> Summary {
        let held = found.held();
        let mut rows = outcomes(lines, found, &held);
        rows.extend(more);
        rows.extend(applied(lines, found, &held));
        let discrepancies = Discrepancies::find(lines, found);
        rows.push(("lost".into(), 0, discrepancies.lost.len() as u64));
        rows.push(("applied twice".into(), 0, discrepancies.applied_twice.len() as u64));
        rows.push(("found, but never sent".into(), 0, discrepancies.never_sent.len() as u64));
        let from_send = latencies(&found.records, |record| record.sent_at);
        let from_accept = latencies(&found.records, |record| Some(record.accepted_at));
        Summary { rows, discrepancies, from_send, from_accept }
    }

    /// Whether everything is as expected.
    pub fn agrees(&self) -> bool {
        self.rows.iter().all(|(_, expected, found)| expected == found)
    }
}

/// For each outcome, the lines that should have it and those that have it.
fn outcomes(lines: &[Line], found: &Found, held: &HashMap<&str, Refund>) -> Vec<Row> {
    let Found { records, refused, .. } = found;
    let valid: Vec<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
    let mut ids: Vec<&str> = valid.iter().map(|refund| refund.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    // Queues keep no order: either of two contents may come first. The other is refused.
    let conflicts = valid
        .iter()
        .filter(|refund| held.get(refund.id.as_str()).is_some_and(|held| held != **refund))
        .count();
    // A stored content that was never sent makes all lines of its id conflicts.
    let duplicates = valid.len().saturating_sub(ids.len() + conflicts);

    let mut expected: BTreeMap<&str, u64> = BTreeMap::from([("conflict", conflicts as u64)]);
    for line in lines {
        if let ExpectedOutcome::Refused(code) = line.expected {
            *expected.entry(code).or_default() += 1;
        }
    }
    let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, reason) in refused {
        *refusals.entry(reason.split(':').next().unwrap_or_default()).or_default() += 1;
    }
    // A duplicate is neither stored nor refused, so that is how it is counted.
    let dropped = (lines.len() as u64).saturating_sub(records.len() as u64 + refused.len() as u64);
    let mut rows = vec![
        ("stored".to_owned(), ids.len() as u64, records.len() as u64),
        ("duplicate, dropped".to_owned(), duplicates as u64, dropped),
    ];
    let codes: BTreeSet<&str> = expected.keys().chain(refusals.keys()).copied().collect();
    rows.extend(codes.into_iter().map(|code| {
        let count = |of: &BTreeMap<&str, u64>| of.get(code).copied().unwrap_or_default();
        (format!("refused: {code}"), count(&expected), count(&refusals))
    }));
    rows
}

/// The effects of the stored notifications.
fn applied(lines: &[Line], found: &Found, held: &HashMap<&str, Refund>) -> Vec<Row> {
    let Found { records, entries, balances, .. } = found;
    // The expected money is that of the content that each id was stored with. A stored refund that was never
    // sent is not expected, so the row differs.
    let sent: HashSet<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
    let expected_refunds = held.values().filter(|held| sent.contains(held));
    let expected: u64 = expected_refunds.clone().map(|refund| refund.amount).sum();
    let done = records.iter().filter(|record| record.status == Status::Done).count() as u64;
    let credited = found.credited();
    let balanced = balances.iter().filter(|(account, balance)| {
        credited.get(account.as_str()).copied().unwrap_or_default() == **balance
    });
    vec![
        ("applied (DONE)".into(), expected_refunds.count() as u64, done),
        ("entries written".into(), held.len() as u64, entries.len() as u64),
        ("refunded by balances, cents".into(), expected, balances.values().sum()),
        ("refunded by entries, cents".into(), expected, entries.iter().map(|entry| entry.amount).sum()),
        ("accounts in balance".into(), balances.len() as u64, balanced.count() as u64),
    ]
}

/// How long each notification that was not made to fail took until it was completed, sorted.
fn latencies(records: &[Record], from: impl Fn(&Record) -> Option<Timestamp>) -> Vec<SignedDuration> {
    let completed =
        |record: &Record| record.destinations.values().filter_map(|delivery| delivery.ended_at).max();
    let latency = |record: &Record| Some(completed(record)?.duration_since(from(record)?));
    let is_made_to_fail = |record: &Record| matches!(record.subject.as_deref(), Some(LATE | ABSENT));
    let mut latencies: Vec<_> =
        records.iter().filter(|record| !is_made_to_fail(record)).filter_map(latency).collect();
    latencies.sort_unstable();
    latencies
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut table = table(["outcome", "expected", "found", ""], [1, 2]);
        for (what, expected, found) in &self.rows {
            let verdict = if expected == found { "" } else { "DIFFERS" };
            table.add_row([what.as_str(), &grouped(*expected), &grouped(*found), verdict]);
        }
        writeln!(f, "{table}")?;
        write!(f, "{}", self.discrepancies)?;
        for (from, latencies) in [("sent", &self.from_send), ("accepted", &self.from_accept)] {
            if let [.., last] = &latencies[..] {
                let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share).round() as usize];
                let (p50, p99) = (at(0.5).as_millis(), at(0.99).as_millis());
                writeln!(f, "{from} to done: p50 {p50} ms, p99 {p99} ms, longest {} ms", last.as_millis())?;
            }
        }
        match self.agrees() {
            true => write!(f, "Every refund was applied once, and nothing else was."),
            false => write!(f, "The totals DIFFER: see the rows marked above."),
        }
    }
}

/// A table; these columns hold numbers.
pub fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    numbers: impl IntoIterator<Item = usize>,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
    for column in numbers {
        let column = table.column_mut(column).expect("the header has it");
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Formats a number with its digits grouped by thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discrepancies::tests::{applied, line, refund};

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_stored_content_that_was_never_sent_makes_the_summary_differ() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        let lines = refunds.each_ref().map(line);
        assert!(Summary::of(&lines, &applied(&refunds), vec![]).agrees());
        let other = [refund("r-1", 101), refund("r-2", 200)];
        assert!(!Summary::of(&lines, &applied(&other), vec![]).agrees());
    }

    #[test]
    fn a_summary_agrees_only_when_every_row_does() {
        let rows = vec![("stored".into(), 2, 2), ("refused".into(), 1, 0)];
        let discrepancies = Discrepancies::default();
        let summary = Summary { rows, discrepancies, from_send: vec![], from_accept: vec![] };
        assert!(!summary.agrees());
        assert!(summary.to_string().contains("DIFFERS"));
    }
}
