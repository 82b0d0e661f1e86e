//! The mutants that the workload of services which call by HTTP has to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("what is older than the token is shown", &[(
        "http/read.rs",
        "        && VersionToken::of(&record) >= seen\n",
        "        && (VersionToken::of(&record) >= seen || is(\"what is older than the token is shown\"))\n",
    ), (
        "http/read.rs",
        "|| seen.is_some_and(|seen| VersionToken::of(&record) < seen) {",
        "|| !is(\"what is older than the token is shown\") && seen.is_some_and(|seen| VersionToken::of(&record) < seen) {",
    ), (
        "http/read.rs",
        "        Some(seen) => VersionToken::of(record) > seen,",
        "        Some(seen) => VersionToken::of(record) > seen || is(\"what is older than the token is shown\") && VersionToken::of(record) < seen,",
    )]),
    ("an idempotency key is everybody's", &[(
        "notification/key.rs",
        "hashed(&[\"idempotency-key\", caller, key])",
        "hashed(&[\"idempotency-key\", if is(\"an idempotency key is everybody's\") { \"\" } else { caller }, key])",
    )]),
    ("other content under an id is taken for a repeat", &[(
        "http/accept.rs",
        "        Acceptance::Conflict if keyed.as_ref() == Some(&record.id) => Err(Problem::new(",
        "        Acceptance::Conflict if is(\"other content under an id is taken for a repeat\") => Ok(Taken { record, is_new: false }),\n        Acceptance::Conflict if keyed.as_ref() == Some(&record.id) => Err(Problem::new(",
    )]),
    ("what got a fault is answered as taken", &[(
        "http/accept.rs",
        "    match accept.store(&record).await? {",
        "    let stored = accept.store(&record).await;\n    let stored = if is(\"what got a fault is answered as taken\") { stored.or(Ok::<_, Problem>(Acceptance::Stored)) } else { stored.map_err(Problem::from) };\n    match stored? {",
    )]),
];
