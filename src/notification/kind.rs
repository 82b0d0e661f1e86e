//! Whether a notification is a command or an event.

use serde::{Deserialize, Serialize};

/// Whether a notification asks for something or states a fact.
///
/// A stored kind that a function does not know makes the record unreadable to it. A release with a new kind has
/// to be deployed to every function before the first notification of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Asks its one owner to do something. The owner may reject it.
    Command,
    /// States a fact. No destination may reject it.
    Event,
}

impl Kind {
    /// The kind as it is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Command => "command",
            Kind::Event => "event",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_wherever_it_is_written() {
        for kind in [Kind::Command, Kind::Event] {
            assert_eq!(kind.to_string(), kind.as_str());
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
