//! Payments, whose effect is a call to a provider. One endpoint honours keys, one can be asked, and for one
//! only an operator finds out what a call did. No payment may be made twice, or be done without being made.

use std::collections::BTreeMap;
use std::time::Duration;

use handover::{NotificationKey, OnUnknown, Routes};
use handover_sim::item::{data, destinations, key, state, text};
use handover_sim::{FAULTS_MS, KEY_LIFETIME, PRODUCER, SentMessage, Stack, Table, Workload};
use serde_json::json;
use tokio::time::sleep;

use crate::caller::{self, ENDED};

/// Payments of a run at most.
const PAYMENTS_MAX: u64 = 3;
/// How errors say that the provider refuses a payment for now.
const HELD_UP: [&str; 4] = ["answered 401", "answered 403", "answered 404", "answered 429"];
/// How they say that an operator has to find out what a call did.
const UNKNOWN: &str = "outcome of its call is unknown";
/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// An endpoint of the provider, which is a destination, too, and what it does about a call whose outcome is
/// not known.
pub type Endpoint = (&'static str, OnUnknown);

/// The provider that honours keys.
pub const CARD: Endpoint = ("card", OnUnknown::Retry { key_lives: KEY_LIFETIME });
const ENDPOINTS: [Endpoint; 3] = [CARD, ("bank", OnUnknown::Ask), ("wire", OnUnknown::Escalate)];

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payments;

impl Workload for Payments {
    // Its operator does while faults are injected; what is left may stay dead.
    const REDRIVES: bool = false;
    // A function may live on when its lease has expired.
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tables(&self) -> Vec<Table> {
        vec![caller::table()]
    }

    fn routes(&self) -> Routes {
        let route = |(name, _): Endpoint| {
            (format!("{name}.payment"), json!({ "kind": "command", "destinations": [name] }))
        };
        let ended = (ENDED.to_owned(), caller::route());
        let routes: serde_json::Map<_, _> = ENDPOINTS.into_iter().map(route).chain([ended]).collect();
        json!(routes).to_string().parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        ENDPOINTS.into_iter().for_each(|endpoint| serve_endpoint(stack, endpoint));
        caller::serve(stack);
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        tokio::join!(send_all(stack), operate(stack)).0
    }

    fn violations(&self, stack: &Stack, _: &[SentMessage]) -> Vec<String> {
        [paid_once(stack), held_up(stack), caller::violations(stack)].concat()
    }
}

/// Deploys the destination that pays at an endpoint.
pub fn serve_endpoint(stack: &Stack, (name, unknown): Endpoint) {
    let payments = payment::Payments(payment::Provider {
        http: stack.http(),
        url: format!("http://provider/{name}"),
        scope: name.to_owned(),
        token: None,
        timeout: CALL_TIMEOUT,
        on_unknown: unknown,
    });
    stack.serve_external(name, payments);
}

async fn send_all(stack: &Stack) -> Vec<SentMessage> {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    let mut sent = Vec::new();
    let count = 1 + draw(PAYMENTS_MAX, 0, 0).min(draw(PAYMENTS_MAX, 0, 1));
    for at in (0..count).filter(|at| stack.sends(*at as usize)) {
        sleep(Duration::from_millis(draw(2_000, 1, at))).await;
        let (endpoint, _) = ENDPOINTS[draw(3, 2, at) as usize];
        let payment = message(at, endpoint, "shop");
        for _ in 0..1 + draw(4, 3, at) / 3 {
            stack.send(&payment.message);
        }
        sent.push(payment);
    }
    // Another shop uses the same ids for payments of its own.
    for at in (0..count).filter(|at| draw(4, 6, *at) == 0 && stack.sends((count + at) as usize)) {
        let payment = message(at, ENDPOINTS[draw(3, 2, at) as usize].0, "market");
        stack.send(&payment.message);
        sent.push(payment);
    }
    sent
}

fn message(at: u64, endpoint: &str, source: &str) -> SentMessage {
    let id = format!("payment{at}");
    let data = json!({ "account": "account-0", "amount": 1 + at });
    let event = json!({
        "specversion": "1.0", "id": id, "type": format!("{endpoint}.payment"), "kind": "command",
        "source": source, "data": data,
        // The market does not ask.
        "outcometo": (source == "shop").then_some(ENDED),
    });
    let key = NotificationKey::new(id, source);
    SentMessage { key, data, message: event.to_string(), sender: PRODUCER, malformed: false, feasible: false }
}

async fn operate(stack: &Stack) {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    for nth in (0..).take_while(|_| draw(2, 4, 0) == 0) {
        sleep(Duration::from_millis(1_000 + draw(20_000, 5, nth))).await;
        if stack.time().elapsed_ms() >= FAULTS_MS {
            return;
        }
        look_after(stack, nth).await;
    }
}

/// Looks at a dead letter of each destination: asks the provider what it did, and settles that; or only
/// tries again.
async fn look_after(stack: &Stack, nth: u64) {
    let draw = |end, what: u64| stack.draw_for_operator(end, what, nth);
    for key in stack.open().into_iter().filter(|_| draw(2, 1) == 0) {
        stack.begin_operation();
        stack.dispatch_again(key).await;
    }
    for destination in stack.destinations() {
        let Some(dead_letter) = stack.receive_dead_letter(&destination) else { continue };
        let Some(key) = dead_letter.notification() else { continue };
        stack.begin_operation();
        if draw(4, 0) == 0 {
            stack.move_to_retry_queue(&destination, &dead_letter);
            continue;
        }
        let settled = stack.find_out(&destination, &key);
        let action = format!("redrives {key} as {settled:?}");
        let redriven = stack.redrive(&destination, key, &dead_letter, settled).await;
        stack.note("operator", &format!("{action}: {redriven:?}"));
    }
}

/// G7: what the provider refuses for now is no attempt. G5: what it refused clearly leaves no call of unknown outcome.
fn held_up(stack: &Stack) -> Vec<String> {
    let mut found = Vec::new();
    for record in stack.records() {
        let key = key(&record);
        for (at, delivery) in destinations(&record) {
            let failures = delivery["failures"]["M"].as_object().into_iter().flat_map(|all| all.values());
            let errors = failures.map(|failure| text(&failure["M"], "error"));
            let mut counted = errors.filter(|error| HELD_UP.iter().any(|status| error.contains(status)));
            // An operator decides at once, whatever the provider says of later calls.
            if let Some(error) = counted.find(|error| !error.contains(UNKNOWN)) {
                found.push(format!("G7: {key} at {at} counted an attempt: {error}"));
            }
            if text(delivery, "reason").contains(UNKNOWN) && stack.payment_is_clear(at, &key) {
                found.push(format!("G5: {key} was clearly refused at {at}, and waits for an operator"));
            }
        }
    }
    found
}

/// G5: a payment that is done was made once, one that is rejected never, and none twice. Each was made for
/// itself: two have not one key at the provider.
pub fn paid_once(stack: &Stack) -> Vec<String> {
    let mut found = Vec::new();
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    for record in stack.records() {
        let key = key(&record);
        let deliveries = destinations(&record);
        let endpoints = ENDPOINTS.iter().filter_map(|(name, _)| Some((*name, *deliveries.get(name)?)));
        for (at, delivery) in endpoints {
            let taken = stack.payments_taken(at, &key);
            if let Some(amount) = stack.amount_taken(at, &key)
                && amount != data(&record)["amount"]
            {
                found.push(format!("G5: {key} was paid over {amount} at {at}, which nobody sent"));
            }
            *done.entry(at).or_default() += u64::from(state(delivery) == "done");
            let is_right = match state(delivery) {
                "done" => taken == 1,
                "rejected" => taken == 0,
                _ => taken <= 1,
            };
            if !is_right {
                found.push(format!("G5: {key} is {} at {at}, and was paid {taken} times", state(delivery)));
            }
        }
    }
    for (at, done) in done {
        let taken = stack.all_payments_taken(at);
        if taken < done {
            found.push(format!("G5: {done} payments are done at {at}, and {taken} were made"));
        }
    }
    found
}
