//! What a run is given: a seed, the messages that are sent, and the faults that are injected.
//!
//! At first the faults are drawn from the seed. Those that were injected are recorded, so that the same
//! run can be given as a list, from which faults can be left out.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::faults::fault::Fault;
use crate::faults::injected::{InjectedFault, NotAPlan};
use crate::faults::rates::Faults;
use crate::faults::site::Call;

/// How long faults are injected, in milliseconds of virtual time.
pub const FAULTS_MS: u64 = 60_000;

/// What a run is given.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// The numbers, from 0, of the messages that are sent; `None` sends all of them.
    pub messages: Option<BTreeSet<usize>>,
    /// What goes wrong.
    pub faults: PlannedFaults,
}

/// What goes wrong in a run.
#[derive(Clone, Debug)]
pub enum PlannedFaults {
    /// Drawn from the seed, at these rates.
    Drawn(Faults),
    /// Exactly these.
    Listed(BTreeSet<InjectedFault>),
}

impl Plan {
    /// What this seed draws.
    pub fn drawn(seed: u64, faults: Faults) -> Plan {
        Plan { seed, messages: None, faults: PlannedFaults::Drawn(faults) }
    }

    /// With exactly these faults.
    pub fn listed(seed: u64, faults: impl IntoIterator<Item = InjectedFault>) -> Plan {
        Plan { seed, messages: None, faults: PlannedFaults::Listed(faults.into_iter().collect()) }
    }

    /// Whether the message with this number is to be sent.
    pub(crate) fn sends(&self, number: usize) -> bool {
        self.messages.as_ref().is_none_or(|numbers| numbers.contains(&number))
    }

    /// The fault of a call, if it has one.
    pub(crate) fn fault_of_call(&self, who: &str, call: &Call, elapsed_ms: u64) -> Option<Fault> {
        match &self.faults {
            PlannedFaults::Drawn(faults) => faults.of_call(call, self.seed, elapsed_ms),
            PlannedFaults::Listed(listed) => {
                let is_of_call = |listed: &&InjectedFault| {
                    listed.who == who
                        && listed.at == call.nth
                        && listed.fault.applies_to(&call.site, call.consistent)
                };
                listed.iter().find(is_of_call).map(|listed| listed.fault)
            }
        }
    }

    /// The fault of this kind that affects `who` at a certain point, or, without one, anywhere.
    pub(crate) fn fault_of(&self, who: &str, fault: Fault, at: Option<u64>) -> Option<InjectedFault> {
        match &self.faults {
            PlannedFaults::Drawn(faults) => faults.of(self.seed, who, fault, at),
            PlannedFaults::Listed(listed) => {
                let is_this = |listed: &&InjectedFault| {
                    listed.who == who && listed.fault == fault && at.is_none_or(|at| at == listed.at)
                };
                listed.iter().find(is_this).cloned()
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
        match &self.faults {
            PlannedFaults::Drawn(_) => Ok(()),
            PlannedFaults::Listed(listed) => {
                write!(to, " faults={}", list(listed.iter().map(InjectedFault::to_string).collect()))
            }
        }
    }
}

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
                    let numbers = list.split(',').filter(|part| !part.is_empty());
                    plan.messages = Some(numbers.map(str::parse).collect::<Result<_, _>>().map_err(not)?);
                }
                Some(("faults", list)) => {
                    let listed = list.split(',').filter(|part| !part.is_empty()).map(str::parse);
                    plan.faults = PlannedFaults::Listed(listed.collect::<Result<_, _>>()?);
                }
                _ => return Err(NotAPlan(word.into())),
            }
        }
        Ok(plan)
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
            "7 faults=",
            "7 messages=1 faults=refund#3/freeze/2/100,relay#1/lost-answer/0",
        ] {
            assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
        }
        for text in ["", "x", "7 faults=refund#3/sleep/1", "7 messages=a", "7 more"] {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
    }
}
