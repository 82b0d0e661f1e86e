//! Deliberate mistakes in the protocol. Each replaces a text in a file of the library; `is` asks whether the
//! mistake is enabled in this run. A text that does not occur exactly once fails the build, so that the list
//! keeps up with the library.

/// The file's path below `src`, the text, and its replacement.
pub type Edit = (&'static str, &'static str, &'static str);

/// A mutant: its name, and what makes it.
pub type Mutant = (&'static str, &'static [Edit]);

/// Every mutant, by the workload that has to find it.
pub const MUTANTS: [(&str, &[Mutant]); 3] =
    [("commerce", COMMERCE), ("payments", PAYMENTS), ("ordered", ORDERED)];

#[rustfmt::skip]
const COMMERCE: &[Mutant] = &[
    ("accept without its condition", &[(
        "ledger.rs",
        "            let put = put\n                .condition_expression(ABSENT)",
        "            let put = put\n                .set_condition_expression((!is(\"accept without its condition\")).then(|| ABSENT.into()))",
    )]),
    ("other content is taken for a repeat", &[(
        "ledger.rs",
        "match holder.digest == record.digest {",
        "match holder.digest == record.digest || is(\"other content is taken for a repeat\") {",
    )]),
    ("acknowledged though the put failed", &[(
        "upstream.rs",
        "response.set_failures(faulted.into_iter().map(id));",
        "response.set_failures(faulted.into_iter().filter(|_| !is(\"acknowledged though the put failed\")).map(id));",
    )]),
    ("acknowledged though it was not parked", &[(
        "upstream.rs",
        "        faulted.extend(unparked);",
        "        if !is(\"acknowledged though it was not parked\") { faulted.extend(unparked); }",
    )]),
    ("a part that Kinesis did not take is forgotten", &[(
        "relay.rs",
        "sent.filter(|(_, taken)| !taken)",
        "sent.filter(|(_, taken)| !taken && !is(\"a part that Kinesis did not take is forgotten\"))",
    )]),
    ("relay tries once and reports nothing", &[(
        "relay.rs",
        "if left.is_empty() || Instant::now() >= until {",
        "if left.is_empty() || Instant::now() >= until || is(\"relay tries once and reports nothing\") {",
    ), (
        "relay.rs",
        "left.into_iter().map(failure).collect();",
        "left.into_iter().filter(|_| !is(\"relay tries once and reports nothing\")).map(failure).collect();",
    )]),
    ("the mark does not ask for the state", &[(
        "moves.rs",
        "    update.conditions.push(Condition::Is(here(\"state\"), text(form.from.as_str())));",
        "    if !is(\"the mark does not ask for the state\") { update.conditions.push(Condition::Is(here(\"state\"), text(form.from.as_str()))); }",
    )]),
    ("a mark does not ask for the others", &[(
        "moves.rs",
        "    update.conditions.extend(tally_conditions(it, form));",
        "    if !is(\"a mark does not ask for the others\") { update.conditions.extend(tally_conditions(it, form)); }",
    )]),
    ("the mark before the effect", &[(
        "ledger.rs",
        "        let token = token(&actions);",
        "        if is(\"the mark before the effect\") {\n            let effect = actions.split_off(1);\n            let mark = std::mem::replace(&mut actions, effect);\n            let _ = self.client.transact_write_items().set_transact_items(Some(mark)).send().await;\n        }\n        let token = token(&actions);",
    )]),
    ("the effect before the mark", &[(
        "ledger.rs",
        "        actions.extend_from_slice(writes);",
        "        if is(\"the effect before the mark\") {\n            let _ = self.client.transact_write_items().set_transact_items(Some(writes.to_vec())).send().await;\n        } else {\n            actions.extend_from_slice(writes);\n        }",
    )]),
    ("any failed condition is a duplicate", &[(
        "transaction.rs",
        "        return Verdict::Write { at, code: reason.code().unwrap_or_default().to_owned() };",
        "        if is(\"any failed condition is a duplicate\") { return Verdict::Mark(MarkLost::Lost(Lost::Was(crate::record::State::Done))); }\n        return Verdict::Write { at, code: reason.code().unwrap_or_default().to_owned() };",
    )]),
    ("a statement that failed counts as made", &[(
        "ledger.rs",
        "                    Err(fault) if fault.is_retryable() && tries < TRIES_MAX => {",
        "                    Err(_) if is(\"a statement that failed counts as made\") => Some(Ok(Marked::Now)),\n                    Err(fault) if fault.is_retryable() && tries < TRIES_MAX => {",
    )]),
    ("dropped though parking failed", &[(
        "lane.rs",
        "                    self.settings.parking.park(&work.offer, number, waits).await?;",
        "                    let parked = self.settings.parking.park(&work.offer, number, waits).await;\n                    if !is(\"dropped though parking failed\") { parked?; }",
    )]),
    ("dropped though it was not given back", &[(
        "lane.rs",
        "self.settings.parking.park(&work.offer, 0, waits).await.map(|()| Fate::Drop)",
        "self.settings.parking.park(&work.offer, 0, waits).await.or_else(|fault| if is(\"dropped though it was not given back\") { Ok(()) } else { Err(fault) }).map(|()| Fate::Drop)",
    )]),
    ("dead though the dead letter failed", &[(
        "lane.rs",
        "                if needs_burying {\n                    self.bury(work, number, error).await?;\n                    needs_burying = false;",
        "                if needs_burying {\n                    let buried = self.bury(work, number, error).await;\n                    if !is(\"dead though the dead letter failed\") { buried?; }\n                    needs_burying = false;",
    )]),
    ("the stream's failures are not reported", &[(
        "lane.rs",
        "        again.chain(unburied.into_iter().flatten()).for_each(|copy| response.add_failure(copy));",
        "        again.chain(unburied.into_iter().flatten()).filter(|_| !is(\"the stream's failures are not reported\")).for_each(|copy| response.add_failure(copy));",
    )]),
    ("a parked copy that has to come again is deleted", &[(
        "lane.rs",
        "        let again = again.into_iter().map(|(_, copy)| copy.clone());",
        "        let again = again.into_iter().filter(|_| !is(\"a parked copy that has to come again is deleted\")).map(|(_, copy)| copy.clone());",
    )]),
    ("attempts are counted per copy", &[(
        "moves.rs",
        "            conditions.push(Condition::Is(here(\"attempts\"), number(nth - 1)));",
        "            if !is(\"attempts are counted per copy\") { conditions.push(Condition::Is(here(\"attempts\"), number(nth - 1))); }",
    )]),
    ("contention counts as an attempt", &[(
        "attempt.rs",
        "            NotEnded::NotMarked(NotMarked::Fault(_)) | NotEnded::NoTime => Weight::None,",
        "            NotEnded::NotMarked(NotMarked::Fault(_)) | NotEnded::NoTime if is(\"contention counts as an attempt\") => Weight::Attempt,\n            NotEnded::NotMarked(NotMarked::Fault(_)) | NotEnded::NoTime => Weight::None,",
    )]),
    ("a seventh attempt", &[(
        "attempt.rs",
        "number >= ATTEMPTS_MAX)",
        "number >= ATTEMPTS_MAX + u32::from(is(\"a seventh attempt\")))",
    )]),
    ("a dead record expires", &[(
        "moves.rs",
        "    if matches!(form.after, Status::Done | Status::Rejected | Status::Closed) {",
        "    if matches!(form.after, Status::Done | Status::Rejected | Status::Closed) || is(\"a dead record expires\") {",
    )]),
    ("a record that is not there is a duplicate", &[(
        "transaction.rs",
        "    let record = returned(call, item)?;",
        "    if is(\"a record that is not there is a duplicate\") && item.as_ref().is_none_or(Item::is_empty) { return Ok(MarkLost::Lost(Lost::Was(crate::record::State::Done))); }\n    let record = returned(call, item)?;",
    )]),
    ("parked after returning", &[(
        "lane.rs",
        // As the mutant above leaves it.
        "                    let parked = self.settings.parking.park(&work.offer, number, waits).await;",
        "                    let parked = if is(\"parked after returning\") {\n                        let (parking, offer) = (self.settings.parking.clone(), work.offer.clone());\n                        tokio::spawn(async move { parking.park(&offer, number, waits).await });\n                        Ok(())\n                    } else {\n                        self.settings.parking.park(&work.offer, number, waits).await\n                    };",
    )]),
    ("dead before the dead letter is sent", &[(
        "lane.rs",
        // As the mutant above leaves it.
        "                if needs_burying {\n                    let buried",
        "                if needs_burying && !is(\"dead before the dead letter is sent\") {\n                    let buried",
    ), (
        "lane.rs",
        "            match self.settings.ledger.make(it).await {",
        "            let made = self.settings.ledger.make(it).await;\n            if is(\"dead before the dead letter is sent\") && needs_burying && gives_up(weight, number) && matches!(made, Ok(Marked::Now)) { self.bury(work, number, error).await?; }\n            match made {",
    )]),
    ("emits apart from the mark", &[(
        "ledger.rs",
        "        actions.extend(emits.iter().map(|record| self.accept_action(record)));",
        "        if !is(\"emits apart from the mark\") { actions.extend(emits.iter().map(|record| self.accept_action(record))); }",
    ), (
        "ledger.rs",
        "                Ok(()) => return Ok(Marked::Now),\n                Err(Verdict::Mark(lost))",
        "                Ok(()) if is(\"emits apart from the mark\") => {\n                    for record in &emits { self.accept(record).await?; }\n                    return Ok(Marked::Now);\n                }\n                Ok(()) => return Ok(Marked::Now),\n                Err(Verdict::Mark(lost))",
    )]),
    ("an event can be rejected", &[(
        "moves.rs",
        "            Move::Rejected { .. } if record.kind != crate::Kind::Command => Err(Lost::NotACommand),",
        "            Move::Rejected { .. } if record.kind != crate::Kind::Command && !is(\"an event can be rejected\") => Err(Lost::NotACommand),",
    ), (
        "moves.rs",
        "            conditions.push(Condition::Is(of(\"kind\"), text(\"command\")));",
        "            if !is(\"an event can be rejected\") { conditions.push(Condition::Is(of(\"kind\"), text(\"command\"))); }",
    )]),
    ("a redrive takes another write of its time for its own", &[(
        "moves.rs",
        "                delivery.redriven_at.is_some_and(|at| at.as_millisecond() == now.as_millisecond())",
        "                let it = if is(\"a redrive takes another write of its time for its own\") { Some(record.updated_at) } else { delivery.redriven_at };\n                it.is_some_and(|at| at.as_millisecond() == now.as_millisecond())",
    ), (
        "moves.rs",
        "    fn is_made(&self, delivery: &Delivery, now: Timestamp) -> bool {",
        "    fn is_made(&self, record: &Record, delivery: &Delivery, now: Timestamp) -> bool {",
    ), (
        "moves.rs",
        "        if it.is_made(delivery, now) {",
        "        if it.is_made(record, delivery, now) {",
    )]),
    ("a redrive keeps the attempts", &[(
        "moves.rs",
        "            set(here(\"attempts\"), number(0));",
        "            if !is(\"a redrive keeps the attempts\") { set(here(\"attempts\"), number(0)); }",
    )]),
    ("an offer is made again whatever has changed", &[(
        "moves.rs",
        "        conditions: vec![Condition::Is(of(\"version\"), number(record.version))],",
        "        conditions: if is(\"an offer is made again whatever has changed\") { vec![Condition::Above(of(\"open\"), 0)] } else { vec![Condition::Is(of(\"version\"), number(record.version))] },",
    )]),
    ("a dead letter that was moved to the retry queue is dropped", &[(
        "lane.rs",
        "                    State::Dead => is_dead_letter,",
        "                    State::Dead => is_dead_letter && !is(\"a dead letter that was moved to the retry queue is dropped\"),",
    )]),
    ("dead whatever was offered since", &[(
        "moves.rs",
        "            Move::Dead { offers, .. } if record.offers != *offers =>",
        "            Move::Dead { offers, .. } if record.offers != *offers && !is(\"dead whatever was offered since\") =>",
    ), (
        "moves.rs",
        "            conditions.push(Condition::Is(of(\"offers\"), number(offers)));",
        "            if !is(\"dead whatever was offered since\") { conditions.push(Condition::Is(of(\"offers\"), number(offers))); }",
    )]),
    ("a letter that is ahead of its record is deleted", &[(
        "by_hand.rs",
        "            Answer::Was(state) => state.is_final(),",
        "            Answer::Was(state) => state.is_final() || is(\"a letter that is ahead of its record is deleted\"),",
    )]),
    ("of a letter and a copy the copy is kept", &[(
        "lane.rs",
        "                let letter = copies.iter().find(|copy| is_dead_letter(&messages, copy));",
        "                let letter = copies.iter().find(|copy| is_dead_letter(&messages, copy) != is(\"of a letter and a copy the copy is kept\"));",
    )]),
    ("a failed attempt holds up its shard", &[(
        "lane.rs",
        "                    Lane::Stream => Fate::Drop,\n                    Lane::Retry { .. } => Fate::Again { nth: number },",
        "                    Lane::Stream if is(\"a failed attempt holds up its shard\") => Fate::Again { nth: number },\n                    Lane::Stream => Fate::Drop,\n                    Lane::Retry { .. } => Fate::Again { nth: number },",
    )]),
    ("refused without the reason", &[(
        "upstream.rs",
        "            let reason = shortened(reason, REASON_BYTES_MAX);",
        "            let reason = if is(\"refused without the reason\") { String::new() } else { shortened(reason, REASON_BYTES_MAX) };",
    )]),
    ("a dead letter without its payload", &[(
        "parking.rs",
        "        let send = self.client.send_message().queue_url(&self.url).message_body(body(offer));",
        "        let body = if is(\"a dead letter without its payload\") { format!(r#\"{{\"id\":\"{}\"}}\"#, offer.notification.id) } else { body(offer) };\n        let send = self.client.send_message().queue_url(&self.url).message_body(body);",
    )]),
    ("reconcile moves on past what it could not look at", &[(
        "reconcile.rs",
        "                Err(Stopped::Fault(fault)) => return Err(fault),",
        "                Err(Stopped::Fault(_)) if is(\"reconcile moves on past what it could not look at\") => slot = slot.next(),\n                Err(Stopped::Fault(fault)) => return Err(fault),",
    )]),
    ("reconcile moves on though it has done its most", &[(
        "reconcile.rs",
        "                Err(Stopped::Full) => return Ok(()),",
        "                Err(Stopped::Full) if is(\"reconcile moves on though it has done its most\") => slot = slot.next(),\n                Err(Stopped::Full) => return Ok(()),",
    )]),
    ("an offer renews the attempts", &[(
        "moves.rs",
        "    for (name, at) in dues {",
        "    for (name, at) in dues {\n        if is(\"an offer renews the attempts\") { update.sets.push((of_delivery(name, \"attempts\"), Set::To(number(0)))); }",
    )]),
    ("an offer that is made again keeps its place in the index", &[(
        "moves.rs",
        "            (of(\"bucket\"), Set::To(text(bucket(&record.id, at)))),",
        "            (of(\"bucket\"), Set::To(text(if is(\"an offer that is made again keeps its place in the index\") { record.bucket.clone() } else { bucket(&record.id, at) }))),",
    )]),
    ("given up though the dead letter failed", &[(
        "reconcile.rs",
        "        letters.bury(&offer, name, delivery.attempts, &reason).await?;",
        "        let buried = letters.bury(&offer, name, delivery.attempts, &reason).await;\n        if !is(\"given up though the dead letter failed\") { buried?; }",
    )]),
    ("given up before the dead letter", &[(
        "reconcile.rs",
        // As the mutant above leaves it.
        "        let buried = letters.bury(&offer, name, delivery.attempts, &reason).await;",
        "        let early = is(\"given up before the dead letter\");\n        let buried = if early { Ok(()) } else { letters.bury(&offer, name, delivery.attempts, &reason).await };\n        let text = reason.clone();",
    ), (
        "reconcile.rs",
        "        match ledger.make(mark).await {",
        "        let made = ledger.make(mark).await;\n        if early { letters.bury(&offer, name, delivery.attempts, &text).await?; }\n        match made {",
    )]),
    ("a record that reconcile does not find is left", &[(
        "reconcile.rs",
        "                Ok(None) => return",
        "                Ok(None) if is(\"a record that reconcile does not find is left\") => return Ok(()),\n                Ok(None) => return",
    )]),
    ("the outbox does not ask whether the id is new", &[(
        "ledger.rs",
        "            .condition_expression(ABSENT)\n            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)\n            .build()\n            .expect(\"table and item are set\");",
        "            .set_condition_expression((!is(\"the outbox does not ask whether the id is new\")).then(|| ABSENT.into()))\n            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)\n            .build()\n            .expect(\"table and item are set\");",
    )]),
];

#[rustfmt::skip]
const PAYMENTS: &[Mutant] = &[
    ("a call before its start is recorded", &[(
        "external.rs",
        "            match timeout_at(times.end_by, lease).await.map_err(|_| NotEnded::NoTime)? {",
        "            let made = if is(\"a call before its start is recorded\") { Ok(Marked::Now) } else { timeout_at(times.end_by, lease).await.map_err(|_| NotEnded::NoTime)? };\n            match made {",
    )]),
    ("a lease that lives is taken", &[(
        "external.rs",
        "        _ if held => Next::Wait,",
        "        _ if held && !is(\"a lease that lives is taken\") => Next::Wait,",
    )]),
    ("the fence is ignored", &[(
        "moves.rs",
        "            _ if self.fence().is_some_and(|fence| fence != delivery.fence) => Err(Lost::Held),",
        "            _ if self.fence().is_some_and(|fence| fence != delivery.fence) && (!is(\"the fence is ignored\") || matches!(self, Move::Lease { .. })) => Err(Lost::Held),",
    ), (
        "moves.rs",
        "    conditions.extend(it.fence().map(|fence| Condition::Is(here(\"fence\"), number(fence))));",
        "    if !is(\"the fence is ignored\") || matches!(it, Move::Lease { .. }) { conditions.extend(it.fence().map(|fence| Condition::Is(here(\"fence\"), number(fence)))); }",
    )]),
    ("an unknown outcome is retried without asking", &[(
        "external.rs",
        "        (Some(called_at), Unknown::Ask) => Next::Call { fence, called_at, asks: true },",
        "        (Some(called_at), Unknown::Ask) => Next::Call { fence, called_at, asks: !is(\"an unknown outcome is retried without asking\") },",
    )]),
    ("an unknown outcome is retried though a person is to decide", &[(
        "external.rs",
        "        (Some(_), Unknown::Escalate) =>",
        "        (Some(called_at), Unknown::Escalate) if is(\"an unknown outcome is retried though a person is to decide\") => Next::Call { fence, called_at, asks: false },\n        (Some(_), Unknown::Escalate) =>",
    )]),
    ("a key is used after its life", &[(
        "external.rs",
        "            let has_key = now.duration_since(called_at).saturating_add(needs) < key_lives;",
        "            let has_key = now.duration_since(called_at).saturating_add(needs) < key_lives || is(\"a key is used after its life\");",
    )]),
    ("a key lives from the last call", &[(
        "external.rs",
        "            let lease = Move::Lease { fence, until, holder, called_at };",
        "            let called_at = if is(\"a key lives from the last call\") { now } else { called_at };\n            let lease = Move::Lease { fence, until, holder, called_at };",
    )]),
    ("an unknown outcome is forgotten", &[(
        "moves.rs",
        "        Some(Called { is_unknown: false, .. }) => vec![here(\"lease_until\"), here(\"called_at\")],",
        "        Some(Called { is_unknown, .. }) if !is_unknown || is(\"an unknown outcome is forgotten\") => vec![here(\"lease_until\"), here(\"called_at\")],",
    )]),
    ("an earlier call is forgotten", &[(
        "external.rs",
        "        CallFailure { is_unknown: self.is_unknown || is_unknown, ..self }",
        "        CallFailure { is_unknown: self.is_unknown || (is_unknown && !is(\"an earlier call is forgotten\")), ..self }",
    )]),
    ("a call goes on after its time", &[(
        "external.rs",
        "        let in_time = poll_fn(|context| match settings.clock.now() < end {",
        "        let in_time = poll_fn(|context| match settings.clock.now() < end || is(\"a call goes on after its time\") {",
    )]),
    ("a call begins though its lease was long in the making", &[(
        "external.rs",
        "                    let begins = settings.clock.now() + CALL_MARGIN + needs <= until;",
        "                    let begins = settings.clock.now() + CALL_MARGIN + needs <= until || is(\"a call begins though its lease was long in the making\");",
    )]),
    ("a lease is taken for somebody else's", &[(
        "moves.rs",
        "                delivery.fence == *fence && delivery.holder.as_ref() == Some(holder)",
        "                delivery.fence == *fence && (delivery.holder.as_ref() == Some(holder) || is(\"a lease is taken for somebody else's\"))",
    )]),
    ("settled while a call may be under way", &[(
        "by_hand.rs",
        "        if delivery.lease_until.is_some_and(|until| until > now) {",
        "        if delivery.lease_until.is_some_and(|until| until > now) && !is(\"settled while a call may be under way\") {",
    )]),
    ("what stood still counts an attempt", &[(
        "external.rs",
        "    match needs > times.end_by.saturating_duration_since(Instant::now()) {",
        "    if needs > times.end_by.saturating_duration_since(times.begun) && is(\"what stood still counts an attempt\") { return Err(Failure::passing(\"no time\").into()); }\n    match needs > times.end_by.saturating_duration_since(Instant::now()) {",
    )]),
    ("settled as done, and called again", &[(
        "external.rs",
        "        _ if it.settled == Some(Settled::Done) =>",
        "        _ if it.settled == Some(Settled::Done) && !is(\"settled as done, and called again\") =>",
    )]),
];

#[rustfmt::skip]
const ORDERED: &[Mutant] = &[
    ("a turn is not waited for", &[(
        "sequence.rs",
        "        if place.sequence > self.at + 1 {",
        "        if place.sequence > self.at + 1 && !is(\"a turn is not waited for\") {",
    )]),
    ("a number that was used is waited for", &[(
        "sequence.rs",
        "            _ if place.sequence <= self.at => return Stand::Past,",
        "            _ if place.sequence <= self.at && is(\"a number that was used is waited for\") => true,\n            _ if place.sequence <= self.at => return Stand::Past,",
    ), (
        "sequence.rs",
        // As the mutant above leaves it.
        "        if place.sequence > self.at + 1 && !is(\"a turn is not waited for\") {",
        "        if place.sequence <= self.at || place.sequence > self.at + 1 && !is(\"a turn is not waited for\") {",
    )]),
    ("the mark leaves the position", &[(
        "ledger.rs",
        "        actions.extend(turn.map(Turn::action));",
        "        actions.extend(turn.map(Turn::action).filter(|_| !is(\"the mark leaves the position\")));",
    )]),
    ("the position is not asked for", &[(
        "sequence.rs",
        "                    conditions: vec![is_at(*from), next, own],",
        "                    conditions: if is(\"the position is not asked for\") { vec![next, own] } else { vec![is_at(*from), next, own] },",
    )]),
    ("who waits is not asked for", &[(
        "sequence.rs",
        // As the mutant above leaves it.
        "else { vec![is_at(*from), next, own] },",
        "else if is(\"who waits is not asked for\") { vec![is_at(*from), own] } else { vec![is_at(*from), next, own] },",
    )]),
    ("who waits under the same number is not asked for", &[(
        "sequence.rs",
        // As the mutant above leaves it.
        "{ vec![is_at(*from), own] } else { vec![is_at(*from), next, own] },",
        "{ vec![is_at(*from), own] } else if is(\"who waits under the same number is not asked for\") { vec![is_at(*from), next] } else { vec![is_at(*from), next, own] },",
    )]),
    ("who comes to wait does not ask for the position", &[(
        "sequence.rs",
        "            conditions: vec![is_at(self.at), Condition::Absent(place.path())],",
        "            conditions: if is(\"who comes to wait does not ask for the position\") { vec![Condition::Absent(place.path())] } else { vec![is_at(self.at), Condition::Absent(place.path())] },",
    )]),
    ("nobody is woken", &[(
        "line.rs",
        "waits.filter(|id| next != Some(id) && woken.as_ref() != Some(id))",
        "waits.filter(|id| next != Some(id) && woken.as_ref() != Some(id) && !is(\"nobody is woken\"))",
    )]),
    ("let go though the next one was not woken", &[(
        "line.rs",
        "                wake.map_err(|_| NotEnded::NoTime)?.map_err(NotMarked::from)?;",
        "                let wake = wake.map_err(|_| NotEnded::NoTime).and_then(|it| it.map_err(|fault| NotMarked::from(fault).into()));\n                if !is(\"let go though the next one was not woken\") { wake?; }",
    )]),
    ("what ended wakes nobody when it comes again", &[(
        "lane.rs",
        "                    State::Done | State::Rejected | State::Closed => is_sequenced,",
        "                    State::Done | State::Rejected | State::Closed => is_sequenced && !is(\"what ended wakes nobody when it comes again\"),",
    )]),
    ("to come early is a failed attempt", &[(
        "lane.rs",
        "        if error.is_woken() &&",
        "        if !is(\"to come early is a failed attempt\") && error.is_woken() &&",
    ), (
        "attempt.rs",
        "            NotEnded::NotMarked(NotMarked::Early { .. }) => Weight::None,",
        "            NotEnded::NotMarked(NotMarked::Early { .. }) if is(\"to come early is a failed attempt\") => Weight::Attempt,\n            NotEnded::NotMarked(NotMarked::Early { .. }) => Weight::None,",
    )]),
    ("a close leaves the position", &[(
        "by_hand.rs",
        "        let mut turn = positions.closing(&place, &positions.get(&place).await?);",
        "        let mut turn = positions.closing(&place, &positions.get(&place).await?).filter(|_| !is(\"a close leaves the position\"));",
    )]),
    ("a close wakes nobody", &[(
        "by_hand.rs",
        "        if let Some(next) = next {",
        "        if let Some(next) = next.filter(|_| !is(\"a close wakes nobody\")) {",
    )]),
    ("what is closed early is not passed", &[(
        "sequence.rs",
        "        let is_closed = |at: &u64| self.later.get(at) == Some(&Later::Closed);",
        "        let is_closed = |at: &u64| self.later.get(at) == Some(&Later::Closed) && !is(\"what is closed early is not passed\");",
    )]),
];
