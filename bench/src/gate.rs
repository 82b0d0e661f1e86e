//! Compares the figures that hardly vary (instructions, calls and sizes) with a baseline in the repository.

use std::collections::BTreeMap;
use std::convert::identity;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::instructions;
use crate::stub::Behaviour;
use crate::variant::{OURS, Places, Program, Running, Variant};

/// How much a figure may exceed the baseline.
const TOLERANCE: f64 = 0.10;
/// The names of the variants that are compared.
const COMPARED: [&str; 4] = ["mark only", "one write in the transaction", "accept", "relay"];

/// The figures of a variant.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    instructions_per_record: f64,
    calls_per_record: f64,
    /// The size of the binary without symbols.
    bytes: u64,
}

/// Measures, and compares with the baseline or writes it.
pub async fn run(places: &Places, baseline: &Path, write: bool) -> Result<()> {
    let counts = instructions::can_count(places);
    if !counts {
        eprintln!("valgrind is not installed: calls and sizes are compared, instructions are not.");
    }
    ensure!(counts || !write, "valgrind is needed to write a baseline");
    let mut measured = BTreeMap::new();
    for variant in OURS.iter().filter(|variant| COMPARED.contains(&variant.name)) {
        measured.insert(variant.name.to_owned(), measure(*variant, places).await?);
    }
    if write {
        std::fs::write(baseline, toml::to_string(&measured)?)?;
        println!("written: {}", baseline.display());
        return Ok(());
    }
    let text = std::fs::read_to_string(baseline).context("there is no baseline; write one with --write")?;
    let baseline: BTreeMap<String, Figures> = toml::from_str(&text)?;
    let mut worse = Vec::new();
    for (name, now) in &measured {
        let before = baseline.get(name).with_context(|| format!("`{name}` is not in the baseline"))?;
        let pairs = [
            // 0 without valgrind.
            ("instructions a record", before.instructions_per_record, now.instructions_per_record),
            ("calls a record", before.calls_per_record, now.calls_per_record),
            ("bytes of the binary", before.bytes as f64, now.bytes as f64),
        ];
        for (figure, before, now) in pairs {
            let change = (now / before - 1.0) * 100.0;
            println!("{name:30} {figure:24} {before:>12.2} {now:>12.2} {change:>+6.1} %");
            if is_worse(before, now) {
                worse.push(format!("{name}: {figure} {change:+.1} %"));
            }
        }
    }
    if !worse.is_empty() {
        bail!(
            "worse than the baseline by more than {:.0} %: {}. Fix it. If the increase is justified, write a new baseline with `make gate WRITE=1` and give the reason in the commit",
            TOLERANCE * 100.0,
            worse.join("; ")
        );
    }
    Ok(())
}

fn is_worse(before: f64, now: f64) -> bool {
    now > before * (1.0 + TOLERANCE)
}

async fn measure(variant: Variant, places: &Places) -> Result<Figures> {
    const BATCHES: usize = 4;
    let mut running = Running::start(variant, places, &Behaviour::default(), identity).await?;
    for _ in 0..BATCHES {
        running.batch().await?;
    }
    let calls: u64 = running.stub.state().calls.values().sum();
    Ok(Figures {
        instructions_per_record: match instructions::can_count(places) {
            true => instructions::per_record(variant, places, instructions::BATCHES).await?.round(),
            false => 0.0,
        },
        calls_per_record: calls as f64 / (BATCHES * variant.load.batch()) as f64,
        bytes: stripped_bytes(variant.program, places)?,
    })
}

fn stripped_bytes(program: Program, places: &Places) -> Result<u64> {
    let Program::Rust(binary) = program else { bail!("only binaries of this workspace are compared") };
    let stripped = places.checkout.join(".local/bench/stripped");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(places.binaries.join(binary)).status();
    ensure!(status.context("cannot run strip")?.success(), "{binary} cannot be stripped");
    Ok(std::fs::metadata(stripped)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_tenth_above_the_baseline_is_worse() {
        assert!(is_worse(100.0, 110.5) && is_worse(0.04, 0.05));
        assert!(!is_worse(100.0, 109.5) && !is_worse(100.0, 10.0));
    }
}
