//! chaos REFUNDS: thousands of refunds through a freshly deployed stack, while its functions are killed
//! and the local AWS is paused. Then it settles, and every total is checked.

mod damage;
mod lines;
mod progress;
mod send;
mod settle;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use comfy_table::Table;
use fastrand::Rng;
use handover::record::Status;
use refunds::generate::account;
use refunds::summary::{Summary, grouped, table};
use refunds::world::{Found, World};

use crate::damage::{Damage, Tally};
use crate::lines::{ACCOUNTS, Sending};
use crate::progress::Progress;
use crate::send::send_all;
use crate::settle::{Settled, longest, settle};

/// Of those that are not DONE in the end, so many are shown.
const SHOWN_MAX: usize = 10;

/// Carries refunds through a freshly deployed stack that is killed and paused, and checks every cent.
#[derive(Parser)]
struct Arguments {
    /// How many refunds.
    #[arg(default_value_t = 5_000)]
    refunds: u32,
    /// What lines and damage are drawn from; the same seed sends the same, and strikes in the same
    /// order, though not at the same moments.
    #[arg(long)]
    seed: Option<u64>,
    /// The deployed stack.
    #[arg(long, env = "HANDOVER_STACK", default_value = "handover")]
    stack: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { refunds, seed, stack }: &Arguments) -> anyhow::Result<bool> {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut rng = Rng::with_seed(seed);
    let Sending { lines, texts } = Sending::draw(*refunds, &mut rng);
    let world = World::connect(stack).await?;
    ensure!(world.records().await?.is_empty(), "the stack `{stack}` has notifications already; this counts");
    world.open_accounts(&(0..ACCOUNTS).map(account).collect::<Vec<_>>()).await?;

    println!("{} refunds in {} messages", grouped(u64::from(*refunds)), grouped(texts.len() as u64));
    println!("Seed {seed}; again: make chaos N={refunds} SEED={seed}");
    let begun = Instant::now();
    let mut progress = Progress::new(u64::from(*refunds));
    let damage = Damage::begin(stack, rng)?;
    send_all(&world, &texts, &damage, &mut progress).await?;
    damage.stop();
    while damage.goes_on() {
        progress.show(&world, format_args!("all sent; {}", damage.tally())).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let tally = damage.end()?;
    let (seconds, longest) = (begun.elapsed().as_secs(), longest().as_secs() / 60);
    progress.aside(|| println!("{seconds} s: the damage ends. It settles, within {longest} min"));
    let settled = settle(&world, &mut progress).await?;
    progress.clear();

    let found = world.found(settled.refused.clone().into_iter().collect()).await?;
    let summary = Summary::of(&lines, &found, settled.rows());
    println!("{}", done_to_it(&world, texts.len(), &tally, &settled, &found).await?);
    println!("{summary}");
    println!("After {} s, with seed {seed}.", begun.elapsed().as_secs());
    show_timeline(&world, &found)?;
    Ok(summary.agrees())
}

/// What was done to the stack, and what came of it that changes no total.
async fn done_to_it(
    world: &World,
    sent: usize,
    tally: &Tally,
    settled: &Settled,
    found: &Found,
) -> anyhow::Result<Table> {
    let mut given_up = 0;
    for queue in ["relay-failures", "refund-failures"] {
        given_up += world.left(queue).await?;
    }
    let deliveries = found.records.iter().flat_map(|record| record.destinations.values());
    let mut rows: Vec<(String, u64)> = vec![("messages sent, repeats included".into(), sent as u64)];
    let killed = tally.killed.iter();
    rows.extend(killed.map(|(function, killed)| (format!("processes of {function} killed"), *killed)));
    rows.extend([
        ("local AWS paused".into(), tally.pauses),
        ("for seconds, together".into(), tally.paused.as_secs()),
        ("further copies of what was refused".into(), settled.refused_again),
        ("parked by SQS after too many receives, and sent again".into(), settled.sent_again),
        ("attempts that failed".into(), deliveries.map(|delivery| u64::from(delivery.attempts)).sum()),
        ("dispatched more than once".into(), found.records.iter().filter(|it| it.dispatches > 1).count() as u64),
        ("batches that Lambda gave up".into(), given_up),
        ("dead letters redriven".into(), settled.redriven),
    ]);
    let mut table = table(["sent, and done to it", "times"], [1]);
    for (what, times) in rows {
        table.add_row([what, grouped(times)]);
    }
    Ok(table)
}

/// How far those came that are not DONE.
fn show_timeline(world: &World, found: &Found) -> anyhow::Result<()> {
    let not_done = found.records.iter().filter(|record| record.status != Status::Done);
    for record in not_done.take(SHOWN_MAX) {
        world.handover(&["status", &record.id])?.status()?;
    }
    Ok(())
}
