//! Ctrl-C, for a command that has begun to change something. At the first one it finishes what is under way and says
//! what it leaves. The second one ends it at once.

use std::process::ExitCode;

use futures_util::future::pending;
use indicatif::ProgressBar;

use crate::output::say_error;

/// The exit code of a command that was interrupted, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Waits for a first Ctrl-C.
pub async fn interrupted(progress: &ProgressBar) {
    ctrl_c().await;
    progress
        .suspend(|| say_error!("interrupted: finishing what is under way; a second Ctrl-C stops at once"));
}

/// Runs this until it ends, or until the second Ctrl-C. From now on the first one has no effect by itself.
pub async fn until_stopped(run: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let twice = async {
        ctrl_c().await;
        ctrl_c().await;
    };
    tokio::select! {
        result = run => result,
        () = twice => {
            say_error!("stopped: what was under way may or may not have taken effect; it is safe to do it again");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

async fn ctrl_c() {
    // Without the system's signals a command runs to its end.
    if tokio::signal::ctrl_c().await.is_err() {
        pending().await
    }
}
