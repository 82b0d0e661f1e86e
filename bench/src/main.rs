//! Measures the time, memory and money that Handover takes, and the same of alternatives. See README.md.

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

/// Most latencies a batch of the hand-written peers: what they took when they were first compared, plus 15 %.
/// A comparison with slower ones would not be fair.
const HAND_WRITTEN_MAX: f64 = 7.0 * 1.15;

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
        /// Measures this project's functions only, and writes nothing.
        #[arg(long)]
        ours: bool,
    },
    /// Compares instructions, calls and sizes with the baseline.
    Gate {
        /// Writes the baseline instead.
        #[arg(long)]
        write: bool,
    },
    /// Prints the cost of a million notifications.
    Cost,
}

/// One blocking thread evaluates the calls to the stubs, in the order in which they arrive. It has a lower
/// priority than the thread that receives and answers calls. Other blocking work needs another thread.
fn main() -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).on_thread_start(|| {
        // If the system refuses, both threads have equal priority.
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

/// Checks that the hand-written peers, which are the hardest comparison, are as fast as they are known to be.
fn is_fair(figures: &[Figures], latency: Duration) -> Result<()> {
    for figures in figures {
        if !matches!(figures.variant.program, Program::Python("by_hand") | Program::Node("by_hand")) {
            continue;
        }
        let ratio = figures.ratio(latency);
        ensure!(
            ratio <= HAND_WRITTEN_MAX,
            "this run is void: `{}` took {ratio:.1} latencies a batch, and should take {HAND_WRITTEN_MAX:.1} at most",
            figures.variant.name
        );
    }
    Ok(())
}

/// The processors and the memory of the machine.
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

/// The versions of the measured programs.
fn versions(places: &Places, ours: bool) -> Vec<String> {
    let installed = places.checkout.join(".local/bench/venv");
    let output = |program: PathBuf, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut versions = vec![format!("Handover {}", env!("CARGO_PKG_VERSION"))];
    versions.extend(
        output("rustc".into(), &["--version"])
            .map(|version| version.split(" (").next().unwrap_or(&version).to_owned()),
    );
    if ours {
        return versions;
    }
    versions.extend(output(installed.join("bin/python"), &["--version"]));
    versions.extend(
        output(installed.join("node/bin/node"), &["--version"]).map(|version| format!("Node {version}")),
    );
    let requirements = std::fs::read_to_string(places.checkout.join("bench/peers/requirements.txt"));
    let requirements = requirements.unwrap_or_default();
    let of_python = requirements
        .lines()
        .filter(|line| line.starts_with("aws_lambda_powertools=") || line.starts_with("boto3="));
    versions.extend(of_python.map(|line| line.replace("==", " ")));
    let package =
        std::fs::read_to_string(places.checkout.join("bench/peers/package.json")).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap_or_default();
    for (name, version) in package["dependencies"].as_object().into_iter().flatten() {
        versions.push(format!("{name} {}", version.as_str().unwrap_or_default()));
    }
    versions
}
