//! The measured variants: functions of this project, and alternatives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::time::Instant;

use crate::events::{self, BATCH, DESTINATION, MESSAGES, routes};
use crate::process::Process;
use crate::runtime_api::RuntimeApi;
use crate::stub::{Behaviour, NOTIFICATIONS, Stub};

/// A function under one kind of load.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// The name in the results.
    pub name: &'static str,
    pub program: Program,
    pub load: Load,
    /// The events are filled up to this many bytes.
    pub event_bytes: usize,
    /// Environment variables of this variant only.
    pub variables: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A binary of this workspace.
    Rust(&'static str),
    /// A peer in Python.
    Python(&'static str),
    /// A peer for Node, bundled.
    Node(&'static str),
}

/// The events of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A Kinesis batch of notifications to mark.
    Kinesis,
    /// A batch of the upstream queue.
    Upstream,
    /// The same with each message two times.
    UpstreamTwice,
    /// The same, and one write in ten is throttled.
    UpstreamThrottled,
    /// A batch of the table's stream.
    Stream,
    /// The same with one partition key.
    StreamHot,
    /// The same, and one record in ten is throttled.
    StreamThrottled,
}

/// The functions of this project.
pub const OURS: [Variant; 10] = [
    ours("mark only", "bench-destination", Load::Kinesis, &[("EFFECT", "nothing")]),
    ours("stored effect", "bench-destination", Load::Kinesis, &[("EFFECT", "stored")]),
    ours("one write in the transaction", "bench-destination", Load::Kinesis, &[("EFFECT", "write")]),
    ours("refund: two writes in the transaction", "refund", Load::Kinesis, &[]),
    ours("accept", "accept", Load::Upstream, &[]),
    ours("accept, each message twice", "accept", Load::UpstreamTwice, &[]),
    ours("accept, one put in ten throttled", "accept", Load::UpstreamThrottled, &[]),
    ours("relay", "relay", Load::Stream, &[]),
    ours("relay, one partition key", "relay", Load::StreamHot, &[]),
    ours("relay, one record in ten refused", "relay", Load::StreamThrottled, &[]),
];

/// The alternatives to the first of ours.
pub const PEERS: [Variant; 5] = [
    peer("Powertools for Python", Program::Python("powertools"), &[]),
    peer("Powertools for TypeScript, parallel", Program::Node("powertools"), &[]),
    peer("Powertools for TypeScript, sequential", Program::Node("powertools"), &[("SEQUENTIAL", "1")]),
    peer("by hand, Python", Program::Python("by_hand"), &[]),
    peer("by hand, Node", Program::Node("by_hand"), &[]),
];

const fn ours(
    name: &'static str,
    binary: &'static str,
    load: Load,
    variables: &'static [(&'static str, &'static str)],
) -> Variant {
    Variant { name, program: Program::Rust(binary), load, event_bytes: 0, variables }
}

const fn peer(
    name: &'static str,
    program: Program,
    variables: &'static [(&'static str, &'static str)],
) -> Variant {
    Variant { name, program, load: Load::Kinesis, event_bytes: 0, variables }
}

impl Load {
    /// Notifications of a batch.
    pub fn batch(self) -> usize {
        match self {
            Load::Upstream | Load::UpstreamTwice | Load::UpstreamThrottled => MESSAGES,
            Load::Kinesis | Load::Stream | Load::StreamHot | Load::StreamThrottled => BATCH,
        }
    }

    /// One write in this many is throttled; 0 for none.
    fn throttles_one_in(self) -> u64 {
        match self {
            Load::UpstreamThrottled | Load::StreamThrottled => 10,
            Load::Kinesis | Load::Upstream | Load::UpstreamTwice | Load::Stream | Load::StreamHot => 0,
        }
    }

    /// The nth batch. Puts the items that it needs into the stub.
    fn event(self, nth: usize, bytes: usize, stub: &Stub) -> Result<Bytes> {
        match self {
            Load::Kinesis => events::kinesis(nth, bytes, stub),
            Load::Upstream | Load::UpstreamThrottled => events::upstream(nth, bytes, false),
            Load::UpstreamTwice => events::upstream(nth, bytes, true),
            Load::Stream | Load::StreamThrottled => events::stream(nth, bytes, false),
            Load::StreamHot => events::stream(nth, bytes, true),
        }
    }
}

/// The folders of the programs.
#[derive(Clone, Debug)]
pub struct Places {
    /// The binaries of this workspace.
    pub binaries: PathBuf,
    /// The checkout.
    pub checkout: PathBuf,
}

impl Places {
    /// The command that starts a program.
    fn command(&self, program: Program) -> Command {
        let installed = self.checkout.join(".local/bench");
        match program {
            Program::Rust(binary) => Command::new(self.binaries.join(binary)),
            Program::Python(name) => {
                let mut command = Command::new(installed.join("venv/bin/python"));
                command.arg(self.checkout.join(format!("bench/peers/python/{name}.py")));
                command
            }
            Program::Node(name) => {
                let mut command = Command::new(installed.join("venv/node/bin/node"));
                command.arg(installed.join(format!("node/{name}.mjs")));
                command
            }
        }
    }
}

/// A running variant: its process and its stubs.
pub struct Running {
    pub variant: Variant,
    pub stub: Stub,
    pub process: Process,
    /// The time from the spawn to the first request for an invocation.
    pub ready_after: Duration,
    /// The processor time until then.
    pub ready_cpu: Duration,
    spawned_at: Instant,
    api: RuntimeApi,
    /// The number of batches so far.
    batches: usize,
}

/// The time of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchTime {
    pub time: Duration,
    pub cpu: Duration,
    /// The time since the process was spawned.
    pub since_spawn: Duration,
}

impl Running {
    /// Starts a variant. `wrap` can put another program around it.
    pub async fn start(
        variant: Variant,
        places: &Places,
        behaviour: &Behaviour,
        wrap: impl FnOnce(Command) -> Command,
    ) -> Result<Running> {
        let tls = behaviour.tls.is_some();
        let throttles_one_in = variant.load.throttles_one_in();
        let stub = Stub::start(Behaviour { throttles_one_in, ..behaviour.clone() }).await?;
        let mut api = RuntimeApi::start().await?;
        let mut command = wrap(places.command(variant.program));
        command
            .env_clear()
            .envs(environment(&stub.address, &api.address, tls))
            .envs(variant.variables.to_vec());
        if tls {
            let bundle = places.checkout.join(".local/bench/ca.pem");
            command.env("AWS_CA_BUNDLE", &bundle).env("NODE_EXTRA_CA_CERTS", &bundle);
        }
        let spawned_at = Instant::now();
        let mut process = Process::start(command)?;
        let ready = tokio::select! {
            ready = api.ready() => ready,
            error = process.exited() => Err(error),
        };
        let ready_at = ready.with_context(|| format!("`{}` cannot be started", variant.name))?;
        let ready_cpu = process.cpu()?;
        let ready_after = ready_at - spawned_at;
        Ok(Running { variant, stub, process, ready_after, ready_cpu, spawned_at, api, batches: 0 })
    }

    /// Lets it handle the next batch, and checks the outcome.
    pub async fn batch(&mut self) -> Result<BatchTime> {
        let nth = self.batches;
        self.batches += 1;
        let event = self.variant.load.event(nth, self.variant.event_bytes, &self.stub)?;
        let cpu = self.process.cpu()?;
        let (time, answer) = self.api.invoke(event).await.with_context(|| self.variant.name)?;
        let since_spawn = self.spawned_at.elapsed();
        self.api.ready().await?;
        let cpu = self.process.cpu()? - cpu;
        if let Some(error) = &self.stub.state().error {
            anyhow::bail!("{}: {error}", self.variant.name);
        }
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let failures = answer["batchItemFailures"].as_array().map_or(0, Vec::len);
        ensure!(failures == 0, "{}: {failures} records of a batch failed", self.variant.name);
        if self.variant.load == Load::Kinesis {
            let completed = events::completed(nth, &self.stub)?;
            ensure!(completed == BATCH, "{}: {completed} of {BATCH} were completed", self.variant.name);
        }
        Ok(BatchTime { time, cpu, since_spawn })
    }
}

fn environment(aws: &SocketAddr, api: &SocketAddr, tls: bool) -> Vec<(&'static str, String)> {
    let scheme = if tls { "https" } else { "http" };
    let fixed = [
        ("PATH", "/usr/bin:/bin"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDBENCH"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
        ("AWS_SESSION_TOKEN", "bench"),
        ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "bench"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
        ("RUST_LOG", "info"),
        ("HANDOVER_PREFIX", "bench"),
        ("NOTIFICATIONS_TABLE", NOTIFICATIONS),
        ("IDEMPOTENCY_TABLE", "idempotency"),
        ("ACCOUNTS_TABLE", "accounts"),
        ("ENTRIES_TABLE", "entries"),
        ("NOTIFICATIONS_STREAM", "notifications"),
        ("DESTINATION", DESTINATION),
        ("DESTINATIONS", DESTINATION),
        ("LEDGER_DAYS", "90"),
        ("RETRY_BACKOFF_SECONDS", "120"),
        ("UPSTREAM_BACKOFF_SECONDS", "40"),
    ];
    let queue = |name: &str| format!("{scheme}://{aws}/000000000000/{name}");
    let mut variables: Vec<_> = fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    variables.extend([
        ("AWS_ENDPOINT_URL", format!("{scheme}://{aws}")),
        ("AWS_LAMBDA_RUNTIME_API", api.to_string()),
        ("ROUTES", routes()),
        ("RELAY_QUEUE_URL", queue("relay")),
        ("UPSTREAM_QUEUE_URL", queue("upstream")),
        ("UPSTREAM_DEAD_LETTER_QUEUE_URL", queue("upstream-dead-letters")),
    ]);
    variables
}

/// The size in bytes of the file that a variant is deployed as.
pub fn size_of(program: Program, places: &Places) -> Result<u64> {
    let path: &Path = match program {
        Program::Rust(binary) => &places.binaries.join(binary),
        Program::Python(name) => &places.checkout.join(format!("bench/peers/python/{name}.py")),
        Program::Node(name) => &places.checkout.join(format!(".local/bench/node/{name}.mjs")),
    };
    Ok(std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}
