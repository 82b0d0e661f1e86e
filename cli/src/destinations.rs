//! `handover destinations`: each destination of the stack, and what waits there.

mod mappings;
mod tally;

use std::collections::BTreeSet;
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use futures_util::{StreamExt, TryStreamExt, stream};
use handover::Routes;
use handover::record::{Control, FaultView, PauseView, Time};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::mappings::Mappings;
use self::tally::{Tallies, Tally, sum, tallies};
use crate::dead_letter_queues::DeadLetterQueues;
use crate::index::{Index, Which};
use crate::interrupt::Interrupt;
use crate::output::{self, say, say_error};
use crate::stack::Stack;

/// Most destinations whose queues are asked concurrently.
const CALLS_MAX: usize = 8;

#[derive(clap::Args)]
pub struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct View<'a> {
    destinations: Vec<DestinationView<'a>>,
    /// Whether not everything was counted, so that there may be more, and an older one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
}

#[derive(Serialize)]
struct DestinationView<'a> {
    name: &'a str,
    /// Whether the routes name it.
    is_routed: bool,
    /// Whether it has its queues.
    is_deployed: bool,
    /// Absent where they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    mappings: Option<Mappings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<PauseView<'a>>,
    open: usize,
    dead: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_open: Option<OldestView>,
    /// About how many are in its dead-letter queue. Absent where that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<u64>,
    /// The last fault that an open one shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<FaultView<'a>>,
}

#[derive(Serialize)]
struct OldestView {
    accepted_at: Time,
    age_seconds: i64,
}

/// The dead-letter queue of a destination, and whether an operator paused it.
struct DestinationState {
    is_there: bool,
    dead_letters: Option<u64>,
    control: Control,
}

pub async fn destinations(stack: &Stack, Arguments { json }: Arguments) -> anyhow::Result<ExitCode> {
    let routes = stack.routes_or("`handover list` needs none").await?;
    let (tallies, is_cut) = count(stack).await?;
    let names: BTreeSet<&str> =
        routes.destinations().into_iter().chain(tallies.keys().map(String::as_str)).collect();
    // It holds no dead letter.
    let interrupt = Interrupt::default();
    let queues = DeadLetterQueues::new(stack, &interrupt);
    let states = stream::iter(&names).map(|name| state(stack, &queues, name)).buffered(CALLS_MAX);
    let states: Vec<DestinationState> = states.try_collect().await?;
    let mappings = match mappings::all(stack).await {
        Ok(mappings) => Some(mappings),
        Err(fault) => {
            say_error!("note: whether the mappings are enabled is not known ({fault})");
            None
        }
    };
    let (now, none) = (Timestamp::now(), Tally::default());
    let views = names.into_iter().zip(&states).map(|(name, state)| {
        let mappings = mappings.as_ref().map(|all| Mappings::of(stack.name(), name, all));
        DestinationView::of(name, &routes, state, mappings, tallies.get(name).unwrap_or(&none), now)
    });
    let view = View { destinations: views.collect(), is_cut };
    match json {
        true => output::json(&view)?,
        false if view.destinations.is_empty() => say!("the routes name no destination"),
        false => print(&view),
    }
    Ok(ExitCode::SUCCESS)
}

/// What is open and dead, and whether that was cut off. Each of the two is read up to bounds of its own, so that much of
/// one does not hide the other. One that dies in between is counted as both.
async fn count(stack: &Stack) -> anyhow::Result<(Tallies, bool)> {
    let index = Index::of(stack);
    let chosen = |record| Some(tallies(&record));
    let open = index.choose_some(index.open_unchecked().await?, Which::NotCompleted, chosen).await?;
    let dead = index.choose_some(index.dead().await?, Which::NotCompleted, chosen).await?;
    Ok((sum(open.all.into_iter().chain(dead.all)), open.is_cut || dead.is_cut))
}

async fn state(stack: &Stack, queues: &DeadLetterQueues<'_>, name: &str) -> anyhow::Result<DestinationState> {
    let control = stack.positions().control(name).await.map_err(|fault| stack.explained(fault))?;
    let queue = queues.find(name).await?;
    let dead_letters = match &queue {
        Some(queue) => queues.count(queue).await,
        None => None,
    };
    Ok(DestinationState { is_there: queue.is_some(), dead_letters, control })
}

impl<'a> DestinationView<'a> {
    fn of(
        name: &'a str,
        routes: &Routes,
        state: &'a DestinationState,
        mappings: Option<Mappings>,
        tally: &'a Tally,
        now: Timestamp,
    ) -> DestinationView<'a> {
        let oldest = |accepted_at: Timestamp| OldestView {
            accepted_at: Time(accepted_at),
            age_seconds: now.duration_since(accepted_at).as_secs().max(0),
        };
        DestinationView {
            name,
            is_routed: routes.destinations().contains(name),
            is_deployed: state.is_there,
            mappings: mappings.filter(|_| state.is_there),
            paused: PauseView::of(&state.control),
            open: tally.open,
            dead: tally.dead,
            oldest_open: tally.oldest_open.map(oldest),
            dead_letters: state.dead_letters,
            fault: tally.fault.as_ref().map(FaultView::of),
        }
    }

    /// Its state, in words.
    fn state(&self) -> String {
        let mapping = |of: &str, state: &Option<String>| match state.as_deref() {
            Some("Enabled") => None,
            Some(state) => Some(format!("{of} {}", state.to_lowercase())),
            None => Some(format!("{of} not mapped")),
        };
        let deployed = if self.is_deployed { "deployed" } else { "not deployed" };
        let mappings = self.mappings.as_ref();
        let mappings =
            mappings.map(|of| [mapping("stream", &of.stream), mapping("retry queue", &of.retry_queue)]);
        let of_mappings = match mappings {
            Some([None, None]) => vec!["enabled".to_owned()],
            Some(mappings) => mappings.into_iter().flatten().collect(),
            None => vec![],
        };
        let paused = self.paused.map(|PauseView { since, reason }| format!("paused since {since}: {reason}"));
        let no_route = (!self.is_routed).then(|| "not in the routes".to_owned());
        let all = [deployed.to_owned()].into_iter().chain(of_mappings).chain(no_route).chain(paused);
        all.collect::<Vec<_>>().join(", ")
    }
}

fn print(View { destinations, is_cut }: &View) {
    let more = if *is_cut { "+" } else { "" };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["destination", "state", "open", "dead", "oldest open", "dead letters", "last fault"]);
    for view in destinations {
        let age = |oldest: &OldestView| format!("{:#}{more}", SignedDuration::from_secs(oldest.age_seconds));
        table.add_row([
            view.name.to_owned(),
            view.state(),
            format!("{}{more}", view.open),
            format!("{}{more}", view.dead),
            view.oldest_open.as_ref().map(age).unwrap_or_default(),
            view.dead_letters.map(|count| count.to_string()).unwrap_or_default(),
            view.fault.as_ref().map(|fault| format!("{} {}", fault.at, fault.error)).unwrap_or_default(),
        ]);
    }
    say!("{}", table.trim_fmt());
    if *is_cut {
        say!("+: there may be more; `handover list` counts all.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_says_what_is_wrong() {
        let routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        let state = |name, is_there, mappings: Option<[Option<&str>; 2]>| {
            let mappings = mappings.map(|states| {
                let [stream, retry_queue] = states.map(|state| state.map(str::to_owned));
                Mappings { stream, retry_queue }
            });
            let control = Control::Running { resumed_at: None };
            let (state, tally) =
                (DestinationState { is_there, dead_letters: None, control }, Tally::default());
            DestinationView::of(name, &routes, &state, mappings, &tally, Timestamp::UNIX_EPOCH).state()
        };
        let enabled = Some("Enabled");
        assert_eq!(state("a", true, Some([enabled, enabled])), "deployed, enabled");
        assert_eq!(state("a", true, None), "deployed");
        assert_eq!(
            state("a", true, Some([Some("Disabled"), None])),
            "deployed, stream disabled, retry queue not mapped"
        );
        assert_eq!(state("a", false, Some([None, None])), "not deployed");
        assert_eq!(state("b", true, Some([enabled, enabled])), "deployed, enabled, not in the routes");
    }
}
