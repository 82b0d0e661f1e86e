//! The process of a function: started on a processor of its own, measured by what Linux says of it, and
//! ended with the harness.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub struct Process(Child);

/// Keeps this program, the stubs, off the processor on which functions run; says whether there are two.
pub fn keep_apart() -> Result<bool> {
    let Some((own, _)) = processors()? else { return Ok(false) };
    sched_setaffinity(None, &own)?;
    Ok(true)
}

/// The processors for this program and the one for functions, if there are two.
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
    /// Starts it; a child has the processors of the thread that starts it.
    pub fn start(mut command: Command) -> Result<Process> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        let spawn = || -> Result<Child> {
            if let Some((_, functions)) = processors()? {
                sched_setaffinity(None, &functions)?;
            }
            command.spawn().with_context(|| format!("{program} does not start"))
        };
        let child = std::thread::scope(|scope| scope.spawn(spawn).join().expect("it does not panic"));
        Ok(Process(child?))
    }

    /// When it has ended, though nobody asked it to.
    pub async fn ended(&mut self) -> anyhow::Error {
        loop {
            match self.0.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(Some(status)) => return anyhow::anyhow!("the process has ended: {status}"),
                Err(error) => return error.into(),
            }
        }
    }

    /// Processor time so far, of all its threads.
    pub fn cpu(&self) -> Result<Duration> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may end between the two.
            let Ok(stat) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += stat.split(' ').next().context("schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Most memory that it had at a time, in bytes.
    pub fn memory_max(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Ends it as a runtime would, so that what counts its instructions can write them down.
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
