//! Ctrl-C. A command that holds or changes something finishes what is under way at the first one, and says what it
//! leaves; the second one ends it at once. A command that only reads ends at the first one.

use std::process::ExitCode;

use futures_util::future::pending;
use tokio::sync::SetOnce;

use crate::error;
use crate::output::say_error;

/// The exit code of a command that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// The first Ctrl-C.
#[derive(Default)]
pub struct Interrupt {
    come: SetOnce<()>,
    hidden_seconds: Option<i32>,
}

impl Interrupt {
    /// Of a command that holds dead letters, which stay hidden for so long where it does not release them.
    pub fn holding(hidden_seconds: i32) -> Interrupt {
        Interrupt { hidden_seconds: Some(hidden_seconds), ..Interrupt::default() }
    }

    /// Runs this until it ends, or until the second Ctrl-C. The first one is for it to see; whatever it ends with then,
    /// it was interrupted.
    pub async fn run(&self, run: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
        let twice = async {
            ctrl_c().await;
            let held = self.hidden_seconds.map_or("", |_| ", and releasing the dead letters that it holds");
            say_error!("interrupted: finishing what is under way{held}; a second Ctrl-C stops at once");
            let _ = self.come.set(());
            ctrl_c().await;
        };
        tokio::select! {
            // Ctrl-C is listened to before anything is held.
            biased;
            () = twice => {
                let held = self.hidden_seconds.map_or_else(String::new, |seconds| {
                    format!("; the dead letters that it holds stay hidden for up to {seconds} s")
                });
                say_error!(
                    "stopped: what was under way may or may not have taken effect; it is safe to do it again{held}"
                );
                Ok(ExitCode::from(INTERRUPTED))
            }
            result = run => match (self.has_come(), result) {
                (true, result) => {
                    if let Err(error) = result {
                        error::say(&error);
                    }
                    Ok(ExitCode::from(INTERRUPTED))
                }
                (false, result) => result,
            },
        }
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.come.initialized()
    }

    /// Waits until it comes.
    pub async fn wait(&self) {
        self.come.wait().await;
    }
}

/// Runs what only reads until it ends, or until the first Ctrl-C.
pub async fn run_reads(run: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::select! {
        biased;
        () = ctrl_c() => {
            say_error!("interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
        result = run => result,
    }
}

/// The exit code of a command that may have left something, where it was not interrupted.
pub fn exit_code(is_complete: bool) -> ExitCode {
    if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn ctrl_c() {
    // Without the system's signals a command runs to its end.
    if tokio::signal::ctrl_c().await.is_err() {
        pending().await
    }
}
