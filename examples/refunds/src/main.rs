//! The refunds example: sends `examples/refunds.jsonl` through the deployed stack, waits until the stack is
//! at rest, and compares what became of each line with its expected outcome.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use handover::record::{Record, Status};
use indicatif::{ProgressBar, ProgressStyle};
use refunds::fan_out;
use refunds::generate::{ABSENT, ABSENT_REFUNDS, ACCOUNTS, LATE, account, file, lines};
use refunds::stack::Stack;
use refunds::summary::{Row, Summary};

/// Longest wait until the stack is at rest, in seconds.
const REST_SECONDS_MAX: u64 = 120;
/// Time between two looks at the stack, in milliseconds.
const LOOK_MS: u64 = 500;

/// Sends refunds through a freshly deployed stack and checks every cent.
#[derive(Parser)]
struct Arguments {
    /// The name of the deployed stack.
    #[arg(long, env = "HANDOVER_STACK", default_value = "handover")]
    stack: String,
    /// The file of refunds, as `refunds generate` prints it.
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

async fn run(name: &str, path: &Path) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        text == file(),
        "{} differs from what `refunds generate` prints; run `refunds generate > {0}`",
        path.display()
    );
    let stack = &Stack::connect(name).await?;
    let accounts: Vec<String> = (0..ACCOUNTS).map(account).collect();
    ensure!(
        stack.records().await?.is_empty(),
        "the stack `{name}` has notifications already; the example counts notifications, so deploy a fresh stack"
    );
    stack.open_accounts(&accounts).await?;

    let lines_sent = text.lines().count();
    println!("Sending {lines_sent} lines of {}: refunds, repeats and mistakes", path.display());
    ensure!(handover(stack, &["send", "--unchecked", &path.to_string_lossy()])?, "some lines were not sent");
    rest(stack).await?;

    println!("Refunds to an account that does not exist are dead after six attempts:");
    handover(stack, &["dead-letters"])?;
    let records = stack.records().await?.into_iter();
    let died: Vec<Record> = records.filter(|record| record.status == Status::Dead).collect();
    println!("The account is opened, and they are redriven:");
    stack.open_accounts(&[ABSENT.to_owned()]).await?;
    ensure!(handover(stack, &["redrive", "--all", "--yes"])?, "some dead letters were not redriven");
    rest(stack).await?;
    let refused = stack.take_refused().await?.into_iter();
    let refused = refused.map(|(text, reason)| (text, reason.unwrap_or_else(|| "no reason given".into())));
    let found = stack.found(refused.collect()).await?;
    let summary = Summary::of(&lines(), &found, attempts(&found.records, &died));
    println!("{summary}");
    Ok(fan_out::run(stack).await? && summary.agrees())
}

/// Runs the command `handover`. Returns whether it succeeded.
fn handover(stack: &Stack, arguments: &[&str]) -> anyhow::Result<bool> {
    Ok(stack.handover(arguments)?.status().context("cannot run handover")?.success())
}

/// Whether this is the refund to the late account, after two failed attempts.
fn failed_twice(record: &Record) -> bool {
    let attempts = record.destinations.values().map(|delivery| delivery.attempts).max();
    record.subject.as_deref() == Some(LATE) && attempts >= Some(2)
}

/// Waits until the upstream queue is empty and no notification is open. Opens the late account meanwhile.
async fn rest(stack: &Stack) -> anyhow::Result<()> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} completed, {msg}").expect("valid"));
    let begun = Instant::now();
    let mut is_late_open = stack.balances().await?.contains_key(LATE);
    loop {
        let (left, records) = (stack.left("upstream").await?, stack.records().await?);
        let completed = records.iter().filter(|record| record.status != Status::Init).count();
        if !is_late_open && records.iter().any(failed_twice) {
            stack.open_accounts(&[LATE.to_owned()]).await?;
            is_late_open = true;
        }
        bar.set_length(records.len() as u64);
        bar.set_position(completed as u64);
        bar.set_message(format!("{left} to accept"));
        if left == 0 && completed == records.len() {
            break;
        }
        if begun.elapsed() > Duration::from_secs(REST_SECONDS_MAX) {
            eprintln!("warning: not at rest after {REST_SECONDS_MAX} s; the totals are those of now");
            break;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    bar.finish_and_clear();
    Ok(())
}

/// The rows about failed attempts. `died` are the records of dead notifications before they were redriven.
fn attempts(records: &[Record], died: &[Record]) -> Vec<Row> {
    let of = |record: &Record| {
        u64::from(record.destinations.values().map(|delivery| delivery.attempts).sum::<u32>())
    };
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
