//! Serves all mappings until a signal.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::args::Args;
use crate::clients::Clients;
use crate::mapping;
use crate::stream::Stream;
use crate::stream_poller::poll;

/// How long invocations in flight may take after a signal.
const STOP_GRACE: Duration = Duration::from_millis(1500);

/// Finds the mappings, polls their streams, and returns after SIGTERM or SIGINT.
pub async fn run(args: &Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut pollers = JoinSet::new();
    let (stop, stopped) = watch::channel(false);

    tokio::select! {
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        started = start(args, &mut pollers, &stopped) => started?,
    }
    println!("ready: {} mappings", pollers.len());

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Some(ended) = pollers.join_next() => bail!("a poller has stopped unexpectedly: {ended:?}"),
    }
    info!("stopping");
    stop.send_replace(true);
    let all_ended = async { while pollers.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, all_ended).await.is_err() {
        warn!("stopped with invocations in flight: their records are delivered again after a restart");
    }
    Ok(())
}

async fn start(args: &Args, pollers: &mut JoinSet<()>, stopped: &watch::Receiver<bool>) -> Result<()> {
    let clients = Clients::from_env().await?;
    let mappings = mapping::find(&clients.lambda, args).await?;
    for mut mapping in mappings {
        let stream = Stream::open(&clients, &mapping).await?;
        if let Some(retention) = stream.retention() {
            mapping.settings.retention = retention;
        }
        let poll_interval = Duration::from_millis(args.poll_interval_ms);
        let clients = clients.clone();
        pollers.spawn(poll(mapping, stream, clients, poll_interval, stopped.clone()));
    }
    Ok(())
}
