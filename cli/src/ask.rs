//! The question on the terminal before a command acts on many.

use std::io::{IsTerminal, stdin};
use std::thread;

use handover::Code;
use tokio::sync::oneshot;

use crate::error::coded;
use crate::interrupt::Interrupt;
use crate::output::say_error;

/// Asks on the terminal, such as "Redrive them?". Ctrl-C is a no.
pub async fn is_confirmed(question: &str, interrupt: &Interrupt) -> bool {
    say_error!("{question} [y/N]");
    let (sender, answer) = oneshot::channel();
    // A read does not end before a line has come, and must not hold up Ctrl-C.
    thread::spawn(move || {
        let mut line = String::new();
        let _ = sender.send(stdin().read_line(&mut line).map(|_| line));
    });
    tokio::select! {
        line = answer => matches!(line, Ok(Ok(line)) if is_yes(&line)),
        () = interrupt.wait() => false,
    }
}

fn is_yes(line: &str) -> bool {
    ["y", "yes"].iter().any(|yes| line.trim().eq_ignore_ascii_case(yes))
}

/// Checks that a command may begin: it need not ask, or somebody is there to answer.
pub fn check_can_ask(command: &str, need_not: bool) -> anyhow::Result<()> {
    let can_ask = || stdin().is_terminal() && std::io::stderr().is_terminal();
    let text = || {
        format!(
            "{command} asks before it begins, and this is not a terminal: add --yes, or --dry-run to see what it would do"
        )
    };
    anyhow::ensure!(need_not || can_ask(), coded(Code::NeedsYes, text()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(["y\n", "YES\r\n", " yes "].iter().all(|line| is_yes(line)));
        assert!(["", "\n", "n\n", "yep\n"].iter().all(|line| !is_yes(line)));
    }
}
