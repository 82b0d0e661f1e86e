//! What Handover costs in time, memory and money, beside what a user would take instead. See README.md.

mod cost;
mod events;
mod gate;
mod instructions;
mod measure;
mod process;
mod results;
mod runtime_api;
mod stub;
mod tls;
mod variant;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use crate::measure::{Figures, LATENCY, effective_latency, measure};
use crate::results::{Setting, page, plot};
use crate::stub::Behaviour;
use crate::variant::{OURS, PEERS, Places, Program};

/// What the hand-written peers took, in latencies a batch, when they were first compared; and how much
/// more they may take before the comparison is not honest.
const BY_HAND: f64 = 7.0 * 1.15;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Measures this project's functions and their peers, and writes RESULTS.md and results.svg.
    Run {
        /// Batches of each variant.
        #[arg(long, default_value_t = 30)]
        rounds: usize,
        /// This project's functions alone; writes nothing.
        #[arg(long)]
        ours: bool,
    },
    /// Compares instructions, calls and sizes with the baseline.
    Gate {
        /// Writes the baseline instead.
        #[arg(long)]
        write: bool,
    },
    /// Prints what a million notifications cost.
    Cost,
}

/// What the stubs keep is worked out on one thread, in the order in which calls come. It gives way to the one
/// that takes calls and answers them. Whatever else is to block needs another thread.
fn main() -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).on_thread_start(|| {
        // Where that is refused, they share alike.
        let _ = rustix::process::nice(10);
    });
    runtime.build()?.block_on(bench())
}

async fn bench() -> Result<()> {
    let args = Args::parse();
    let apart = process::keep_apart()?;
    let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout")?.to_owned();
    let binaries = std::env::current_exe()?.parent().context("a folder")?.to_owned();
    let places = Places { binaries, checkout };
    let bench = places.checkout.join("bench");
    std::fs::create_dir_all(places.checkout.join(".local/bench"))?;
    match args.what {
        What::Run { rounds, ours } => run(&places, rounds, ours, apart).await,
        What::Gate { write } => gate::run(&places, &bench.join("baseline.toml"), write).await,
        What::Cost => cost::run(&places, &bench.join("prices.toml")).await,
    }
}

async fn run(places: &Places, rounds: usize, ours: bool, apart: bool) -> Result<()> {
    let tls = tls::acceptor(&places.checkout.join(".local/bench/ca.pem"))?;
    let tls = Behaviour { latency: LATENCY, tls: Some(tls), ..Behaviour::default() };
    let latency = effective_latency().await?;
    let mut variants = OURS.to_vec();
    if !ours {
        variants.extend(PEERS);
    }
    let figures = measure(&variants, places, &tls, rounds).await?;
    is_fair(&figures, latency)?;
    let setting = Setting {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        machine: machine()?,
        versions: versions(places, ours),
        apart,
        latency,
    };
    let page = page(&setting, &figures);
    println!("\n{page}");
    if !ours {
        let bench = places.checkout.join("bench");
        std::fs::write(bench.join("RESULTS.md"), page)?;
        std::fs::write(bench.join("results.svg"), plot(&setting, &figures))?;
        eprintln!("Written: bench/RESULTS.md, bench/results.svg");
    }
    Ok(())
}

/// The hand-written peers are the hard comparison: slower than they were known to be, they are none.
fn is_fair(figures: &[Figures], latency: Duration) -> Result<()> {
    let operator = figures
        .iter()
        .filter(|it| matches!(it.variant.program, Program::Python("operator") | Program::Node("operator")));
    for it in operator {
        let ratio = it.ratio(latency);
        ensure!(
            ratio <= BY_HAND,
            "this run is void: `{}` took {ratio:.1} latencies a batch, and should take {BY_HAND:.1} at most",
            it.variant.name
        );
    }
    Ok(())
}

/// The size of the machine.
fn machine() -> Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']).trim();
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let gib = kib.unwrap_or_default().div_ceil(1 << 20);
    Ok(format!("{count} processors ({model}), {gib} GiB"))
}

/// Of what was measured.
fn versions(places: &Places, ours: bool) -> Vec<String> {
    let installed = places.checkout.join(".local/bench/venv");
    let said = |program: PathBuf, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut versions = vec![format!("Handover {}", env!("CARGO_PKG_VERSION"))];
    versions.extend(
        said("rustc".into(), &["--version"]).map(|it| it.split(" (").next().unwrap_or(&it).to_owned()),
    );
    if ours {
        return versions;
    }
    versions.extend(said(installed.join("bin/python"), &["--version"]));
    versions.extend(said(installed.join("node/bin/node"), &["--version"]).map(|it| format!("Node {it}")));
    let requirements = std::fs::read_to_string(places.checkout.join("bench/peers/requirements.txt"));
    let requirements = requirements.unwrap_or_default();
    let of_python = requirements
        .lines()
        .filter(|it| it.starts_with("aws_lambda_powertools=") || it.starts_with("boto3="));
    versions.extend(of_python.map(|it| it.replace("==", " ")));
    let package =
        std::fs::read_to_string(places.checkout.join("bench/peers/package.json")).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap_or_default();
    for (name, version) in package["dependencies"].as_object().into_iter().flatten() {
        versions.push(format!("{name} {}", version.as_str().unwrap_or_default()));
    }
    versions
}
