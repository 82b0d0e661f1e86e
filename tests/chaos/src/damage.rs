//! What is done to the stack: its functions are killed, and all of the local AWS is paused, functions
//! and queues and tables. It goes on beside the sending, in a thread of its own.
//!
//! `event-sources`, where it runs, stays: it stands for AWS's own mappings, and its positions, which AWS
//! keeps, are in its memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;

/// Functions that no refund passes through, so that none of their processes may run. Every other one in
/// `functions/` is killed.
const IDLE: [&str; 1] = ["payment"];
/// How often each function is struck in a round, in which the local AWS is paused once.
const STRIKES: usize = 3;
/// Between two strikes, in milliseconds.
const BREATH_MS: Range<u64> = 100..1_000;
/// How long a pause lasts, in milliseconds.
const PAUSE_MS: Range<u64> = 1_000..8_000;
/// How long after the end of the sending everything must have been hit, in seconds: reconcile runs once
/// a minute, and is struck every few seconds.
const HIT_SECONDS_MAX: u64 = 300;

/// One blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    /// SIGKILL to the function with this index.
    Kill(usize),
    /// SIGSTOP to the local AWS, and SIGCONT after this time. The function with this index dies in the
    /// middle, so that what it asked for may still take effect.
    Pause(Duration, usize),
}

/// The strikes of a round at this many functions, in any order.
fn round(functions: usize, rng: &mut Rng) -> Vec<Strike> {
    let kills = (0..functions).map(Strike::Kill);
    let mut strikes: Vec<Strike> = std::iter::repeat_n(kills, STRIKES).flatten().collect();
    let length = Duration::from_millis(rng.u64(PAUSE_MS));
    strikes.push(Strike::Pause(length, rng.usize(..functions)));
    rng.shuffle(&mut strikes);
    strikes
}

/// What was done so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Processes killed of each function, by its name.
    pub killed: BTreeMap<String, u64>,
    /// How often the local AWS was paused.
    pub pauses: u64,
    /// How long, together.
    pub paused: Duration,
}

impl Tally {
    /// Nothing yet, of these functions.
    fn of(functions: &[String]) -> Tally {
        Tally { killed: functions.iter().map(|function| (function.clone(), 0)).collect(), ..Tally::default() }
    }

    fn has_everything(&self) -> bool {
        self.pauses > 0 && self.killed.values().all(|killed| *killed > 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "killed")?;
        for (function, killed) in &self.killed {
            write!(to, " {function} {killed},")?;
        }
        write!(to, " paused {} times", self.pauses)
    }
}

/// Damage that is under way.
pub struct Damage {
    striker: Arc<Striker>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Damage {
    /// Begins to strike at this stack.
    pub fn begin(stack: &str, rng: Rng) -> anyhow::Result<Damage> {
        let functions = functions()?;
        let striker = Arc::new(Striker {
            stack: stack.to_owned(),
            tally: Mutex::new(Tally::of(&functions)),
            functions,
            is_enough: AtomicBool::default(),
        });
        let thread = std::thread::spawn({
            let striker = striker.clone();
            move || striker.go_on(rng)
        });
        Ok(Damage { striker, thread })
    }

    /// What was done so far.
    pub fn tally(&self) -> Tally {
        self.striker.tally().clone()
    }

    /// Ends it as soon as everything was hit.
    pub fn stop(&self) {
        self.striker.is_enough.store(true, Ordering::Relaxed);
    }

    /// Whether it still strikes.
    pub fn goes_on(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the last strike; what was done in all.
    pub fn end(self) -> anyhow::Result<Tally> {
        self.thread.join().expect("no strike panics")?;
        Ok(self.striker.tally().clone())
    }
}

/// What strikes.
struct Striker {
    stack: String,
    functions: Vec<String>,
    tally: Mutex<Tally>,
    is_enough: AtomicBool,
}

impl Striker {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nobody panics who has it")
    }

    fn go_on(&self, mut rng: Rng) -> anyhow::Result<()> {
        let mut enough_since = None;
        loop {
            for strike in round(self.functions.len(), &mut rng) {
                if self.is_enough.load(Ordering::Relaxed) {
                    if self.tally().has_everything() {
                        return Ok(());
                    }
                    let since: &mut Instant = enough_since.get_or_insert_with(Instant::now);
                    let is_late = since.elapsed().as_secs() > HIT_SECONDS_MAX;
                    ensure!(!is_late, "not everything could be hit: {}", self.tally());
                }
                sleep(Duration::from_millis(rng.u64(BREATH_MS)));
                match strike {
                    Strike::Kill(function) => self.kill(function)?,
                    Strike::Pause(length, function) => self.pause(length, function)?,
                }
            }
        }
    }

    fn kill(&self, function: usize) -> anyhow::Result<()> {
        let function = &self.functions[function];
        let name = format!("{}-{function}", self.stack);
        // It prints the pid of each process; where none ran, it fails.
        let said = script("kill-function", &name).output().context("cannot run localstack/kill-function")?;
        let killed = said.stdout.iter().filter(|byte| **byte == b'\n').count();
        *self.tally().killed.entry(function.clone()).or_default() += killed as u64;
        Ok(())
    }

    fn pause(&self, length: Duration, function: usize) -> anyhow::Result<()> {
        let pause = script("pause", &length.as_secs_f64().to_string()).spawn();
        let mut pause = pause.context("cannot run localstack/pause")?;
        sleep(length / 2);
        self.kill(function)?;
        ensure!(pause.wait()?.success(), "the local AWS could not be paused");
        let mut tally = self.tally();
        tally.pauses += 1;
        tally.paused += length;
        Ok(())
    }
}

/// The functions that are killed, in the order of their names.
fn functions() -> anyhow::Result<Vec<String>> {
    let mut functions = Vec::new();
    for entry in checkout().join("functions").read_dir().context("cannot read functions/")? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if entry.path().join("Cargo.toml").exists() && !IDLE.contains(&name.as_str()) {
            functions.push(name);
        }
    }
    functions.sort();
    Ok(functions)
}

fn checkout() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).expect("this crate is in tests/chaos/")
}

/// A script of localstack/.
fn script(name: &str, argument: &str) -> Command {
    let path = checkout().join("localstack").join(name);
    let mut command = Command::new(path);
    command.arg(argument).stderr(Stdio::inherit());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_strikes_everything() {
        let strikes = round(4, &mut Rng::with_seed(7));
        for function in 0..4 {
            assert_eq!(strikes.iter().filter(|strike| **strike == Strike::Kill(function)).count(), STRIKES);
        }
        assert_eq!(strikes.len(), 4 * STRIKES + 1);
    }

    #[test]
    fn everything_is_each_function_and_a_pause() {
        let mut tally = Tally::of(&["accept".to_owned(), "relay".to_owned()]);
        tally.pauses = 1;
        tally.killed.insert("accept".to_owned(), 1);
        assert!(!tally.has_everything());
        tally.killed.insert("relay".to_owned(), 1);
        assert!(tally.has_everything());
    }

    #[test]
    fn every_function_that_a_refund_passes_through_is_killed() {
        let functions = functions().unwrap();
        for function in ["accept", "reconcile", "refund", "relay"] {
            assert!(functions.iter().any(|name| name == function), "{function} is not in {functions:?}");
        }
        assert!(!functions.iter().any(|name| IDLE.contains(&name.as_str())));
        assert!(IDLE.iter().all(|idle| checkout().join("functions").join(idle).exists()));
    }
}
