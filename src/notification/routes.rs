//! Which destinations a notification goes to, by its type.

mod parse;

use std::collections::{BTreeMap, BTreeSet};

use super::checked::Checked;
use super::kind::Kind;
use super::notification::{Notification, OUTCOME_SOURCE};
use super::refusal::Refusal;

/// Most destinations of one notification. Each has its part of the record, and the record has to fit an
/// item (tested by `the_largest_record_fits_an_item`).
pub const DESTINATIONS_MAX: usize = 10;
/// Longest name of a destination, in bytes.
pub const DESTINATION_BYTES_MAX: usize = 32;
/// Largest event of a route that sets no limit of its own, in bytes. Each write of a record costs a write unit for
/// every 1 KB of it.
pub const ROUTE_BYTES_MAX: usize = 64 * 1024;

/// Largest outcome, in bytes as encoded: ten destinations, each with a reason (tested by
/// `the_largest_outcome_is_within_its_limit`).
pub(crate) const OUTCOME_BYTES_MAX: usize = 16 * 1024;

/// The routes: for each type its kind and its destinations, of which it has at most [`DESTINATIONS_MAX`]. The name of a
/// destination has 1 to 32 characters of a-z, 0-9 and _, a letter first.
///
/// A **channel** is a type of entity, such as `account`. Its subscribers get every event of the channel, and it may have
/// none. The `partitionkey` of such an event is the channel's name, `/`, and the entity's id.
///
/// ```
/// let routes: handover::Routes = r#"{
///     "refund.requested": { "kind": "command", "destinations": ["refund"] },
///     "refund.credited":  { "kind": "event",   "destinations": ["receipt", "audit"], "sources": ["refunds"] },
///     "refund.disputed":  { "kind": "event",   "destinations": ["audit"], "max_bytes": 200000 },
///     "account":          { "kind": "channel", "destinations": ["audit", "search"], "sequenced": ["search"] },
///     "account.opened":   { "kind": "event",   "channel": "account" },
///     "account.changed":  { "kind": "event",   "channel": "account" }
/// }"#.parse()?;
/// # Ok::<(), handover::notification::BadRoutes>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes(BTreeMap<String, Route>);

/// Why routes cannot be used. Correct the configuration.
#[derive(Debug, thiserror::Error)]
#[error("routes: {0}")]
pub struct BadRoutes(String);

/// Where the notifications of one type go.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Route {
    /// The kind that notifications of this type must be of.
    pub kind: Kind,
    /// The channel that an event belongs to. It has the destinations of the channel, which may be none.
    pub channel: Option<String>,
    /// The destinations' names. A command has one: its owner.
    pub destinations: Vec<String>,
    /// The sources that may send this type; any source where it is left out, here and of the channel. An event comes from
    /// the service that owns what it tells of. What was accepted before is carried.
    pub sources: Option<BTreeSet<String>>,
    /// For sources of `sources`, the unique ids of the users and roles that may send this type from it to the queue,
    /// such as `AROAEXAMPLE7`: what CloudFormation calls `RoleId`. A role that is made anew has another one. Of a
    /// source that one route binds so, other types are taken from those senders, too: an id belongs to its source. From a
    /// source that no route binds, whoever may send to the queue may send. What is emitted, and what comes by an outbox,
    /// has no sender to check.
    pub senders: BTreeMap<String, BTreeSet<String>>,
    /// For sources of `sources`, the unique ids of the roles that forward this type from another stack. An id that begins
    /// with `emit:` is taken from them, and so are `causationid` and `correlationid`. Where `senders` binds the source, they
    /// may send it, too; alone they bind nothing.
    pub forwarders: BTreeMap<String, BTreeSet<String>>,
    /// The destinations that apply the notifications of a source and `partitionkey` in the order of their `sequence`,
    /// which is then required. Such a destination has to get every numbered notification, of any type: so events are
    /// sequenced by their channel, and a command by its owner.
    pub sequenced: Vec<String>,
    /// Largest event, in bytes, as encoded: in JSON without white space, all its attributes included. At most
    /// [`EVENT_BYTES_MAX`](super::EVENT_BYTES_MAX). What was accepted under another limit is carried nevertheless.
    pub max_bytes: usize,
}

/// A name is part of expressions, PartiQL statements and the wire; a plain one needs no quoting there.
pub(crate) fn is_destination(name: &str) -> bool {
    name.len() <= DESTINATION_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Whether its `partitionkey` is the channel's name, `/` and an id.
fn is_keyed_by(channel: &str, notification: &Notification) -> bool {
    let key = notification.partitionkey.as_deref().and_then(|key| key.split_once('/'));
    key.is_some_and(|(name, id)| name == channel && !id.is_empty())
}

impl Route {
    /// Who may send from a source, where `senders` binds it.
    fn senders_of(&self, source: &str) -> Option<impl Iterator<Item = &String>> {
        let senders = self.senders.get(source)?;
        Some(senders.iter().chain(self.forwarders.get(source).into_iter().flatten()))
    }
}

impl Routes {
    /// The names of all destinations.
    pub fn destinations(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|route| &route.destinations).map(String::as_str).collect()
    }

    /// Whether a destination gets notifications in sequence.
    pub fn is_sequenced(&self, destination: &str) -> bool {
        self.0.values().any(|route| route.sequenced.iter().any(|name| name == destination))
    }

    /// Whether a destination gets notifications of a type in sequence; `None` where it does not get them.
    pub(crate) fn has_in_sequence(&self, r#type: &str, destination: &str) -> Option<bool> {
        let is_it = |name: &String| name == destination;
        let route = self.0.get(r#type).filter(|route| route.destinations.iter().any(is_it))?;
        Some(route.sequenced.iter().any(is_it))
    }

    /// Whether a type goes to these destinations, and to no other, each with whether it gets them in sequence.
    pub(crate) fn lead_to<'a>(
        &self,
        r#type: &str,
        mut destinations: impl ExactSizeIterator<Item = (&'a str, bool)>,
    ) -> bool {
        let count = self.0.get(r#type).map_or(0, |route| route.destinations.len());
        count == destinations.len()
            && destinations.all(|(name, sequenced)| self.has_in_sequence(r#type, name) == Some(sequenced))
    }

    /// Reads an event as [`Checked::decode`] does. It may leave out its `kind`, which the route of its type says.
    ///
    /// # Errors
    /// The first reason found. The same bytes always give the same reason.
    pub fn decode(&self, bytes: &[u8]) -> Result<Checked, Refusal> {
        Checked::decode_by(bytes, None, |r#type| self.kind_of(r#type), |_| false)
    }

    /// Reads an event as somebody sent it, and checks who did: the unique id of a user or role, if it is known. An event
    /// without an id has the one of `id`, if there is one.
    ///
    /// # Errors
    /// As [`decode`](Routes::decode); and [`Refusal::ForeignSender`] where its route says who may send it from its source.
    pub fn decode_sent(
        &self,
        bytes: &[u8],
        sender: Option<&str>,
        id: Option<&str>,
    ) -> Result<Checked, Refusal> {
        let is_forwarded = |notification: &Notification| {
            let route = self.0.get(&notification.r#type);
            let forwarders = route.and_then(|route| route.forwarders.get(&notification.source));
            forwarders.zip(sender).is_some_and(|(forwarders, sender)| forwarders.contains(sender))
        };
        let notification = Checked::decode_by(bytes, id, |r#type| self.kind_of(r#type), is_forwarded)?;
        self.check_sender(&notification, sender)?;
        Ok(notification)
    }

    fn kind_of(&self, r#type: &str) -> Result<Kind, Refusal> {
        let route = self.0.get(r#type).ok_or_else(|| Refusal::UnknownType { name: r#type.to_owned() })?;
        Ok(route.kind)
    }

    /// The route of a notification.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`], [`Refusal::WrongKind`], [`Refusal::ForeignSource`] or [`Refusal::TooLargeForRoute`];
    /// [`Refusal::NotKeyed`] where it belongs to a channel; [`Refusal::NotNumbered`] where a destination takes it in
    /// sequence; [`Refusal::Outcome`] where it asks for an outcome that goes nowhere, and [`Refusal::NoOutcome`] where
    /// it goes nowhere itself.
    pub fn of(&self, notification: &Checked) -> Result<&Route, Refusal> {
        let name = || notification.r#type.clone();
        let bytes = notification.bytes();
        match self.0.get(&notification.r#type) {
            None => Err(Refusal::UnknownType { name: name() }),
            Some(route) if route.kind != notification.kind => {
                Err(Refusal::WrongKind { name: name(), expected: route.kind })
            }
            Some(Route { sources: Some(sources), .. }) if !sources.contains(&notification.source) => {
                Err(Refusal::ForeignSource { name: name() })
            }
            Some(route) if bytes > route.max_bytes => {
                Err(Refusal::TooLargeForRoute { name: name(), bytes, max: route.max_bytes })
            }
            Some(Route { channel: Some(channel), .. }) if !is_keyed_by(channel, notification) => {
                Err(Refusal::NotKeyed { name: name(), channel: channel.clone() })
            }
            Some(route) if !route.sequenced.is_empty() && notification.sequence.is_none() => {
                Err(Refusal::NotNumbered { name: name() })
            }
            Some(route) if route.destinations.is_empty() && notification.outcometo.is_some() => {
                Err(Refusal::NoOutcome { name: name() })
            }
            Some(route) => {
                self.of_outcome(notification)?;
                Ok(route)
            }
        }
    }

    fn check_sender(&self, notification: &Notification, sender: Option<&str>) -> Result<(), Refusal> {
        let source = &notification.source;
        let of_type = self.0.get(&notification.r#type).and_then(|route| route.senders_of(source));
        let is_sender = |id: &String| sender.is_some_and(|sender| sender == id);
        let mut of_source = self.0.values().filter_map(|route| route.senders_of(source)).peekable();
        let is_taken = match of_type {
            Some(mut senders) => senders.any(is_sender),
            // An id belongs to its source, whatever its type: nobody else may use up those of this one.
            None => of_source.peek().is_none() || of_source.any(|mut senders| senders.any(is_sender)),
        };
        match is_taken {
            true => Ok(()),
            false => {
                let (name, sender) = (notification.r#type.clone(), sender.map(str::to_owned));
                Err(Refusal::ForeignSender { name, sender })
            }
        }
    }

    /// The destinations of the outcome that a notification asks for; none if it asks for none.
    ///
    /// # Errors
    /// [`Refusal::Outcome`].
    pub(crate) fn of_outcome(&self, notification: &Notification) -> Result<&[String], Refusal> {
        let Some(name) = &notification.outcometo else { return Ok(&[]) };
        let problem = match self.0.get(name) {
            None => "no route takes",
            Some(route) if route.kind != Kind::Event => "is routed as a command",
            // Otherwise anybody could tell an outcome.
            Some(route)
                if !route.sources.as_ref().is_some_and(|sources| sources.contains(OUTCOME_SOURCE)) =>
            {
                "does not have the source `handover` in its `sources`"
            }
            Some(Route { channel: Some(_), .. }) => "belongs to a channel; give it destinations of its own",
            Some(route) if route.max_bytes < OUTCOME_BYTES_MAX => "has less than 16384 as its `max_bytes`",
            Some(route) => return Ok(&route.destinations),
        };
        Err(Refusal::Outcome { name: name.clone(), problem })
    }
}

#[cfg(test)]
mod tests;
