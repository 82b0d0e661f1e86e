//! The refunds that are lost, applied twice or unexpected, by name.

use std::collections::{HashMap, HashSet};
use std::fmt;

use handover::record::{Record, Status};

use crate::generate::{ExpectedOutcome, Line, Refund};
use crate::stack::Found;

/// Most names of a kind that are shown.
const NAMED_MAX: usize = 20;

/// Each is named by its id, its account or its text, with what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discrepancies {
    /// Sent, but neither applied nor refused with a reason.
    pub lost: Vec<String>,
    /// Applied more than once.
    pub applied_twice: Vec<String>,
    /// Found, but never sent with this content.
    pub never_sent: Vec<String>,
}

impl Discrepancies {
    /// Compares what was found with these lines.
    pub fn find(lines: &[Line], found: &Found) -> Discrepancies {
        let mut discrepancies = Discrepancies::default();
        discrepancies.check_records(lines, found);
        discrepancies.check_refusals(lines, found);
        discrepancies.check_entries(found);
        discrepancies.check_balances(found);
        discrepancies
    }

    fn check_records(&mut self, lines: &[Line], found: &Found) {
        let sent: HashSet<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
        let held = found.held();
        let entries: HashSet<&Refund> = found.entries.iter().collect();
        let records: HashMap<&str, &Record> =
            found.records.iter().map(|record| (record.id.as_str(), record)).collect();
        let mut ids: Vec<&str> = sent.iter().map(|refund| refund.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            match records.get(id) {
                None => self.lost.push(format!("{id}: not stored")),
                Some(record) if record.status != Status::Done => {
                    self.lost.push(format!("{id}: {}", record.status.as_str()));
                }
                Some(_) if !held.get(id).is_some_and(|refund| entries.contains(refund)) => {
                    self.lost.push(format!("{id}: DONE, but has no entry"));
                }
                Some(_) => (),
            }
        }
        for record in &found.records {
            if !held.get(record.id.as_str()).is_some_and(|refund| sent.contains(refund)) {
                self.never_sent.push(format!("{}: stored", record.id));
            }
        }
    }

    fn check_refusals(&mut self, lines: &[Line], found: &Found) {
        let held = found.held();
        let is_refused = |line: &&Line| match (&line.refund, line.expected) {
            (_, ExpectedOutcome::Refused(_)) => true,
            // Of several contents with one id, the first to arrive is stored and the others are refused.
            (Some(refund), ExpectedOutcome::Valid) => {
                held.get(refund.id.as_str()).is_some_and(|held| held != refund)
            }
            (None, ExpectedOutcome::Valid) => false,
        };
        let expected: HashSet<&str> =
            lines.iter().filter(is_refused).map(|line| line.text.as_str()).collect();
        let dead_letters: HashSet<&str> = found.refused.iter().map(|(text, _)| text.as_str()).collect();
        let mut missing: Vec<&&str> = expected.difference(&dead_letters).collect();
        missing.sort_unstable();
        self.lost.extend(missing.into_iter().map(|text| format!("not among the dead letters: {text}")));
        let unexpected = found.refused.iter().filter(|(text, _)| !expected.contains(text.as_str()));
        self.never_sent.extend(unexpected.map(|(text, reason)| format!("refused ({reason}): {text}")));
    }

    fn check_entries(&mut self, found: &Found) {
        let held = found.held();
        let mut seen = HashSet::new();
        for entry in &found.entries {
            if !seen.insert(&entry.id) {
                self.applied_twice.push(format!("{}: more than one entry", entry.id));
            } else if held.get(entry.id.as_str()) != Some(entry) {
                self.never_sent.push(format!("{}: credited", entry.id));
            }
        }
    }

    /// An entry's key is the refund's id, so a second credit leaves no second entry. It shows in the balance.
    fn check_balances(&mut self, found: &Found) {
        let credited = found.credited();
        for (account, &balance) in &found.balances {
            let credited = credited.get(account.as_str()).copied().unwrap_or_default();
            let difference = balance.abs_diff(credited);
            let entry =
                found.entries.iter().find(|entry| entry.account == *account && entry.amount == difference);
            let suspect = entry.map_or_else(String::new, |entry| format!(", as much as {}", entry.id));
            let named = |word| format!("{account}: {difference} cents {word} than its entries{suspect}");
            match balance.cmp(&credited) {
                std::cmp::Ordering::Equal => (),
                std::cmp::Ordering::Greater => self.applied_twice.push(named("more")),
                std::cmp::Ordering::Less => self.lost.push(named("less")),
            }
        }
    }
}

impl fmt::Display for Discrepancies {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kinds = [
            ("lost", &self.lost),
            ("applied twice", &self.applied_twice),
            ("found, but never sent", &self.never_sent),
        ];
        for (kind, named) in kinds {
            for name in named.iter().take(NAMED_MAX) {
                writeln!(f, "{kind}: {name}")?;
            }
            if named.len() > NAMED_MAX {
                writeln!(f, "{kind}: and {} more", named.len() - NAMED_MAX)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::generate::{event, refused};
    use handover::{Draft, Routes};
    use jiff::Timestamp;
    use serde_json::json;

    pub(crate) fn refund(id: &str, amount: u64) -> Refund {
        Refund { id: id.into(), account: "account-01".into(), amount }
    }

    pub(crate) fn line(refund: &Refund) -> Line {
        Line::valid(event(refund), refund.clone())
    }

    fn record(refund: &Refund, status: Status) -> Record {
        let routes: Routes =
            r#"{"refund.requested":{"kind":"command","destinations":["refund"]}}"#.parse().unwrap();
        let data = json!({ "account": refund.account, "amount": refund.amount });
        let draft = Draft::command("refund.requested", "orders", &data).build(&refund.id).unwrap();
        let mut record = Record::accept(draft, &routes, Timestamp::UNIX_EPOCH).unwrap();
        record.status = status;
        record
    }

    /// A stack where each of these is applied once.
    pub(crate) fn applied(refunds: &[Refund]) -> Found {
        let balance = refunds.iter().map(|refund| refund.amount).sum();
        Found {
            records: refunds.iter().map(|refund| record(refund, Status::Done)).collect(),
            entries: refunds.to_vec(),
            balances: [("account-01".into(), balance)].into(),
            refused: vec![],
        }
    }

    #[test]
    fn no_discrepancy_if_each_refund_is_applied_once() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        assert_eq!(
            Discrepancies::find(&refunds.each_ref().map(line), &applied(&refunds)),
            Discrepancies::default()
        );
    }

    #[test]
    fn a_lost_refund_is_named_with_how_far_it_came() {
        let refunds = ["r-1", "r-2", "r-3", "r-4"].map(|id| refund(id, 100));
        let mut found = applied(&refunds);
        found.records.remove(0);
        found.records[0].status = Status::Dead;
        found.entries.drain(..3);
        found.balances.insert("account-01".into(), 100);
        let lost = ["r-1: not stored", "r-2: DEAD", "r-3: DONE, but has no entry"];
        assert_eq!(Discrepancies::find(&refunds.each_ref().map(line), &found).lost, lost);
        found.balances.insert("account-01".into(), 0);
        let lost = Discrepancies::find(&refunds.each_ref().map(line), &found).lost;
        assert_eq!(lost[3], "account-01: 100 cents less than its entries, as much as r-4");
    }

    #[test]
    fn a_refund_applied_twice_is_named() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        let mut found = applied(&refunds);
        found.balances.insert("account-01".into(), 500);
        let applied_twice = ["account-01: 200 cents more than its entries, as much as r-2"];
        assert_eq!(Discrepancies::find(&refunds.each_ref().map(line), &found).applied_twice, applied_twice);
        found.entries.push(Refund { account: "account-02".into(), ..refund("r-1", 100) });
        assert_eq!(
            Discrepancies::find(&refunds.each_ref().map(line), &found).applied_twice[0],
            "r-1: more than one entry"
        );
    }

    #[test]
    fn of_two_contents_with_one_id_the_other_must_be_refused() {
        let (one, other) = (refund("r-1", 100), refund("r-1", 101));
        let mut lines = vec![line(&one), line(&other)];
        lines.extend(refused(&refund("r-2", 1)).into_iter().take(1));
        let mut found = applied(std::slice::from_ref(&one));
        let missing = |text: &str| format!("not among the dead letters: {text}");
        assert_eq!(
            Discrepancies::find(&lines, &found).lost,
            [&lines[2], &lines[1]].map(|line| missing(&line.text))
        );
        found.refused = lines.iter().map(|line| (line.text.clone(), "conflict: …".into())).collect();
        let discrepancies = Discrepancies::find(&lines, &found);
        assert_eq!(discrepancies.lost, [""; 0]);
        assert_eq!(discrepancies.never_sent, [format!("refused (conflict: …): {}", event(&one))]);
    }

    #[test]
    fn a_refund_that_was_never_sent_is_named() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        let discrepancies = Discrepancies::find(&[line(&refunds[0])], &applied(&refunds));
        assert_eq!(discrepancies.never_sent, ["r-2: stored"]);
    }
}
