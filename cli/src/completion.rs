//! `handover completion`: the script by which a shell completes the words of the command.

use std::io::{Write, stdout};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::output;

#[derive(clap::Args)]
pub struct Arguments {
    /// The shell that is to read the script.
    shell: Shell,
}

/// Prints the script of the command that `C` parses.
pub fn completion<C: CommandFactory>(Arguments { shell }: &Arguments) {
    let mut command = C::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(*shell, &mut command, name, &mut script);
    let mut stdout = stdout();
    output::note(stdout.write_all(&script).and_then(|()| stdout.flush()));
}
