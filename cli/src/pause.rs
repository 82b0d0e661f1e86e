//! `handover pause`: keeps a destination from being called.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use futures_util::future::try_join_all;
use handover::record::{Control, PauseView, Record, Time};
use handover::store::Controlled;
use jiff::Timestamp;
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::output;
use crate::stack::Stack;
use crate::value;

#[derive(clap::Args)]
pub struct Arguments {
    /// The destination.
    #[arg(value_parser = value::destination)]
    destination: String,
    /// The reason, which `handover destinations` shows (512 bytes of it).
    #[arg(long, value_parser = value::text)]
    reason: String,
    /// Prints JSON: since when and why it is paused, and whether it was before.
    #[arg(long)]
    json: bool,
}

/// What came of it, as JSON.
#[derive(Serialize)]
struct View<'a> {
    destination: &'a str,
    paused: PauseView<'a>,
    was_paused: bool,
}

/// What operators said last of the destinations at which something is pending, by destination.
pub async fn controls<'a>(
    stack: &Stack,
    records: impl Iterator<Item = &'a Record>,
) -> anyhow::Result<BTreeMap<&'a str, Control>> {
    let names: BTreeSet<&str> = records.flat_map(Record::pending).map(|(name, _)| name.as_str()).collect();
    let positions = stack.positions();
    let reads = names.into_iter().map(async |name| {
        let control = positions.control(name).await.map_err(|fault| stack.explained(fault))?;
        Ok((name, control))
    });
    try_join_all(reads).await.map(|controls| controls.into_iter().collect())
}

pub async fn pause(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    Interrupt::default().run(pause_one(stack, arguments)).await
}

async fn pause_one(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { destination, reason, json } = arguments;
    // Of a name with a mistake nothing would be paused.
    let routes = stack.routes_or("name their file with --routes").await?;
    stack.check_destination(&destination, &routes)?;
    let now = Timestamp::now();
    let paused = stack.positions().pause(&destination, &reason, now).await;
    let before = match paused.map_err(|fault| stack.explained(fault))? {
        Controlled::Was(control) => Some(control),
        _ => None,
    };
    let (paused, words) = match before.as_ref().and_then(PauseView::of) {
        Some(before) => {
            let PauseView { since, reason } = before;
            let words = format!("{destination} has been paused since {since}: {reason}; nothing changed");
            (before, words)
        }
        None => {
            let words = format!(
                "{destination} is paused: what it has begun ends, and after 10 s it begins with nothing more"
            );
            (PauseView { since: Time(now), reason: &reason }, words)
        }
    };
    let view = View { destination: &destination, paused, was_paused: before.is_some() };
    output::did(json, &view, words)?;
    Ok(ExitCode::SUCCESS)
}
