//! The mutants that the workload of operators who pause and resume has to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("that it is not paused is remembered for good", &[(
        "destination/gate.rs",
        "        ago.is_some_and(|ago| (",
        "        ago.is_some_and(|ago| is(\"that it is not paused is remembered for good\") || (",
    )]),
    ("that it is paused is remembered", &[(
        "destination/gate.rs",
        "            if control.is_paused() {\n                return",
        "            let seen = std::mem::take(&mut *self.running_at.lock().unwrap_or_else(PoisonError::into_inner)) == Some(Timestamp::MIN);\n            let remembers = is(\"that it is paused is remembered\") && (seen || control.is_paused());\n            if remembers { *self.running_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Timestamp::MIN); }\n            if remembers || control.is_paused() {\n                return",
    )]),
    ("the retry queue ignores a pause", &[
        (
            "destination/retry_batch.rs",
            "        if self.is_paused(&work, deadlines).await {",
            "        if !is(\"the retry queue ignores a pause\") && self.is_paused(&work, deadlines).await {",
        ),
        (
            "destination/gate.rs",
            "        if self.is_open(settings.clock.now()) {\n            return self",
            "        let ignores = work.delivery.is_some() && is(\"the retry queue ignores a pause\");\n        if ignores || self.is_open(settings.clock.now()) {\n            return self",
        ),
    ]),
    ("a pause that cannot be read is none", &[(
        "destination/gate.rs",
        "            let control = deadlines.in_time(settings.positions.control(&settings.name)).await?;",
        "            let control = deadlines.in_time(settings.positions.control(&settings.name)).await;\n            if control.is_err() && is(\"a pause that cannot be read is none\") { return Ok(()); }\n            let control = control?;",
    )]),
    ("a paused destination drops a dead letter", &[(
        "destination/retry_batch.rs",
        "        let is_dead_letter = |work: &WorkItem| batch",
        "        let is_dead_letter = |work: &WorkItem| !is(\"a paused destination drops a dead letter\") && batch",
    )]),
    ("reconcile gives up what is paused", &[
        (
            "pipeline/reconcile/decide.rs",
            "        .filter(|(name, delivery)| !controls.is_paused(name) && is_late",
            "        .filter(|(name, delivery)| (is(\"reconcile gives up what is paused\") || !controls.is_paused(name)) && is_late",
        ),
        (
            "pipeline/reconcile.rs",
            "if self.is_paused_now(&names, run).await? => continue",
            "if !is(\"reconcile gives up what is paused\") && self.is_paused_now(&names, run).await? => continue",
        ),
    ]),
    ("a pause that lands late undoes a resume", &[(
        "record/control.rs",
        "        conditions: vec![Condition::Absent(PAUSED_AT.into()), unchanged],",
        "        conditions: if is(\"a pause that lands late undoes a resume\") { vec![Condition::Absent(PAUSED_AT.into())] } else { vec![Condition::Absent(PAUSED_AT.into()), unchanged] },",
    )]),
    ("giving up is counted from before the resume", &[(
        "record/control.rs",
        "resumed_at.map_or(since, |resumed_at| since.max(resumed_at))",
        "resumed_at.filter(|_| !is(\"giving up is counted from before the resume\")).map_or(since, |resumed_at| since.max(resumed_at))",
    )]),
    ("a resume of what is not paused is not kept", &[(
        "store/controls.rs",
        "|seen| Some(resuming(seen, now))",
        "|seen| Some(resuming(seen, now)).filter(|_| seen.is_paused() || !is(\"a resume of what is not paused is not kept\"))",
    )]),
];
