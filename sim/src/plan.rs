//! What a run is given: a seed, the messages that are sent, and what strikes.
//!
//! A plan is drawn at first, from its seed. What struck is written down, so that the same run can be
//! given as a list, from which things can be left out.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::fault::{Call, Fault, Faults};

/// What a run is given.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// The places, from 0, of the messages that are sent; all of them, if `None`.
    pub messages: Option<BTreeSet<usize>>,
    /// What goes wrong.
    pub strikes: Strikes,
}

/// What goes wrong in a run.
#[derive(Clone, Debug)]
pub enum Strikes {
    /// Drawn from the seed, so often.
    Drawn(Faults),
    /// Just these.
    Listed(BTreeSet<Strike>),
}

/// One thing that goes wrong, at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strike {
    /// Whom it strikes: an invocation, as in `refund#3`, a function or its mappings, by name, or a
    /// message, as in `message-2`.
    pub who: String,
    /// What.
    pub fault: Fault,
    /// Where: the number of a call (from 0) or of a poll (from 1), a time of the run in milliseconds,
    /// how far a shard was read, or how often a message was received.
    pub at: u64,
    /// For how many milliseconds.
    pub for_ms: u64,
}

impl Plan {
    /// What this seed draws.
    pub fn drawn(seed: u64, faults: Faults) -> Plan {
        Plan { seed, messages: None, strikes: Strikes::Drawn(faults) }
    }

    /// With just these strikes.
    pub fn listed(seed: u64, strikes: impl IntoIterator<Item = Strike>) -> Plan {
        Plan { seed, messages: None, strikes: Strikes::Listed(strikes.into_iter().collect()) }
    }

    /// Whether the message at this place is to be sent.
    pub(crate) fn sends(&self, at: usize) -> bool {
        self.messages.as_ref().is_none_or(|it| it.contains(&at))
    }

    /// The fault that a call meets, if any.
    pub(crate) fn of_call(&self, who: &str, call: &Call, elapsed_ms: u64) -> Option<Fault> {
        match &self.strikes {
            Strikes::Drawn(faults) => faults.of_call(call, self.seed, elapsed_ms),
            Strikes::Listed(strikes) => {
                let is_it = |it: &&Strike| {
                    it.who == who && it.at == call.nth && it.fault.meets(&call.site, call.consistent)
                };
                strikes.iter().find(is_it).map(|it| it.fault)
            }
        }
    }

    /// The fault of this kind that strikes somebody, at a certain place or anywhere, if any.
    pub(crate) fn strike(&self, who: &str, fault: Fault, at: Option<u64>) -> Option<Strike> {
        match &self.strikes {
            Strikes::Drawn(faults) => faults.strike(self.seed, who, fault, at),
            Strikes::Listed(strikes) => {
                let is_it =
                    |it: &&Strike| it.who == who && it.fault == fault && at.is_none_or(|at| at == it.at);
                strikes.iter().find(is_it).cloned()
            }
        }
    }
}

impl fmt::Display for Plan {
    /// As [`Plan::from_str`] reads it. Faults that are drawn are taken to be the usual ones.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let list = |items: Vec<String>| items.join(",");
        write!(to, "{}", self.seed)?;
        if let Some(messages) = &self.messages {
            write!(to, " messages={}", list(messages.iter().map(usize::to_string).collect()))?;
        }
        match &self.strikes {
            Strikes::Drawn(_) => Ok(()),
            Strikes::Listed(strikes) => {
                write!(to, " strikes={}", list(strikes.iter().map(Strike::to_string).collect()))
            }
        }
    }
}

/// A text that is not a plan.
#[derive(Debug, PartialEq)]
pub struct NotAPlan(String);

impl fmt::Display for NotAPlan {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(
            to,
            "`{}` is not part of a plan; it is a seed, then messages= and strikes= as a failure printed them",
            self.0
        )
    }
}

impl std::error::Error for NotAPlan {}

impl FromStr for Plan {
    type Err = NotAPlan;

    fn from_str(text: &str) -> Result<Plan, NotAPlan> {
        let mut words = text.split_whitespace();
        let seed = words.next().unwrap_or_default();
        let seed = seed.parse().map_err(|_| NotAPlan(seed.into()))?;
        let mut plan = Plan::drawn(seed, Faults::USUAL);
        for word in words {
            let not = |_| NotAPlan(word.into());
            match word.split_once('=') {
                Some(("messages", list)) => {
                    let places = list.split(',').filter(|it| !it.is_empty());
                    plan.messages = Some(places.map(str::parse).collect::<Result<_, _>>().map_err(not)?);
                }
                Some(("strikes", list)) => {
                    let strikes = list.split(',').filter(|it| !it.is_empty()).map(str::parse);
                    plan.strikes = Strikes::Listed(strikes.collect::<Result<_, _>>()?);
                }
                _ => return Err(NotAPlan(word.into())),
            }
        }
        Ok(plan)
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}/{}/{}", self.who, self.fault, self.at)?;
        if self.for_ms > 0 { write!(to, "/{}", self.for_ms) } else { Ok(()) }
    }
}

impl FromStr for Strike {
    type Err = NotAPlan;

    fn from_str(text: &str) -> Result<Strike, NotAPlan> {
        let not = || NotAPlan(text.into());
        let parts: Vec<&str> = text.split('/').collect();
        let (who, fault, at, for_ms) = match parts[..] {
            [who, fault, at] => (who, fault, at, "0"),
            [who, fault, at, for_ms] => (who, fault, at, for_ms),
            _ => return Err(not()),
        };
        let fault = Fault::ALL.into_iter().find(|it| it.as_str() == fault).ok_or_else(not)?;
        let number = |text: &str| text.parse().map_err(|_| not());
        Ok(Strike { who: who.into(), fault, at: number(at)?, for_ms: number(for_ms)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_what_it_writes() {
        for text in [
            "7",
            "7 messages=0,2",
            "7 strikes=",
            "7 messages=1 strikes=refund#3/freeze/2/100,relay#1/lost-answer/0",
        ] {
            assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
        }
        for text in ["", "x", "7 strikes=refund#3/sleep/1", "7 messages=a", "7 more"] {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
    }
}
