//! One run: what a schedule sends, what goes wrong, and what comes of it.

use std::ops::Range;
use std::time::Duration;

use handover::Routes;
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until};

use crate::dynamodb::Table;
use crate::history::History;
use crate::journal::Journal;
use crate::plan::Plan;
use crate::rules::{Sent, broken_at_rest};
use crate::shop::Shop;
use crate::till::{Till, found_out};
use crate::world::{World, dead_letters};

/// For how long faults strike, in milliseconds of virtual time.
pub const FAULTS_MS: u64 = 60_000;
/// Where something is still open then, they strike again when reconcile offers it, and may give it up, in
/// milliseconds of virtual time.
const FAULTS_AGAIN_MS: Range<u64> = 40 * 60_000..90 * 60_000;
/// Once they have stopped, and the last mapping is enabled, all has to end within what reconcile gives
/// it, and so many milliseconds of virtual time more: a parked copy waits for up to 12 hours.
const SETTLED_WITHIN_MS: u64 = 13 * 3_600_000;
/// Seconds between looks at whether all has ended.
const LOOK_S: u64 = 5;
/// Where nothing is under way and something is open, reconcile will find it.
const LOOK_AGAIN_S: u64 = 60;

/// What is deployed, sent and checked.
pub trait Schedule {
    /// Whether what is dead is redriven once faults have stopped.
    const REDRIVES: bool;

    /// The time-out of the destinations' functions.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// The tables of the destinations.
    fn tables(&self) -> Vec<Table>;

    /// Which destinations a notification goes to.
    fn routes(&self) -> Routes;

    /// Deploys the destinations.
    fn serve(&self, world: &World);

    /// Sends what the plan lets it send, and does what else people do; says what was sent.
    fn drive(&self, world: &World) -> impl Future<Output = Vec<Sent>>;

    /// What does not hold at rest, beside the guarantees.
    fn broken(&self, world: &World, sent: &[Sent]) -> Vec<String>;
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was given.
    pub plan: Plan,
    /// What did not hold; nothing when all did.
    pub violations: Vec<String>,
    /// What happened.
    pub history: History,
}

impl std::fmt::Display for Run {
    /// How it came to what did not hold.
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        writeln!(to, "run {}", self.plan)?;
        self.history.lines.iter().try_for_each(|line| writeln!(to, "{line}"))?;
        self.violations.iter().try_for_each(|it| writeln!(to, "VIOLATION {it}"))
    }
}

/// A schedule's name, and how it is run.
pub type Named = (&'static str, fn(Plan) -> Run);

/// The project's own schedules.
pub const SCHEDULES: [Named; 3] = [
    ("shop", |plan| run(&Shop, plan)),
    ("till", |plan| run(&Till, plan)),
    ("journal", |plan| run(&Journal, plan)),
];

/// Runs a schedule by a plan.
pub fn run<S: Schedule>(schedule: &S, plan: Plan) -> Run {
    // What the SDK and the library draw, jitter most of all.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let world = World::deploy(plan.clone(), schedule.tables(), schedule.routes(), S::TIMEOUT);
        schedule.serve(&world);
        world.serve_reconcile();
        let sent = schedule.drive(&world).await;
        sleep_until(world.aws.time().at(FAULTS_MS)).await;
        world.aws.state().calm = true;
        world.aws.note("faults", "have stopped");
        settle(&world, S::REDRIVES).await;
        if S::REDRIVES && redrive(&world).await {
            settle(&world, false).await;
        }
        let mut violations = std::mem::take(&mut world.aws.state().violations);
        violations.extend(broken_at_rest(&world, &sent));
        violations.extend(schedule.broken(&world, &sent));
        let history = std::mem::take(&mut world.aws.state().history);
        Run { plan, violations, history }
    })
}

/// Waits until all has ended, or should have; or, if somebody is to redrive it then, until all that is
/// open waits for what is dead.
async fn settle(world: &World, until_held: bool) {
    let begin_ms = world.aws.time().elapsed_ms().max(world.lambda.stopped_until_ms());
    let given_up_ms = world.give_up_after().as_millis() as u64;
    let until_ms = begin_ms.max(FAULTS_AGAIN_MS.end) + given_up_ms + SETTLED_WITHIN_MS;
    let mut quiet_s = 0;
    while world.aws.time().elapsed_ms() < until_ms {
        let is_quiet = quiet_s >= 2 * LOOK_S;
        // Reconcile is for what was lost; where nothing was, what is open then stays so.
        // What waits for its turn may do so until it is given up, and a repeat that ended the one before it
        // may not have woken it.
        let comes_late = || {
            world.aws.state().history.may_have_lost()
                || world.waits(false)
                || (world.is_sequenced() && world.aws.state().history.repeat_failed)
        };
        if is_quiet && (world.open_ids().is_empty() || !comes_late()) {
            break;
        }
        if is_quiet && until_held && world.waits(true) {
            break;
        }
        let look_s = if is_quiet { LOOK_AGAIN_S } else { LOOK_S };
        sleep(Duration::from_secs(look_s)).await;
        quiet_s = if world.is_quiet() { quiet_s + look_s } else { 0 };
        let strikes = FAULTS_AGAIN_MS.contains(&world.aws.time().elapsed_ms());
        if std::mem::replace(&mut world.aws.state().calm, !strikes) == strikes {
            world.aws.note("faults", if strikes { "strike again" } else { "have stopped again" });
        }
    }
    world.aws.state().calm = true;
}

/// A person redrives every dead letter; says whether there was one.
async fn redrive(world: &World) -> bool {
    world.aws.state().history.tended = true;
    let mut redriven = false;
    for destination in world.destinations() {
        let url = dead_letters(&destination);
        // Somebody may have looked at it just now.
        while world.aws.state().queues.hides(&url, world.aws.time().now_ms()) {
            sleep(Duration::from_secs(LOOK_S)).await;
        }
        let now_ms = world.aws.time().now_ms();
        let letters = world.aws.state().queues.receive(&url, now_ms, usize::MAX, |_| false);
        for letter in letters {
            let Some(id) = letter.notification_id() else { continue };
            let settled = found_out(world, &destination, &id);
            world.redrive(&destination, id, &letter, settled).await;
            redriven = true;
        }
    }
    redriven
}
