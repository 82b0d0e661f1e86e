//! The refunds example: sends `examples/refunds.jsonl` through the deployed stack, waits until
//! all is at rest, and holds what became of each line against what was to become of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use handover::record::{Record, Status};
use indicatif::{ProgressBar, ProgressStyle};
use refunds::generate::{ABSENT, ABSENT_REFUNDS, ACCOUNTS, LATE, account, file, lines};
use refunds::summary::{Row, Summary};
use refunds::world::World;

/// How long the pipeline may take until it rests, in seconds.
const REST_SECONDS_MAX: u64 = 120;
/// How often it is looked at, in milliseconds.
const LOOK_MS: u64 = 500;

/// Carries refunds through a freshly deployed stack, and checks every cent.
#[derive(Parser)]
struct Arguments {
    /// The deployed stack.
    #[arg(long, env = "HANDOVER_STACK", default_value = "handover")]
    stack: String,
    /// The file of refunds, as generated.
    #[arg(long, default_value = "examples/refunds.jsonl")]
    file: PathBuf,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Prints the file of refunds.
    Generate,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { stack, file: path, command } = Arguments::parse();
    if let Some(Subcommands::Generate) = command {
        print!("{}", file());
        return ExitCode::SUCCESS;
    }
    match run(&stack, &path).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(stack: &str, path: &Path) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(text == file(), "{} is not as generated; run `refunds generate > {0}`", path.display());
    let world = World::connect(stack).await?;
    let accounts: Vec<String> = (0..ACCOUNTS).map(account).collect();
    ensure!(
        world.records().await?.is_empty(),
        "the stack `{stack}` has notifications already; this example counts, and wants a fresh one"
    );
    world.open_accounts(&accounts).await?;

    let lines_sent = text.lines().count();
    println!("Sending {lines_sent} lines of {}: refunds, repeats, and mistakes", path.display());
    ensure!(handover(&world, &["send", "--unchecked", &path.to_string_lossy()])?, "not every line was sent");
    rest(&world).await?;

    println!("Refunds to an account that is not there are dead after six attempts:");
    handover(&world, &["dead-letters"])?;
    let records = world.records().await?.into_iter();
    let died: Vec<Record> = records.filter(|record| record.status == Status::Dead).collect();
    println!("It is opened now, and they are redriven:");
    world.open_accounts(&[ABSENT.to_owned()]).await?;
    ensure!(handover(&world, &["redrive", "--all"])?, "not every dead letter was redriven");
    rest(&world).await?;
    let refused = world.take_refused().await?.into_iter();
    let refused = refused.map(|(text, reason)| (text, reason.unwrap_or_else(|| "none given".into())));
    let found = world.found(refused.collect()).await?;
    let summary = Summary::of(&lines(), &found, attempts(&found.records, &died));
    println!("{summary}");
    Ok(summary.agrees())
}

/// Runs the command that users have; whether it succeeded.
fn handover(world: &World, arguments: &[&str]) -> anyhow::Result<bool> {
    Ok(world.handover(arguments)?.status().context("cannot run handover")?.success())
}

/// Whether it is the refund to the late account, after two failed attempts.
fn failed_twice(record: &Record) -> bool {
    let attempts = record.destinations.values().map(|delivery| delivery.attempts).max();
    record.subject.as_deref() == Some(LATE) && attempts >= Some(2)
}

/// Waits until nothing is left in the upstream queue and no notification is open. Opens the
/// late account on the way.
async fn rest(world: &World) -> anyhow::Result<()> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} ended, {msg}").expect("valid"));
    let begun = Instant::now();
    let mut is_late_open = world.balances().await?.contains_key(LATE);
    loop {
        let (left, records) = (world.left("upstream").await?, world.records().await?);
        let ended = records.iter().filter(|record| record.status != Status::Init).count();
        if !is_late_open && records.iter().any(failed_twice) {
            world.open_accounts(&[LATE.to_owned()]).await?;
            is_late_open = true;
        }
        bar.set_length(records.len() as u64);
        bar.set_position(ended as u64);
        bar.set_message(format!("{left} still to accept"));
        if left == 0 && ended == records.len() {
            break;
        }
        if begun.elapsed() > Duration::from_secs(REST_SECONDS_MAX) {
            eprintln!("not at rest after {REST_SECONDS_MAX} s; this is how it stands");
            break;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    bar.finish_and_clear();
    Ok(())
}

/// What failed, and how often. `died` are the records as they were when they were dead, before they were
/// redriven.
fn attempts(records: &[Record], died: &[Record]) -> Vec<Row> {
    let of = |record: &Record| u64::from(record.destinations.values().map(|it| it.attempts).sum::<u32>());
    let late = records.iter().filter(|record| record.subject.as_deref() == Some(LATE));
    let late = late.filter(|record| of(record) >= 2 && record.status == Status::Done);
    let absent = u64::from(ABSENT_REFUNDS);
    let redriven =
        records.iter().filter(|record| record.subject.as_deref() == Some(ABSENT) && record.dispatches == 2);
    vec![
        ("failed twice or more, then done".into(), 1, late.count() as u64),
        ("attempts of those that died".into(), absent * 6, died.iter().map(of).sum()),
        ("dead, then redriven".into(), absent, redriven.count() as u64),
    ]
}
