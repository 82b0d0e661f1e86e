//! Measures the variants in turns, so that other load on the machine affects all of them equally.

use std::convert::identity;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::oneshot;

use crate::instructions::{self, BATCHES, FEW_BATCHES};
use crate::stub::{Behaviour, Stub};
use crate::variant::{Places, Program, Running, Variant, size_of};

/// The time from the arrival of a call at the stub to its answer.
pub const LATENCY: Duration = Duration::from_millis(5);
/// Batches before the measured ones.
const WARM_UP: usize = 3;
/// A variant whose batches take longer is measured in fewer batches.
const SLOW: Duration = Duration::from_millis(100);
/// Batches of such a variant.
const SLOW_BATCHES: usize = 8;
/// Most batches after the first one over TLS, for the peak memory.
const MEMORY_BATCHES: usize = 10;
/// Longest time for these batches.
const MEMORY_TIME: Duration = Duration::from_secs(2);

/// The figures of a variant.
pub struct Figures {
    pub variant: Variant,
    /// The time of a batch: the median.
    pub batch: Duration,
    pub cpu_per_record: Duration,
    pub calls_per_record: f64,
    /// Billed write units of items.
    pub writes_per_record: f64,
    /// Billed write units of the index.
    pub index_writes_per_record: f64,
    /// Order violations of a batch.
    pub violations: u64,
    pub connections: u64,
    /// The time from the spawn to the first request for an invocation: the median.
    pub ready: Duration,
    pub ready_cpu: Duration,
    /// The time from the spawn to the end of the first batch, over TLS: the median.
    pub first_batch: Duration,
    pub memory_max: u64,
    pub size: u64,
    /// In user space; `None` if valgrind cannot count them.
    pub instructions_per_record: Option<f64>,
}

impl Figures {
    /// The time of a batch over that of a call.
    pub fn ratio(&self, latency: Duration) -> f64 {
        self.batch.as_secs_f64() / latency.as_secs_f64()
    }
}

/// The latency of a call as a client without overhead sees it: the injected latency plus what timers and
/// loopback add.
pub async fn effective_latency() -> Result<Duration> {
    let stub = Stub::start(Behaviour { latency: LATENCY, ..Behaviour::default() }).await?;
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || sender.send(call_repeatedly(stub.address)));
    Ok(median(receiver.await??))
}

fn call_repeatedly(address: SocketAddr) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let body = r#"{"TableName":"bench-notifications","Key":{"id":{"S":"1"},"source":{"S":"s"}}}"#;
    let head = "POST / HTTP/1.1\r\nhost: stub\r\nx-amz-target: DynamoDB_20120810.GetItem\r\ncontent-length";
    let request = format!("{head}: {}\r\n\r\n{body}", body.len());
    let call = |_| {
        let begun = Instant::now();
        stream.write_all(request.as_bytes())?;
        let mut answer = [0; 1024];
        anyhow::ensure!(stream.read(&mut answer)? > 0, "no answer");
        Ok(begun.elapsed())
    };
    (0..100).map(call).collect()
}

/// Measures these variants, with `rounds` batches each.
pub async fn measure(
    variants: &[Variant],
    places: &Places,
    tls: &Behaviour,
    rounds: usize,
) -> Result<Vec<Figures>> {
    let plain = Behaviour { latency: LATENCY, ..Behaviour::default() };
    let mut all = Vec::new();
    for variant in variants {
        let mut running = Running::start(*variant, places, &plain, identity).await?;
        for _ in 0..WARM_UP {
            running.batch().await?;
        }
        running.stub.state().reset();
        all.push((running, Vec::new(), Duration::ZERO));
    }
    for round in 0..rounds {
        eprint!("\r  {rounds} batches of each variant, in turns: {}", round + 1);
        for (running, times, cpu) in &mut all {
            if round >= SLOW_BATCHES && times.first().is_some_and(|time| *time > SLOW) {
                continue;
            }
            let batch = running.batch().await?;
            times.push(batch.time);
            *cpu += batch.cpu;
        }
    }
    eprintln!();
    let mut figures: Vec<Figures> = all
        .into_iter()
        .map(|(running, times, cpu)| warm(&running, times, cpu, places))
        .collect::<Result<_>>()?;
    let colds = 5;
    let mut cold: Vec<Vec<Cold>> = variants.iter().map(|_| Vec::new()).collect();
    // The first round does not count: the files are not in memory yet.
    for round in 0..=colds {
        eprint!("\r  cold starts of each variant, over TLS: {round} of {colds}");
        for (index, variant) in variants.iter().enumerate() {
            let started = start(*variant, places, tls).await?;
            if round > 0 {
                cold[index].push(started);
            }
        }
    }
    eprintln!();
    for (figures, cold) in figures.iter_mut().zip(cold) {
        figures.ready = median(cold.iter().map(|start| start.ready).collect());
        figures.ready_cpu = median(cold.iter().map(|start| start.ready_cpu).collect());
        figures.first_batch = median(cold.iter().map(|start| start.first_batch).collect());
        figures.memory_max = cold.iter().map(|start| start.memory_max).max().unwrap_or_default();
    }
    for figures in &mut figures {
        // valgrind does not run code that V8 compiles.
        if matches!(figures.variant.program, Program::Node(_)) {
            continue;
        }
        eprint!("\r  instructions: {:50}", figures.variant.name);
        let batches = if figures.batch > SLOW { FEW_BATCHES } else { BATCHES };
        let counted = instructions::per_record(figures.variant, places, batches).await?;
        figures.instructions_per_record = Some(counted);
    }
    eprintln!();
    Ok(figures)
}

/// The figures of a cold start.
struct Cold {
    ready: Duration,
    ready_cpu: Duration,
    first_batch: Duration,
    memory_max: u64,
}

async fn start(variant: Variant, places: &Places, tls: &Behaviour) -> Result<Cold> {
    let mut running = Running::start(variant, places, tls, identity).await?;
    let first_batch = running.batch().await?.since_spawn;
    let begun = Instant::now();
    for _ in 0..MEMORY_BATCHES {
        if begun.elapsed() < MEMORY_TIME {
            running.batch().await?;
        }
    }
    Ok(Cold {
        ready: running.ready_after,
        ready_cpu: running.ready_cpu,
        first_batch,
        memory_max: running.process.memory_max()?,
    })
}

fn warm(running: &Running, times: Vec<Duration>, cpu: Duration, places: &Places) -> Result<Figures> {
    let variant = running.variant;
    let batches = times.len();
    let records = (batches * variant.load.batch()) as f64;
    let state = running.stub.state();
    let calls: u64 = state.calls.values().sum();
    let units = state.dynamodb.units;
    Ok(Figures {
        variant,
        batch: median(times),
        cpu_per_record: cpu.div_f64(records),
        calls_per_record: calls as f64 / records,
        writes_per_record: units.writes / records,
        index_writes_per_record: units.index_writes / records,
        violations: state.dynamodb.order.violations / batches as u64,
        connections: running.stub.connections(),
        ready: Duration::ZERO,
        ready_cpu: Duration::ZERO,
        first_batch: Duration::ZERO,
        memory_max: 0,
        size: size_of(variant.program, places)?,
        instructions_per_record: None,
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
