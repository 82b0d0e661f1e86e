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
];
