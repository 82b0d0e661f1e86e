//! What is shown of a record: the JSON of the HTTP interface, and of `handover status`.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::control::Control;
use super::delivery::{Delivery, RecordedFault, State};
use super::record::{Emitted, Record, Status};
use super::timeline::{Moment, What, timeline};
use crate::notification::{Extension, Json, Kind, verbatim};

/// A time as it is shown: to the millisecond, so that times have one width and sort as texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time(pub Timestamp);

impl Display for Time {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{:.3}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// The parts of a record that are shown. What is absent is left out.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct RecordView<'a> {
    /// The attributes that its sender gave it, as for those down to `extensions`.
    pub id: &'a str,
    /// Its type.
    pub r#type: &'a str,
    /// Command or event.
    pub kind: Kind,
    /// The service that sent it.
    pub source: &'a str,
    /// The entity that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    /// The key by which it is partitioned and ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitionkey: Option<&'a str>,
    /// Its number within that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The id of the notification that emitted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causationid: Option<&'a str>,
    /// The id of the first notification that it goes back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlationid: Option<&'a str>,
    /// The address of the schema of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<&'a str>,
    /// Extension attributes that Handover does not know.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: &'a BTreeMap<String, Extension>,
    /// Its status over all destinations.
    pub status: Status,
    /// Its version: 1 at first, and one more with each change.
    pub version: u64,
    /// The number of dispatches.
    pub dispatches: u32,
    /// When it was accepted.
    pub accepted_at: Time,
    /// When it changed last.
    pub updated_at: Time,
    /// When its record is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Its delivery at each destination.
    pub destinations: Vec<DeliveryView<'a>>,
    /// What happened, in the order of time.
    pub timeline: Vec<MomentView<'a>>,
    /// What its destinations emitted, and its outcome.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emits: Vec<EmitView<'a>>,
    /// The payload, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "payload")]
    pub data: Option<&'a Json>,
}

/// A delivery.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct DeliveryView<'a> {
    /// The destination.
    pub name: &'a str,
    /// Whether it is applied there.
    pub state: State,
    /// Failed attempts since it was accepted or redriven.
    pub attempts: u32,
    /// Why it was rejected, closed or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// What its effect answered.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "payload")]
    pub result: Option<&'a Json>,
    /// What holds it up, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultView<'a>>,
    /// At a sequenced destination, the position of its key, where that was read: the last sequence that was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Where it is pending, the pause of the destination, where that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseView<'a>>,
}

/// A fault that counted no attempt.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct FaultView<'a> {
    /// When it was first recorded with this error.
    pub since: Time,
    /// When it was recorded last.
    pub at: Time,
    /// What went wrong.
    pub error: &'a str,
}

/// The pause of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PauseView<'a> {
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: &'a str,
}

/// A moment of the timeline.
#[derive(Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MomentView<'a> {
    /// When it happened.
    pub at: Time,
    /// The destination; absent for what concerns the whole notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<&'a str>,
    /// What happened: `sent`, `accepted`, `relayed`, `received`, `attempt-failed`, `fault`, `replayed`, `redriven`, or the
    /// state that the delivery came to.
    pub what: &'static str,
    /// The number of the attempt that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'a str>,
}

/// A notification that a delivery emitted.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct EmitView<'a> {
    /// Its id.
    pub id: String,
    /// The destination whose effect it is part of; absent of an outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<&'a str>,
    /// Its name among the emits of that effect.
    pub name: &'a str,
}

impl<'a> RecordView<'a> {
    /// What is shown of a record.
    pub fn of(record: &'a Record) -> RecordView<'a> {
        RecordView {
            id: &record.id,
            r#type: &record.r#type,
            kind: record.kind,
            source: &record.source,
            subject: record.subject.as_deref(),
            partitionkey: record.partitionkey.as_deref(),
            sequence: record.sequence,
            causationid: record.causationid.as_deref(),
            correlationid: record.correlationid.as_deref(),
            dataschema: record.dataschema.as_deref(),
            extensions: &record.extensions,
            status: record.status,
            version: record.version,
            dispatches: record.dispatches,
            accepted_at: Time(record.accepted_at),
            updated_at: Time(record.updated_at),
            expires_at: record.expires_at.map(Time),
            destinations: record.destinations.iter().map(DeliveryView::of).collect(),
            timeline: timeline(record).into_iter().map(MomentView::from).collect(),
            emits: record.emits().map(EmitView::from).collect(),
            data: None,
        }
    }

    /// The same without what is for an operator: the texts of faults, which name roles and tables.
    pub(crate) fn for_sender(mut self) -> RecordView<'a> {
        self.timeline.retain(|moment| moment.what != "fault");
        self.destinations.iter_mut().for_each(|delivery| delivery.fault = None);
        self
    }

    /// The same with the payload.
    pub fn with_data(self, record: &'a Record) -> RecordView<'a> {
        RecordView { data: Some(&record.data), ..self }
    }
}

impl<'a> DeliveryView<'a> {
    fn of((name, delivery): (&'a String, &'a Delivery)) -> DeliveryView<'a> {
        DeliveryView {
            name,
            state: delivery.state,
            attempts: delivery.attempts,
            reason: delivery.reason.as_deref(),
            result: delivery.result.as_ref(),
            fault: delivery.present_fault().map(FaultView::of),
            position: None,
            paused: None,
        }
    }
}

impl FaultView<'_> {
    /// What is shown of a fault.
    pub fn of(fault: &RecordedFault) -> FaultView<'_> {
        FaultView { since: Time(fault.since), at: Time(fault.at), error: &fault.error }
    }
}

impl PauseView<'_> {
    /// That of a destination, if it is paused.
    pub fn of(control: &Control) -> Option<PauseView<'_>> {
        match control {
            Control::Paused { since, reason } => Some(PauseView { since: Time(*since), reason }),
            Control::Running { .. } => None,
        }
    }
}

impl<'a> From<Moment<'a>> for MomentView<'a> {
    fn from(Moment { at, destination, what }: Moment<'a>) -> MomentView<'a> {
        let (what, attempt, why) = match what {
            What::Sent => ("sent", None, None),
            What::Accepted => ("accepted", None, None),
            What::Relayed => ("relayed", None, None),
            What::Received => ("received", None, None),
            What::AttemptFailed(number, error) => ("attempt-failed", Some(number), Some(error)),
            What::Fault(error) => ("fault", None, Some(error)),
            What::Replayed => ("replayed", None, None),
            What::Redriven => ("redriven", None, None),
            What::Ended(state, reason) => (state.as_str(), None, reason),
        };
        MomentView { at: Time(at), destination, what, attempt, why }
    }
}

impl<'a> From<Emitted<'a>> for EmitView<'a> {
    fn from(Emitted { destination, name, id }: Emitted<'a>) -> EmitView<'a> {
        EmitView { id, destination, name }
    }
}

/// Stored payloads are canonical JSON, which is shown as it is.
fn payload<S: Serializer>(json: &Option<&Json>, to: S) -> Result<S::Ok, S::Error> {
    match json {
        Some(json) => verbatim(json, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::tests::{at, event_for};

    #[test]
    fn a_record_is_shown_without_its_payload_unless_that_is_asked_for() {
        let mut record = event_for(&["a"]);
        record.sender = Some("AROA7".into());
        let delivery = record.destinations.get_mut("a").unwrap();
        (delivery.state, delivery.ended_at) = (State::Rejected, Some(at(2_500)));
        delivery.reason = Some("insufficient credit".into());
        delivery.result = Some(Json::from_serialize(&json!({ "left": 3 })).unwrap());
        delivery.emits = vec!["refused".into()];
        let shown = serde_json::to_value(RecordView::of(&record)).unwrap();
        assert_eq!(shown["accepted_at"], "1970-01-01T00:00:01.000Z");
        assert_eq!(
            shown["destinations"],
            json!([{ "name": "a", "state": "rejected", "attempts": 0, "reason": "insufficient credit", "result": { "left": 3 } }])
        );
        assert_eq!(
            shown["timeline"][1],
            json!({ "at": "1970-01-01T00:00:02.500Z", "destination": "a", "what": "rejected", "why": "insufficient credit" })
        );
        assert_eq!(
            (&shown["emits"][0]["destination"], &shown["emits"][0]["name"]),
            (&json!("a"), &json!("refused"))
        );
        assert_eq!((shown.get("data"), shown.get("sender")), (None, None));
        let error = "denied: the role x".to_owned();
        record.destinations.get_mut("a").unwrap().state = State::Pending;
        record.destinations.get_mut("a").unwrap().fault =
            Some(RecordedFault { since: at(2_000), at: at(3_000), error });
        let told = |view| serde_json::to_string(&view).unwrap().contains("the role x");
        assert!(told(RecordView::of(&record)) && !told(RecordView::of(&record).for_sender()));
        let shown = serde_json::to_value(RecordView::of(&record).with_data(&record)).unwrap();
        assert_eq!(shown["data"], serde_json::from_str::<serde_json::Value>(record.data.as_str()).unwrap());
    }
}
