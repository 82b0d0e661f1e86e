//! Which refunds are not where they belong, by name.

use std::collections::{HashMap, HashSet};
use std::fmt;

use handover::record::{Record, Status};

use crate::generate::{Fate, Line, Refund};
use crate::world::Found;

/// Most that are named of a kind.
const NAMED_MAX: usize = 20;

/// Each by its id, its account, or its text, and with what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Astray {
    /// Sent, and neither applied nor refused with a reason.
    pub lost: Vec<String>,
    /// Applied more than once.
    pub twice: Vec<String>,
    /// There, though nobody sent it so.
    pub never_sent: Vec<String>,
}

impl Astray {
    /// Of these lines, in what was found.
    pub fn of(lines: &[Line], found: &Found) -> Astray {
        let mut astray = Astray::default();
        astray.look_for_refunds(lines, found);
        astray.look_for_refused(lines, found);
        astray.look_at_entries(found);
        astray.look_at_balances(found);
        astray
    }

    fn look_for_refunds(&mut self, lines: &[Line], found: &Found) {
        let sent: HashSet<&Refund> = lines.iter().filter_map(|line| line.refund.as_ref()).collect();
        let held = found.held();
        let entries: HashSet<&Refund> = found.entries.iter().collect();
        let records: HashMap<&str, &Record> = found.records.iter().map(|it| (it.id.as_str(), it)).collect();
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
                    self.lost.push(format!("{id}: DONE, and without its entry"));
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

    fn look_for_refused(&mut self, lines: &[Line], found: &Found) {
        let held = found.held();
        let is_refused = |line: &&Line| match (&line.refund, line.fate) {
            (_, Fate::Refused(_)) => true,
            // Of several contents under one id, the first to arrive is held.
            (Some(refund), Fate::Taken) => held.get(refund.id.as_str()).is_some_and(|held| held != refund),
            (None, Fate::Taken) => false,
        };
        let expected: HashSet<&str> = lines.iter().filter(is_refused).map(|it| it.text.as_str()).collect();
        let parked: HashSet<&str> = found.refused.iter().map(|(text, _)| text.as_str()).collect();
        let mut missing: Vec<&&str> = expected.difference(&parked).collect();
        missing.sort_unstable();
        self.lost.extend(missing.into_iter().map(|text| format!("not among the dead letters: {text}")));
        let strange = found.refused.iter().filter(|(text, _)| !expected.contains(text.as_str()));
        self.never_sent.extend(strange.map(|(text, reason)| format!("refused ({reason}): {text}")));
    }

    fn look_at_entries(&mut self, found: &Found) {
        let held = found.held();
        let mut seen = HashSet::new();
        for entry in &found.entries {
            if !seen.insert(&entry.id) {
                self.twice.push(format!("{}: more than one entry", entry.id));
            } else if held.get(entry.id.as_str()) != Some(entry) {
                self.never_sent.push(format!("{}: credited", entry.id));
            }
        }
    }

    /// An entry has the refund's id as its key, so that a second one would not show; the balance
    /// is what has grown twice.
    fn look_at_balances(&mut self, found: &Found) {
        let credited = found.credited();
        for (account, &balance) in &found.balances {
            let credited = credited.get(account.as_str()).copied().unwrap_or_default();
            let difference = balance.abs_diff(credited);
            let as_much = found.entries.iter().find(|it| it.account == *account && it.amount == difference);
            let as_much = as_much.map_or_else(String::new, |it| format!(", as much as {}", it.id));
            let named = |word| format!("{account}: {difference} cents {word} than its entries{as_much}");
            match balance.cmp(&credited) {
                std::cmp::Ordering::Equal => (),
                std::cmp::Ordering::Greater => self.twice.push(named("more")),
                std::cmp::Ordering::Less => self.lost.push(named("less")),
            }
        }
    }
}

impl fmt::Display for Astray {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let kinds =
            [("lost", &self.lost), ("twice", &self.twice), ("there, and never sent", &self.never_sent)];
        for (kind, named) in kinds {
            for it in named.iter().take(NAMED_MAX) {
                writeln!(to, "{kind}: {it}")?;
            }
            if named.len() > NAMED_MAX {
                writeln!(to, "{kind}: and {} more", named.len() - NAMED_MAX)?;
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
        Line::taken(event(refund), refund.clone())
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

    /// A stack where all of these are applied, once.
    pub(crate) fn applied(refunds: &[Refund]) -> Found {
        let balance = refunds.iter().map(|it| it.amount).sum();
        Found {
            records: refunds.iter().map(|it| record(it, Status::Done)).collect(),
            entries: refunds.to_vec(),
            balances: [("account-01".into(), balance)].into(),
            refused: vec![],
        }
    }

    #[test]
    fn nothing_is_astray_where_all_is_applied_once() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        assert_eq!(Astray::of(&refunds.each_ref().map(line), &applied(&refunds)), Astray::default());
    }

    #[test]
    fn what_is_lost_is_named_with_how_far_it_came() {
        let refunds = ["r-1", "r-2", "r-3", "r-4"].map(|id| refund(id, 100));
        let mut found = applied(&refunds);
        found.records.remove(0);
        found.records[0].status = Status::Dead;
        found.entries.drain(..3);
        found.balances.insert("account-01".into(), 100);
        let lost = ["r-1: not stored", "r-2: DEAD", "r-3: DONE, and without its entry"];
        assert_eq!(Astray::of(&refunds.each_ref().map(line), &found).lost, lost);
        found.balances.insert("account-01".into(), 0);
        let lost = Astray::of(&refunds.each_ref().map(line), &found).lost;
        assert_eq!(lost[3], "account-01: 100 cents less than its entries, as much as r-4");
    }

    #[test]
    fn what_is_applied_twice_is_named() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        let mut found = applied(&refunds);
        found.balances.insert("account-01".into(), 500);
        let twice = ["account-01: 200 cents more than its entries, as much as r-2"];
        assert_eq!(Astray::of(&refunds.each_ref().map(line), &found).twice, twice);
        found.entries.push(Refund { account: "account-02".into(), ..refund("r-1", 100) });
        assert_eq!(Astray::of(&refunds.each_ref().map(line), &found).twice[0], "r-1: more than one entry");
    }

    #[test]
    fn of_two_contents_the_other_one_has_to_be_refused() {
        let (one, other) = (refund("r-1", 100), refund("r-1", 101));
        let mut lines = vec![line(&one), line(&other)];
        lines.extend(refused(&refund("r-2", 1)).into_iter().take(1));
        let mut found = applied(std::slice::from_ref(&one));
        let missing = |text: &str| format!("not among the dead letters: {text}");
        assert_eq!(Astray::of(&lines, &found).lost, [&lines[2], &lines[1]].map(|it| missing(&it.text)));
        found.refused = lines.iter().map(|line| (line.text.clone(), "conflict: …".into())).collect();
        let astray = Astray::of(&lines, &found);
        assert_eq!(astray.lost, [""; 0]);
        assert_eq!(astray.never_sent, [format!("refused (conflict: …): {}", event(&one))]);
    }

    #[test]
    fn what_nobody_sent_is_named() {
        let refunds = [refund("r-1", 100), refund("r-2", 200)];
        let astray = Astray::of(&[line(&refunds[0])], &applied(&refunds));
        assert_eq!(astray.never_sent, ["r-2: stored"]);
    }
}
