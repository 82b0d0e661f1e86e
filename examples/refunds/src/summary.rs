//! What became of the refunds, against what was to become of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use handover::record::{Record, Status};
use jiff::{SignedDuration, Timestamp};

use crate::astray::Astray;
use crate::generate::{ABSENT, Fate, LATE, Line, Refund};
use crate::world::Found;

/// What, how many were to be, how many are.
pub type Row = (String, u64, u64);

/// Per outcome, and in money.
pub struct Summary {
    rows: Vec<Row>,
    astray: Astray,
    from_send: Vec<SignedDuration>,
    from_accept: Vec<SignedDuration>,
}

impl Summary {
    /// What these lines have come to; `more` rows stand between the refused and the applied.
    pub fn of(lines: &[Line], found: &Found, more: Vec<Row>) -> Summary {
        let held = found.held();
        let mut rows = outcomes(lines, found, &held);
        rows.extend(more);
        rows.extend(applied(lines, found, &held));
        let astray = Astray::of(lines, found);
        rows.push(("lost".into(), 0, astray.lost.len() as u64));
        rows.push(("applied twice".into(), 0, astray.twice.len() as u64));
        rows.push(("there, and never sent".into(), 0, astray.never_sent.len() as u64));
        let from_send = latencies(&found.records, |record| record.sent_at);
        let from_accept = latencies(&found.records, |record| Some(record.accepted_at));
        Summary { rows, astray, from_send, from_accept }
    }

    /// Whether everything is as it was to be.
    pub fn agrees(&self) -> bool {
        self.rows.iter().all(|(_, sent, found)| sent == found)
    }
}

/// Per outcome the lines that were to have it, and those found.
fn outcomes(lines: &[Line], found: &Found, held: &HashMap<&str, Refund>) -> Vec<Row> {
    let Found { records, refused, .. } = found;
    let taken: Vec<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
    let mut ids: Vec<&str> = taken.iter().map(|refund| refund.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    // Queues keep no order, so either of two contents may come first; the other is refused.
    let conflicts =
        taken.iter().filter(|it| held.get(it.id.as_str()).is_some_and(|held| held != **it)).count();
    // What was never sent so makes conflicts of all lines of its id.
    let duplicates = taken.len().saturating_sub(ids.len() + conflicts);

    let mut expected: BTreeMap<&str, u64> = BTreeMap::from([("conflict", conflicts as u64)]);
    for line in lines {
        if let Fate::Refused(code) = line.fate {
            *expected.entry(code).or_default() += 1;
        }
    }
    let mut parked: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, reason) in refused {
        *parked.entry(reason.split(':').next().unwrap_or_default()).or_default() += 1;
    }
    // A duplicate leaves no trace but that it is gone: neither stored nor refused.
    let gone = (lines.len() as u64).saturating_sub(records.len() as u64 + refused.len() as u64);
    let mut rows = vec![
        ("stored".to_owned(), ids.len() as u64, records.len() as u64),
        ("duplicate, dropped".to_owned(), duplicates as u64, gone),
    ];
    let codes: BTreeSet<&str> = expected.keys().chain(parked.keys()).copied().collect();
    rows.extend(codes.into_iter().map(|code| {
        let count = |of: &BTreeMap<&str, u64>| of.get(code).copied().unwrap_or_default();
        (format!("refused: {code}"), count(&expected), count(&parked))
    }));
    rows
}

/// The effects of what was stored.
fn applied(lines: &[Line], found: &Found, held: &HashMap<&str, Refund>) -> Vec<Row> {
    let Found { records, entries, balances, .. } = found;
    // The expected money is that of the line which each id took; a stored refund that was
    // never sent shows up here as too little expected.
    let sent: HashSet<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
    let taken = held.values().filter(|held| sent.contains(held));
    let expected: u64 = taken.clone().map(|refund| refund.amount).sum();
    let done = records.iter().filter(|record| record.status == Status::Done).count() as u64;
    let credited = found.credited();
    let balanced = balances.iter().filter(|(account, balance)| {
        credited.get(account.as_str()).copied().unwrap_or_default() == **balance
    });
    vec![
        ("applied (DONE)".into(), taken.count() as u64, done),
        ("entries written".into(), held.len() as u64, entries.len() as u64),
        ("refunded by balances, cents".into(), expected, balances.values().sum()),
        ("refunded by entries, cents".into(), expected, entries.iter().map(|it| it.amount).sum()),
        ("accounts in balance".into(), balances.len() as u64, balanced.count() as u64),
    ]
}

/// How long each that was not to fail took from there to its end, sorted.
fn latencies(records: &[Record], from: impl Fn(&Record) -> Option<Timestamp>) -> Vec<SignedDuration> {
    let ended = |record: &Record| record.destinations.values().filter_map(|delivery| delivery.ended_at).max();
    let latency = |record: &Record| Some(ended(record)?.duration_since(from(record)?));
    let was_to_fail = |record: &Record| matches!(record.subject.as_deref(), Some(LATE | ABSENT));
    let mut latencies: Vec<_> = records.iter().filter(|it| !was_to_fail(it)).filter_map(latency).collect();
    latencies.sort_unstable();
    latencies
}

impl fmt::Display for Summary {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let mut table = table(["outcome", "sent", "found", ""], [1, 2]);
        for (what, sent, found) in &self.rows {
            let verdict = if sent == found { "" } else { "DIFFERS" };
            table.add_row([what.as_str(), &grouped(*sent), &grouped(*found), verdict]);
        }
        writeln!(to, "{table}")?;
        write!(to, "{}", self.astray)?;
        for (from, latencies) in [("sent", &self.from_send), ("accepted", &self.from_accept)] {
            if let [.., last] = &latencies[..] {
                let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share).round() as usize];
                let (p50, p99) = (at(0.5).as_millis(), at(0.99).as_millis());
                writeln!(to, "{from} to done: p50 {p50} ms, p99 {p99} ms, longest {} ms", last.as_millis())?;
            }
        }
        match self.agrees() {
            true => write!(to, "Every refund was applied once, and nothing else was."),
            false => write!(to, "The totals DIFFER: see the rows marked above."),
        }
    }
}

/// A table, with numbers in these columns.
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

/// By thousands.
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
    use crate::astray::tests::{applied, line, refund};

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn other_contents_than_were_sent_are_told_and_not_counted_wrong() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        let lines = refunds.each_ref().map(line);
        assert!(Summary::of(&lines, &applied(&refunds), vec![]).agrees());
        let other = [refund("r-1", 101), refund("r-2", 200)];
        assert!(!Summary::of(&lines, &applied(&other), vec![]).agrees());
    }

    #[test]
    fn a_summary_agrees_only_when_every_row_does() {
        let rows = vec![("stored".into(), 2, 2), ("refused".into(), 1, 0)];
        let summary = Summary { rows, astray: Astray::default(), from_send: vec![], from_accept: vec![] };
        assert!(!summary.agrees());
        assert!(summary.to_string().contains("DIFFERS"));
    }
}
