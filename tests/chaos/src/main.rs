//! chaos REFUNDS: sends thousands of refunds through a freshly deployed stack, while its functions are killed
//! and the local AWS is paused. Then it waits until the stack is at rest, and checks every total.

mod damage;
mod http;
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
use refunds::stack::{Found, Stack};
use refunds::summary::{Summary, grouped, table};

use crate::damage::{Damage, Tally};
use crate::http::Http;
use crate::lines::{ACCOUNTS, Sending};
use crate::progress::Progress;
use crate::send::send_all;
use crate::settle::{Settled, longest, settle};

/// Most notifications that are not DONE whose timeline is shown.
const SHOWN_MAX: usize = 10;

/// Sends refunds through a freshly deployed stack while it is damaged, and checks every cent.
#[derive(Parser)]
struct Arguments {
    /// The number of refunds.
    #[arg(default_value_t = 5_000)]
    refunds: u32,
    /// The seed of lines and damage. The same seed sends the same lines and injects the same faults in the
    /// same order, but not at the same moments.
    #[arg(long)]
    seed: Option<u64>,
    /// The name of the deployed stack.
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

async fn run(Arguments { refunds, seed, stack: name }: &Arguments) -> anyhow::Result<bool> {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut rng = Rng::with_seed(seed);
    let Sending { lines, texts } = Sending::generate(*refunds, &mut rng);
    let stack = &Stack::connect(name).await?;
    let http = Http::connect(name).await?;
    ensure!(
        stack.records().await?.is_empty(),
        "the stack `{name}` has notifications already; chaos counts notifications, so deploy a fresh stack"
    );
    stack.open_accounts(&(0..ACCOUNTS).map(account).collect::<Vec<_>>()).await?;

    println!("{} refunds in {} messages", grouped(u64::from(*refunds)), grouped(texts.len() as u64));
    println!("Seed {seed}; again: make chaos N={refunds} SEED={seed}");
    let begun = Instant::now();
    let mut progress = Progress::new(u64::from(*refunds));
    let damage = Damage::begin(name, rng)?;
    let refused = send_all(stack, &http, &texts, &damage, &mut progress).await?;
    damage.stop();
    while damage.is_running() {
        progress.show(stack, format_args!("all sent; {}", damage.tally())).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let tally = damage.end()?;
    let (seconds, longest) = (begun.elapsed().as_secs(), longest().as_secs() / 60);
    progress.aside(|| println!("{seconds} s: the damage ends. The stack has {longest} min to come to rest"));
    let settled = settle(stack, refused, &mut progress).await?;
    progress.clear();

    let found = stack.found(settled.refused.clone().into_iter().collect()).await?;
    let summary = Summary::of(&lines, &found, settled.rows());
    println!("{}", damage_done(stack, texts.len(), &tally, &settled, &found).await?);
    println!("{summary}");
    println!("Finished after {} s, with seed {seed}.", begun.elapsed().as_secs());
    show_timeline(stack, &found)?;
    Ok(summary.agrees())
}

/// The table of the damage, and of its consequences that change no total.
async fn damage_done(
    stack: &Stack,
    sent: usize,
    tally: &Tally,
    settled: &Settled,
    found: &Found,
) -> anyhow::Result<Table> {
    let mut given_up = 0;
    for queue in ["relay-failures", "refund-failures"] {
        given_up += stack.left(queue).await?;
    }
    let deliveries = found.records.iter().flat_map(|record| record.destinations.values());
    let mut rows: Vec<(String, u64)> =
        vec![("messages sent by queue and HTTP, with repeats".into(), sent as u64)];
    let killed = tally.killed.iter();
    rows.extend(killed.map(|(function, killed)| (format!("killed processes of {function}"), *killed)));
    rows.extend([
        ("pauses of the local AWS".into(), tally.pauses),
        ("seconds of all pauses together".into(), tally.paused.as_secs()),
        ("further copies of refused messages".into(), settled.refused_again),
        ("moved by SQS after too many receives, and sent again".into(), settled.sent_again),
        ("failed attempts".into(), deliveries.map(|delivery| u64::from(delivery.attempts)).sum()),
        (
            "dispatched more than once".into(),
            found.records.iter().filter(|record| record.dispatches > 1).count() as u64,
        ),
        ("batches that Lambda gave up".into(), given_up),
        ("dead letters redriven".into(), settled.redriven),
    ]);
    let mut table = table(["sent, and damage", "count"], [1]);
    for (what, times) in rows {
        table.add_row([what, grouped(times)]);
    }
    Ok(table)
}

/// Shows the timelines of notifications that are not DONE.
fn show_timeline(stack: &Stack, found: &Found) -> anyhow::Result<()> {
    let not_done = found.records.iter().filter(|record| record.status != Status::Done);
    for record in not_done.take(SHOWN_MAX) {
        stack.handover(&["status", &record.id])?.status()?;
    }
    Ok(())
}
