//! What became of the refunds, against what was to become of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use handover::record::{Record, Status};
use jiff::{SignedDuration, Timestamp};

use crate::generate::{ABSENT, ABSENT_REFUNDS, Fate, LATE, Line, Refund};
use crate::world::World;

/// Per outcome, and in money.
pub struct Summary {
    /// What, how many were to be, how many are.
    rows: Vec<(String, u64, u64)>,
    from_send: Vec<SignedDuration>,
    from_accept: Vec<SignedDuration>,
}

impl Summary {
    /// `died` are the records as they were when they were dead, before they were redriven.
    pub async fn of(lines: &[Line], died: Vec<Record>, world: &World) -> anyhow::Result<Summary> {
        let (records, entries, balances) =
            tokio::try_join!(world.records(), world.entries(), world.balances())?;
        let refused = world.take_refused().await?;

        let held: HashMap<&str, Refund> =
            records.iter().filter_map(|record| Some((record.id.as_str(), refund(record)?))).collect();
        let mut rows = outcomes(lines, &records, &refused, &held);

        // The expected money is that of the line which each id took; a stored refund that was
        // never sent shows up here as too little expected.
        let sent: Vec<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
        let taken = held.values().filter(|held| sent.contains(held));
        let expected: u64 = taken.clone().map(|refund| refund.amount).sum();
        let done = records.iter().filter(|record| record.status == Status::Done).count() as u64;
        rows.extend(attempts(&records, &died));
        rows.push(("applied (DONE)".into(), taken.count() as u64, done));
        rows.push(("entries written".into(), held.len() as u64, entries.len() as u64));
        rows.push(("refunded by balances, cents".into(), expected, balances.values().sum()));
        rows.push(("refunded by entries, cents".into(), expected, entries.iter().map(|it| it.amount).sum()));
        let mut by_account: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in &entries {
            *by_account.entry(&entry.account).or_default() += entry.amount;
        }
        let balanced = balances.iter().filter(|(account, balance)| {
            by_account.get(account.as_str()).copied().unwrap_or_default() == **balance
        });
        rows.push(("accounts in balance".into(), balances.len() as u64, balanced.count() as u64));
        let from_send = latencies(&records, |record| record.sent_at);
        let from_accept = latencies(&records, |record| Some(record.accepted_at));
        Ok(Summary { rows, from_send, from_accept })
    }

    /// Whether everything is as it was to be.
    pub fn agrees(&self) -> bool {
        self.rows.iter().all(|(_, sent, found)| sent == found)
    }
}

/// What failed, and how often.
fn attempts(records: &[Record], died: &[Record]) -> [(String, u64, u64); 3] {
    let of = |record: &Record| u64::from(record.destinations.values().map(|it| it.attempts).sum::<u32>());
    let late = records.iter().filter(|record| record.subject.as_deref() == Some(LATE));
    let late = late.filter(|record| of(record) >= 2 && record.status == Status::Done);
    let absent = u64::from(ABSENT_REFUNDS);
    let redriven =
        records.iter().filter(|record| record.subject.as_deref() == Some(ABSENT) && record.offers == 2);
    [
        ("failed twice or more, then done".into(), 1, late.count() as u64),
        ("attempts of those that died".into(), absent * 6, died.iter().map(of).sum()),
        ("dead, then redriven".into(), absent, redriven.count() as u64),
    ]
}

/// Per outcome the lines that were to have it, and those found.
fn outcomes(
    lines: &[Line],
    records: &[Record],
    refused: &[(String, String)],
    held: &HashMap<&str, Refund>,
) -> Vec<(String, u64, u64)> {
    let taken: Vec<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
    let mut ids: Vec<&str> = taken.iter().map(|refund| refund.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    // Queues keep no order, so either of two contents may come first; the other is refused.
    let conflicts =
        taken.iter().filter(|it| held.get(it.id.as_str()).is_some_and(|held| held != **it)).count();
    let duplicates = taken.len() - ids.len() - conflicts;

    let mut expected: BTreeMap<&str, u64> = BTreeMap::from([("conflict", conflicts as u64)]);
    for line in lines {
        if let Fate::Refused(code) = line.fate {
            *expected.entry(code).or_default() += 1;
        }
    }
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, reason) in refused {
        *found.entry(reason.split(':').next().unwrap_or_default()).or_default() += 1;
    }
    // A duplicate leaves no trace but that it is gone: neither stored nor refused.
    let gone = (lines.len() as u64).saturating_sub(records.len() as u64 + refused.len() as u64);
    let mut rows = vec![
        ("stored".to_owned(), ids.len() as u64, records.len() as u64),
        ("duplicate, dropped".to_owned(), duplicates as u64, gone),
    ];
    let codes: std::collections::BTreeSet<&str> = expected.keys().chain(found.keys()).copied().collect();
    rows.extend(codes.into_iter().map(|code| {
        let count = |of: &BTreeMap<&str, u64>| of.get(code).copied().unwrap_or_default();
        (format!("refused: {code}"), count(&expected), count(&found))
    }));
    rows
}

fn refund(record: &Record) -> Option<Refund> {
    let data: serde_json::Value = record.data.to().ok()?;
    let account = data.get("account")?.as_str()?.to_owned();
    Some(Refund { id: record.id.clone(), account, amount: data.get("amount")?.as_u64()? })
}

/// How long each that did not fail took from there to its end, sorted.
fn latencies(records: &[Record], from: impl Fn(&Record) -> Option<Timestamp>) -> Vec<SignedDuration> {
    let ended = |record: &Record| record.destinations.values().filter_map(|delivery| delivery.ended_at).max();
    let latency = |record: &Record| Some(ended(record)?.duration_since(from(record)?));
    let failed = |record: &Record| record.destinations.values().any(|delivery| !delivery.failures.is_empty());
    let mut latencies: Vec<_> = records.iter().filter(|record| !failed(record)).filter_map(latency).collect();
    latencies.sort_unstable();
    latencies
}

impl fmt::Display for Summary {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_header(["outcome", "sent", "found", ""]);
        for (what, sent, found) in &self.rows {
            let verdict = if sent == found { "" } else { "DIFFERS" };
            table.add_row([what.as_str(), &grouped(*sent), &grouped(*found), verdict]);
        }
        for column in [1, 2] {
            let column = table.column_mut(column).expect("there are four columns");
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(to, "{table}")?;
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

fn grouped(number: u64) -> String {
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

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_summary_agrees_only_when_every_row_does() {
        let rows = vec![("stored".into(), 2, 2), ("refused".into(), 1, 0)];
        let summary = Summary { rows, from_send: vec![], from_accept: vec![] };
        assert!(!summary.agrees());
        assert!(summary.to_string().contains("DIFFERS"));
    }
}
