//! The command line.

use clap::Parser;
use clap::builder::RangedU64ValueParser;

/// Polls the DynamoDB and Kinesis streams of a local AWS and invokes functions by AWS's
/// documented rules, for the event source mappings that are deployed with Enabled: false.
///
/// Endpoint, Region and credentials come from the standard AWS environment variables
/// (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). Checkpoints are kept in
/// memory only: after a restart, reading begins with the oldest record of every stream. RUST_LOG sets
/// the level of the log on stderr.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Milliseconds between two reads of a shard that has no new records
    #[arg(
        long,
        env = "EVENT_SOURCES_POLL_INTERVAL_MS",
        default_value_t = 100,
        value_parser = RangedU64ValueParser::<u64>::new().range(1..=60_000),
    )]
    pub poll_interval_ms: u64,

    /// Serve only functions whose name begins with this prefix
    #[arg(
        long,
        env = "EVENT_SOURCES_FUNCTIONS",
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub functions: String,

    /// Wait up to 30 seconds until there are this many mappings, and fail if there are fewer
    #[arg(
        long,
        env = "EVENT_SOURCES_EXPECT",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub expect: usize,
}
