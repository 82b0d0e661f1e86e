//! What a list is of.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::problem::Problem;
use crate::code::Code;
use crate::notification::rfc3339;
use crate::record::{Delivery, FIRST_DUE_AFTER, Record, State};

/// How far back a list of what was accepted lately goes, if it does not say so, and at most.
const RECENT: SignedDuration = SignedDuration::from_mins(15);
const RECENT_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Which deliveries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those that are pending.
    Open,
    /// Those that have been pending for longer than it takes until reconcile looks for them.
    Late,
    /// Those that are dead.
    Dead,
    /// All of what was accepted lately.
    Recent,
}

/// What a list is of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selection {
    pub(super) wanted: Wanted,
    pub(super) destination: Option<String>,
    pub(super) r#type: Option<String>,
    /// It was accepted then, or later.
    pub(super) since: Timestamp,
    /// What is late was pending before.
    late_before: Timestamp,
}

impl Selection {
    /// Reads the parameters of a request, as of the time of its first page.
    pub(super) fn read(
        parameters: &BTreeMap<&'static str, String>,
        now: Timestamp,
    ) -> Result<Selection, Problem> {
        let wanted = match parameters.get("state").map(String::as_str) {
            Some("open") => Wanted::Open,
            Some("late") => Wanted::Late,
            Some("dead") => Wanted::Dead,
            Some("recent") => Wanted::Recent,
            _ => {
                return Err(invalid(
                    "`state` is none of `open`, `late`, `dead` and `recent`; send one of them",
                ));
            }
        };
        let since = match parameters.get("since") {
            Some(text) => Some(
                rfc3339::parse(text)
                    .ok_or_else(|| invalid("`since` is not a time of RFC 3339, like 2026-11-22T08:15:00Z"))?,
            ),
            None => None,
        };
        if wanted == Wanted::Recent
            && since.is_some_and(|since| since < now - RECENT_MAX - SignedDuration::from_hours(1))
        {
            return Err(invalid(
                "`since` is more than 30 days ago; a list of what was accepted goes back so far at most",
            ));
        }
        let since = match wanted {
            // Of a time to come there is nothing yet.
            Wanted::Recent => since.unwrap_or(now - RECENT).min(now),
            _ => since.unwrap_or(Timestamp::MIN),
        };
        Ok(Selection {
            wanted,
            destination: parameters.get("destination").cloned(),
            r#type: parameters.get("type").cloned(),
            since,
            late_before: now - FIRST_DUE_AFTER,
        })
    }

    /// Whether a delivery is in the state that is wanted.
    pub(super) fn wants(&self, record: &Record, delivery: &Delivery) -> bool {
        match self.wanted {
            Wanted::Open => delivery.state == State::Pending,
            Wanted::Late => delivery.state == State::Pending && record.since(delivery) < self.late_before,
            Wanted::Dead => delivery.state == State::Dead,
            Wanted::Recent => true,
        }
    }
}

/// The parameters, but for the cursor: a cursor is of one list.
pub(super) fn list_of(parameters: &BTreeMap<&'static str, String>) -> String {
    let others = parameters.iter().filter(|(name, _)| **name != "cursor");
    others.map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn invalid(detail: &str) -> Problem {
    Problem::new(Code::InvalidParameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::at;

    #[test]
    fn a_list_is_of_one_state_and_a_time_that_can_be_read() {
        let read = |parameters: &[(&'static str, &str)]| {
            let parameters = parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let now = at(0) + SignedDuration::from_hours(31 * 24);
            Selection::read(&parameters, now)
                .map(|selection| selection.since)
                .map_err(|problem| problem.code())
        };
        assert_eq!(read(&[("state", "open")]), Ok(Timestamp::MIN));
        assert_eq!(read(&[("state", "recent")]), Ok(at(0) + SignedDuration::from_hours(31 * 24) - RECENT));
        assert_eq!(read(&[("state", "dead"), ("since", "1970-01-01T00:00:00Z")]), Ok(at(0)));
        for invalid in [
            &[][..],
            &[("state", "DEAD")],
            &[("state", "open"), ("since", "yesterday")],
            &[("state", "recent"), ("since", "1970-01-01T00:00:00Z")],
        ] {
            assert_eq!(read(invalid), Err(Code::InvalidParameter), "{invalid:?}");
        }
        let last = [("state", "recent"), ("since", "9999-12-30T21:59:59Z")];
        assert_eq!(read(&last), Ok(at(0) + SignedDuration::from_hours(31 * 24)), "it is no later than now");
    }
}
