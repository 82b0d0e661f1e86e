//! One fault at one injection point, and its text in a plan.

use std::fmt;
use std::str::FromStr;

use crate::faults::fault::Fault;

/// A fault at the one point where it is, or could be, injected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InjectedFault {
    /// What it affects: an invocation, as in `refund#3`; a function or its mappings, by name; or a
    /// message, as in `message-2`.
    pub who: String,
    /// Its kind.
    pub fault: Fault,
    /// Where: the number of a call (from 0) or of a poll (from 1), a time of the run in milliseconds, how
    /// many records of a shard were read, or how many times a message was received.
    pub at: u64,
    /// How long it lasts, in milliseconds.
    pub for_ms: u64,
}

impl InjectedFault {
    /// A fault that lasts no time.
    pub(crate) fn at(who: &str, fault: Fault, at: u64) -> InjectedFault {
        InjectedFault { who: who.to_owned(), fault, at, for_ms: 0 }
    }

    /// The same fault, for this long.
    pub(crate) fn lasting(self, for_ms: u64) -> InjectedFault {
        InjectedFault { for_ms, ..self }
    }
}

impl fmt::Display for InjectedFault {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}/{}/{}", self.who, self.fault, self.at)?;
        if self.for_ms > 0 { write!(to, "/{}", self.for_ms) } else { Ok(()) }
    }
}

impl FromStr for InjectedFault {
    type Err = NotAPlan;

    fn from_str(text: &str) -> Result<InjectedFault, NotAPlan> {
        let not = || NotAPlan(text.into());
        let parts: Vec<&str> = text.split('/').collect();
        let (who, fault, at, for_ms) = match parts[..] {
            [who, fault, at] => (who, fault, at, "0"),
            [who, fault, at, for_ms] => (who, fault, at, for_ms),
            _ => return Err(not()),
        };
        let fault = Fault::ALL.into_iter().find(|known| known.as_str() == fault).ok_or_else(not)?;
        let number = |text: &str| text.parse().map_err(|_| not());
        Ok(InjectedFault { who: who.into(), fault, at: number(at)?, for_ms: number(for_ms)? })
    }
}

/// A text that is not a plan.
#[derive(Debug, PartialEq)]
pub struct NotAPlan(pub(crate) String);

impl fmt::Display for NotAPlan {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(
            to,
            "`{}` is not part of a plan; a plan is a seed, then messages= and faults= as a failure printed them",
            self.0
        )
    }
}

impl std::error::Error for NotAPlan {}
