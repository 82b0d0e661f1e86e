//! A notification that has no id yet.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::checked::Checked;
use super::extension::Extension;
use super::json::Json;
use super::kind::Kind;
use super::notification::{Notification, OUTCOME_SOURCE};
use super::refusal::Refusal;
use super::trace;

/// A notification without its id: what a producer or a destination wants to send.
///
/// ```
/// use handover::Draft;
///
/// let draft = Draft::event("refund.credited", "refunds", &serde_json::json!({ "amount": 5 }))
///     .subject("account-7");
/// let notification = draft.build("refund-7-credited")?;
/// # Ok::<(), handover::Refusal>(())
/// ```
#[derive(Clone, Debug)]
pub struct Draft {
    /// Holds a refusal of the data until [`Draft::build`], so that the setters need no `?`.
    notification: Result<Notification, Refusal>,
}

impl Draft {
    /// A command: asks its one owner to do something.
    pub fn command(r#type: impl Into<String>, source: impl Into<String>, data: &impl Serialize) -> Draft {
        Draft::new(Kind::Command, r#type.into(), source.into(), data)
    }

    /// An event: states a fact.
    pub fn event(r#type: impl Into<String>, source: impl Into<String>, data: &impl Serialize) -> Draft {
        Draft::new(Kind::Event, r#type.into(), source.into(), data)
    }

    fn new(kind: Kind, r#type: String, source: String, data: &impl Serialize) -> Draft {
        let notification = Json::from_serialize(data).map(|data| Notification {
            id: String::new(),
            kind,
            r#type,
            source,
            subject: None,
            time: None,
            partitionkey: None,
            sequence: None,
            traceparent: None,
            tracestate: None,
            causationid: None,
            correlationid: None,
            outcometo: None,
            dataschema: None,
            extensions: BTreeMap::new(),
            data,
        });
        Draft { notification }
    }

    fn set(mut self, set: impl FnOnce(&mut Notification)) -> Draft {
        if let Ok(notification) = &mut self.notification {
            set(notification);
        }
        self
    }

    /// Sets the entity that it is about.
    pub fn subject(self, subject: impl Into<String>) -> Draft {
        self.set(|notification| notification.subject = Some(subject.into()))
    }

    /// Sets when it was sent.
    pub fn time(self, time: Timestamp) -> Draft {
        self.set(|notification| notification.time = Some(time))
    }

    /// Sets the key by which it is partitioned and, where the route says so, ordered.
    pub fn partitionkey(self, key: impl Into<String>) -> Draft {
        self.set(|notification| notification.partitionkey = Some(key.into()))
    }

    /// Sets its number, from 1, among the notifications of its partition key.
    pub fn sequence(self, sequence: u64) -> Draft {
        self.set(|notification| notification.sequence = Some(sequence))
    }

    /// Sets the W3C trace that it belongs to. What is not a traceparent is left out.
    pub fn traceparent(self, traceparent: impl AsRef<str>) -> Draft {
        self.set(|notification| notification.traceparent = trace::traceparent(traceparent.as_ref()))
    }

    /// Sets what tracing systems add to the traceparent. It is left out where it is not a tracestate, or where
    /// there is no traceparent.
    pub fn tracestate(self, tracestate: impl AsRef<str>) -> Draft {
        self.set(|notification| notification.tracestate = trace::tracestate(tracestate.as_ref()))
    }

    /// Sets the trace to that of another notification, unless the draft has one.
    fn trace_or(self, other: &Notification) -> Draft {
        self.set(|notification| {
            if notification.traceparent.is_none() {
                notification.traceparent.clone_from(&other.traceparent);
                notification.tracestate.clone_from(&other.tracestate);
            }
        })
    }

    /// Asks for its outcome: at each end of it, Handover sends an event of this type, which needs a route. Its data is
    /// an [`Outcome`](crate::record::Outcome).
    pub fn outcome_to(self, r#type: impl Into<String>) -> Draft {
        self.set(|notification| notification.outcometo = Some(r#type.into()))
    }

    /// Sets the address of the schema of its data.
    pub fn dataschema(self, dataschema: impl Into<String>) -> Draft {
        self.set(|notification| notification.dataschema = Some(dataschema.into()))
    }

    /// Sets an extension attribute, which every destination gets.
    ///
    /// ```
    /// use handover::Draft;
    ///
    /// let draft = Draft::event("refund.credited", "refunds", &5).extension("tenant", "shop-1");
    /// let notification = draft.build("refund-7-credited")?;
    /// assert_eq!(notification.extensions["tenant"], "shop-1".into());
    /// # Ok::<(), handover::Refusal>(())
    /// ```
    pub fn extension(self, name: impl Into<String>, value: impl Into<Extension>) -> Draft {
        self.set(|notification| drop(notification.extensions.insert(name.into(), value.into())))
    }

    /// The notification with this id.
    ///
    /// # Errors
    /// When an attribute or the event is over its limit, the data has no form in JSON, or the id begins with `emit:`.
    pub fn build(self, id: impl Into<String>) -> Result<Checked, Refusal> {
        Checked::new(self.identified(id.into())?)
    }

    /// The notification that `parent` emits at a destination under this name. It has its parent's trace unless it has
    /// one of its own, and its parent as its cause.
    pub(crate) fn build_emitted(
        self,
        parent: &Notification,
        destination: &str,
        name: &str,
    ) -> Result<Checked, Refusal> {
        match &self.notification {
            Ok(notification) if notification.source == OUTCOME_SOURCE => Err(Refusal::ReservedSource),
            _ => self.build_caused(parent, parent.key().emitted_id(destination, name)),
        }
    }

    /// The notification with this id that `parent` led to.
    pub(crate) fn build_caused(self, parent: &Notification, id: String) -> Result<Checked, Refusal> {
        Checked::emitted(self.trace_or(parent).caused_by(parent).identified(id)?)
    }

    /// Sets the cause. Extension attributes of these names, which may be a sender's, give way to it.
    fn caused_by(self, parent: &Notification) -> Draft {
        let first = parent.correlationid.as_ref().unwrap_or(&parent.id);
        self.set(|notification| {
            notification.extensions.retain(|name, _| name != "causationid" && name != "correlationid");
            notification.causationid = Some(parent.id.clone());
            notification.correlationid = Some(first.clone());
        })
    }

    fn identified(self, id: String) -> Result<Notification, Refusal> {
        self.notification.map(|notification| Notification { id, ..notification })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::notification::{EVENT_BYTES_MAX, ID_BYTES_MAX, encode};

    fn draft() -> Draft {
        Draft::event("t", "s", &())
    }

    #[test]
    fn attributes_are_held_to_their_limits() {
        let refused = |draft: Draft| draft.build("1").unwrap_err().to_string();
        assert_eq!(
            draft().build("x".repeat(ID_BYTES_MAX + 1)).unwrap_err(),
            Refusal::TooLong { field: "id".into(), bytes: 129, max: 128 }
        );
        assert!(draft().build("x".repeat(ID_BYTES_MAX)).is_ok());
        assert_eq!(draft().build("").unwrap_err().to_string(), "`id` is empty; give it a value");
        assert!(draft().build("a b").unwrap_err().to_string().starts_with("`id` has characters other"));
        assert!(refused(draft().subject("a\nb")).starts_with("`subject` has control"));
        assert!(refused(draft().partitionkey("é".repeat(129))).contains("takes 258 bytes"));
        assert!(refused(draft().sequence(1)).contains("`partitionkey`"));
        assert!(refused(draft().partitionkey("k").sequence(0)).contains("from 1"));
        assert_eq!(draft().traceparent("00-0-0-0").build("1").unwrap().traceparent, None);
        assert_eq!(Draft::event("", "s", &()).build("1").unwrap_err().code(), Code::Invalid);
    }

    /// Else whoever guesses a parent's key could take the ids of its emits, and the parent's effect would fail.
    #[test]
    fn only_an_emit_has_the_id_of_an_emit() {
        let emitted = draft().build_emitted(&draft().build("1").unwrap(), "a", "told").unwrap();
        assert_eq!(draft().build(&emitted.id), Err(Refusal::ReservedId));
        assert_eq!(Checked::decode(&encode(&emitted)), Err(Refusal::ReservedId));
        assert_eq!(Checked::new(emitted.into()), Err(Refusal::ReservedId));
        assert!(draft().build("emit").is_ok());
    }

    #[test]
    fn the_encoded_event_is_bounded() {
        let event = |bytes: usize| Draft::event("t", "s", &"x".repeat(bytes)).build("1");
        let around = encode(&event(0).unwrap()).len();
        assert!(event(EVENT_BYTES_MAX - around).is_ok());
        assert_eq!(
            event(EVENT_BYTES_MAX - around + 1).unwrap_err(),
            Refusal::TooLarge { bytes: EVENT_BYTES_MAX + 1, max: EVENT_BYTES_MAX }
        );
    }

    #[test]
    fn a_time_that_the_standard_cannot_write_is_the_nearest() {
        for (given, kept) in
            [(Timestamp::MIN, "0000-01-01T00:00:00Z"), (Timestamp::MAX, "9999-12-30T22:00:00Z")]
        {
            let built = draft().time(given).build("1").unwrap();
            assert_eq!(built.time, Some(kept.parse().unwrap()));
            assert_eq!(Checked::decode(&encode(&built)), Ok(built));
        }
    }

    #[test]
    fn data_without_a_form_in_json_is_refused_at_the_end() {
        let odd = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(Draft::event("t", "s", &odd).subject("x").build("1").unwrap_err().code(), Code::Invalid);
        assert_eq!(Draft::event("t", "s", &u64::MAX).build("1").unwrap_err().code(), Code::Number);
    }

    #[test]
    fn an_emit_has_its_parent_as_its_cause_and_the_first_of_all_for_correlation() {
        let cause = |of: &Notification| (of.causationid.clone(), of.correlationid.clone());
        let of_sender = draft().extension("causationid", "forged").extension("correlationid", "forged");
        let first = of_sender.clone().build("1").unwrap();
        assert_eq!((cause(&first), first.extensions.len()), ((None, None), 2));
        let child = of_sender.build_emitted(&first, "a", "told").unwrap();
        assert_eq!(cause(&child), (Some("1".into()), Some("1".into())));
        assert_eq!(child.extensions.len(), 0, "the cause takes the place of what a sender said");
        let grandchild = draft().build_emitted(&child, "b", "told").unwrap();
        assert_eq!(cause(&grandchild), (Some(child.id.clone()), Some("1".into())));
        // Whoever sends on what it got is a sender.
        let sent_on = Notification { id: "2".into(), ..grandchild.into() };
        assert_eq!(cause(&Checked::new(sent_on).unwrap()), (None, None));
    }

    #[test]
    fn a_trace_is_inherited_unless_one_is_set() {
        let trace = |last: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{last}");
        let other = draft().traceparent(trace("01")).tracestate("a=1").build("1").unwrap();
        let built = |draft: Draft| {
            let built = Notification::from(draft.trace_or(&other).build("1").unwrap());
            (built.traceparent.unwrap(), built.tracestate)
        };
        let inherited = (trace("01"), Some("a=1".to_owned()));
        assert_eq!(built(draft()), inherited);
        assert_eq!(built(draft().traceparent("123").tracestate("b=2")), inherited);
        assert_eq!(built(draft().traceparent(trace("00"))), (trace("00"), None));
        let own = draft().tracestate("b=2").traceparent(trace("00"));
        assert_eq!(built(own), (trace("00"), Some("b=2".into())));
        assert_eq!(draft().tracestate("b=2").build("1").unwrap().tracestate, None);
    }
}
