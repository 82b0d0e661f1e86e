//! Holds what hardly varies, instructions, calls and sizes, against a baseline in the repository.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::instructions;
use crate::stub::Behaviour;
use crate::variant::{OURS, Places, Program, Running, Variant};

/// How much more than the baseline a figure may be.
const TOLERANCE: f64 = 0.10;
/// What is held, by name.
const HELD: [&str; 4] = ["mark only", "one write in the transaction", "accept", "relay"];

/// What a variant came to.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    instructions_per_record: f64,
    calls_per_record: f64,
    /// Of the binary without symbols.
    bytes: u64,
}

/// Measures, and compares with the baseline of this profile, or writes it.
pub async fn run(places: &Places, baseline: &Path, write: bool) -> Result<()> {
    let counts = instructions::can_count(places);
    if !counts {
        eprintln!("There is no valgrind here: calls and sizes are compared, instructions are not.");
    }
    ensure!(counts || !write, "a baseline needs valgrind");
    let mut measured = BTreeMap::new();
    for variant in OURS.iter().filter(|it| HELD.contains(&it.name)) {
        measured.insert(variant.name.to_owned(), measure(*variant, places).await?);
    }
    if write {
        std::fs::write(baseline, toml::to_string(&measured)?)?;
        println!("written: {}", baseline.display());
        return Ok(());
    }
    let text = std::fs::read_to_string(baseline).context("no baseline; write one with --write")?;
    let held: BTreeMap<String, Figures> = toml::from_str(&text)?;
    let mut worse = Vec::new();
    for (name, now) in &measured {
        let before = held.get(name).with_context(|| format!("`{name}` is not in the baseline"))?;
        let pairs = [
            // Without valgrind it is 0.
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
            "worse than the baseline by more than {:.0} %: {}. Mend it, or, if it is worth it, write the baseline anew with `make gate WRITE=1` and say why in the commit",
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
    let mut running = Running::start(variant, places, &Behaviour::default(), |it| it).await?;
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
    let Program::Rust(binary) = program else { bail!("only binaries of this workspace are held") };
    let stripped = places.checkout.join(".local/bench/stripped");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(places.binaries.join(binary)).status();
    ensure!(status.context("no strip")?.success(), "{binary} cannot be stripped");
    Ok(std::fs::metadata(stripped)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_more_is_worse() {
        assert!(is_worse(100.0, 110.5) && is_worse(0.04, 0.05));
        assert!(!is_worse(100.0, 109.5) && !is_worse(100.0, 10.0));
    }
}
