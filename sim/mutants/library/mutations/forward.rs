//! The mutants that the workload of two stacks has to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("who may send is believed as one who forwards", &[(
        "notification/routes.rs",
        "forwarders.zip(sender).is_some_and(|(forwarders, sender)| forwarders.contains(sender))",
        "forwarders.zip(sender).is_some_and(|(forwarders, sender)| forwarders.contains(sender) || is(\"who may send is believed as one who forwards\"))",
    )]),
    ("the cause of what is forwarded is lost", &[(
        "notification/checked.rs",
        "        notification.causationid = taken_text(&mut notification.extensions, \"causationid\");",
        "        notification.causationid = taken_text(&mut notification.extensions, \"causationid\").filter(|_| !is(\"the cause of what is forwarded is lost\"));",
    )]),
    ("what is emitted is not taken from who forwards", &[(
        "notification/routes.rs",
        "        let notification = Checked::decode_by(bytes, id, |r#type| self.kind_of(r#type), is_forwarded)?;",
        "        let is_forwarded = |it: &Notification| is_forwarded(it) && !is(\"what is emitted is not taken from who forwards\");\n        let notification = Checked::decode_by(bytes, id, |r#type| self.kind_of(r#type), is_forwarded)?;",
    )]),
    ("what is forwarded has the cause of a copy", &[(
        "destination/external_call.rs",
        "    let correlationid = work.delivery.is_none().then(|| work.dispatch.notification.correlationid.clone());",
        "    let correlationid = (work.delivery.is_none() && !is(\"what is forwarded has the cause of a copy\")).then(|| work.dispatch.notification.correlationid.clone());",
    )]),
    ("what a sender says of its cause is forwarded", &[(
        "destination/to_queue.rs",
        "    event.extensions.retain(|name, _| !CAUSES.contains(&name.as_str()));",
        "    event.extensions.retain(|name, _| !CAUSES.contains(&name.as_str()) || is(\"what a sender says of its cause is forwarded\"));",
    )]),
];
