//! Damages the stack: kills its functions, and pauses the local AWS with its functions, queues and tables. A
//! thread does this while refunds are sent.
//!
//! `event-sources` is not killed: it replaces AWS's own mappings, and keeps in memory the positions that AWS
//! keeps.

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

/// Functions that no refund passes through, which may have no process to kill. Every other function in
/// `functions/` is killed.
const IDLE: [&str; 3] = ["payment", "queue", "receipt"];
/// Kills of each function in a round. In a round the local AWS is paused once.
const KILLS: usize = 3;
/// Time between two injections, in milliseconds.
const INTERVAL_MS: Range<u64> = 100..1_000;
/// Length of a pause, in milliseconds.
const PAUSE_MS: Range<u64> = 1_000..8_000;
/// Longest time after the end of the sending until everything was hit, in seconds. Reconcile runs once a
/// minute and a kill is tried every few seconds.
const HIT_SECONDS_MAX: u64 = 300;

/// One injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Injection {
    /// SIGKILL to the function with this index.
    Kill(usize),
    /// SIGSTOP to the local AWS, and SIGCONT after this time. The function with this index is killed in
    /// between, so that its pending calls may still take effect.
    Pause(Duration, usize),
}

/// The injections of a round for this number of functions, shuffled.
fn round(functions: usize, rng: &mut Rng) -> Vec<Injection> {
    let kills = (0..functions).map(Injection::Kill);
    let mut injections: Vec<Injection> = std::iter::repeat_n(kills, KILLS).flatten().collect();
    let length = Duration::from_millis(rng.u64(PAUSE_MS));
    injections.push(Injection::Pause(length, rng.usize(..functions)));
    rng.shuffle(&mut injections);
    injections
}

/// The damage so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Killed processes by function.
    pub killed: BTreeMap<String, u64>,
    /// Pauses of the local AWS.
    pub pauses: u64,
    /// The time of all pauses together.
    pub paused: Duration,
}

impl Tally {
    /// No damage yet to these functions.
    fn new(functions: &[String]) -> Tally {
        Tally { killed: functions.iter().map(|function| (function.clone(), 0)).collect(), ..Tally::default() }
    }

    fn hit_everything(&self) -> bool {
        self.pauses > 0 && self.killed.values().all(|killed| *killed > 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "killed")?;
        for (function, killed) in &self.killed {
            write!(f, " {function} {killed},")?;
        }
        write!(f, " paused {} times", self.pauses)
    }
}

/// Damage in progress.
pub struct Damage {
    injector: Arc<Injector>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Damage {
    /// Begins to damage this stack.
    pub fn begin(stack: &str, rng: Rng) -> anyhow::Result<Damage> {
        let functions = functions()?;
        let injector = Arc::new(Injector {
            stack: stack.to_owned(),
            tally: Mutex::new(Tally::new(&functions)),
            functions,
            is_stopping: AtomicBool::default(),
        });
        let thread = std::thread::spawn({
            let injector = injector.clone();
            move || injector.run(rng)
        });
        Ok(Damage { injector, thread })
    }

    /// The damage so far.
    pub fn tally(&self) -> Tally {
        self.injector.tally().clone()
    }

    /// Stops the damage as soon as everything was hit.
    pub fn stop(&self) {
        self.injector.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the thread still runs.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the last injection, and returns all damage.
    pub fn end(self) -> anyhow::Result<Tally> {
        self.thread.join().expect("the thread does not panic")?;
        Ok(self.injector.tally().clone())
    }
}

/// Injects the faults, in a thread.
struct Injector {
    stack: String,
    functions: Vec<String>,
    tally: Mutex<Tally>,
    is_stopping: AtomicBool,
}

impl Injector {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no thread panics while it holds the lock")
    }

    fn run(&self, mut rng: Rng) -> anyhow::Result<()> {
        let mut stopping_since = None;
        loop {
            for injection in round(self.functions.len(), &mut rng) {
                if self.is_stopping.load(Ordering::Relaxed) {
                    if self.tally().hit_everything() {
                        return Ok(());
                    }
                    let since: &mut Instant = stopping_since.get_or_insert_with(Instant::now);
                    let is_late = since.elapsed().as_secs() > HIT_SECONDS_MAX;
                    ensure!(
                        !is_late,
                        "some functions could not be killed, or no pause happened: {}",
                        self.tally()
                    );
                }
                sleep(Duration::from_millis(rng.u64(INTERVAL_MS)));
                match injection {
                    Injection::Kill(function) => self.kill(function)?,
                    Injection::Pause(length, function) => self.pause(length, function)?,
                }
            }
        }
    }

    fn kill(&self, function: usize) -> anyhow::Result<()> {
        let function = &self.functions[function];
        let name = format!("{}-{function}", self.stack);
        // The script prints the pid of each process. It fails if no process ran.
        let output =
            script("kill-function", &name).output().context("cannot run localstack/kill-function")?;
        let killed = output.stdout.iter().filter(|byte| **byte == b'\n').count();
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

/// The functions to kill, sorted by name.
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

/// The folder of the repository.
pub fn checkout() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).expect("this crate is in tests/chaos/")
}

/// A script of `localstack/`.
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
    fn a_round_hits_everything() {
        let injections = round(4, &mut Rng::with_seed(7));
        for function in 0..4 {
            assert_eq!(
                injections.iter().filter(|injection| **injection == Injection::Kill(function)).count(),
                KILLS
            );
        }
        assert_eq!(injections.len(), 4 * KILLS + 1);
    }

    #[test]
    fn everything_is_hit_after_a_kill_of_each_function_and_a_pause() {
        let mut tally = Tally::new(&["accept".to_owned(), "relay".to_owned()]);
        tally.pauses = 1;
        tally.killed.insert("accept".to_owned(), 1);
        assert!(!tally.hit_everything());
        tally.killed.insert("relay".to_owned(), 1);
        assert!(tally.hit_everything());
    }

    #[test]
    fn every_function_that_a_refund_passes_through_is_killed() {
        let functions = functions().unwrap();
        for function in ["accept", "api", "reconcile", "refund", "relay"] {
            assert!(functions.iter().any(|name| name == function), "{function} is not in {functions:?}");
        }
        assert!(!functions.iter().any(|name| IDLE.contains(&name.as_str())));
        assert!(IDLE.iter().all(|idle| checkout().join("functions").join(idle).exists()));
    }
}
