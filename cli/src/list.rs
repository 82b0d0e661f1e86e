//! `handover list`: what is open or dead, or was accepted lately, from the index of the ledger.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use handover::record::{Delivery, Record, State, Time};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::index::{FOUND_MAX, Found, Index, READ_FOR, Which};
use crate::output::{self, say, say_error};
use crate::stack::Stack;
use crate::value;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Lists those of this destination only.
    #[arg(long, value_parser = value::destination)]
    destination: Option<String>,
    /// Lists those of this type only.
    #[arg(long, value_name = "TYPE", value_parser = value::text)]
    r#type: Option<String>,
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
    /// Lists what was accepted in this time, 15m if none is named, whatever became of it; at most 30d.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        default_missing_value = "15m",
        value_parser = value::recent
    )]
    recent: Option<SignedDuration>,
}

/// A notification at a destination.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    id: String,
    source: String,
    r#type: String,
    /// None where its channel has no subscriber.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    state: State,
    accepted_at: Time,
    attempts: u32,
    /// Why it is dead; or what holds it up, or its last failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was accepted lately, as JSON.
#[derive(Serialize)]
struct RecentView {
    notifications: Vec<Row>,
    /// Whether there may be more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
}

pub async fn list(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { selection, destination, r#type, older_than, json } = arguments;
    let (destination, r#type) = (destination.as_deref(), r#type.as_deref());
    let before = match older_than {
        Some(age) => Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN),
        None => Timestamp::MAX,
    };
    let chosen = |record: Record, state| {
        let is_wanted = record.accepted_at <= before && r#type.is_none_or(|wanted| wanted == record.r#type);
        let rows = if is_wanted { rows(&record, state, destination) } else { vec![] };
        // What has no row takes no place among those that are listed.
        (!rows.is_empty()).then_some(rows)
    };
    let index = Index::of(stack);
    let (found, is_cut) = match selection {
        Selection { recent: Some(age), .. } => {
            let Found { all, is_cut } = recent(&index, age, chosen).await?;
            (all, is_cut)
        }
        Selection { dead: true, .. } => {
            let slots = [index.open().await?, index.dead().await?].concat();
            (index.choose(slots, |record| chosen(record, Some(State::Dead))).await?, false)
        }
        Selection { .. } => {
            let slots = index.open().await?;
            (index.choose(slots, |record| chosen(record, Some(State::Pending))).await?, false)
        }
    };
    let mut rows: Vec<Row> = found.into_iter().flatten().collect();
    if rows.is_empty()
        && let Some(name) = destination
        && let Ok(routes) = stack.routes().await
    {
        stack.check_destination(name, &routes)?;
    }
    rows.sort_by_key(|row| row.accepted_at.0);
    show(rows, &selection, is_cut, json)?;
    Ok(ExitCode::SUCCESS)
}

/// What was accepted so long ago or less. The index has neither its time nor its type, so that each record is read.
async fn recent<T>(
    index: &Index<'_>,
    age: SignedDuration,
    chosen: impl Fn(Record, Option<State>) -> Option<T>,
) -> anyhow::Result<Found<T>> {
    let since = Timestamp::now() - age;
    let is_recent = |record: &Record| record.accepted_at >= since;
    let chosen = |record: Record| is_recent(&record).then(|| chosen(record, None))?;
    index.choose_some(index.recent(age), Which::All, chosen).await
}

/// The destinations where a notification has this state, or all.
fn rows(record: &Record, state: Option<State>, only: Option<&str>) -> Vec<Row> {
    let row = |destination: Option<&String>, of: Option<&Delivery>| Row {
        id: record.id.clone(),
        source: record.source.clone(),
        r#type: record.r#type.clone(),
        destination: destination.cloned(),
        // Without a destination nothing is left to do.
        state: of.map_or(State::Done, |delivery| delivery.state),
        accepted_at: Time(record.accepted_at),
        attempts: of.map_or(0, |delivery| delivery.attempts),
        error: of.and_then(Delivery::last_error).map(str::to_owned),
    };
    if record.destinations.is_empty() && state.is_none() && only.is_none() {
        return vec![row(None, None)];
    }
    let of = record.destinations.iter().filter(|(name, delivery)| {
        state.is_none_or(|state| delivery.state == state) && only.is_none_or(|only| only == name.as_str())
    });
    of.map(|(name, delivery)| row(Some(name), Some(delivery))).collect()
}

/// Prints what was found, or that it is nothing.
fn show(rows: Vec<Row>, selection: &Selection, is_cut: bool, json: bool) -> serde_json::Result<()> {
    if is_cut {
        say_error!(
            "note: these are some of what was accepted: {FOUND_MAX} notifications are listed at most, and the index is read for {} s; what was accepted last is read first",
            READ_FOR.as_secs()
        );
    }
    match selection {
        Selection { recent: Some(_), .. } if json => {
            return output::json(&RecentView { notifications: rows, is_cut });
        }
        _ if json => return output::json(&rows),
        _ if !rows.is_empty() => print(&rows),
        _ if is_cut => say!("none was found"),
        Selection { recent: Some(_), .. } => say!("nothing was accepted"),
        Selection { dead: true, .. } => say!("nothing is dead"),
        Selection { .. } => say!("nothing is open"),
    }
    Ok(())
}

fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["accepted", "id", "source", "type", "destination", "state", "attempts", "error"]);
    for row in rows {
        let Row { id, source, r#type, destination, state, accepted_at, attempts, error } = row;
        let [destination, error] = [destination, error].map(|text| text.as_deref().unwrap_or_default());
        let (accepted, attempts) = (accepted_at.to_string(), attempts.to_string());
        table.add_row([&accepted, id, source, r#type, destination, state.as_str(), &attempts, error]);
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
        let options: [&[&str]; 7] = [
            &["--open"],
            &["--dead"],
            &["--recent"],
            &["--destination", "a"],
            &["--type", "t"],
            &["--older-than", "2h"],
            &["--json"],
        ];
        check("list", &options, |has| {
            [["--open", "--dead", "--recent"].into_iter().filter(|option| has(option)).count() == 1]
        });
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
            rows.map(|row| (row.destination.unwrap(), row.error)).collect::<Vec<_>>()
        };
        let dead = || ("b".to_owned(), Some("no such account".to_owned()));
        let [a, c] = ["a", "c"].map(|name| (name.to_owned(), None));
        assert_eq!(listed(Some(State::Dead), None), [dead()]);
        assert_eq!(listed(Some(State::Pending), None), [a.clone(), c.clone()]);
        assert_eq!(listed(Some(State::Pending), Some("c")), std::slice::from_ref(&c));
        assert_eq!(listed(Some(State::Dead), Some("a")), []);
        assert_eq!(listed(None, None), [a, dead(), c]);
    }

    #[test]
    fn what_goes_nowhere_is_listed_among_what_was_accepted() {
        let routes = r#"{"c":{"kind":"channel","destinations":[]},"t":{"kind":"event","channel":"c"}}"#;
        let event = Draft::event("t", "s", &1).partitionkey("c/1").build("1").unwrap();
        let record = Record::accept(event, &routes.parse().unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        let listed = |state, only| {
            rows(&record, state, only).into_iter().map(|row| (row.destination, row.state)).collect::<Vec<_>>()
        };
        assert_eq!(listed(None, None), [(None, State::Done)]);
        assert_eq!(listed(None, Some("a")), []);
        assert_eq!(listed(Some(State::Done), None), []);
    }
}
