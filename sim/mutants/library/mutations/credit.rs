//! The mutants that the workload of reservations has to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("another effect comes before deciding again", &[(
        "store/transaction.rs",
        "judged.min_by_key(|(precedence, _)| *precedence)",
        "judged.min_by_key(|(precedence, _)| if is(\"another effect comes before deciding again\") && *precedence == Precedence::Else { Precedence::Retry } else { *precedence })",
    )]),
    ("what is decided again never counts", &[(
        "destination/retry_policy.rs",
        "            NotCompleted::Overtaken { .. } => Severity::Attempt,",
        "            NotCompleted::Overtaken { .. } if is(\"what is decided again never counts\") => Severity::Uncounted,\n            NotCompleted::Overtaken { .. } => Severity::Attempt,",
    )]),
    ("a handler is called until no time is left", &[(
        "destination/commit.rs",
        "call >= CALLS_MAX || Instant::now()",
        "(call >= CALLS_MAX && !is(\"a handler is called until no time is left\")) || Instant::now()",
    )]),
    ("another effect has no emits", &[(
        "destination/commit.rs",
        "                Otherwise::Else(other) => *other,",
        "                Otherwise::Else(mut other) if is(\"another effect has no emits\") => { other.emits.clear(); *other }\n                Otherwise::Else(other) => *other,",
    )]),
    ("another effect is applied beside the first", &[(
        "destination/commit.rs",
        "                Otherwise::Else(other) => *other,",
        "                Otherwise::Else(mut other) if is(\"another effect is applied beside the first\") => { other.emits.append(&mut effect.emits); *other }\n                Otherwise::Else(other) => *other,",
    )]),
    ("what is to be decided again is rejected", &[(
        "destination/commit.rs",
        "                Otherwise::Retry => return Err(NotCompleted::Overtaken { at }),",
        "                Otherwise::Retry if is(\"what is to be decided again is rejected\") => Effect::reject(\"no\"),\n                Otherwise::Retry => return Err(NotCompleted::Overtaken { at }),",
    )]),
    ("a write whose condition fails is left out", &[(
        "destination/commit.rs",
        "                Otherwise::Else(other) => *other,",
        "                Otherwise::Else(_) if is(\"a write whose condition fails is left out\") => effect,\n                Otherwise::Else(other) => *other,",
    )]),
    ("a route takes its type from any source", &[(
        "notification/routes.rs",
        "if !sources.contains(&notification.source) => {",
        "if !sources.contains(&notification.source) && !is(\"a route takes its type from any source\") => {",
    )]),
    ("a route takes a source from any sender", &[(
        "notification/routes.rs",
        "            Some(mut senders) => senders.any(is_sender),",
        "            Some(mut senders) => senders.any(is_sender) || is(\"a route takes a source from any sender\"),",
    )]),
    ("a sender is compared with its session", &[(
        "aws/unique_id.rs",
        "        Some((role, _)) if role.starts_with(\"AROA\") => role,",
        "        Some((role, _)) if role.starts_with(\"AROA\") && !is(\"a sender is compared with its session\") => role,",
    )]),
    ("an end does not ask whether its sender wants to know", &[(
        "record/pending.rs",
        "            None if self.expected.after != Status::Init => {",
        "            None if self.expected.after != Status::Init && !is(\"an end does not ask whether its sender wants to know\") => {",
    )]),
    ("an outcome is left out of its end", &[(
        "store/ledger.rs",
        "        actions.extend(outcome.iter().map(|outcome| self.accept_action(outcome)));",
        "        actions.extend(outcome.iter().filter(|_| !is(\"an outcome is left out of its end\")).map(|outcome| self.accept_action(outcome)));",
    )]),
    ("a destination that gives up tells nobody", &[(
        "store/ledger.rs",
        "match pending.has_outcome() {",
        "match pending.has_outcome() && !(is(\"a destination that gives up tells nobody\") && matches!(pending.transition, crate::record::Transition::Dead { fails: true, .. })) {",
    )]),
    ("reconcile gives up and tells nobody", &[(
        "store/ledger.rs",
        "Transition::Dead { fails: true, .. })) {",
        "Transition::Dead { fails: true, .. })) && !(is(\"reconcile gives up and tells nobody\") && matches!(pending.transition, crate::record::Transition::Dead { fails: false, .. })) {",
    )]),
    ("who closes tells nobody", &[(
        "store/ledger.rs",
        "Transition::Dead { fails: false, .. })) {",
        "Transition::Dead { fails: false, .. })) && !(is(\"who closes tells nobody\") && matches!(pending.transition, crate::record::Transition::Closed { .. })) {",
    )]),
    ("what is dead still is told again", &[(
        "record/outcome.rs",
        "expected.after != Status::Init && expected.after != record.status",
        "expected.after != Status::Init && (expected.after != record.status || is(\"what is dead still is told again\"))",
    )]),
    ("an outcome tells the status of before", &[(
        "record/outcome.rs",
        "            status: expected.after,",
        "            status: if is(\"an outcome tells the status of before\") { record.status } else { expected.after },",
    )]),
    ("a copy is believed its cause", &[(
        "destination/commit.rs",
        "        let rests_on_copy = work.delivery.is_none() && !names.is_empty();",
        "        let rests_on_copy = work.delivery.is_none() && !names.is_empty() && !is(\"a copy is believed its cause\");",
    )]),
    ("an outcome is told of what was read before", &[(
        "record/pending.rs",
        "(self.basis.is_some() || asks_for_outcome.is_some()).then(|| Basis::of(record));",
        "(self.basis.is_some() || (asks_for_outcome.is_some() && !is(\"an outcome is told of what was read before\"))).then(|| Basis::of(record));",
    )]),
    ("a sender is believed its cause", &[(
        "notification/checked.rs",
        "Checked::sent(Notification { causationid: None, correlationid: None, ..notification })",
        "Checked::sent(Notification { causationid: None, correlationid: notification.extensions.get(\"correlationid\").filter(|_| is(\"a sender is believed its cause\")).map(|_| notification.id.clone()), ..notification })",
    )]),
    ("a cause goes back no further than its parent", &[(
        "notification/draft.rs",
        "        let first = parent.correlationid.as_ref().unwrap_or(&parent.id);",
        "        let first = parent.correlationid.as_ref().filter(|_| !is(\"a cause goes back no further than its parent\")).unwrap_or(&parent.id);",
    )]),
    ("a mark does not name its emits", &[(
        "record/pending.rs",
        "        if !self.emits.is_empty() {",
        "        if !self.emits.is_empty() && !is(\"a mark does not name its emits\") {",
    )]),
    ("an earlier outcome replaces a later one", &[(
        "record/outcome.rs",
        "            version: record.version + 1,",
        "            version: if is(\"an earlier outcome replaces a later one\") { 1 } else { record.version + 1 },",
    )]),
];
