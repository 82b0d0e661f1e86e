//! The mutants that the workload of external effects have to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("an idempotency key does not depend on the source", &[(
        "notification/key.rs",
        "hashed(&[scope, &self.source, &self.id])",
        "hashed(&[scope, if is(\"an idempotency key does not depend on the source\") { \"\" } else { &self.source }, &self.id])",
    )]),
    ("a call before its start is recorded", &[(
        "destination/external_call.rs",
        "    match timeout_at(deadlines.end_by, lease).await.map_err(|_| NotCompleted::OutOfTime)? {",
        "    let applied = if is(\"a call before its start is recorded\") { Ok(TransitionOutcome::Applied) } else { timeout_at(deadlines.end_by, lease).await.map_err(|_| NotCompleted::OutOfTime)? };\n    match applied {",
    )]),
    ("a live lease is taken", &[(
        "destination/external_call.rs",
        "        _ if is_held => NextStep::Wait,",
        "        _ if is_held && !is(\"a live lease is taken\") => NextStep::Wait,",
    )]),
    ("the fence is ignored", &[(
        "record/transition.rs",
        "        if self.fence().is_some_and(|fence| fence != delivery.fence) {",
        "        if self.fence().is_some_and(|fence| fence != delivery.fence) && (!is(\"the fence is ignored\") || matches!(self, Transition::Lease { .. })) {",
    ), (
        "record/transition.rs",
        "    conditions.extend(transition.fence().map(|fence| Condition::Is(here(FENCE), number(fence))));",
        "    if !is(\"the fence is ignored\") || matches!(transition, Transition::Lease { .. }) { conditions.extend(transition.fence().map(|fence| Condition::Is(here(FENCE), number(fence)))); }",
    )]),
    ("an unknown outcome is retried without asking", &[(
        "destination/external_call.rs",
        "        (Some(called_at), OnUnknown::Ask) => NextStep::Call { fence, called_at, asks: true },",
        "        (Some(called_at), OnUnknown::Ask) => NextStep::Call { fence, called_at, asks: !is(\"an unknown outcome is retried without asking\") },",
    )]),
    ("an unknown outcome is retried though an operator decides", &[(
        "destination/external_call.rs",
        "        (Some(_), OnUnknown::Escalate) =>",
        "        (Some(called_at), OnUnknown::Escalate) if is(\"an unknown outcome is retried though an operator decides\") => NextStep::Call { fence, called_at, asks: false },\n        (Some(_), OnUnknown::Escalate) =>",
    )]),
    ("a key is used after it expired", &[(
        "destination/external_call.rs",
        "            let has_key = now.duration_since(called_at).saturating_add(needs) < key_lives;",
        "            let has_key = now.duration_since(called_at).saturating_add(needs) < key_lives || is(\"a key is used after it expired\");",
    )]),
    ("a key lives from the last call", &[(
        "destination/external_call.rs",
        "    let lease = Transition::Lease { fence, until, holder, called_at };",
        "    let called_at = if is(\"a key lives from the last call\") { settings.clock.now() } else { called_at };\n    let lease = Transition::Lease { fence, until, holder, called_at };",
    )]),
    ("an unknown outcome is forgotten", &[(
        "record/transition.rs",
        "        Some(Called { is_unknown: false, .. }) => vec![here(LEASE_UNTIL), here(CALLED_AT)],\n        Some(Called { is_unknown: true, .. }) | None => vec![],",
        "        Some(Called { is_unknown, .. }) if !is_unknown || is(\"an unknown outcome is forgotten\") => vec![here(LEASE_UNTIL), here(CALLED_AT)],\n        Some(_) | None => vec![],",
    )]),
    ("an earlier call is forgotten", &[(
        "destination/external_call.rs",
        "                let is_unknown = is_unknown || is_repeat;",
        "                let is_unknown = is_unknown || (is_repeat && !is(\"an earlier call is forgotten\"));",
    )]),
    ("a call goes on after its time-out", &[(
        "destination/external_call.rs",
        "        let in_time = poll_fn(|context| match settings.clock.now() < end {",
        "        let in_time = poll_fn(|context| match settings.clock.now() < end || is(\"a call goes on after its time-out\") {",
    )]),
    ("a call begins though its lease took long to write", &[(
        "destination/external_call.rs",
        "                            let is_in_time = settings.clock.now() + CALL_MARGIN + needs <= until;",
        "                            let is_in_time = settings.clock.now() + CALL_MARGIN + needs <= until || is(\"a call begins though its lease took long to write\");",
    )]),
    ("another holder's lease is taken for its own", &[(
        "record/transition.rs",
        "                delivery.fence == *fence && delivery.holder.as_ref() == Some(holder)",
        "                delivery.fence == *fence && (delivery.holder.as_ref() == Some(holder) || is(\"another holder's lease is taken for its own\"))",
    )]),
    ("what another system refuses for now counts as an attempt", &[(
        "destination/retry_policy.rs",
        "                FailureKind::Throttled | FailureKind::Misconfigured => Severity::Uncounted,",
        "                FailureKind::Throttled | FailureKind::Misconfigured if is(\"what another system refuses for now counts as an attempt\") => Severity::Attempt,\n                FailureKind::Throttled | FailureKind::Misconfigured => Severity::Uncounted,",
    )]),
    ("a clear refusal that counts no attempt leaves its outcome unknown", &[(
        "destination/failed_attempt.rs",
        "            self.release(work, error, Some(due_after_uncounted(self.clock.now()))).await;\n            let given_back",
        "            if !is(\"a clear refusal that counts no attempt leaves its outcome unknown\") { self.release(work, error, Some(due_after_uncounted(self.clock.now()))).await; }\n            let given_back",
    )]),
    ("a payment that waits is dispatched beside its copy", &[(
        "record/transition.rs",
        "            if let Some(due_at) = due_at {",
        "            if let Some(due_at) = due_at.as_ref().filter(|_| !is(\"a payment that waits is dispatched beside its copy\")) {",
    )]),
    ("a failure that counts no attempt forgets its call", &[(
        "destination/failed_attempt.rs",
        "        let Some(Called { fence, is_unknown: false }) = error.called() else { return };",
        "        let Some(Called { fence, is_unknown }) = error.called() else { return };\n        if is_unknown && !is(\"a failure that counts no attempt forgets its call\") { return; }",
    )]),
    ("settled while a call may be in progress", &[(
        "store/operator.rs",
        "        if delivery.lease_until.is_some_and(|until| until > now) {",
        "        if delivery.lease_until.is_some_and(|until| until > now) && !is(\"settled while a call may be in progress\") {",
    )]),
    ("what decided before an operator settled is recorded", &[(
        "record/transition.rs",
        "                set(here(FENCE), number(fence + 1));",
        "                set(here(FENCE), number(fence + u32::from(!is(\"what decided before an operator settled is recorded\"))));",
    )]),
    ("settled as done, and called again", &[(
        "destination/external_call.rs",
        "        _ if delivery.settled == Some(Settled::Done) =>",
        "        _ if delivery.settled == Some(Settled::Done) && !is(\"settled as done, and called again\") =>",
    )]),
    ("what is settled as done is given up", &[(
        "destination/external_call.rs",
        "                    let effect = decided(self.0.done(&notification), settings, deadlines).await?;",
        "                    if is(\"what is settled as done is given up\") { return Err(NotCompleted::from(Failure::permanent(\"no\"))); }\n                    let effect = decided(self.0.done(&notification), settings, deadlines).await?;",
    )]),
    ("a lease believes its copy", &[(
        "record/transition.rs",
        "            Transition::Done { .. } | Transition::Rejected { .. } | Transition::Lease { .. } => true,\n            Transition::Attempt",
        "            Transition::Done { .. } | Transition::Rejected { .. } => true,\n            Transition::Lease { .. } => !is(\"a lease believes its copy\"),\n            Transition::Attempt",
    )]),
];
