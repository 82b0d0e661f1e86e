//! The mutants that the workload of fan-out has to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("what the queue did not take is done", &[(
        "destination/to_queue.rs",
        "        send.send().await.map_err(|error| failed(self.name(), &Fault::from_sdk(\"SendMessage\", &error)))?;",
        "        let sent = send.send().await.map_err(|error| failed(self.name(), &Fault::from_sdk(\"SendMessage\", &error)));\n        if !is(\"what the queue did not take is done\") { sent?; }",
    )]),
    ("a queue that does not answer has taken the message", &[(
        "destination/to_queue.rs",
        "        if !is(\"what the queue did not take is done\") { sent?; }",
        "        let unknown = sent.as_ref().is_err_and(|error| error.is_unknown);\n        let forgets = is(\"what the queue did not take is done\") || unknown && is(\"a queue that does not answer has taken the message\");\n        if !forgets { sent?; }",
    )]),
    ("what one destination gives back is done for all", &[(
        "destination/several.rs",
        "            all.batch_item_failures.extend(response.batch_item_failures);",
        "            if is(\"what one destination gives back is done for all\") { all = response; continue; }\n            all.batch_item_failures.extend(response.batch_item_failures);",
    )]),
    ("a copy goes to another destination of its function", &[(
        "destination/several.rs",
        "find(|consumer| consumer.settings.name == name)",
        "find(|consumer| consumer.settings.name == name || is(\"a copy goes to another destination of its function\"))",
    )]),
    ("a failure is not waited after as long as it asks", &[(
        "destination/retry_schedule.rs",
        "        (spread(self.longest_wait(number), random) + retry_after).min(WAIT_MAX)",
        "        if is(\"a failure is not waited after as long as it asks\") { return spread(self.longest_wait(number), random); }\n        (spread(self.longest_wait(number), random) + retry_after).min(WAIT_MAX)",
    )]),
    ("another copy does not wait as long as a failure asks", &[(
        "destination/retry_policy.rs",
        "usual.map(|usual| (usual + retry_after).min(WAIT_MAX));",
        "usual.map(|usual| if is(\"another copy does not wait as long as a failure asks\") { usual } else { (usual + retry_after).min(WAIT_MAX) });",
    )]),
];
