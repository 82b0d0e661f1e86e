//! Counts instructions in user space with valgrind. They hardly vary from run to run, whatever else the
//! machine does.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::stub::Behaviour;
use crate::variant::{Places, Running, Variant};

/// Batches of the shorter and of the longer run. The difference of the two runs counts.
pub const BATCHES: (usize, usize) = (2, 12);
/// The same for a variant whose batches are slow.
pub const FEW_BATCHES: (usize, usize) = (1, 2);

/// Whether valgrind is installed.
pub fn can_count(places: &Places) -> bool {
    valgrind(places).exists()
}

/// The instructions of a variant for each record.
pub async fn per_record(variant: Variant, places: &Places, (few, many): (usize, usize)) -> Result<f64> {
    let counts = (count(variant, places, few).await?, count(variant, places, many).await?);
    let records = (many - few) * variant.load.batch();
    Ok(counts.1.saturating_sub(counts.0) as f64 / records as f64)
}

async fn count(variant: Variant, places: &Places, batches: usize) -> Result<u64> {
    let log = places.checkout.join(".local/bench/valgrind.log");
    let wrap = |command: Command| {
        let mut wrapped = Command::new(valgrind(places));
        let log = format!("--log-file={}", log.display());
        wrapped.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", &log]);
        wrapped.arg(command.get_program()).args(command.get_args());
        wrapped
    };
    let mut running = Running::start(variant, places, &Behaviour::default(), wrap).await?;
    for _ in 0..batches {
        running.batch().await?;
    }
    running.process.end()?;
    let text = std::fs::read_to_string(&log).context("valgrind wrote no log")?;
    let line = text.lines().find(|line| line.contains("I ") && line.contains("refs:"));
    let count = line.and_then(|line| line.rsplit(' ').next()).context("the log of valgrind has no count")?;
    let count = count.replace(',', "").parse()?;
    ensure!(count > 0, "valgrind counted no instructions");
    Ok(count)
}

/// The path at which `bench/install-valgrind` leaves valgrind.
fn valgrind(places: &Places) -> PathBuf {
    places.checkout.join(".local/bench/valgrind")
}
