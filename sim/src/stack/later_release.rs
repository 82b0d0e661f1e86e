//! A later release that acts beside this one: it holds deliveries in a state that this one does not know.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::aws::Aws;
use crate::faults::plan::FAULTS_MS;
use crate::faults::rng::{Purpose, below};
use crate::item::{destinations, state};
use crate::names::{HELD, HOLDS, NOTIFICATIONS};
use crate::stack::Stack;

/// Between two deliveries that it holds, in milliseconds, and how long it holds one, at most.
const EVERY_MS_MAX: u64 = 15_000;
const HELD_MS_MAX: u64 = 20_000;

impl Stack {
    /// Holds a delivery now and then, in half of the runs that have a later release.
    pub(super) fn serve_later_release(&self) {
        let aws = self.aws.clone();
        if !aws.has_later_release() || below(2, aws.seed(), &[Purpose::Held as u64, 0]) > 0 {
            return;
        }
        self.spawn(async move {
            let draw = |end, what: u64, nth| below(end, aws.seed(), &[Purpose::Held as u64, what, nth]);
            for nth in 0.. {
                sleep(Duration::from_millis(1 + draw(EVERY_MS_MAX, 1, nth))).await;
                if aws.time().elapsed_ms() >= FAULTS_MS {
                    return;
                }
                let all = aws.dynamodb().items(NOTIFICATIONS);
                let free: Vec<_> = all.iter().flat_map(free_deliveries).collect();
                let Some((record, name)) = free.get(draw(free.len().max(1) as u64, 2, nth) as usize) else {
                    continue;
                };
                hold(&aws, record, name, 1 + draw(HELD_MS_MAX, 3, nth)).await;
            }
        });
    }
}

/// The deliveries of a record that are pending, and of which no call may be in progress.
fn free_deliveries(record: &Value) -> Vec<(&Value, &str)> {
    let is_free = |delivery: &Value| state(delivery) == "pending" && delivery.get("called_at").is_none();
    let all = destinations(record).into_iter();
    all.filter(|(_, delivery)| is_free(delivery)).map(|(name, _)| (record, name)).collect()
}

async fn hold(aws: &Aws, record: &Value, name: &str, for_ms: u64) {
    let [holds, resumes] = HOLDS;
    set_state(aws, record, name, ("pending", HELD), holds);
    aws.begin_hold(for_ms);
    sleep(Duration::from_millis(for_ms)).await;
    aws.state().under_way -= 1;
    set_state(aws, record, name, (HELD, "pending"), resumes);
}

impl Aws {
    /// Notes that a delivery is held for this time: it is not at rest, and what comes of it may take longer.
    fn begin_hold(&self, for_ms: u64) {
        let mut state = self.state();
        state.under_way += 1;
        state.history.operations += 1;
        state.history.held_ms += for_ms as i64;
    }
}

/// Changes the state of a delivery, whatever else of its record has changed.
fn set_state(aws: &Aws, record: &Value, name: &str, (from, to): (&str, &str), change: &str) {
    let request = json!({
        "TableName": NOTIFICATIONS,
        "Key": { "id": record["id"], "source": record["source"] },
        "UpdateExpression": "SET destinations.#name.#state = :to, #change = :change ADD #version :one",
        "ConditionExpression": "destinations.#name.#state = :from",
        "ExpressionAttributeNames": {
            "#name": name, "#state": "state", "#change": "change", "#version": "version",
        },
        "ExpressionAttributeValues": {
            ":from": { "S": from }, ":to": { "S": to }, ":change": { "S": change }, ":one": { "N": "1" },
        },
    });
    let (status, answer) = aws.dynamodb().call("UpdateItem", request.to_string().as_bytes());
    assert_eq!(status, 200, "the later release: {answer}");
    aws.note("later release", &format!("{change}s {} at {name}", record["id"]["S"]));
    aws.follow_changes("later release");
    aws.streamed().notify_waiters();
}
