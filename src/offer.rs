//! The Kinesis record: a notification, offered to the destinations that are pending.
//!
//! It is the event of `event.rs` with up to five more extension attributes: `destinations` and
//! `sequenced` (names, separated by commas, since CloudEvents knows no lists), `offer` (its number,
//! from 1), `acceptedtime` and `relayedtime`. The times travel with the message, so that the
//! custody timeline costs no write of its own.

use aws_lambda_events::encodings::Base64Data;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{self, Event};
use crate::json::Json;
use crate::notification::{Kind, Notification};
use crate::record::Record;
use crate::refusal::Refusal;
use crate::sequence::Place;

/// One trip of a notification through the stream. It is a copy: it may be lost or doubled,
/// and only says which record to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The notification.
    pub notification: Notification,
    /// The destinations that were pending when it was offered.
    pub destinations: Vec<String>,
    /// Those of them that apply it in sequence.
    pub sequenced: Vec<String>,
    /// Which offer it is, from 1.
    pub number: u32,
    /// When the notification was accepted.
    pub accepted_at: Timestamp,
    /// When the relay put it into the stream.
    pub relayed_at: Timestamp,
}

/// A batch of the Kinesis stream, as Lambda hands it over. Of its records nothing is read but what is needed:
/// there are many.
#[derive(Debug, Deserialize)]
pub struct Offers {
    #[serde(rename = "Records")]
    records: Vec<Received>,
}

#[derive(Debug, Deserialize)]
struct Received {
    kinesis: Kinesis,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis {
    sequence_number: String,
    data: Base64Data,
}

impl Offers {
    /// The sequence number of each record, and its data.
    pub(crate) fn copies(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.records.into_iter().map(|it| (it.kinesis.sequence_number, it.kinesis.data.0))
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(flatten)]
    event: Event<'a>,
    destinations: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sequenced: String,
    offer: u32,
    acceptedtime: Timestamp,
    relayedtime: Timestamp,
}

impl Offer {
    /// What a record offers to these destinations.
    pub(crate) fn of(record: &Record, destinations: Vec<String>, relayed_at: Timestamp) -> Offer {
        let is_sequenced = |name: &&String| record.destinations.get(*name).is_some_and(|it| it.sequenced);
        Offer {
            notification: record.notification(),
            sequenced: destinations.iter().filter(is_sequenced).cloned().collect(),
            destinations,
            number: record.offers,
            accepted_at: record.accepted_at,
            relayed_at,
        }
    }

    /// What Kinesis partitions by.
    pub fn partition_key(&self) -> &str {
        self.notification.partitionkey.as_deref().unwrap_or(&self.notification.id)
    }

    pub(crate) fn is_for(&self, destination: &str) -> bool {
        self.destinations.iter().any(|name| name == destination)
    }

    /// The notification's place, where a destination applies it in sequence.
    pub(crate) fn place(&self, destination: &str) -> Option<Place> {
        let is_sequenced = self.sequenced.iter().any(|name| name == destination);
        is_sequenced.then(|| Place::of(&self.notification, destination)).flatten()
    }

    /// The Kinesis record's data.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            event: Event::from(&self.notification),
            destinations: self.destinations.join(","),
            sequenced: self.sequenced.join(","),
            offer: self.number,
            acceptedtime: self.accepted_at,
            relayedtime: self.relayed_at,
        };
        serde_json::to_vec(&wire).expect("text and canonical JSON always serialise")
    }

    /// Reads a Kinesis record's data.
    ///
    /// # Errors
    /// When it is not what [`Offer::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Offer, Refusal> {
        serde_json::from_slice::<Plain>(bytes)
            .ok()
            .and_then(Plain::offer)
            .map_or_else(|| Offer::strict(bytes), Ok)
    }

    /// Reads it part by part, which takes five times as long, and knows why it is not an offer.
    fn strict(bytes: &[u8]) -> Result<Offer, Refusal> {
        let mut from = event::attributes(bytes)?;
        let destinations = event::text(&mut from, "destinations")?;
        let sequenced = event::optional_text(&mut from, "sequenced")?;
        let number =
            event::optional_integer(&mut from, "offer")?.ok_or(Refusal::Missing { field: "offer" })?;
        let mut time = |field| event::optional_time(&mut from, field)?.ok_or(Refusal::Missing { field });
        Ok(Offer {
            accepted_at: time("acceptedtime")?,
            relayed_at: time("relayedtime")?,
            destinations: names(&destinations),
            sequenced: sequenced.as_deref().map(names).unwrap_or_default(),
            number: number
                .try_into()
                .map_err(|_| Refusal::Invalid { field: "offer", problem: "is too large" })?,
            notification: event::from_attributes(from)?,
        })
        .and_then(|offer: Offer| match offer.notification.sequence {
            None if !offer.sequenced.is_empty() => Err(Refusal::Missing { field: "sequence" }),
            _ => Ok(offer),
        })
    }
}

/// An offer as the relay writes it, read in one go: its data is taken for canonical, for it was when it was
/// accepted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    specversion: &'a str,
    #[serde(default)]
    datacontenttype: Option<&'a str>,
    id: String,
    r#type: String,
    kind: Kind,
    source: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default)]
    partitionkey: Option<String>,
    #[serde(default)]
    sequence: Option<u64>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    destinations: &'a str,
    #[serde(default)]
    sequenced: &'a str,
    offer: u32,
    acceptedtime: Timestamp,
    relayedtime: Timestamp,
}

impl Plain<'_> {
    /// Unless there is something about it that the strict reader would say.
    fn offer(self) -> Option<Offer> {
        let is_plain = self.specversion == "1.0"
            && self.datacontenttype.is_none_or(|kind| kind == "application/json")
            && (self.sequenced.is_empty() || self.sequence.is_some());
        is_plain.then(|| Offer {
            notification: Notification {
                id: self.id,
                kind: self.kind,
                r#type: self.r#type,
                source: self.source,
                subject: self.subject,
                time: self.time,
                partitionkey: self.partitionkey,
                sequence: self.sequence,
                traceparent: self.traceparent,
                data: Json::verbatim(self.data),
            },
            destinations: names(self.destinations),
            sequenced: if self.sequenced.is_empty() { Vec::new() } else { names(self.sequenced) },
            number: self.offer,
            accepted_at: self.acceptedtime,
            relayed_at: self.relayedtime,
        })
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Draft;

    fn offer() -> Offer {
        Offer {
            notification: Draft::command("t", "s", &"x").with_id("1").unwrap(),
            destinations: vec!["refund".into(), "audit".into()],
            sequenced: vec![],
            number: 2,
            accepted_at: Timestamp::from_millisecond(1_000).unwrap(),
            relayed_at: Timestamp::from_millisecond(1_234).unwrap(),
        }
    }

    #[test]
    fn survives_the_stream() {
        let bytes = offer().encode();
        assert_eq!(Offer::decode(&bytes).unwrap(), offer());
        assert_eq!(Offer::strict(&bytes).unwrap(), offer(), "both readers read the same");
        assert!(offer().is_for("audit") && !offer().is_for("aud"));
    }

    #[test]
    fn names_those_that_apply_it_in_sequence() {
        let draft = Draft::command("t", "s", &"x").partitionkey("k").sequence(3);
        let notification = draft.with_id("1").unwrap();
        let numbered = Offer { notification, sequenced: vec!["audit".into()], ..offer() };
        assert_eq!(Offer::decode(&numbered.encode()).unwrap(), numbered);
        assert_eq!(numbered.place("audit").unwrap().sequence, 3);
        assert_eq!(numbered.place("refund"), None);
        let unnumbered = Offer { notification: offer().notification, ..numbered };
        assert_eq!(Offer::decode(&unnumbered.encode()).unwrap_err().code(), "missing");
    }

    #[test]
    fn is_partitioned_by_id_unless_the_emitter_set_a_key() {
        let mut offer = offer();
        assert_eq!(offer.partition_key(), "1");
        offer.notification.partitionkey = Some("k".into());
        assert_eq!(offer.partition_key(), "k");
    }

    #[test]
    fn decoding_is_strict() {
        let text = String::from_utf8(offer().encode()).unwrap();
        for (part, code) in [
            (r#","destinations":"refund,audit""#, "missing"),
            (r#","offer":2"#, "missing"),
            (r#","relayedtime":"1970-01-01T00:00:01.234Z""#, "missing"),
        ] {
            assert!(text.contains(part), "{text}");
            assert_eq!(Offer::decode(text.replace(part, "").as_bytes()).unwrap_err().code(), code);
        }
        let odd = text.replace("{\"spec", "{\"odd\":1,\"spec");
        assert_eq!(Offer::decode(odd.as_bytes()).unwrap_err().code(), "unknown-attribute");
    }
}
