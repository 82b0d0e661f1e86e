//! Destinations that operators pause and resume, for seconds and for hours: one that applies in sequence, two that
//! share a function, and one that calls. What is paused is not called; when it is resumed, all is completed.

use std::time::Duration;

use handover::{NotificationKey, Routes};
use handover_sim::item::{destinations, key, state, text};
use handover_sim::{PRODUCER, SentMessage, Stack, Table, Workload};
use serde_json::json;
use tokio::time::sleep;

use crate::applied::{self, Applies};
use crate::caller::{self, ENDED};
use crate::payments::{CARD, paid_once, serve_endpoint};

/// Notifications of a run at most.
const NOTIFICATIONS_MAX: u64 = 5;
/// What operators pause.
const PAUSED: [&str; 4] = ["journal", "mirror", "search", "card"];
/// Longest pause, in seconds: longer than until reconcile gives up, in half of the runs.
const PAUSE_S_MAX: u64 = 3 * 3_600;
/// Those of them that apply lines.
const APPLY: [&str; 3] = ["journal", "mirror", "search"];

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Operated;

impl Workload for Operated {
    const REDRIVES: bool = true;
    // A function may live on when its lease has expired.
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tables(&self) -> Vec<Table> {
        vec![applied::table(), caller::table()]
    }

    fn routes(&self) -> Routes {
        let routes = json!({
            "book": {
                "kind": "channel", "destinations": ["journal", "mirror", "search"], "sequenced": ["journal"],
            },
            "line.told": { "kind": "event", "channel": "book" },
            "card.payment": { "kind": "command", "destinations": ["card"] },
            ENDED: caller::route(),
        });
        routes.to_string().parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        let at = |name| Applies { name, time: stack.time() };
        stack.serve("journal", at("journal"));
        stack.serve_together(
            ["mirror", "search"].map(|name| stack.destination(name, at(name))).into_iter().collect(),
        );
        serve_endpoint(stack, CARD);
        caller::serve(stack);
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        let (sent, ..) = tokio::join!(send_all(stack), operate(stack, 0), operate(stack, 100));
        for name in PAUSED {
            // Until it is known to go on.
            while !matches!(stack.resume(name).await, Some(Ok(_))) {
                sleep(Duration::from_secs(1)).await;
            }
        }
        sent
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        let found = [applied::violations(stack, &APPLY), paid_once(stack), caller::violations(stack)];
        [found.concat(), left_behind(stack)].concat()
    }
}

/// What is not done after the last resume, and after what was dead is redriven: no handler fails any more. In sequence it
/// may wait for a line that was not sent.
fn left_behind(stack: &Stack) -> Vec<String> {
    let mut found = Vec::new();
    for record in stack.records().iter().filter(|record| text(record, "source") == "shop") {
        let open = destinations(record).into_iter().filter(|(name, _)| ["mirror", "search"].contains(name));
        let open = open.filter(|(_, delivery)| state(delivery) != "done");
        found.extend(open.map(|(name, _)| format!("{} is left behind at {name}", key(record))));
    }
    found
}

async fn send_all(stack: &Stack) -> Vec<SentMessage> {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    let (mut sent, mut lines) = (Vec::new(), 0);
    let count = 1 + draw(NOTIFICATIONS_MAX, 0, 0);
    for at in 0..count {
        sleep(Duration::from_millis(draw(6_000, 1, at))).await;
        let luck = ["good", "good", "soon", "never"][draw(4, 2, at) as usize];
        let is_payment = draw(4, 3, at) == 0;
        lines += u64::from(!is_payment);
        let message = message(at, (!is_payment).then_some(lines), luck);
        if stack.sends(at as usize) {
            for _ in 0..1 + draw(4, 4, at) / 3 {
                stack.send(&message.message);
            }
            sent.push(message);
        }
    }
    sent
}

/// A line of a book with this number, or a payment.
fn message(at: u64, line: Option<u64>, luck: &str) -> SentMessage {
    let id = format!("line-{at}");
    let data = match line {
        Some(_) => json!({ "luck": luck }),
        None => json!({ "account": "account-0", "amount": 1 + at }),
    };
    let (r#type, kind) = if line.is_some() { ("line.told", "event") } else { ("card.payment", "command") };
    let event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": kind, "source": "shop", "data": data,
        "partitionkey": line.map(|_| "book/1"), "sequence": line, "outcometo": at.is_multiple_of(2).then_some(ENDED),
    });
    let key = NotificationKey::new(id, "shop");
    SentMessage { key, data, message: event.to_string(), sender: PRODUCER, malformed: false, feasible: false }
}

/// One of two operators, who know nothing of each other. Some leave what waits to reconcile.
async fn operate(stack: &Stack, first: u64) {
    let draw = |end, what: u64, nth: u64| stack.draw_for_operator(end, what, nth);
    for nth in first..first + draw(4, 0, first) {
        sleep(Duration::from_millis(draw(15_000, 1, nth))).await;
        let name = PAUSED[draw(PAUSED.len() as u64, 2, nth) as usize];
        stack.pause(name).await;
        if draw(2, 6, nth) == 0
            && let Some(dead_letter) = stack.receive_dead_letter(name)
        {
            stack.move_to_retry_queue(name, &dead_letter);
        }
        // Most are short, and some are longer than a handler that had begun.
        let pause_s = [20, 200, PAUSE_S_MAX][draw(5, 3, nth).saturating_sub(2) as usize];
        sleep(Duration::from_millis(draw(1_000 * pause_s, 4, nth))).await;
        stack.resume(name).await;
        if draw(2, 5, nth) == 0 {
            stack.dispatch_waiting(name).await;
        }
    }
}
