//! Serves the stream event source mappings of a local AWS. The crate's README says how to use it.
//!
//! The modules are declared from the top down: a module imports only modules that are declared after
//! it.

mod serve;

mod stream_poller;

mod shard_poller;

mod invoke;
mod reader;

mod stream;

mod mapping;

mod args;
mod clients;
mod clock;
mod on_failure;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).init();

    match serve::run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("event-sources: {error:#}");
            ExitCode::FAILURE
        }
    }
}
