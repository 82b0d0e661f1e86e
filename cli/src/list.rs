//! `handover list`: what is open or dead, from the index of the ledger.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use handover::record::{Delivery, Record, State};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::index::Index;
use crate::interrupt::Interrupt;
use crate::output::{self, Time, say};
use crate::stack::Stack;
use crate::value;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Lists those of this destination only.
    #[arg(long, value_parser = value::destination)]
    destination: Option<String>,
    /// Lists only those that were accepted so long ago or longer, such as `30m`, `2h` or `3d`.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    older_than: Option<SignedDuration>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What to list: one of these.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// Lists where notifications are pending.
    #[arg(long)]
    open: bool,
    /// Lists where notifications are dead, whether or not a dead letter is left.
    #[arg(long)]
    dead: bool,
}

/// A notification at a destination.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    id: String,
    source: String,
    r#type: String,
    destination: String,
    state: State,
    accepted_at: Time,
    attempts: u32,
    /// Why it is dead; or what holds it up, or its last failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub async fn list(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::default();
    interrupt.run(rows_and_print(stack, arguments)).await
}

async fn rows_and_print(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { selection, destination, older_than, json } = arguments;
    let index = Index::of(stack);
    let mut slots = index.open().await?;
    if selection.dead {
        slots.extend(index.dead().await?);
    }
    let state = if selection.dead { State::Dead } else { State::Pending };
    let before = match older_than {
        Some(age) => Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN),
        None => Timestamp::MAX,
    };
    let found = index.choose(slots, |record| {
        (record.accepted_at <= before).then(|| rows(&record, state, destination.as_deref()))
    });
    let mut rows: Vec<Row> = found.await?.into_iter().flatten().collect();
    if rows.is_empty()
        && let Some(name) = &destination
        && let Ok(routes) = stack.routes().await
    {
        stack.check_destination(name, &routes)?;
    }
    rows.sort_by_key(|row| row.accepted_at.0);
    match json {
        true => output::json(&rows)?,
        false if rows.is_empty() => say!("nothing is {}", if selection.dead { "dead" } else { "open" }),
        false => print(&rows),
    }
    Ok(ExitCode::SUCCESS)
}

/// The destinations where a notification has this state.
fn rows(record: &Record, state: State, only: Option<&str>) -> Vec<Row> {
    let of = record
        .destinations
        .iter()
        .filter(|(name, delivery)| delivery.state == state && only.is_none_or(|only| only == name.as_str()));
    let row = |(name, delivery): (&String, &Delivery)| Row {
        id: record.id.clone(),
        source: record.source.clone(),
        r#type: record.r#type.clone(),
        destination: name.clone(),
        state,
        accepted_at: Time(record.accepted_at),
        attempts: delivery.attempts,
        error: delivery.last_error().map(str::to_owned),
    };
    of.map(row).collect()
}

fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["accepted", "id", "source", "type", "destination", "attempts", "error"]);
    for row in rows {
        let Row { id, source, r#type, destination, accepted_at, attempts, error, .. } = row;
        let error = error.as_deref().unwrap_or_default();
        let (accepted, attempts) = (accepted_at.to_string(), attempts.to_string());
        table.add_row([&accepted, id, source, r#type, destination, &attempts, error]);
    }
    say!("{}", table.trim_fmt());
}

#[cfg(test)]
mod tests {
    use handover::{Draft, Routes};

    use super::*;
    use crate::combinations::check;

    #[test]
    fn an_option_that_has_no_effect_is_not_taken() {
        let options: [&[&str]; 5] =
            [&["--open"], &["--dead"], &["--destination", "a"], &["--older-than", "2h"], &["--json"]];
        check("list", &options, |has| [has("--open") != has("--dead")]);
    }

    #[test]
    fn a_notification_is_listed_for_each_destination_where_it_has_the_state() {
        let routes: Routes = r#"{"t":{"kind":"event","destinations":["a","b","c"]}}"#.parse().unwrap();
        let event = Draft::event("t", "s", &1).build("1").unwrap();
        let mut record = Record::accept(event, &routes, Timestamp::UNIX_EPOCH).unwrap();
        let delivery = record.destinations.get_mut("b").unwrap();
        (delivery.state, delivery.attempts) = (State::Dead, 6);
        delivery.reason = Some("no such account".into());
        let listed = |state, only| {
            let rows = rows(&record, state, only).into_iter();
            rows.map(|row| (row.destination, row.error)).collect::<Vec<_>>()
        };
        let dead = || ("b".to_owned(), Some("no such account".to_owned()));
        assert_eq!(listed(State::Dead, None), [dead()]);
        assert_eq!(listed(State::Pending, None), [("a".into(), None), ("c".into(), None)]);
        assert_eq!(listed(State::Pending, Some("c")), [("c".into(), None)]);
        assert_eq!(listed(State::Dead, Some("a")), []);
    }
}
