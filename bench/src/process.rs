//! The process of a function. It runs on a processor of its own, Linux's accounting measures it, and it ends
//! with this program.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub struct Process(Child);

/// Keeps this program, with its stubs, off the processor on which functions run. Returns `false` if there is
/// only one processor.
pub fn keep_apart() -> Result<bool> {
    let Some((own, _)) = processors()? else { return Ok(false) };
    sched_setaffinity(None, &own)?;
    Ok(true)
}

/// The processors for this program, and the one for functions, if there are at least two.
fn processors() -> Result<Option<(CpuSet, CpuSet)>> {
    static ALL: std::sync::OnceLock<CpuSet> = std::sync::OnceLock::new();
    let all = match ALL.get() {
        Some(all) => *all,
        None => *ALL.get_or_init(|| sched_getaffinity(None).unwrap_or_default()),
    };
    let Some(first) = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)) else { return Ok(None) };
    let (mut own, mut functions) = (all, CpuSet::new());
    own.unset(first);
    functions.set(first);
    Ok((own.count() > 0).then_some((own, functions)))
}

impl Process {
    /// Starts the process. A child inherits the processors of the thread that starts it.
    pub fn start(mut command: Command) -> Result<Process> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        let spawn = || -> Result<Child> {
            if let Some((_, functions)) = processors()? {
                sched_setaffinity(None, &functions)?;
            }
            command.spawn().with_context(|| format!("cannot start {program}"))
        };
        let child = std::thread::scope(|scope| scope.spawn(spawn).join().expect("the thread does not panic"));
        Ok(Process(child?))
    }

    /// Waits until the process exits, which is an error.
    pub async fn exited(&mut self) -> anyhow::Error {
        loop {
            match self.0.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(Some(status)) => return anyhow::anyhow!("the process exited: {status}"),
                Err(error) => return error.into(),
            }
        }
    }

    /// The processor time of all its threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may exit meanwhile.
            let Ok(stat) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += stat.split(' ').next().context("schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Its peak memory, in bytes.
    pub fn memory_max(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Terminates it with SIGTERM, so that valgrind can write its counts.
    pub fn end(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
