//! `handover status`: the record of each notification with an id, and its timeline.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use comfy_table::{ContentArrangement, Table, presets};
use handover::Code;
use handover::record::{Moment, PauseView, Record, RecordView, State, Time, What, timeline};
use tokio::time::sleep;

use crate::error;
use crate::interrupt::exit_code;
use crate::named::Named;
use crate::output::{self, say, say_error};
use crate::pause::controls;
use crate::stack::Stack;

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Waits up to this many seconds until every destination has completed it or given up. The exit code is 1 unless all
    /// have completed it.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Prints a JSON array with an object for each notification that has the id.
    #[arg(long)]
    json: bool,
    /// Also shows the data.
    #[arg(long)]
    data: bool,
}

pub async fn status(stack: &Stack, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let records = look(stack, &arguments).await?;
    let controls = controls(stack, records.iter()).await?;
    let view = |record| match arguments.data {
        true => RecordView::of(record).with_data(record),
        false => RecordView::of(record),
    };
    let mut views: Vec<RecordView> = records.iter().map(view).collect();
    let positions = stack.positions();
    for (record, view) in records.iter().zip(&mut views) {
        for delivery in &mut view.destinations {
            if !record.destinations[delivery.name].sequenced {
                continue;
            }
            let position = positions.position(record, delivery.name).await;
            delivery.position = position.map_err(|fault| stack.explained(fault))?;
        }
    }
    for delivery in views.iter_mut().flat_map(|view| &mut view.destinations) {
        let control = controls.get(delivery.name).filter(|_| delivery.state == State::Pending);
        delivery.paused = control.and_then(PauseView::of);
    }
    match arguments.json {
        true => output::json(&views)?,
        false => views.iter().zip(&records).enumerate().for_each(|(at, (view, record))| {
            if at > 0 {
                say!("");
            }
            print(view, record);
        }),
    }
    let is_completed = records.iter().all(|record| (record.open, record.dead) == (0, 0));
    if let Some(seconds) = arguments.wait
        && records.iter().any(|record| record.open > 0)
    {
        say_error!("note: it has not ended after {seconds} s");
    }
    Ok(exit_code(arguments.wait.is_none() || is_completed))
}

/// The records, at once or when they have ended. One that is not accepted yet is waited for, too.
async fn look(stack: &Stack, Arguments { named, wait, .. }: &Arguments) -> anyhow::Result<Vec<Record>> {
    let until = Instant::now() + Duration::from_secs(wait.unwrap_or_default());
    loop {
        let records = named.all(stack).await;
        let ends = match &records {
            Ok(records) => records.iter().all(|record| record.open == 0),
            Err(error) => error::code(error) != Some(Code::UnknownNotification),
        };
        if ends || Instant::now() >= until {
            return records;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What happened, and why. The record keeps the last relay and receive alone, and of the attempts before a redrive those
/// whose number no later attempt has.
fn described<'a>(moment: &Moment<'a>, record: &Record) -> (String, Option<&'a str>) {
    let delivery = moment.destination.and_then(|name| record.destinations.get(name));
    let has_failed_before =
        delivery.is_some_and(|delivery| delivery.failures.values().any(|failed| failed.at <= moment.at));
    let is_of_an_earlier_round =
        delivery.and_then(|delivery| delivery.redriven_at).is_some_and(|redriven_at| moment.at < redriven_at);
    match moment.what {
        What::Sent => ("sent".into(), None),
        What::Accepted => ("accepted".into(), None),
        What::Relayed if has_failed_before => ("last relayed".into(), None),
        What::Relayed => ("relayed".into(), None),
        What::Received if has_failed_before => ("last received".into(), None),
        What::Received => ("received".into(), None),
        What::AttemptFailed(number, error) if is_of_an_earlier_round => {
            (format!("attempt {number} failed, before the redrive"), Some(error))
        }
        What::AttemptFailed(number, error) => (format!("attempt {number} failed"), Some(error)),
        What::Fault(error) => ("fault".into(), Some(error)),
        What::Replayed => ("replayed".into(), None),
        What::Redriven => ("redriven".into(), None),
        What::Ended(state, reason) => (state.as_str().into(), reason),
        ref later => (format!("{later:?}"), None),
    }
}

fn print(view: &RecordView, record: &Record) {
    say!("{}  {} {}, from {}", view.id, view.kind, view.r#type, view.source);
    say!("{}  version {}, dispatched {}", view.status.as_str(), view.version, times(view.dispatches));
    for delivery in &view.destinations {
        let attempts = match delivery.attempts {
            0 => String::new(),
            count => format!(", failed {}", times(count)),
        };
        let waits = match (delivery.position, view.sequence) {
            (Some(position), Some(sequence)) if position + 1 < sequence && !delivery.state.is_final() => {
                format!(", waits for its turn: sequence {sequence}, position {position}")
            }
            _ => String::new(),
        };
        say!("  {}: {}{attempts}{waits}", delivery.name, delivery.state.as_str());
        if let Some(PauseView { since, reason }) = delivery.paused {
            say!("    the destination has been paused since {since}: {reason}");
        }
        if let Some(fault) = &delivery.fault {
            say!("    held up since {}, last at {}: {}", fault.since, fault.at, fault.error);
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let moments = timeline(record);
    let begun = moments.first().map(|moment| moment.at);
    for moment in &moments {
        let after = begun.map_or(0, |begun| moment.at.duration_since(begun).as_millis());
        let (what, why) = described(moment, record);
        table.add_row([
            Time(moment.at).to_string(),
            format!("+{after} ms"),
            moment.destination.unwrap_or_default().to_owned(),
            what,
            why.unwrap_or_default().to_owned(),
        ]);
    }
    say!("{}", table.trim_fmt());
    if let Some(data) = &view.data {
        say!("{}", data.as_str());
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".into(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use handover::record::FailedAttempt;
    use handover::{Draft, Routes};
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    #[test]
    fn a_moment_says_of_which_round_it_is() {
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        let routes: Routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        let event = Draft::event("t", "s", &1).build("1").unwrap();
        let mut record = Record::accept(event, &routes, at(0)).unwrap();
        let whats = |record: &Record| -> Vec<String> {
            timeline(record).iter().map(|moment| described(moment, record).0).collect()
        };
        let delivery = record.destinations.get_mut("a").unwrap();
        (delivery.relayed_at, delivery.received_at) = (Some(at(1)), Some(at(2)));
        assert_eq!(whats(&record), ["accepted", "relayed", "received"]);

        let failed = |second| FailedAttempt { at: at(second), error: "no".into(), retry_after: 0 };
        let delivery = record.destinations.get_mut("a").unwrap();
        delivery.failures = [("1".into(), failed(6)), ("2".into(), failed(3))].into();
        delivery.redriven_at = Some(at(4));
        (delivery.relayed_at, delivery.received_at) = (Some(at(5)), Some(at(5)));
        let expected =
            ["accepted", "attempt 2 failed, before the redrive", "redriven", "last relayed", "last received"];
        assert_eq!(whats(&record), [&expected[..], &["attempt 1 failed"]].concat());
    }
}
