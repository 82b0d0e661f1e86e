//! Sends lines to the upstream queue, by the command that users have.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use refunds::summary::grouped;
use refunds::world::World;

use crate::damage::Damage;
use crate::progress::Progress;

/// Lines sent in one go.
const LINES: usize = 50;
/// Messages that may wait in the upstream queue while more are sent: enough for accept to be busy,
/// also when those of some killed functions are hidden for a while.
const WAITING_MAX: u64 = 200;
/// How often it is looked whether there are as many, in milliseconds.
const LOOK_MS: u64 = 300;
/// How often lines are sent that may or may not have been taken.
const TRIES_MAX: u32 = 5;

/// Sends all, no faster than they are accepted.
pub async fn send_all(
    world: &World,
    texts: &[String],
    damage: &Damage,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut sent = 0;
    for texts in texts.chunks(LINES) {
        while world.left("upstream").await? > WAITING_MAX {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        send(world, texts)?;
        sent += texts.len() as u64;
        progress.show(world, format_args!("{} sent; {}", grouped(sent), damage.tally())).await?;
    }
    Ok(())
}

/// Sends these; some twice where an answer was lost, which changes nothing.
pub fn send(world: &World, texts: &[String]) -> anyhow::Result<()> {
    for _ in 0..TRIES_MAX {
        if send_once(world, texts)? {
            return Ok(());
        }
    }
    bail!("these lines could not be sent, in {TRIES_MAX} tries")
}

fn send_once(world: &World, texts: &[String]) -> anyhow::Result<bool> {
    let mut command = world.handover(&["send", "--unchecked", "-"])?;
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut sending = command.spawn().context("cannot run handover")?;
    // It is taken and dropped, which is the end of the input.
    sending.stdin.take().context("there is no way in")?.write_all(texts.join("\n").as_bytes())?;
    let sent = sending.wait_with_output()?;
    eprint!("{}", String::from_utf8_lossy(&sent.stderr));
    Ok(sent.status.success())
}
