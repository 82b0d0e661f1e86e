//! What is open and dead at each destination, counted from records.

use std::collections::BTreeMap;

use handover::record::{Record, RecordedFault, State};
use jiff::Timestamp;

/// The tally of each destination, by name.
pub type Tallies = BTreeMap<String, Tally>;

/// What is open and dead at a destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub open: usize,
    pub dead: usize,
    /// When the oldest open one was accepted.
    pub oldest_open: Option<Timestamp>,
    /// The last fault that an open one shows.
    pub fault: Option<RecordedFault>,
}

/// The tallies of one record.
pub fn tallies(record: &Record) -> Tallies {
    let of = record.destinations.iter().filter_map(|(name, delivery)| {
        let tally = match delivery.state {
            State::Pending => Tally {
                open: 1,
                dead: 0,
                oldest_open: Some(record.accepted_at),
                fault: delivery.present_fault().cloned(),
            },
            State::Dead => Tally { dead: 1, ..Tally::default() },
            _ => return None,
        };
        Some((name.clone(), tally))
    });
    of.collect()
}

/// The sum of tallies.
pub fn sum(all: impl IntoIterator<Item = Tallies>) -> Tallies {
    let mut sum = Tallies::new();
    for (name, Tally { open, dead, oldest_open, fault }) in all.into_iter().flatten() {
        let of = sum.entry(name).or_default();
        of.open += open;
        of.dead += dead;
        of.oldest_open = of.oldest_open.into_iter().chain(oldest_open).min();
        of.fault = of.fault.take().into_iter().chain(fault).max_by_key(|fault| fault.at);
    }
    sum
}

#[cfg(test)]
mod tests {
    use handover::{Draft, Routes};
    use jiff::SignedDuration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    /// A record that was accepted then, with these states at `a` and `b`, and faults at `a` since then.
    fn record(accepted: i64, states: [State; 2], fault: Option<i64>) -> Record {
        let routes: Routes = r#"{"t":{"kind":"event","destinations":["a","b"]}}"#.parse().unwrap();
        let event = Draft::event("t", "s", &1).build("1").unwrap();
        let mut record = Record::accept(event, &routes, at(accepted)).unwrap();
        for (delivery, state) in record.destinations.values_mut().zip(states) {
            delivery.state = state;
        }
        let fault =
            fault.map(|second| RecordedFault { since: at(0), at: at(second), error: format!("{second}") });
        record.destinations.get_mut("a").unwrap().fault = fault;
        record
    }

    #[test]
    fn each_destination_is_counted_by_itself() {
        let records = [
            record(30, [State::Pending, State::Done], Some(40)),
            record(20, [State::Pending, State::Dead], Some(60)),
            record(10, [State::Dead, State::Pending], Some(70)),
            record(50, [State::Pending, State::Closed], None),
        ];
        let sum = sum(records.iter().map(tallies));
        let fault = RecordedFault { since: at(0), at: at(60), error: "60".into() };
        let a = Tally { open: 3, dead: 1, oldest_open: Some(at(20)), fault: Some(fault) };
        let b = Tally { open: 1, dead: 1, oldest_open: Some(at(10)), fault: None };
        assert_eq!(sum, [("a".to_owned(), a), ("b".to_owned(), b)].into());
    }
}
