//! The `handover` command: sends notifications, shows their status, handles dead letters, and writes repositories.

mod add;
mod ask;
mod cause;
mod close;
#[cfg(test)]
mod combinations;
mod completion;
mod dead_letter_queues;
mod dead_letters;
mod destinations;
mod dispatch;
mod edit;
mod error;
mod explain;
mod held;
mod index;
mod interrupt;
mod list;
mod many;
mod named;
mod new;
mod output;
mod pause;
mod prepared;
mod redrive;
mod refused;
mod replay;
mod resume;
mod send;
mod skeleton;
mod stack;
mod status;
mod trace;
mod value;

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::interrupt::run_reads;

/// As `docs/command-line.md` has them.
const EXIT_CODES: &str = "\
Exit codes:
  0    It is done.
  1    It failed or left something undone, and says what.
  2    It does not take these arguments, and did nothing.
  130  Ctrl-C interrupted it.";

/// Transactional messaging on AWS: accepted once, applied once.
///
/// Works with AWS or a local AWS, as the standard AWS environment and profile say.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    stack: stack::StackArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    OfStack(OfStack),
    /// Writes a repository with a stack, a destination and its test; it needs no stack.
    New(new::Arguments),
    /// Adds a destination to the repository in this folder; it needs no stack.
    Add(add::Arguments),
    /// Says what the code of an error means, and what to do; it needs no stack.
    Explain(explain::Arguments),
    /// Prints the script by which a shell completes the command's words; it needs no stack.
    Completion(completion::Arguments),
}

#[derive(Subcommand)]
enum OfStack {
    /// Sends events to the upstream queue, one JSON object a line.
    Send(send::Arguments),
    /// Shows the record of a notification and its timeline.
    Status(status::Arguments),
    /// Shows what a notification led to, from emit to emit, and who has custody of what is open.
    Trace(trace::Arguments),
    /// Shows each destination: whether it is deployed, how much is open and dead there, and what holds it up.
    Destinations(destinations::Arguments),
    /// Lists what is open or dead, or was accepted lately.
    List(list::Arguments),
    /// Dispatches pending notifications again, where their copies wait or were lost; attempts are not reset.
    Dispatch(dispatch::Arguments),
    /// Keeps a destination from being called; what goes there waits.
    Pause(pause::Arguments),
    /// Ends a pause, and dispatches what waits there.
    Resume(resume::Arguments),
    /// Adds a destination to events that were accepted before it was there: those whose type the routes lead to it.
    Replay(replay::Arguments),
    /// Lists what accept refused, grouped by cause, or sends it to accept again.
    Refused(refused::Arguments),
    /// Lists dead letters, grouped by destination and cause.
    DeadLetters(dead_letters::Arguments),
    /// Retries dead notifications; fix the cause first.
    Redrive(redrive::Arguments),
    /// Closes a notification for good, without asking: no copy of it is applied any more.
    Close(close::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let code = match Arguments::try_parse() {
        Ok(arguments) => run(arguments).await.unwrap_or_else(|error| {
            error::say(&error);
            ExitCode::FAILURE
        }),
        Err(answer) => print(&answer),
    };
    // What it did is done; whoever asked does not know all of it.
    if output::is_incomplete() { ExitCode::FAILURE } else { code }
}

/// Prints the help, the version, or what is wrong with the arguments.
fn print(answer: &clap::Error) -> ExitCode {
    output::note(answer.print().and_then(|()| stdout().flush()));
    u8::try_from(answer.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn run(Arguments { stack, command }: Arguments) -> anyhow::Result<ExitCode> {
    let command = match command {
        Command::OfStack(command) => command,
        Command::New(arguments) => return new::new(&arguments),
        Command::Add(arguments) => return add::add(arguments),
        Command::Explain(arguments) => {
            explain::explain(&arguments);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Completion(arguments) => {
            completion::completion::<Arguments>(&arguments);
            return Ok(ExitCode::SUCCESS);
        }
    };
    let stack = stack.connect().await?;
    match command {
        OfStack::Send(arguments) => send::send(&stack, arguments).await,
        OfStack::Status(arguments) => run_reads(status::status(&stack, arguments)).await,
        OfStack::Trace(arguments) => run_reads(trace::trace(&stack, arguments)).await,
        OfStack::Destinations(arguments) => run_reads(destinations::destinations(&stack, arguments)).await,
        OfStack::List(arguments) => run_reads(list::list(&stack, arguments)).await,
        OfStack::Dispatch(arguments) => dispatch::dispatch(&stack, arguments).await,
        OfStack::Pause(arguments) => pause::pause(&stack, arguments).await,
        OfStack::Resume(arguments) => resume::resume(&stack, arguments).await,
        OfStack::Replay(arguments) => replay::replay(&stack, arguments).await,
        OfStack::Refused(arguments) => refused::refused(&stack, arguments).await,
        OfStack::DeadLetters(arguments) => dead_letters::dead_letters(&stack, arguments).await,
        OfStack::Redrive(arguments) => redrive::redrive(&stack, arguments).await,
        OfStack::Close(arguments) => close::close(&stack, arguments).await,
    }
}
