//! Reads the text of routes, and says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{BadRoutes, DESTINATIONS_MAX, ROUTE_BYTES_MAX, Route, Routes, is_destination};
use crate::notification::checked::EVENT_BYTES_MAX;
use crate::notification::json::{self, Json};
use crate::notification::kind::Kind;
use crate::notification::notification::{SOURCE_BYTES_MAX, visible};
use crate::notification::refusal::Refusal;

/// An entry of the text: a type, or a channel.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Entry {
    Command(Type),
    Event(Type),
    Channel(Channel),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Type {
    destinations: Option<Vec<String>>,
    channel: Option<String>,
    sources: Option<BTreeSet<String>>,
    #[serde(default)]
    senders: BTreeMap<String, BTreeSet<String>>,
    #[serde(default)]
    forwarders: BTreeMap<String, BTreeSet<String>>,
    #[serde(default)]
    sequenced: Vec<String>,
    max_bytes: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Channel {
    destinations: Vec<String>,
    sources: Option<BTreeSet<String>>,
    #[serde(default)]
    sequenced: Vec<String>,
}

/// What [`is_destination`] asks for, of the name of a channel, too.
const NAME: &str = "a name has 1 to 32 characters of a-z, 0-9 and _, a letter first";
/// The queues of these names are the core's.
const RESERVED: [&str; 2] = ["upstream", "relay"];

type Channels = BTreeMap<String, Channel>;

impl std::str::FromStr for Routes {
    type Err = BadRoutes;

    fn from_str(text: &str) -> Result<Self, BadRoutes> {
        let value = json::parse(text).map_err(|refusal| BadRoutes(malformed(&refusal)))?;
        let Value::Object(entries) = value else {
            return Err(BadRoutes("not a JSON object; send one that has an entry for each type".into()));
        };
        let bad = |name: &str, problem: String| BadRoutes(format!("`{name}` {problem}"));
        let (mut channels, mut types) = (Channels::new(), Vec::new());
        for (name, entry) in entries {
            // As text: numbers are doubles in the value, and whole numbers there.
            match Json::canonical(&entry)
                .deserialize()
                .map_err(|error| bad(&name, format!("is no route: {error}")))?
            {
                Entry::Channel(channel) => {
                    check_channel(&name, &channel).map_err(|problem| bad(&name, problem))?;
                    channels.insert(name, channel);
                }
                Entry::Command(command) => types.push((name, Kind::Command, command)),
                Entry::Event(event) => types.push((name, Kind::Event, event)),
            }
        }
        let routes = types.into_iter().map(|(name, kind, entry)| {
            let route = route(kind, entry, &channels).map_err(|problem| bad(&name, problem))?;
            Ok((name, route))
        });
        Ok(Routes(routes.collect::<Result<_, _>>()?))
    }
}

/// What is wrong with a text, without the advice for who sends a message.
fn malformed(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    text.split_once("; ").map_or(text.clone(), |(problem, _)| problem.to_owned())
}

fn check_channel(name: &str, channel: &Channel) -> Result<(), String> {
    if !is_destination(name) {
        return Err(format!("is no name of a channel; {NAME}"));
    }
    check_destinations(&channel.destinations, &channel.sequenced)?;
    check_sources(channel.sources.as_ref())
}

/// The route of a type, which has what it leaves out from its channel.
fn route(kind: Kind, entry: Type, channels: &Channels) -> Result<Route, String> {
    let Type { channel, destinations, sources, senders, forwarders, sequenced, max_bytes } = entry;
    let (destinations, sequenced, sources) = match &channel {
        Some(_) if kind == Kind::Command => {
            return Err("is a command, which belongs to no channel; name its owner in `destinations`".into());
        }
        Some(_) if destinations.is_some() || !sequenced.is_empty() => {
            return Err(
                "names a channel, which has the destinations; remove `destinations` and `sequenced`".into()
            );
        }
        Some(name) => {
            let unknown = || {
                format!("names the channel `{name}`, which has no entry; add one, with its kind `channel`")
            };
            let channel = channels.get(name).ok_or_else(unknown)?;
            let sources = sources.or_else(|| channel.sources.clone());
            (channel.destinations.clone(), channel.sequenced.clone(), sources)
        }
        None => {
            let destinations = destinations.unwrap_or_default();
            if destinations.is_empty() {
                return Err("has no destination; name at least one, or the channel of an event".into());
            }
            (destinations, sequenced, sources)
        }
    };
    if kind == Kind::Command && destinations.len() > 1 {
        return Err("is a command and has one owner; name one destination".into());
    }
    if kind == Kind::Event && channel.is_none() && !sequenced.is_empty() {
        return Err(
            "is an event with `sequenced` and without a channel; name its `channel`, and sequence the destinations there"
                .into(),
        );
    }
    check_destinations(&destinations, &sequenced)?;
    check_sources(sources.as_ref())?;
    check_senders("sender", &senders, sources.as_ref())?;
    check_senders("forwarder", &forwarders, sources.as_ref())?;
    let max_bytes = max_bytes.unwrap_or(ROUTE_BYTES_MAX);
    if !(1..=EVENT_BYTES_MAX).contains(&max_bytes) {
        return Err(format!("has {max_bytes} as `max_bytes`; choose 1 to {EVENT_BYTES_MAX}"));
    }
    Ok(Route { kind, channel, destinations, sources, senders, forwarders, sequenced, max_bytes })
}

fn check_destinations(destinations: &[String], sequenced: &[String]) -> Result<(), String> {
    let distinct: BTreeSet<_> = destinations.iter().collect();
    if destinations.len() > DESTINATIONS_MAX {
        return Err("has more than 10 destinations; chain events instead".into());
    }
    if destinations.len() > distinct.len() {
        return Err("names a destination twice".into());
    }
    if let Some(stranger) = sequenced.iter().find(|name| !destinations.contains(name)) {
        return Err(format!(
            "has `{stranger}` as sequenced, which is not one of its destinations; add it there"
        ));
    }
    if let Some(name) = destinations.iter().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(format!("has the destination `{name}`, whose queues the core has; choose another name"));
    }
    match destinations.iter().find(|name| !is_destination(name)) {
        Some(name) => Err(format!("has the destination `{name}`; {NAME}")),
        None => Ok(()),
    }
}

fn check_sources(sources: Option<&BTreeSet<String>>) -> Result<(), String> {
    let is_source = |source: &&String| visible("source", source, SOURCE_BYTES_MAX).is_ok();
    if let Some(source) = sources.into_iter().flatten().find(|source| !is_source(source)) {
        return Err(format!(
            "has the source `{source}`; a source has 1 to {SOURCE_BYTES_MAX} visible ASCII characters"
        ));
    }
    match sources.is_some_and(BTreeSet::is_empty) {
        true => Err("has no source in `sources`; name one, or leave it out to take any source".into()),
        false => Ok(()),
    }
}

/// What is wrong with `senders` or `forwarders`.
fn check_senders(
    role: &str,
    senders: &BTreeMap<String, BTreeSet<String>>,
    sources: Option<&BTreeSet<String>>,
) -> Result<(), String> {
    for (source, senders) in senders {
        if !sources.is_some_and(|sources| sources.contains(source)) {
            return Err(format!(
                "has {role}s of the source `{source}`, which is not in its `sources`; add it there"
            ));
        }
        if senders.is_empty() {
            return Err(format!(
                "has no {role} of the source `{source}`; name one, or leave the source out of `{role}s`"
            ));
        }
        // That of an account, which all its federated users have, is a number.
        let is_id = |sender: &&String| {
            sender.starts_with(|first: char| first.is_ascii_alphabetic())
                && sender.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if let Some(sender) = senders.iter().find(|sender| !is_id(sender)) {
            return Err(format!(
                "has the {role} `{sender}`, which is no unique id of a user or role, such as `AROAEXAMPLE7`; leave out the session's name"
            ));
        }
    }
    Ok(())
}
