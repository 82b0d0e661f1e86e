//! Serves all mappings until a signal, also those that are made later.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::args::Args;
use crate::clients::Clients;
use crate::mapping::{self, Mapping};
use crate::stream::Stream;
use crate::stream_poller::poll;

/// The pause between two calls that list the mappings.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// How long invocations in flight may take after a signal.
const STOP_GRACE: Duration = Duration::from_millis(1500);

/// Finds the mappings, polls their streams, and returns after SIGTERM or SIGINT.
pub async fn run(args: &Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut served = Served::new(args, Clients::from_env().await?);
    let serve = async {
        let mappings = mapping::find(&served.clients.lambda, args).await?;
        served.start(mappings).await?;
        println!("ready: {} mappings", served.by_uuid.len());
        loop {
            tokio::select! {
                Some(ended) = served.pollers.join_next() => ended?,
                () = sleep(DISCOVERY_INTERVAL) => served.update(args).await,
            }
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = serve => return ended,
    }
    info!("stopping");
    served.stop().await;
    Ok(())
}

/// The mappings that are served, each by a poller.
struct Served {
    clients: Clients,
    poll_interval: Duration,
    /// By their UUIDs, what stops them.
    by_uuid: HashMap<String, watch::Sender<bool>>,
    pollers: JoinSet<()>,
}

impl Served {
    fn new(args: &Args, clients: Clients) -> Served {
        let poll_interval = Duration::from_millis(args.poll_interval_ms);
        Served { clients, poll_interval, by_uuid: HashMap::new(), pollers: JoinSet::new() }
    }

    /// Starts those that are not served yet.
    async fn start(&mut self, mappings: Vec<Mapping>) -> Result<()> {
        for mut mapping in mappings {
            if self.by_uuid.contains_key(&mapping.uuid) {
                continue;
            }
            let stream = Stream::open(&self.clients, &mapping).await?;
            if let Some(retention) = stream.retention() {
                mapping.settings.retention = retention;
            }
            let (stop, stopped) = watch::channel(false);
            self.by_uuid.insert(mapping.uuid.clone(), stop);
            self.pollers.spawn(poll(mapping, stream, self.clients.clone(), self.poll_interval, stopped));
        }
        Ok(())
    }

    /// Starts what was made since, and stops what is gone, or served by the local AWS itself now. What fails is tried
    /// again the next time.
    async fn update(&mut self, args: &Args) {
        let started = match mapping::list(&self.clients.lambda, &args.functions).await {
            Ok(mappings) => {
                self.by_uuid.retain(|uuid, stop| {
                    let is_there = mappings.iter().any(|mapping| mapping.uuid == *uuid);
                    stop.send_replace(!is_there);
                    is_there
                });
                self.start(mappings).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            warn!(error = format!("{error:#}"), "cannot serve mappings that were made since");
        }
    }

    async fn stop(mut self) {
        for stop in self.by_uuid.values() {
            stop.send_replace(true);
        }
        let all_ended = async { while self.pollers.join_next().await.is_some() {} };
        if timeout(STOP_GRACE, all_ended).await.is_err() {
            warn!("stopped with invocations in flight: their records are delivered again after a restart");
        }
    }
}
