//! Serves the stream event source mappings of a local AWS. See the README beside this crate.

mod args;
mod clock;
mod destination;
mod invoke;
mod mapping;
mod poller;
mod reader;
mod shard_poller;
mod stream;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).init();

    match poller::run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("event-sources: {error:#}");
            ExitCode::FAILURE
        }
    }
}
