//! The mutants that the workload of refunds, orders and notes have to find.

use super::Mutant;

#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    ("accept without its condition", &[(
        "store/ledger.rs",
        "            let put = put\n                .condition_expression(ABSENT)",
        "            let put = put\n                .set_condition_expression((!is(\"accept without its condition\")).then(|| ABSENT.into()))",
    )]),
    ("other content is taken for a repeat", &[(
        "store/ledger.rs",
        "match record.is_repeat_of(&stored) {",
        "match record.is_repeat_of(&stored) || is(\"other content is taken for a repeat\") {",
    )]),
    ("one id of two sources is one notification", &[(
        "destination/batch.rs",
        "match by_key.get(&dispatch.notification.key()) {",
        "match by_key.iter().find(|(key, _)| if is(\"one id of two sources is one notification\") { key.id == dispatch.notification.id } else { **key == dispatch.notification.key() }).map(|(_, at)| at) {",
    )]),
    ("an emitted id does not depend on the source", &[(
        "notification/key.rs",
        "hashed(&[&self.source, &self.id, destination, name])",
        "hashed(&[if is(\"an emitted id does not depend on the source\") { \"\" } else { &self.source }, &self.id, destination, name])",
    )]),
    ("a completed id of another source hides an open one", &[(
        "store/due_index.rs",
        "            keys.retain(|key| !completed.contains(key));",
        "            keys.retain(|key| !completed.iter().any(|other| other == key || is(\"a completed id of another source hides an open one\") && other.id == key.id));",
    )]),
    ("acknowledged though the put failed", &[(
        "pipeline/upstream.rs",
        "response.set_failures(messages.into_iter().map(id));",
        "response.set_failures(messages.into_iter().filter(|_| !is(\"acknowledged though the put failed\")).map(id));",
    )]),
    ("acknowledged though no dead letter was sent", &[(
        "pipeline/upstream.rs",
        "        faulted.extend(unsent);",
        "        if !is(\"acknowledged though no dead letter was sent\") { faulted.extend(unsent); }",
    )]),
    ("a record that Kinesis did not take is forgotten", &[(
        "pipeline/relay.rs",
        "sent.filter(|(_, taken)| !taken)",
        "sent.filter(|(_, taken)| !taken && !is(\"a record that Kinesis did not take is forgotten\"))",
    )]),
    ("what is throttled is not set aside", &[(
        "pipeline/relay.rs",
        "        let send = self.queue.send(",
        "        if is(\"what is throttled is not set aside\") { return vec![]; }\n        let send = self.queue.send(",
    )]),
    ("what relay's queue did not take is forgotten", &[(
        "pipeline/relay.rs",
        "places.filter(|(place, _)| unsent.contains(place))",
        "places.filter(|(place, _)| unsent.contains(place) && !is(\"what relay's queue did not take is forgotten\"))",
    )]),
    ("what is throttled in relay's queue is dropped", &[(
        "pipeline/relay.rs",
        "        response.set_failures(waiting.iter()",
        "        response.set_failures(waiting.iter().filter(|_| !is(\"what is throttled in relay's queue is dropped\"))",
    )]),
    ("relay tries once and reports nothing", &[(
        "pipeline/relay.rs",
        "if left.is_empty() || Instant::now() >= until {",
        "if left.is_empty() || Instant::now() >= until || is(\"relay tries once and reports nothing\") {",
    ), (
        "pipeline/relay.rs",
        "left.into_iter().map(failure).collect();",
        "left.into_iter().filter(|_| !is(\"relay tries once and reports nothing\")).map(failure).collect();",
    )]),
    ("a mark has no condition on the state", &[(
        "record/transition.rs",
        "    update.conditions.push(Condition::Is(here(STATE), text(expected.from.as_str())));",
        "    if !is(\"a mark has no condition on the state\") { update.conditions.push(Condition::Is(here(STATE), text(expected.from.as_str()))); }",
    )]),
    ("a mark has no condition on the other destinations", &[(
        "record/transition.rs",
        "    update.conditions.extend(tally_conditions(transition, expected));",
        "    if !is(\"a mark has no condition on the other destinations\") { update.conditions.extend(tally_conditions(transition, expected)); }",
    )]),
    ("the mark before the effect", &[(
        "store/ledger.rs",
        "        let token = token(&actions);",
        "        if is(\"the mark before the effect\") {\n            let effect = actions.split_off(1);\n            let mark = std::mem::replace(&mut actions, effect);\n            let _ = self.client.transact_write_items().set_transact_items(Some(mark)).send().await;\n        }\n        let token = token(&actions);",
    )]),
    ("the effect before the mark", &[(
        "store/ledger.rs",
        "        actions.extend(commit.writes.iter().map(|write| write.action.clone()));",
        "        if is(\"the effect before the mark\") {\n            let writes = commit.writes.iter().map(|write| write.action.clone()).collect();\n            let _ = self.client.transact_write_items().set_transact_items(Some(writes)).send().await;\n        } else {\n            actions.extend(commit.writes.iter().map(|write| write.action.clone()));\n        }",
    )]),
    ("a commit leaves out the last write", &[(
        "store/ledger.rs",
        "        let token = token(&actions);",
        "        if is(\"a commit leaves out the last write\") && commit.writes.len() > 1 { actions.remove(position_actions + commit.writes.len()); }\n        let token = token(&actions);",
    )]),
    ("any failed condition is a duplicate", &[(
        "store/ledger.rs",
        "                Err(Cancellation::Condition { at }) => return",
        "                Err(Cancellation::Condition { .. }) if is(\"any failed condition is a duplicate\") => return Ok(TransitionOutcome::AlreadyApplied(crate::record::State::Done)),\n                Err(Cancellation::Condition { at }) => return",
    )]),
    ("a statement that failed counts as applied", &[(
        "store/ledger.rs",
        "                    Err(fault) => Ok(Next::Pause(fault)),\n                };\n                match next {",
        "                    Err(_) if is(\"a statement that failed counts as applied\") => Ok(Next::Complete(TransitionOutcome::Applied)),\n                    Err(fault) => Ok(Next::Pause(fault)),\n                };\n                match next {",
    )]),
    ("a statement that AWS refuses is given up", &[(
        "store/ledger.rs",
        "                    // Not expected: AWS refused the statement.",
        "                    Err(fault) if fault.is_invalid() && is(\"a statement that AWS refuses is given up\") => Err(TransitionError::Invalid(fault)),\n                    // Not expected: AWS refused the statement.",
    )]),
    ("dropped though no copy was enqueued", &[(
        "destination/failed_attempt.rs",
        "                    send_from(source, || self.queues.enqueue_retry(&work.dispatch, number, wait)).await?;",
        "                    if is(\"dropped though no copy was enqueued\") { let _ = self.queues.enqueue_retry(&work.dispatch, number, wait).await; } else { send_from(source, || self.queues.enqueue_retry(&work.dispatch, number, wait)).await?; }",
    )]),
    ("dropped though it was not given back", &[(
        "destination/failed_attempt.rs",
        "        send_from(source, || self.queues.enqueue_retry(&work.dispatch, 0, wait)).await?;",
        "        if is(\"dropped though it was not given back\") { let _ = self.queues.enqueue_retry(&work.dispatch, 0, wait).await; } else { send_from(source, || self.queues.enqueue_retry(&work.dispatch, 0, wait)).await?; }",
    )]),
    ("dead though the dead letter failed", &[(
        "destination/failed_attempt.rs",
        "                    send_from(source, || self.send_dead_letter(work, number, error)).await?;\n                    needs_dead_letter = false;",
        "                    if is(\"dead though the dead letter failed\") { let _ = self.send_dead_letter(work, number, error).await; } else { send_from(source, || self.send_dead_letter(work, number, error)).await?; }\n                    needs_dead_letter = false;",
    )]),
    ("the stream's failures are not reported", &[(
        "destination/stream_batch.rs",
        "    watch.redelivered().into_iter().for_each(|copy| response.add_failure(copy));",
        "    watch.redelivered().into_iter().filter(|_| !is(\"the stream's failures are not reported\")).for_each(|copy| response.add_failure(copy));",
    )]),
    ("a copy that has to be redelivered is deleted", &[(
        "destination/retry_batch.rs",
        "    response.set_failures(watch.redelivered());",
        "    response.set_failures(watch.redelivered().into_iter().filter(|_| !is(\"a copy that has to be redelivered is deleted\")));",
    )]),
    ("attempts are counted per copy", &[(
        "record/transition.rs",
        "            conditions.push(Condition::Is(here(ATTEMPTS), number(nth - 1)));",
        "            if !is(\"attempts are counted per copy\") { conditions.push(Condition::Is(here(ATTEMPTS), number(nth - 1))); }",
    )]),
    ("contention counts as an attempt", &[(
        "destination/retry_policy.rs",
        "            NotCompleted::OutOfTime | NotCompleted::Paused => Severity::Uncounted,",
        "            NotCompleted::OutOfTime | NotCompleted::NotApplied(TransitionError::Fault(_)) if is(\"contention counts as an attempt\") => Severity::Attempt,\n            NotCompleted::OutOfTime | NotCompleted::Paused => Severity::Uncounted,",
    )]),
    ("a fault is recorded with every copy that it holds up", &[(
        "destination/retry_policy.rs",
        "        Some(fault) if fault.error == error && now < fault.at + FAULT_RECORDED_EVERY => return None,",
        "        Some(fault) if fault.error == error && now < fault.at + FAULT_RECORDED_EVERY && !is(\"a fault is recorded with every copy that it holds up\") => return None,",
    )]),
    ("a dead letter that is held up becomes a copy", &[(
        "destination/failed_attempt.rs",
        "if receives < RECEIVES_RENEWED || is_dead_letter =>",
        "if (receives < RECEIVES_RENEWED || is_dead_letter) && !(is_dead_letter && is(\"a dead letter that is held up becomes a copy\")) =>",
    )]),
    ("what a fault holds up is dispatched beside its copy", &[(
        "record/transition.rs",
        "            set(here(DUE_AT), millis(*due_at));\n            let (at, error)",
        "            if !is(\"what a fault holds up is dispatched beside its copy\") { set(here(DUE_AT), millis(*due_at)); }\n            let (at, error)",
    )]),
    ("a fault counts as an attempt that is not recorded", &[(
        "record/transition.rs",
        "            set(here(FAULT), AttributeValue::M(fault.into()));",
        "            set(here(FAULT), AttributeValue::M(fault.into()));\n            if is(\"a fault counts as an attempt that is not recorded\") { sets.push((here(ATTEMPTS), Set::Plus(1))); }",
    )]),
    ("a dispatch of a later release is taken for none", &[(
        "record/dispatch.rs",
        "        if !read.sequenced.is_empty() && read.sequence.is_none() {",
        "        if is(\"a dispatch of a later release is taken for none\") && bytes.windows(10).any(|part| part == b\"\\\"priority\\\"\") { return Err(NotADispatch::NotNumbered); }\n        if !read.sequenced.is_empty() && read.sequence.is_none() {",
    )]),
    ("a record of a later release cannot be read", &[(
        "store/call.rs",
        "    Record::decode(item).map_err(",
        "    let mut item = item;\n    if is(\"a record of a later release cannot be read\") && item.contains_key(\"priority\") { item.remove(\"digest\"); }\n    Record::decode(item).map_err(",
    )]),
    ("a change of a later release cannot be read", &[(
        "store/call.rs",
        "    Record::decode(item).map_err(",
        "    if is(\"a change of a later release cannot be read\") && item.get(\"change\").is_some_and(|change| change == &text(\"attempted\")) { item.remove(\"digest\"); }\n    Record::decode(item).map_err(",
    )]),
    ("six attempts whatever the schedule has", &[(
        "destination/retry_policy.rs",
        "Severity::Attempt => number >= schedule.attempts_max(),",
        "Severity::Attempt if is(\"six attempts whatever the schedule has\") => number >= 6,\n        Severity::Attempt => number >= schedule.attempts_max(),",
    )]),
    ("an attempt more than the schedule has", &[(
        "destination/retry_policy.rs",
        "Severity::Attempt => number >= schedule.attempts_max(),",
        "Severity::Attempt => number >= schedule.attempts_max() + u32::from(is(\"an attempt more than the schedule has\")),",
    )]),
    ("every wait is the first of its schedule", &[(
        "destination/retry_schedule.rs",
        "        let nth = number.saturating_sub(1) as usize;",
        "        let nth = if is(\"every wait is the first of its schedule\") { 0 } else { number.saturating_sub(1) as usize };",
    )]),
    ("what waits for its next attempt is dispatched beside its copy", &[(
        "destination/failed_attempt.rs",
        "let due_at = self.clock.now() + FIRST_DUE_AFTER + wait;",
        "let due_at = self.clock.now() + FIRST_DUE_AFTER + wait * u32::from(!is(\"what waits for its next attempt is dispatched beside its copy\"));",
    )]),
    ("a handler has no time-out of its own", &[(
        "destination/commit.rs",
        "    match timeout.filter(|timeout| now + *timeout < deadlines.end_by) {",
        "    match timeout.filter(|timeout| now + *timeout < deadlines.end_by && !is(\"a handler has no time-out of its own\")) {",
    )]),
    ("a handler that takes too long counts no attempt", &[(
        "destination/commit.rs",
        "        Err(_) => Err(Failure::transient(late)),",
        "        Err(_) if is(\"a handler that takes too long counts no attempt\") => Err(Failure::throttled(late)),\n        Err(_) => Err(Failure::transient(late)),",
    )]),
    ("a dead record expires", &[(
        "record/transition.rs",
        "    if matches!(expected.after, Status::Done | Status::Rejected | Status::Closed) {",
        "    if matches!(expected.after, Status::Done | Status::Rejected | Status::Closed) || is(\"a dead record expires\") {",
    )]),
    ("a record that is not there is a duplicate", &[(
        "store/ledger.rs",
        "    match pending.reconsider(&returned_record(call, item)?) {",
        "    if is(\"a record that is not there is a duplicate\") && item.as_ref().is_none_or(Item::is_empty) { return Ok(Next::Complete(TransitionOutcome::AlreadyApplied(crate::record::State::Done))); }\n    match pending.reconsider(&returned_record(call, item)?) {",
    )]),
    ("enqueued after returning", &[(
        "destination/failed_attempt.rs",
        "                    if is(\"dropped though no copy was enqueued\") {",
        "                    if is(\"enqueued after returning\") {\n                        let (queues, dispatch) = (self.queues.clone(), work.dispatch.clone());\n                        tokio::spawn(async move { queues.enqueue_retry(&dispatch, number, wait).await });\n                    } else if is(\"dropped though no copy was enqueued\") {",
    )]),
    ("dead before the dead letter is sent", &[(
        "destination/failed_attempt.rs",
        "                if needs_dead_letter {\n                    if is(\"dead though the dead letter failed\")",
        "                if needs_dead_letter && !is(\"dead before the dead letter is sent\") {\n                    if is(\"dead though the dead letter failed\")",
    ), (
        "destination/failed_attempt.rs",
        "            match self.ledger.apply(self.transition(work, transition)).await {",
        "            let applied = self.ledger.apply(self.transition(work, transition)).await;\n            if is(\"dead before the dead letter is sent\") && needs_dead_letter && gives_up(severity, number, &self.retries) && matches!(applied, Ok(TransitionOutcome::Applied)) { self.send_dead_letter(work, number, error).await?; }\n            match applied {",
    )]),
    ("emits apart from the mark", &[(
        "store/ledger.rs",
        "        actions.extend(commit.emits.iter().map(|record| self.accept_action(record)));",
        "        if !is(\"emits apart from the mark\") { actions.extend(commit.emits.iter().map(|record| self.accept_action(record))); }",
    ), (
        "store/ledger.rs",
        "                Ok(()) => return Ok(TransitionOutcome::Applied),\n                Err(Cancellation::Mark(item)) =>",
        "                Ok(()) if is(\"emits apart from the mark\") => {\n                    for record in &commit.emits { self.accept(record).await?; }\n                    return Ok(TransitionOutcome::Applied);\n                }\n                Ok(()) => return Ok(TransitionOutcome::Applied),\n                Err(Cancellation::Mark(item)) =>",
    )]),
    ("an event can be rejected", &[(
        "record/transition.rs",
        "            Transition::Rejected { .. } if record.kind != Kind::Command => Err(Refused::NotACommand),",
        "            Transition::Rejected { .. } if record.kind != Kind::Command && !is(\"an event can be rejected\") => Err(Refused::NotACommand),",
    ), (
        "record/transition.rs",
        "            conditions.push(Condition::Is(KIND.into(), text(Kind::Command.as_str())));",
        "            if !is(\"an event can be rejected\") { conditions.push(Condition::Is(KIND.into(), text(Kind::Command.as_str()))); }",
    )]),
    ("a redrive takes another write of its time for its own", &[(
        "record/transition.rs",
        "delivery.redriven_at.is_some_and(is_now)",
        "if is(\"a redrive takes another write of its time for its own\") { is_now(record.updated_at) } else { delivery.redriven_at.is_some_and(is_now) }",
    ), (
        "record/transition.rs",
        "    fn is_own_write(&self, delivery: &Delivery, now: Timestamp) -> bool {",
        "    fn is_own_write(&self, record: &Record, delivery: &Delivery, now: Timestamp) -> bool {",
    ), (
        "record/transition.rs",
        "        if transition.is_own_write(delivery, now) {",
        "        if transition.is_own_write(record, delivery, now) {",
    )]),
    ("a redrive keeps the attempts", &[(
        "record/transition.rs",
        "            set(here(ATTEMPTS), number(0));",
        "            if !is(\"a redrive keeps the attempts\") { set(here(ATTEMPTS), number(0)); }",
    )]),
    ("dispatched again whatever has changed", &[(
        "record/redispatch.rs",
        "        conditions: vec![Condition::Is(VERSION.into(), number(record.version))],",
        "        conditions: if is(\"dispatched again whatever has changed\") { vec![Condition::Above(VERSION.into(), 0)] } else { vec![Condition::Is(VERSION.into(), number(record.version))] },",
    )]),
    ("a dead letter that was moved to the retry queue is dropped", &[(
        "destination/retry_batch.rs",
        "                        State::Dead if is_dead_letter => Looked::open(delivery),",
        "                        State::Dead if is_dead_letter && !is(\"a dead letter that was moved to the retry queue is dropped\") => Looked::open(delivery),",
    )]),
    ("dead whatever was dispatched since", &[(
        "record/transition.rs",
        "            Transition::Dead { dispatches, .. } if record.dispatches != *dispatches => {",
        "            Transition::Dead { dispatches, .. } if record.dispatches != *dispatches && !is(\"dead whatever was dispatched since\") => {",
    ), (
        "record/transition.rs",
        "            conditions.push(Condition::Is(DISPATCHES.into(), number(dispatches)));",
        "            if !is(\"dead whatever was dispatched since\") { conditions.push(Condition::Is(DISPATCHES.into(), number(dispatches))); }",
    )]),
    ("a dead letter that is ahead of its record is deleted", &[(
        "store/operator.rs",
        "            OperatorOutcome::Was(state) => state.is_final(),",
        "            OperatorOutcome::Was(state) => state.is_final() || is(\"a dead letter that is ahead of its record is deleted\"),",
    )]),
    ("a failed attempt holds up its shard", &[(
        "destination/failed_attempt.rs",
        "                    Source::Stream => Disposition::Drop,\n                    Source::RetryQueue { .. } => Disposition::Redeliver { wait },",
        "                    Source::Stream if is(\"a failed attempt holds up its shard\") => Disposition::Redeliver { wait },\n                    Source::Stream => Disposition::Drop,\n                    Source::RetryQueue { .. } => Disposition::Redeliver { wait },",
    )]),
    ("refused without the reason", &[(
        "pipeline/upstream.rs",
        "attributes.insert(REASON.to_owned(), ",
        "attributes.insert(if is(\"refused without the reason\") { \"why\" } else { REASON }.to_owned(), ",
    )]),
    ("a mark has no condition on the version of its basis", &[(
        "record/pending.rs",
        "                if !update.conditions.contains(&condition) {",
        "                if !update.conditions.contains(&condition) && !is(\"a mark has no condition on the version of its basis\") {",
    )]),
    ("what is dispatched again is tried from the stream", &[(
        "destination/stream_batch.rs",
        "partition(|work| work.dispatch.redispatched);",
        "partition(|work| work.dispatch.redispatched && !is(\"what is dispatched again is tried from the stream\"));",
    )]),
    ("a replay of the stream counts again", &[(
        "destination/failed_attempt.rs",
        "            State::Pending | State::Unknown if in_retry_queue >= number => FailedCopy::Repeat,",
        "            State::Pending | State::Unknown if in_retry_queue >= number && !is(\"a replay of the stream counts again\") => FailedCopy::Repeat,",
    ), (
        "destination/failed_attempt.rs",
        "severity == Severity::Attempt && self.rest_of_wait(delivery).is_some()",
        "severity == Severity::Attempt && !is(\"a replay of the stream counts again\") && self.rest_of_wait(delivery).is_some()",
    )]),
    ("two copies count at once", &[(
        "destination/retry_batch.rs",
        "match self.settings.rest_of_wait(delivery) {",
        "match self.settings.rest_of_wait(delivery).filter(|_| !is(\"two copies count at once\")) {",
    )]),
    ("a copy with characters that SQS refuses", &[(
        "aws/sqs.rs",
        "    if json.chars().all(takes) {",
        "    if json.chars().all(takes) || is(\"a copy with characters that SQS refuses\") {",
    )]),
    ("what is no dispatch has no dead letter", &[(
        "destination/stream_batch.rs",
        "        let unsent = undecodable.into_iter().map(",
        "        let unsent = undecodable.into_iter().filter(|_| !is(\"what is no dispatch has no dead letter\")).map(",
    )]),
    ("an empty dead letter for an empty record", &[(
        "store/queues.rs",
        "        Ok(\"\") => vec![",
        "        Ok(\"\") if !is(\"an empty dead letter for an empty record\") => vec![",
    )]),
    ("a dead letter without its payload", &[(
        "store/queues.rs",
        "        let send = self.0.message().await?.message_body(body(dispatch));",
        "        let body = if is(\"a dead letter without its payload\") { format!(r#\"{{\"id\":\"{}\"}}\"#, dispatch.notification.id) } else { body(dispatch) };\n        let send = self.0.message().await?.message_body(body);",
    )]),
    ("reconcile moves past what it could not check", &[(
        "pipeline/reconcile.rs",
        "            self.check_slot(walk, &place, run).await?;",
        "            let checked = self.check_slot(walk, &place, run).await;\n            if !is(\"reconcile moves past what it could not check\") { checked?; }",
    )]),
    ("a page is noted before it is checked", &[(
        "pipeline/reconcile.rs",
        "            let open = ledger.not_completed(page.keys).await?;",
        "            if is(\"a page is noted before it is checked\") { cursors.note(walk, slot, partition, &PartitionProgress { pages: progress.pages + 1, last: page.next.clone() }).await?; }\n            let open = ledger.not_completed(page.keys).await?;",
    )]),
    ("a slot has one page", &[(
        "pipeline/reconcile.rs",
        "last: page.next };",
        "last: page.next.filter(|_| !is(\"a slot has one page\")) };",
    )]),
    ("a passed slot is not checked again", &[(
        "pipeline/reconcile.rs",
        "                if let Err(fault) = self.walk(walk, run).await {",
        "                if is(\"a passed slot is not checked again\") && walk == Walk::DueAgain { return; }\n                if let Err(fault) = self.walk(walk, run).await {",
    )]),
    ("a dead letter is not renewed", &[(
        "pipeline/reconcile/decide.rs",
        "    if !due.is_empty() {",
        "    if !due.is_empty() && !is(\"a dead letter is not renewed\") {",
    )]),
    ("a dispatch resets the attempts", &[(
        "record/redispatch.rs",
        "    for (name, at) in dues {",
        "    for (name, at) in dues {\n        if is(\"a dispatch resets the attempts\") { update.sets.push((of_delivery(name, \"attempts\"), Set::To(number(0)))); }",
    )]),
    ("dispatched again and kept in its bucket", &[(
        "record/redispatch.rs",
        "            (BUCKET.into(), Set::To(text(bucket))),",
        "            (BUCKET.into(), Set::To(text(if is(\"dispatched again and kept in its bucket\") { record.bucket.clone() } else { bucket }))),",
    )]),
    ("given up though the dead letter failed", &[(
        "pipeline/reconcile/dead_letters.rs",
        "        dead_letters.of(name).send(&dispatch, name, delivery.attempts, &reason).await?;",
        "        let sent = dead_letters.of(name).send(&dispatch, name, delivery.attempts, &reason).await;\n        if !is(\"given up though the dead letter failed\") { sent?; }",
    )]),
    ("given up before the dead letter", &[(
        "pipeline/reconcile/dead_letters.rs",
        "        let sent = dead_letters.of(name).send(&dispatch, name, delivery.attempts, &reason).await;",
        "        let early = is(\"given up before the dead letter\");\n        let sent = if early { Ok(()) } else { dead_letters.of(name).send(&dispatch, name, delivery.attempts, &reason).await };\n        let text = reason.clone();",
    ), (
        "pipeline/reconcile/dead_letters.rs",
        "        match ledger.apply(dead).await {",
        "        let applied = ledger.apply(dead).await;\n        if early { dead_letters.of(name).send(&dispatch, name, delivery.attempts, &text).await?; }\n        match applied {",
    )]),
    ("a record that reconcile does not find is skipped", &[(
        "pipeline/reconcile.rs",
        "                Ok(None) => return",
        "                Ok(None) if is(\"a record that reconcile does not find is skipped\") => return Ok(()),\n                Ok(None) => return",
    )]),
    ("the outbox accepts under an id of its own", &[(
        "pipeline/outbox.rs",
        "        self.ledger.accept_action(&self.record.accepted_at(self.clock.now()))",
        "        let mut record = self.record.accepted_at(self.clock.now());\n        if is(\"the outbox accepts under an id of its own\") { record.id.push('+'); }\n        self.ledger.accept_action(&record)",
    )]),
    ("the outbox has no condition that the id is new", &[(
        "store/ledger.rs",
        "            .set_item(Some(record.encode()))\n            .condition_expression(ABSENT)\n",
        "            .set_item(Some(record.encode()))\n            .set_condition_expression((!is(\"the outbox has no condition that the id is new\")).then(|| ABSENT.into()))\n",
    )]),
    ("the condition of a write counts before contention", &[(
        "store/transaction.rs",
        "    if let Some(fault) = undecided(reasons) {",
        "    if let Some(fault) = undecided(reasons).filter(|_| !is(\"the condition of a write counts before contention\")) {",
    )]),
    ("a completed record expires at once", &[(
        "record/transition.rs",
        "number((times.now + times.retention).as_second())",
        "number(if is(\"a completed record expires at once\") { times.now } else { times.now + times.retention }.as_second())",
    )]),
    ("a copy does not wait for a later release", &[(
        "destination/retry_batch.rs",
        "                        State::Unknown => Looked::Held,",
        "                        State::Unknown if is(\"a copy does not wait for a later release\") => Looked::Useless,\n                        State::Unknown => Looked::Held,",
    )]),
    ("an emit of a type that is not known yet is refused for good", &[(
        "destination/commit.rs",
        "                    Refusal::UnknownType { .. }\n",
        "                    Refusal::UnknownType { .. } if is(\"an emit of a type that is not known yet is refused for good\") => Failure::permanent(error),\n                    Refusal::UnknownType { .. }\n",
    )]),
    ("a delay in milliseconds", &[(
        "store/queues.rs",
        "        let delay = wait.as_secs().min(DELAY_SECONDS_MAX) as i32;",
        "        let delay = if is(\"a delay in milliseconds\") { wait.as_millis() as i32 } else { wait.as_secs().min(DELAY_SECONDS_MAX) as i32 };",
    )]),
    ("what counts no attempt waits for hours", &[(
        "destination/retry_schedule.rs",
        "    let most = UNCOUNTED_WAIT_MAX.as_secs_f64() * (0.8 + random / 5.0);",
        "    if is(\"what counts no attempt waits for hours\") { return Duration::from_secs(11 * 3_600); }\n    let most = UNCOUNTED_WAIT_MAX.as_secs_f64() * (0.8 + random / 5.0);",
    )]),
    ("a record is accepted with an attempt", &[(
        "store/ledger.rs",
        "        for tries in 1.. {\n            self.turnstile.pass().await;\n            let put",
        "        let mut record = record.clone();\n        if is(\"a record is accepted with an attempt\") { record.destinations.values_mut().for_each(|delivery| delivery.attempts = 1); }\n        let record = &record;\n        for tries in 1.. {\n            self.turnstile.pass().await;\n            let put",
    )]),
    ("a change keeps the version", &[(
        "record/transition.rs",
        "    update.sets.push((VERSION.into(), Set::Plus(1)));",
        "    if !is(\"a change keeps the version\") { update.sets.push((VERSION.into(), Set::Plus(1))); }",
    )]),
    ("a mark rewrites when the record was accepted", &[(
        "record/transition.rs",
        "    set(UPDATED_AT.into(), millis(times.now));",
        "    set(UPDATED_AT.into(), millis(times.now));\n    if is(\"a mark rewrites when the record was accepted\") { set(\"accepted_at\".into(), millis(times.now)); }",
    )]),
    ("a mark does not say when it was made", &[(
        "record/transition.rs",
        "    if to != expected.from && to != State::Pending {",
        "    if to != expected.from && to != State::Pending && !is(\"a mark does not say when it was made\") {",
    )]),
    ("a mark adds a destination", &[(
        "record/transition.rs",
        "    set(CHANGE.into(), text(transition.change().as_str()));",
        "    set(CHANGE.into(), text(transition.change().as_str()));\n    if is(\"a mark adds a destination\") { set(\"destinations.more\".into(), AttributeValue::M(Default::default())); }",
    )]),
    ("a failed attempt does not say when it was", &[(
        "record/transition.rs",
        "[(AT.to_owned(), millis(now)), (ERROR.to_owned(), error)].into_iter().chain(asks);",
        "[(if is(\"a failed attempt does not say when it was\") { \"when\" } else { AT }.to_owned(), millis(now)), (ERROR.to_owned(), error)].into_iter().chain(asks);",
    )]),
    ("a failed attempt deletes its record", &[(
        "store/ledger.rs",
        "        update_item(&self.client, &self.table, item_key(key), update).await",
        "        if is(\"a failed attempt deletes its record\") { let _ = self.client.delete_item().table_name(&self.table).set_key(Some(item_key(key))).send().await; }\n        update_item(&self.client, &self.table, item_key(key), update).await",
    )]),
    ("a mark counts an attempt", &[(
        "record/transition.rs",
        "            if let Some(result) = result {\n                set(here(RESULT)",
        "            if is(\"a mark counts an attempt\") { set(here(ATTEMPTS), number(1)); }\n            if let Some(result) = result {\n                set(here(RESULT)",
    )]),
    ("a mark does not count what is open", &[(
        "record/transition.rs",
        "        if more != 0 {\n",
        "        if more != 0 && !is(\"a mark does not count what is open\") {\n",
    )]),
    ("a failed attempt changes the fence", &[(
        "record/transition.rs",
        "            set(here(IN_RETRY_QUEUE), number(dispatch));",
        "            set(here(IN_RETRY_QUEUE), number(dispatch));\n            if is(\"a failed attempt changes the fence\") { set(here(FENCE), number(7)); }",
    )]),
    ("a copy of what is completed is kept", &[(
        "destination/retry_batch.rs",
        "                        State::Dead | State::Done | State::Rejected | State::Closed => Looked::Useless,",
        "                        State::Done | State::Rejected if is(\"a copy of what is completed is kept\") => Looked::Held,\n                        State::Dead | State::Done | State::Rejected | State::Closed => Looked::Useless,",
    )]),
    ("any version of CloudEvents is taken", &[(
        "notification/cloudevent.rs",
        "    if text(from, \"specversion\")? != \"1.0\" {",
        "    if !is(\"any version of CloudEvents is taken\") && text(from, \"specversion\")? != \"1.0\" {",
    )]),
    ("a handler is asked twice", &[(
        "destination/commit.rs",
        "            let effect = decided(self.0.apply(&notification), settings, deadlines).await?;",
        "            if is(\"a handler is asked twice\") { let _ = decided(self.0.apply(&notification), settings, deadlines).await; }\n            let effect = decided(self.0.apply(&notification), settings, deadlines).await?;",
    )]),
    ("a mark believes its copy", &[(
        "destination/handler.rs",
        "work.delivery.is_none() && transition.applies_content();",
        "work.delivery.is_none() && transition.applies_content() && !is(\"a mark believes its copy\");",
    )]),
    ("a retry believes its copy", &[(
        "destination/handler.rs",
        "        self.dispatch.notification = record.notification();",
        "        if !is(\"a retry believes its copy\") { self.dispatch.notification = record.notification(); }",
    )]),
    ("a failed copy is believed", &[(
        "destination/failed_attempt.rs",
        "        if !work.agrees_with(record, delivery) {",
        "        if !work.agrees_with(record, delivery) && !is(\"a failed copy is believed\") {",
    )]),
    ("a cursor moves back", &[(
        "store/cursor.rs",
        "            .condition_expression(\"attribute_not_exists(#slot) OR #slot < :slot\")",
        "            .set_condition_expression((!is(\"a cursor moves back\")).then(|| \"attribute_not_exists(#slot) OR #slot < :slot\".into()))",
    )]),
    ("a run that was overtaken takes back a page", &[(
        "store/cursor.rs",
        "                \"attribute_not_exists(#slot) OR #slot = :slot AND (attribute_not_exists(#partition) OR #partition.#pages < :pages)\",",
        "                if is(\"a run that was overtaken takes back a page\") { \"attribute_not_exists(#slot) OR #slot = :slot AND (attribute_not_exists(#partition) OR #partition.#pages <> :pages)\" } else { \"attribute_not_exists(#slot) OR #slot = :slot AND (attribute_not_exists(#partition) OR #partition.#pages < :pages)\" },",
    )]),
    ("a run that was overtaken notes a page of its slot", &[(
        "store/cursor.rs",
        " else { \"attribute_not_exists(#slot) OR #slot = :slot AND (attribute_not_exists(#partition) OR #partition.#pages < :pages)\" },",
        " else if is(\"a run that was overtaken notes a page of its slot\") { \"attribute_not_exists(#slot) OR attribute_not_exists(#partition) OR #partition.#pages < :pages\" } else { \"attribute_not_exists(#slot) OR #slot = :slot AND (attribute_not_exists(#partition) OR #partition.#pages < :pages)\" },",
    )]),
    ("the pages of a slot count for the next one", &[(
        "store/cursor.rs",
        "map(|partition| (placeholder(partition), attribute(partition)));",
        "map(|partition| (placeholder(partition), if is(\"the pages of a slot count for the next one\") { format!(\"p{partition:02}\") } else { attribute(partition) }));",
    )]),
    ("a count of zero is not stored", &[(
        "record/record.rs",
        "    pub closed: u32,",
        "    #[serde(skip_serializing_if = \"is_left_out\")]\n    pub closed: u32,",
    ), (
        "record/record.rs",
        "fn parts(time: Timestamp) -> (Timestamp, i32) {",
        "fn is_left_out(count: &u32) -> bool {\n    is(\"a count of zero is not stored\") && is_zero(count)\n}\n\nfn parts(time: Timestamp) -> (Timestamp, i32) {",
    )]),
    ("a panic of a handler ends its function", &[(
        "destination/commit.rs",
        "    AssertUnwindSafe(work).catch_unwind().await.ok()",
        "    if is(\"a panic of a handler ends its function\") { return Some(work.await); }\n    AssertUnwindSafe(work).catch_unwind().await.ok()",
    )]),
];
