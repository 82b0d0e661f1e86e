//! One run: some refunds, some faults, and what comes of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::check::{Sent, violations};
use crate::draw::below;
use crate::fault::{Faults, Purpose};
use crate::history::History;
use crate::world::World;

/// Notifications of a run at most: many small runs find more than few large ones.
const NOTIFICATIONS_MAX: u64 = 5;
/// For how long faults strike, in seconds of virtual time.
const FAULTS_S: u64 = 60;
/// Once they have stopped, all has to end within so many seconds of virtual time.
const SETTLED_WITHIN_S: u64 = 3_600;

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// What did not hold; nothing when all did.
    pub violations: Vec<String>,
    /// What happened.
    pub history: History,
}

impl std::fmt::Display for Run {
    /// What did not hold, and how it came to that.
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        writeln!(to, "seed {}:", self.seed)?;
        self.violations.iter().try_for_each(|it| writeln!(to, "  {it}"))?;
        self.history.lines.iter().try_for_each(|line| writeln!(to, "{line}"))
    }
}

/// Runs the schedule of a seed.
pub fn run(seed: u64, faults: Faults) -> Run {
    // What the SDK and the library draw, jitter most of all.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        let world = World::deploy(seed, faults);
        let sent = send(&world).await;
        let rest = Duration::from_secs(FAULTS_S).saturating_sub(world.aws.time().elapsed());
        sleep(rest).await;
        world.aws.state().faults = Faults::NONE;
        world.aws.note("faults", "have stopped");
        // Quiet for as long as it takes to look everywhere twice.
        let mut quiet_s = 0;
        for _ in 0..SETTLED_WITHIN_S {
            sleep(Duration::from_secs(1)).await;
            quiet_s = if world.is_quiet() { quiet_s + 1 } else { 0 };
            if quiet_s == 3 {
                break;
            }
        }
        let violations = violations(&world, &sent);
        let history = world.aws.state().history.clone();
        Run { seed, violations, history }
    })
}

/// Sends what this seed's producer sends, over some seconds.
async fn send(world: &World) -> Vec<Sent> {
    let seed = world.aws.seed();
    let draw = |end, what: u64, at: u64| below(end, seed, &[Purpose::Send as u64, what, at]);
    world.open("account-0");
    let mut sent: Vec<Sent> = Vec::new();
    for at in 0..1 + draw(NOTIFICATIONS_MAX, 0, 0) {
        let amount = 1 + draw(100, 1, at);
        // Account 1 is opened late, account 2 never; no refund is of so much, and notes of it are late.
        let data = match draw(8, 2, at) {
            0 => json!({ "account": "account-1", "amount": amount }),
            1 => json!({ "account": "account-2", "amount": amount }),
            2 => json!({ "account": "account-0", "amount": "much" }),
            _ => json!({ "account": "account-0", "amount": amount }),
        };
        let is_note = draw(3, 3, at) == 0;
        let malformed = draw(10, 4, at) == 0;
        sent.push(message(at, is_note, data.clone(), malformed));
        if draw(3, 5, at) == 0 {
            // The producer is not sure, and says it again; or says something else under the id.
            let data =
                if draw(2, 6, at) == 0 { data } else { json!({ "account": "account-0", "amount": 101 }) };
            sent.push(message(at, is_note, data, malformed));
        }
    }
    for (at, message) in sent.iter().enumerate() {
        sleep(Duration::from_millis(draw(2_000, 7, at as u64))).await;
        world.send(&message.message);
    }
    sleep(Duration::from_millis(draw(20_000, 8, 0))).await;
    world.open("account-1");
    sent
}

fn message(at: u64, is_note: bool, data: Value, malformed: bool) -> Sent {
    let (id, r#type, kind) = match is_note {
        true => (format!("note-{at}"), "account.noted", "event"),
        false => (format!("refund-{at}"), "refund.requested", "command"),
    };
    let event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": kind, "source": "orders", "data": data,
    });
    let mut message = event.to_string();
    if malformed {
        message = message.replace("specversion", "version");
    }
    let feasible = data["amount"].is_u64() && (is_note || data["account"] == "account-0");
    Sent { id, data, message, malformed, feasible }
}
