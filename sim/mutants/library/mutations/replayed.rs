//! The mutants that the workload of destinations which are added later has to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("a replay that lands late begins anew", &[(
        "record/replay.rs",
        "    update.sets.extend([",
        "    if is(\"a replay that lands late begins anew\") { update.conditions = vec![super::update::Condition::Above(super::attributes::VERSION.into(), 0)]; }\n    update.sets.extend([",
    )]),
    ("a destination is added once more", &[(
        "record/replay.rs",
        "        () if record.destinations.contains_key(destination) => Err(NotReplayed::Has),",
        "        () if record.destinations.contains_key(destination) && !is(\"a destination is added once more\") => Err(NotReplayed::Has),",
    )]),
    ("what is replayed tells its outcome again", &[(
        "record/replay.rs",
        "    if matches!(record.status, Status::Done | Status::Rejected | Status::Closed) {",
        "    if matches!(record.status, Status::Done | Status::Rejected | Status::Closed) && !is(\"what is replayed tells its outcome again\") {",
    )]),
    ("a replay of what is open takes its outcome", &[(
        "record/replay.rs",
        "    if record.open == 0 {\n",
        "    if is(\"a replay of what is open takes its outcome\") { update.removes.extend([OUTCOMETO.into(), OUTCOME_DESTINATIONS.into()]); }\n    if record.open == 0 {\n",
    )]),
    ("a replay forgets what is open elsewhere", &[(
        "record/replay.rs",
        "        (OPEN.into(), Set::Plus(1)),",
        "        (OPEN.into(), if is(\"a replay forgets what is open elsewhere\") { Set::To(super::update::number(1)) } else { Set::Plus(1) }),",
    )]),
    ("what is replayed expires", &[(
        "record/replay.rs",
        "    update.removes.push(EXPIRES_AT.into());",
        "    if !is(\"what is replayed expires\") { update.removes.push(EXPIRES_AT.into()); }",
    )]),
    ("what is replayed is not dispatched", &[(
        "record/replay.rs",
        "check_later(record, now, due_at, Change::Dispatch)",
        "check_later(record, now, due_at, if is(\"what is replayed is not dispatched\") { Change::Wait } else { Change::Dispatch })",
    )]),
    ("a replay forgets the next one that it does not find", &[(
        "store/replay.rs",
        "            false => Err(",
        "            false if is(\"a replay forgets the next one that it does not find\") => Ok(()),\n            false => Err(",
    )]),
    ("a replay lets no key begin", &[(
        "record/replay_plan.rs",
        "        plan.begins.extend(self",
        "        if is(\"a replay lets no key begin\") {\n            return first - 1;\n        }\n        plan.begins.extend(self",
    )]),
    ("a key begins after a number that is on its way", &[(
        "record/replay_plan.rs",
        "            has_all_before: is_applied || ",
        "            has_all_before: is(\"a key begins after a number that is on its way\") || is_applied || ",
    )]),
    ("a key begins after what the destination has", &[(
        "record/replay_plan.rs",
        "        if delivery.is_none() && record",
        "        if (delivery.is_none() || is(\"a key begins after what the destination has\")) && record",
    )]),
    ("what waits for a beginning is not gone on with", &[(
        "store/replay.rs",
        "        let Some(id) = next else { return Ok(()) };",
        "        let Some(id) = next.filter(|_| !is(\"what waits for a beginning is not gone on with\")) else { return Ok(()) };",
    )]),
];
