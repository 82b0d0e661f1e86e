//! A schedule of payments, whose effect is a call to a provider: one honours keys, one can be asked, and
//! of one only a person finds out what it did. None may be paid twice, nor be done without being paid.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use handover::Routes;
use handover::external::Unknown;
use handover::record::Settled;
use serde_json::json;
use tokio::time::sleep;

use crate::aws::NOTIFICATIONS;
use crate::draw::below;
use crate::dynamodb::Table;
use crate::fault::Purpose;
use crate::payments::Payments;
use crate::provider::KEY_LIVES;
use crate::rules::{Sent, destinations, number, state, text};
use crate::schedule::{FAULTS_MS, Schedule};
use crate::sqs::Message;
use crate::world::{World, dead_letters, retry};

/// Payments of a run at most.
const PAYMENTS_MAX: u64 = 3;
/// How long a call may take.
const TIME_OUT: Duration = Duration::from_secs(1);

/// Where it pays, and what a call without an outcome means there.
pub const PROVIDERS: [(&str, Unknown); 3] =
    [("card", Unknown::Retry { key_lives: KEY_LIVES }), ("bank", Unknown::Ask), ("wire", Unknown::Escalate)];

/// The till.
#[derive(Clone, Copy, Debug, Default)]
pub struct Till;

impl Schedule for Till {
    // Its people do while faults strike; what they leave may stay.
    const REDRIVES: bool = false;
    // A function may live on when its lease has ended.
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tables(&self) -> Vec<Table> {
        Vec::new()
    }

    fn routes(&self) -> Routes {
        let route = |(at, _): (&str, _)| {
            (format!("{at}.payment"), json!({ "kind": "command", "destinations": [at] }))
        };
        let routes: serde_json::Map<_, _> = PROVIDERS.into_iter().map(route).collect();
        json!(routes).to_string().parse().expect("routes")
    }

    fn serve(&self, world: &World) {
        PROVIDERS.into_iter().for_each(|provider| pay_at(world, provider));
    }

    async fn drive(&self, world: &World) -> Vec<Sent> {
        let draw = |end, what: u64, at: u64| below(end, world.aws.seed(), &[Purpose::Send as u64, what, at]);
        let producer = async {
            let mut sent = Vec::new();
            let count = 1 + draw(PAYMENTS_MAX, 0, 0).min(draw(PAYMENTS_MAX, 0, 1));
            for at in (0..count).filter(|at| world.sends(*at as usize)) {
                sleep(Duration::from_millis(draw(2_000, 1, at))).await;
                let payment = payment(at, PROVIDERS[draw(3, 2, at) as usize].0);
                for _ in 0..1 + draw(4, 3, at) / 3 {
                    world.send(&payment.message);
                }
                sent.push(payment);
            }
            sent
        };
        let people = async {
            for nth in (0..).take_while(|_| draw(2, 4, 0) == 0) {
                sleep(Duration::from_millis(1_000 + draw(20_000, 5, nth))).await;
                if world.aws.time().elapsed_ms() >= FAULTS_MS {
                    return;
                }
                look_after(world, nth).await;
            }
        };
        tokio::join!(producer, people).0
    }

    fn broken(&self, world: &World, _: &[Sent]) -> Vec<String> {
        paid_once(world)
    }
}

/// Deploys the destination that pays there.
pub fn pay_at(world: &World, (at, unknown): (&str, Unknown)) {
    let http = SharedHttpConnector::new(world.aws.clone());
    let (url, token) = (format!("http://provider/{at}"), String::new());
    world.serve_external(at, Payments { http, url, token, time_out: TIME_OUT, unknown });
}

/// G5: what is done was paid once, what is rejected never, and nothing twice.
pub fn paid_once(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for record in world.aws.dynamodb().items(NOTIFICATIONS) {
        let id = text(&record, "id");
        let pays = |at: &str| PROVIDERS.iter().any(|(name, _)| *name == at);
        for (at, delivery) in destinations(&record).into_iter().filter(|(at, _)| pays(at)) {
            let taken = world.aws.state().provider.taken(at, id);
            let is_right = match state(delivery) {
                "done" => taken == 1,
                "rejected" => taken == 0,
                _ => taken <= 1,
            };
            if !is_right {
                found.push(format!("G5: {id} is {} at {at}, and was paid {taken} times", state(delivery)));
            }
        }
    }
    found
}

fn payment(at: u64, provider: &str) -> Sent {
    let id = format!("payment{at}");
    let data = json!({ "account": "account-0", "amount": 1 + at });
    let event = json!({
        "specversion": "1.0", "id": id, "type": format!("{provider}.payment"), "kind": "command",
        "source": "shop", "data": data,
    });
    Sent { id, data, message: event.to_string(), malformed: false, feasible: false }
}

/// A person looks at a dead letter: asks the provider what it did, and says so; or just tries again.
async fn look_after(world: &World, nth: u64) {
    let draw = |end, what: u64| below(end, world.aws.seed(), &[Purpose::Person as u64, what, nth]);
    let now_ms = world.aws.time().now_ms();
    // A copy more does no harm.
    for id in world.open_ids().into_iter().filter(|_| draw(2, 1) == 0) {
        world.aws.state().history.tended = true;
        let (ledger, now) = (world.ledger(), world.clock("person").now());
        let said = format!("offers {id} again");
        let offered = world.by_hand(async move { ledger.offer_again(&id, now).await }).await;
        world.aws.note("person", &format!("{said}: {offered:?}"));
    }
    for destination in world.destinations() {
        let url = dead_letters(&destination);
        let letters = world.aws.state().queues.receive(&url, now_ms, 1, |_| false);
        let Some(letter) = letters.into_iter().next() else { continue };
        let Some(id) = letter.notification_id() else { continue };
        world.aws.state().history.tended = true;
        if draw(4, 0) == 0 {
            world.aws.note("person", &format!("moves {} to the retry queue", letter.id));
            world.aws.state().queues.move_to(&url, letter.receipt(), &retry(&destination), now_ms);
            world.aws.queued().notify_waiters();
            continue;
        }
        let settled = found_out(world, &destination, &id);
        let said = format!("redrives {} as {settled:?}", id);
        let redriven = redrive(world, &destination, id, &letter, settled).await;
        world.aws.note("person", &format!("{said}: {redriven}"));
    }
}

async fn redrive(
    world: &World,
    destination: &str,
    id: String,
    letter: &Message,
    settled: Option<Settled>,
) -> String {
    format!("{:?}", world.redrive(destination, id, letter, settled).await)
}

/// What a person finds out about a call whose outcome is not known.
pub fn found_out(world: &World, destination: &str, id: &str) -> Option<Settled> {
    let records = world.aws.dynamodb().items(NOTIFICATIONS);
    let record = records.iter().find(|it| text(it, "id") == id)?;
    let delivery = *destinations(record).get(destination)?;
    (number(delivery, "called_at") > 0).then(|| {
        let taken = world.aws.state().provider.taken(destination, id);
        if taken > 0 { Settled::Done } else { Settled::Again }
    })
}
