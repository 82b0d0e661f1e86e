//! The mutants that the workload of numbered notifications have to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("an id with another number is a repeat", &[(
        "notification/digest.rs",
        "            Rule::V2 => notification.sequence,",
        "            Rule::V2 => if is(\"an id with another number is a repeat\") { None } else { notification.sequence },",
    )]),
    ("an event that is not taken is applied", &[(
        "destination/commit.rs",
        "        if !taken(|| self.0.takes(",
        "        if !is(\"an event that is not taken is applied\") && !taken(|| self.0.takes(",
    )]),
    ("an event that is not taken is dead", &[(
        "destination/commit.rs",
        "            Kind::Event => self",
        "            Kind::Event if !is(\"an event that is not taken is dead\") => self",
    ), (
        "destination/commit.rs",
        "            Kind::Command => {",
        "            _ => {",
    )]),
    ("an event without subscribers is dispatched", &[(
        "record/record.rs",
        "        Ok(if record.open == 0 {",
        "        Ok(if record.open == 0 && !is(\"an event without subscribers is dispatched\") {",
    )]),
    ("an event without subscribers expires at once", &[(
        "record/record.rs",
        "Some(self.accepted_at + KEPT_WITHOUT_SUBSCRIBERS);",
        "Some(if is(\"an event without subscribers expires at once\") { self.accepted_at } else { self.accepted_at + KEPT_WITHOUT_SUBSCRIBERS });",
    )]),
    ("it does not wait for its turn", &[(
        "record/position.rs",
        "        if sequence_key.sequence > self.at + 1 {",
        "        if sequence_key.sequence > self.at + 1 && !is(\"it does not wait for its turn\") {",
    )]),
    ("a completed sequence is waited for", &[(
        "record/position.rs",
        "            _ if sequence_key.sequence <= self.at => return Readiness::Past,",
        "            _ if sequence_key.sequence <= self.at && is(\"a completed sequence is waited for\") => true,\n            _ if sequence_key.sequence <= self.at => return Readiness::Past,",
    ), (
        "record/position.rs",
        "        if sequence_key.sequence > self.at + 1 && !is(\"it does not wait for its turn\") {",
        "        if sequence_key.sequence <= self.at || sequence_key.sequence > self.at + 1 && !is(\"it does not wait for its turn\") {",
    )]),
    ("the mark does not move the position", &[(
        "store/ledger.rs",
        "        if let Some((positions, update)) = &commit.position {\n            let most",
        "        if let Some((positions, update)) = &commit.position && !is(\"the mark does not move the position\") {\n            let most",
    )]),
    ("a commit in sequence leaves out its writes", &[(
        "store/ledger.rs",
        "        let token = token(&actions);",
        "        if is(\"a commit in sequence leaves out its writes\") && position_actions > 0 { actions.drain(1 + position_actions..=position_actions + commit.writes.len()); }\n        let token = token(&actions);",
    )]),
    ("no condition on the position", &[(
        "record/position/change.rs",
        "    let (mut conditions, mut removes) = (vec![is_at], vec![]);",
        "    let (mut conditions, mut removes) = (if is(\"no condition on the position\") { vec![] } else { vec![is_at] }, vec![]);",
    )]),
    ("a first registration is passed", &[(
        "record/position/change.rs",
        "        None => conditions.push(Condition::Absent(REGISTERED_TO.to_owned())),",
        "        None if is(\"a first registration is passed\") => (),\n        None => conditions.push(Condition::Absent(REGISTERED_TO.to_owned())),",
    )]),
    ("a registration does not say how far they go", &[(
        "record/position.rs",
        "        let raises = self.registered_to.is_none_or(|registered_to| registered_to < sequence_key.sequence);",
        "        let raises = self.registered_to.is_none_or(|registered_to| registered_to < sequence_key.sequence) && !is(\"a registration does not say how far they go\");",
    )]),
    ("the next one is not notified", &[(
        "destination/ordered.rs",
        "next.take().filter(|id| follower != Some(id))",
        "next.take().filter(|id| follower != Some(id) && !is(\"the next one is not notified\"))",
    )]),
    ("the next one is what was read, not what was committed", &[(
        "destination/ordered.rs",
        "let next = moved.next().map(str::to_owned);",
        "let next = if is(\"the next one is what was read, not what was committed\") { work.position.as_ref().and_then(PositionUpdate::next) } else { moved.next() }.map(str::to_owned);",
    )]),
    ("what waited and fails is forgotten", &[(
        "destination/ordered.rs",
        "                    self.failed.push((work, error));",
        "                    if !is(\"what waited and fails is forgotten\") { self.failed.push((work, error)); }",
    )]),
    ("what waited and a later release holds is forgotten", &[(
        "destination/ordered.rs",
        "                self.failed.push((work, held.into()));",
        "                if !is(\"what waited and a later release holds is forgotten\") { self.failed.push((work, held.into())); }",
    )]),
    ("a close forgets what a later release holds", &[(
        "store/operator.rs",
        "            Some((State::Unknown, 0)) => Err(",
        "            Some((State::Unknown, 0)) if is(\"a close forgets what a later release holds\") => Ok(true),\n            Some((State::Unknown, 0)) => Err(",
    )]),
    ("released though the next one was not notified", &[(
        "destination/ordered.rs",
        "            next = self.go_on(&work.copies, &key).await",
        "            next = self.go_on(&work.copies, &key).await.or_else(|error| if is(\"released though the next one was not notified\") { Ok(None) } else { Err(error) })",
    )]),
    ("a redelivered completed one notifies nobody", &[(
        "destination/retry_batch.rs",
        "State::Done | State::Rejected | State::Closed if work.sequence_key.is_some() =>",
        "State::Done | State::Rejected | State::Closed if work.sequence_key.is_some() && !is(\"a redelivered completed one notifies nobody\") =>",
    )]),
    ("an early one counts a failed attempt", &[(
        "destination/failed_attempt.rs",
        "        if error.needs_no_copy() &&",
        "        if !is(\"an early one counts a failed attempt\") && error.needs_no_copy() &&",
    ), (
        "destination/retry_policy.rs",
        "                TransitionError::Fault(_) | TransitionError::Early => Severity::Uncounted,",
        "                TransitionError::Early if is(\"an early one counts a failed attempt\") => Severity::Attempt,\n                TransitionError::Fault(_) | TransitionError::Early => Severity::Uncounted,",
    )]),
    ("a close does not move the position", &[(
        "store/operator.rs",
        "        let update = positions.current(&sequence_key).await?.closing(&sequence_key);",
        "        let update = positions.current(&sequence_key).await?.closing(&sequence_key).filter(|_| !is(\"a close does not move the position\"));",
    )]),
    ("a close notifies nobody", &[(
        "store/operator.rs",
        "        if let Some(next) = next {",
        "        if let Some(next) = next.filter(|_| !is(\"a close notifies nobody\")) {",
    )]),
    ("a closed sequence is not passed", &[(
        "record/position.rs",
        "        let is_closed = |at: &u64| self.registrations.get(at) == Some(&Registration::Closed);",
        "        let is_closed = |at: &u64| self.registrations.get(at) == Some(&Registration::Closed) && !is(\"a closed sequence is not passed\");",
    ), (
        "record/position/change.rs",
        "        None => vec![Condition::Absent(ID.to_owned())],",
        "        None if is(\"a closed sequence is not passed\") => vec![Condition::Absent(POSITION.to_owned())],\n        None => vec![Condition::Absent(ID.to_owned())],",
    )]),
    ("a mark believes the order of its copy", &[(
        "destination/handler.rs",
        "let sequenced = rests_on_copy.then(|| work.sequence_key.is_some());",
        "let sequenced = (rests_on_copy && !is(\"a mark believes the order of its copy\")).then(|| work.sequence_key.is_some());",
    )]),
    ("a sequence that another copy completed is taken", &[(
        "destination/ordered.rs",
        "                State::Done | State::Rejected | State::Closed => return Ok(Some(delivery.state)),",
        "                _ if is(\"a sequence that another copy completed is taken\") => return Ok(None),\n                State::Done | State::Rejected | State::Closed => return Ok(Some(delivery.state)),",
    )]),
    ("a registration believes its copy", &[(
        "destination/ordered.rs",
        "            if work.delivery.is_none() {\n                self.settings.confirm(work).await?;",
        "            if work.delivery.is_none() && !is(\"a registration believes its copy\") {\n                self.settings.confirm(work).await?;",
    )]),
    ("the last completed number is applied again", &[(
        "record/position.rs",
        "            _ if sequence_key.sequence <= self.at => return Readiness::Past,",
        "            _ if sequence_key.sequence == self.at && is(\"the last completed number is applied again\") => true,\n            _ if sequence_key.sequence <= self.at => return Readiness::Past,",
    ), (
        "record/position.rs",
        "        if sequence_key.sequence <= self.at || ",
        "        if sequence_key.sequence <= self.at && !is(\"the last completed number is applied again\") || ",
    )]),
    ("a later registration does not say how far they go", &[(
        "record/position.rs",
        "is_none_or(|registered_to| registered_to < sequence_key.sequence)",
        "is_none_or(|registered_to| registered_to < sequence_key.sequence && !is(\"a later registration does not say how far they go\"))",
    )]),
    ("a gap that is filled meanwhile is missed", &[(
        "record/position/change.rs",
        "(to < registered_to).then(",
        "(to < registered_to && !is(\"a gap that is filled meanwhile is missed\")).then(",
    )]),
    ("what is next by now is registered all the same", &[(
        "record/position/change.rs",
        "AbsentOrBelow(POSITION.to_owned(), sequence - 1)",
        "AbsentOrBelow(POSITION.to_owned(), sequence - 1 + u64::from(is(\"what is next by now is registered all the same\")))",
    )]),
    ("more handlers at once than an operator set", &[(
        "destination/process.rs",
        "progress.buffer_unordered(settings.concurrency)",
        "progress.buffer_unordered(if is(\"more handlers at once than an operator set\") { CONCURRENCY_MAX } else { settings.concurrency })",
    )]),
];
