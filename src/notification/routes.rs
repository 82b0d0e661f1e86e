//! Which destinations a notification goes to, by its type.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::checked::{Checked, EVENT_BYTES_MAX};
use super::kind::Kind;
use super::notification::{Notification, OUTCOME_SOURCE, SOURCE_BYTES_MAX, visible};
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
/// ```
/// let routes: handover::Routes = r#"{
///     "refund.requested": { "kind": "command", "destinations": ["refund"] },
///     "refund.credited":  { "kind": "event",   "destinations": ["receipt", "audit"], "sources": ["refunds"] },
///     "refund.disputed":  { "kind": "event",   "destinations": ["audit"], "max_bytes": 200000 }
/// }"#.parse()?;
/// # Ok::<(), handover::notification::BadRoutes>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes(BTreeMap<String, Route>);

/// Where the notifications of one type go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The kind that notifications of this type must be of.
    pub kind: Kind,
    /// The destinations' names. A command has one: its owner.
    pub destinations: Vec<String>,
    /// The sources that may send this type; any source where it is left out. An event comes from the service that owns
    /// what it tells of. What was accepted before is carried.
    #[serde(default)]
    pub sources: Option<BTreeSet<String>>,
    /// For sources of `sources`, the unique ids of the users and roles that may send this type from it to the queue,
    /// such as `AROAEXAMPLE7`: what CloudFormation calls `RoleId`. A role that is made anew has another one. Of a
    /// source that one route binds so, other types are taken from those senders, too: an id belongs to its source. From a
    /// source that no route binds, whoever may send to the queue may send. What is emitted, and what comes by an outbox,
    /// has no sender to check.
    #[serde(default)]
    pub senders: BTreeMap<String, BTreeSet<String>>,
    /// The destinations that apply the notifications of a source and `partitionkey` in the order of their
    /// `sequence`, which is then required. Such a destination has to get every numbered notification, of
    /// any type.
    #[serde(default)]
    pub sequenced: Vec<String>,
    /// Largest event, in bytes, as encoded: in JSON without white space, all its attributes included. At most
    /// [`EVENT_BYTES_MAX`]. What was accepted under another limit is carried nevertheless.
    #[serde(default = "route_bytes_max")]
    pub max_bytes: usize,
}

fn route_bytes_max() -> usize {
    ROUTE_BYTES_MAX
}

/// Why routes cannot be used. Correct the configuration.
#[derive(Debug, thiserror::Error)]
#[error("routes: {0}")]
pub struct BadRoutes(String);

impl std::str::FromStr for Routes {
    type Err = BadRoutes;

    fn from_str(text: &str) -> Result<Self, BadRoutes> {
        let routes: BTreeMap<String, Route> =
            serde_json::from_str(text).map_err(|error| BadRoutes(error.to_string()))?;
        routes.iter().try_for_each(|(name, route)| check(name, route))?;
        Ok(Routes(routes))
    }
}

fn check(name: &str, route: &Route) -> Result<(), BadRoutes> {
    let bad = |problem: &str| Err(BadRoutes(format!("`{name}` {problem}")));
    let distinct: BTreeSet<_> = route.destinations.iter().collect();
    match (route.kind, route.destinations.len()) {
        (_, 0) => return bad("has no destination; name at least one"),
        (_, many) if many > DESTINATIONS_MAX => {
            return bad("has more than 10 destinations; chain events instead");
        }
        (Kind::Command, many) if many > 1 => {
            return bad("is a command and has one owner; name one destination");
        }
        (_, many) if many > distinct.len() => return bad("names a destination twice"),
        _ => (),
    }
    if !(1..=EVENT_BYTES_MAX).contains(&route.max_bytes) {
        return bad(&format!("has {} as `max_bytes`; choose 1 to {EVENT_BYTES_MAX}", route.max_bytes));
    }
    let is_source = |source: &&String| visible("source", source, SOURCE_BYTES_MAX).is_ok();
    if let Some(source) = route.sources.iter().flatten().find(|source| !is_source(source)) {
        return bad(&format!(
            "has the source `{source}`; a source has 1 to {SOURCE_BYTES_MAX} visible ASCII characters"
        ));
    }
    if route.sources.as_ref().is_some_and(BTreeSet::is_empty) {
        return bad("has no source in `sources`; name one, or leave it out to take the type from any source");
    }
    check_senders(name, route)?;
    if let Some(stranger) = route.sequenced.iter().find(|name| !route.destinations.contains(name)) {
        return bad(&format!(
            "has `{stranger}` as sequenced, which is not one of its destinations; add it there"
        ));
    }
    match route.destinations.iter().find(|name| !is_destination(name)) {
        Some(destination) => bad(&format!(
            "has the destination `{destination}`; a name has 1 to 32 characters of a-z, 0-9 and _, a letter first"
        )),
        None => Ok(()),
    }
}

fn check_senders(name: &str, route: &Route) -> Result<(), BadRoutes> {
    let bad = |problem: String| Err(BadRoutes(format!("`{name}` {problem}")));
    for (source, senders) in &route.senders {
        if !route.sources.as_ref().is_some_and(|sources| sources.contains(source)) {
            return bad(format!(
                "has senders of the source `{source}`, which is not in its `sources`; add it there"
            ));
        }
        if senders.is_empty() {
            return bad(format!(
                "has no sender of the source `{source}`; name one, or leave the source out of `senders`"
            ));
        }
        // That of an account, which all its federated users have, is a number.
        let is_id = |sender: &&String| {
            sender.starts_with(|first: char| first.is_ascii_alphabetic())
                && sender.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if let Some(sender) = senders.iter().find(|sender| !is_id(sender)) {
            return bad(format!(
                "has the sender `{sender}`, which is no unique id of a user or role, such as `AROAEXAMPLE7`; leave out the session's name"
            ));
        }
    }
    Ok(())
}

/// A name is part of expressions, PartiQL statements and the wire; a plain one needs no quoting there.
pub(crate) fn is_destination(name: &str) -> bool {
    name.len() <= DESTINATION_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
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

    /// Reads an event as [`Checked::decode`] does. It may leave out its `kind`, which the route of its type says.
    ///
    /// # Errors
    /// The first reason found. The same bytes always give the same reason.
    pub fn decode(&self, bytes: &[u8]) -> Result<Checked, Refusal> {
        Checked::decode_by(bytes, |r#type| match self.0.get(r#type) {
            Some(route) => Ok(route.kind),
            None => Err(Refusal::UnknownType { name: r#type.to_owned() }),
        })
    }

    /// The route of a notification.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`], [`Refusal::WrongKind`], [`Refusal::ForeignSource`] or [`Refusal::TooLargeForRoute`];
    /// [`Refusal::NotNumbered`] where a destination takes it in sequence; [`Refusal::Outcome`] where it asks for an
    /// outcome that goes nowhere.
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
            Some(route) if !route.sequenced.is_empty() && notification.sequence.is_none() => {
                Err(Refusal::NotNumbered { name: name() })
            }
            Some(route) => {
                self.of_outcome(notification)?;
                Ok(route)
            }
        }
    }

    /// Checks who sent a notification: the unique id of a user or role, if it is known.
    ///
    /// # Errors
    /// [`Refusal::ForeignSender`] where its route says who may send it from its source.
    pub fn check_sender(&self, notification: &Notification, sender: Option<&str>) -> Result<(), Refusal> {
        let source = &notification.source;
        let of_type = self.0.get(&notification.r#type).and_then(|route| route.senders.get(source));
        let may_send = |senders: &BTreeSet<String>| sender.is_some_and(|sender| senders.contains(sender));
        let mut of_source = self.0.values().filter_map(|route| route.senders.get(source)).peekable();
        let is_taken = match of_type {
            Some(senders) => may_send(senders),
            // An id belongs to its source, whatever its type: nobody else may use up those of this one.
            None => of_source.peek().is_none() || of_source.any(may_send),
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
            Some(route) if !route.sequenced.is_empty() => "is applied in sequence",
            Some(route) if route.max_bytes < OUTCOME_BYTES_MAX => "has less than 16384 as its `max_bytes`",
            Some(route) => return Ok(&route.destinations),
        };
        Err(Refusal::Outcome { name: name.clone(), problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Draft, encode};

    fn routes(text: &str) -> Result<Routes, String> {
        text.parse().map_err(|error: BadRoutes| error.to_string())
    }

    #[test]
    fn are_found_by_type_and_hold_the_kind() {
        let routes = routes(r#"{"t":{"kind":"command","destinations":["refund"]}}"#).unwrap();
        let of = |draft: Draft| routes.of(&draft.build("1").unwrap()).cloned();
        assert_eq!(of(Draft::command("t", "s", &())).unwrap().destinations, ["refund"]);
        assert_eq!(of(Draft::command("u", "s", &())), Err(Refusal::UnknownType { name: "u".into() }));
        let expected = Kind::Command;
        assert_eq!(of(Draft::event("t", "s", &())), Err(Refusal::WrongKind { name: "t".into(), expected }));
    }

    #[test]
    fn a_kind_that_an_event_leaves_out_is_the_routes() {
        let routes = routes(r#"{"t":{"kind":"event","destinations":["a"]}}"#).unwrap();
        let event = |r#type: &str, kind: &str| {
            let text =
                format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"{type}"{kind},"data":1}}"#);
            routes.decode(text.as_bytes()).map(|event| event.kind)
        };
        assert_eq!(event("t", ""), Ok(Kind::Event));
        assert_eq!(event("t", r#","kind":null"#), Ok(Kind::Event));
        // What it says is compared with the route later.
        assert_eq!(event("t", r#","kind":"command""#), Ok(Kind::Command));
        assert_eq!(event("u", ""), Err(Refusal::UnknownType { name: "u".into() }));
    }

    #[test]
    fn a_type_is_taken_from_the_sources_of_its_route() {
        let of = |sources: &str, source: &str| {
            let routes =
                routes(&format!(r#"{{"t":{{"kind":"event","destinations":["a"]{sources}}}}}"#)).unwrap();
            routes.of(&Draft::event("t", source, &()).build("1").unwrap()).err()
        };
        let foreign = Some(Refusal::ForeignSource { name: "t".into() });
        assert_eq!(of("", "whoever"), None);
        assert_eq!(of(r#","sources":["shop","market"]"#, "market"), None);
        assert_eq!(of(r#","sources":["shop","market"]"#, "Market"), foreign);
        assert_eq!(of(r#","sources":["shop"]"#, "shop/1"), foreign);
    }

    #[test]
    fn a_source_is_taken_from_those_who_may_send_it() {
        let text = r#"{"t":{"kind":"event","destinations":["a"],"sources":["shop","market"],
            "senders":{"shop":["AROA1","AIDA2"]}},
            "u":{"kind":"event","destinations":["a"]}}"#;
        let routes = routes(text).unwrap();
        let by = |source: &str, sender: Option<&str>| {
            let event = Draft::event("t", source, &()).build("1").unwrap();
            routes.check_sender(&event, sender).map_err(|refusal| refusal.to_string())
        };
        assert_eq!((by("shop", Some("AROA1")), by("shop", Some("AIDA2"))), (Ok(()), Ok(())));
        assert_eq!((by("market", Some("AROA3")), by("market", None)), (Ok(()), Ok(())));
        assert!(
            by("shop", Some("AROA3")).unwrap_err().contains("by the user or role `AROA3`; let its service")
        );
        assert!(by("shop", None).unwrap_err().contains("by a sender that is not known;"));
        let other = Draft::event("u", "shop", &()).build("1").unwrap();
        assert_eq!(routes.check_sender(&other, Some("AIDA2")), Ok(()));
        assert!(routes.check_sender(&other, Some("AROA3")).is_err(), "its ids are those of the shop");
    }

    #[test]
    fn an_outcome_goes_where_the_route_of_its_type_says() {
        let routes = routes(
            r#"{
            "t": { "kind": "command", "destinations": ["a"] },
            "open": { "kind": "event", "destinations": ["b", "c"] },
            "small": { "kind": "event", "destinations": ["b"], "sources": ["handover"], "max_bytes": 16383 },
            "told": { "kind": "event", "destinations": ["b"], "sources": ["handover"] },
            "mine": { "kind": "event", "destinations": ["b"], "sources": ["shop"] },
            "numbered": {
                "kind": "event", "destinations": ["b"], "sequenced": ["b"], "sources": ["handover"]
            }
        }"#,
        )
        .unwrap();
        let of = |outcome_to: &str| {
            let asking = Draft::command("t", "s", &()).outcome_to(outcome_to).build("1").unwrap();
            routes.of(&asking)?;
            routes.of_outcome(&asking).map(<[String]>::to_vec)
        };
        assert_eq!(routes.of_outcome(&Draft::command("t", "s", &()).build("1").unwrap()), Ok(&[][..]));
        assert_eq!(of("told"), Ok(vec!["b".into()]));
        let refused = |name: &str| of(name).unwrap_err().to_string();
        assert!(
            refused("other").starts_with("`outcometo` names the type `other`, which no route takes; route")
        );
        assert!(refused("t").contains("is routed as a command"));
        assert!(refused("mine").contains("does not have the source `handover`"));
        assert!(refused("open").contains("does not have the source `handover`"), "anybody could tell it");
        assert!(refused("small").contains("has less than 16384"));
        assert!(refused("numbered").contains("is applied in sequence"));
        let forged = Draft::event("told", "handover", &()).build("1");
        assert_eq!(forged, Err(Refusal::ReservedSource), "nobody else tells an outcome");
    }

    #[test]
    fn an_event_is_within_the_limit_of_its_route() {
        let routes = r#"{"t":{"kind":"event","destinations":["a"]},
            "u":{"kind":"event","destinations":["a"],"max_bytes":200}}"#;
        let routes: Routes = routes.parse().unwrap();
        let refusal = |r#type: &str, bytes: usize| {
            let event = |data: &str| Draft::event(r#type, "s", &data).build("1").unwrap();
            let event = event(&"x".repeat(bytes - encode(&event("")).len()));
            assert_eq!(encode(&event).len(), bytes);
            // As it is sent, it may have white space and leave out its kind.
            let sent = String::from_utf8(encode(&event)).unwrap().replace(r#""kind":"event","#, "   \n");
            let decoded = routes.decode(sent.as_bytes()).unwrap();
            assert_eq!(routes.of(&decoded), routes.of(&event));
            routes.of(&event).err()
        };
        let too_large =
            |name: &str, bytes, max| Some(Refusal::TooLargeForRoute { name: name.into(), bytes, max });
        assert_eq!(refusal("u", 200), None);
        assert_eq!(refusal("u", 201), too_large("u", 201, 200));
        assert_eq!(refusal("t", 65_536), None);
        assert_eq!(refusal("t", 65_537), too_large("t", 65_537, 65_536));
    }

    #[test]
    fn what_is_taken_in_sequence_has_to_be_numbered() {
        let routes = routes(r#"{"t":{"kind":"event","destinations":["a","b"],"sequenced":["b"]}}"#).unwrap();
        assert!(routes.is_sequenced("b") && !routes.is_sequenced("a"));
        let draft = || Draft::event("t", "s", &()).partitionkey("k");
        let refused = routes.of(&draft().build("1").unwrap()).unwrap_err();
        assert_eq!(refused, Refusal::NotNumbered { name: "t".into() });
        assert!(routes.of(&draft().sequence(1).build("1").unwrap()).is_ok());
    }

    #[test]
    fn a_route_has_ten_destinations_at_most() {
        let of = |many: usize| {
            let names: Vec<String> = (0..many).map(|at| format!("a{at}")).collect();
            routes(&format!(r#"{{"t":{{"kind":"event","destinations":{names:?}}}}}"#))
        };
        assert_eq!(of(DESTINATIONS_MAX).unwrap().destinations().len(), 10);
        assert_eq!(
            of(DESTINATIONS_MAX + 1).unwrap_err(),
            "routes: `t` has more than 10 destinations; chain events instead"
        );
    }

    #[test]
    fn a_name_of_a_destination_is_short_and_plain() {
        let longest = "a".repeat(DESTINATION_BYTES_MAX);
        for name in ["a", "refund_2", &longest] {
            assert!(is_destination(name), "{name}");
        }
        for name in ["", "2a", "_a", "A", "aB", "a-b", "a.b", "\u{e4}", &format!("{longest}a")] {
            assert!(!is_destination(name), "{name}");
        }
    }

    #[test]
    fn whether_it_is_in_sequence_is_known_of_its_destinations_alone() {
        let routes = r#"{"t":{"kind":"event","destinations":["a","b"],"sequenced":["b"]},
            "u":{"kind":"event","destinations":["c"]}}"#;
        let routes: Routes = routes.parse().unwrap();
        assert_eq!(routes.destinations().into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        let in_sequence = |name| routes.has_in_sequence("t", name);
        assert_eq!([in_sequence("a"), in_sequence("b"), in_sequence("c")], [Some(false), Some(true), None]);
        assert_eq!(routes.has_in_sequence("v", "a"), None);
    }

    #[test]
    fn bad_ones_say_what_is_wrong() {
        for (route, said) in [
            (r#"{"kind":"event","destinations":[]}"#, "`t` has no destination"),
            (r#"{"kind":"command","destinations":["a","b"]}"#, "one owner"),
            (r#"{"kind":"event","destinations":["a","a"]}"#, "twice"),
            (r#"{"kind":"event","destinations":["A-b"]}"#, "`A-b`"),
            (r#"{"kind":"event","destinations":["a"],"x":1}"#, "unknown field `x`"),
            (r#"{"kind":"event","destinations":["a"],"max_bytes":0}"#, "choose 1 to 262144"),
            (r#"{"kind":"event","destinations":["a"],"max_bytes":262145}"#, "has 262145 as `max_bytes`"),
            (r#"{"kind":"event","destinations":["a"],"sources":[]}"#, "has no source in `sources`"),
            (r#"{"kind":"event","destinations":["a"],"sources":["a b"]}"#, "has the source `a b`"),
            (r#"{"kind":"event","destinations":["a"],"sources":[""]}"#, "1 to 256 visible"),
            (
                r#"{"kind":"event","destinations":["a"],"senders":{"s":["AROA1"]}}"#,
                "the source `s`, which is not in its `sources`",
            ),
            (
                r#"{"kind":"event","destinations":["a"],"sources":["s"],"senders":{"s":[]}}"#,
                "no sender of the source `s`",
            ),
            (
                r#"{"kind":"event","destinations":["a"],"sources":["s"],"senders":{"s":["AROA1:x"]}}"#,
                "has the sender `AROA1:x`",
            ),
            (
                r#"{"kind":"event","destinations":["a"],"sources":["s"],"senders":{"s":["123456789012"]}}"#,
                "no unique id of a user or role",
            ),
            (r#"{"kind":"query","destinations":["a"]}"#, "unknown variant `query`"),
            (r#"{"kind":"event","destinations":["a"],"sequenced":["b"]}"#, "`b` as sequenced"),
        ] {
            let said_instead = routes(&format!("{{\"t\":{route}}}")).unwrap_err();
            assert!(said_instead.contains(said), "{said_instead}");
        }
    }
}
