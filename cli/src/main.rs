//! The `handover` command: sends notifications and shows what became of them.

mod aws;
mod close;
mod dead_letters;
mod letters;
mod redrive;
mod send;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Transactional messaging on AWS: accepted once, applied once.
///
/// Works on AWS and on a local AWS alike, by the standard AWS environment and profile.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// The deployed stack.
    #[arg(long, env = "HANDOVER_STACK", default_value = "handover", global = true)]
    stack: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends events, one JSON object a line, to the upstream queue.
    Send(send::Arguments),
    /// Shows the record of a notification and its custody timeline.
    Status(status::Arguments),
    /// Lists dead letters, grouped by destination and error.
    DeadLetters(dead_letters::Arguments),
    /// Lets destinations that gave up try again, once the cause is mended.
    Redrive(redrive::Arguments),
    /// Ends a notification by hand, for good.
    Close(close::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { stack, command } = Arguments::parse();
    let result = match command {
        Command::Send(arguments) => send::send(&stack, arguments).await,
        Command::Status(arguments) => status::status(&stack, arguments).await,
        Command::DeadLetters(arguments) => dead_letters::dead_letters(&stack, arguments).await,
        Command::Redrive(arguments) => redrive::redrive(&stack, arguments).await,
        Command::Close(arguments) => close::close(&stack, arguments).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
