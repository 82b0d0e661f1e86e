//! Which faults struck which calls: what was never hit, was never tried.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::Fault;

/// A place in the code that calls AWS, or, where `call` is empty, that is invoked at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The stage that calls: `accept`, `relay`, the two lanes `stream` and `retry`, …
    pub stage: &'static str,
    /// The operation, and what it is for where a stage calls it for several things.
    pub call: String,
}

/// What a call is for that a destination's handler makes by itself.
pub const OF_HANDLER: &str = "of the handler";
/// What a call is for that reads or moves reconcile's cursor.
pub const OF_CURSOR: &str = "of the cursor";
/// What a call is for that reads the position of a key, or writes down that somebody waits.
pub const OF_POSITION: &str = "of the position";

/// How often each fault struck each site.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Calls, of each site.
    pub calls: BTreeMap<Site, u64>,
    /// Strikes, of each site and fault.
    pub hits: BTreeMap<(Site, Fault), u64>,
}

/// Every place where the library calls AWS, and the one where a destination's handler may. Whoever
/// adds a call adds it here, and makes the schedule come by.
const SITES: &[(&str, &[&str])] = &[
    ("accept", &["", "PutItem", "SendMessageBatch", "ChangeMessageVisibilityBatch"]),
    ("relay", &["", "PutRecords"]),
    (
        "stream",
        &[
            "",
            "BatchExecuteStatement",
            "TransactWriteItems",
            "UpdateItem",
            "SendMessage to retry",
            "SendMessage to dead letters",
            "GetItem of the handler",
            "GetItem of the position",
            "UpdateItem of the position",
            "GetItem",
            "POST payment",
            "GET payment",
        ],
    ),
    (
        "retry",
        &[
            "",
            "GetItem",
            "BatchExecuteStatement",
            "TransactWriteItems",
            "UpdateItem",
            "SendMessage to retry",
            "SendMessage to dead letters",
            "ChangeMessageVisibility",
            "GetItem of the handler",
            "GetItem of the position",
            "UpdateItem of the position",
            "POST payment",
            "GET payment",
        ],
    ),
    (
        "reconcile",
        &[
            "",
            "GetItem of the cursor",
            "UpdateItem of the cursor",
            "Query",
            "BatchGetItem",
            "GetItem",
            "UpdateItem",
            "SendMessage to dead letters",
        ],
    ),
    // Programs elsewhere.
    ("outbox", &["", "TransactWriteItems"]),
    ("by hand", &["", "GetItem", "UpdateItem", "GetItem of the position", "TransactWriteItems"]),
];

/// Whether this fault can strike that site.
fn can_strike(fault: Fault, stage: &'static str, call: &str) -> bool {
    let site = Site { stage, call: call.to_owned() };
    match (fault, stage) {
        (Fault::Death | Fault::Freeze, _) => !call.is_empty(),
        (Fault::Stop | Fault::Forget | Fault::Late | Fault::Unread, "relay" | "stream") => call.is_empty(),
        (Fault::Overtaken, "accept" | "retry") => call.is_empty(),
        (Fault::Purged, "retry") | (Fault::Again, "reconcile") => call.is_empty(),
        (Fault::Again | Fault::AtOnce, "accept" | "relay" | "stream" | "retry") => call.is_empty(),
        (Fault::Skew, _) => call.is_empty(),
        // Reads of a handler, and of the index, need not be consistent.
        _ => fault
            .meets(&site, matches!(call, "GetItem" | "GetItem of the cursor" | "GetItem of the position")),
    }
}

impl Coverage {
    pub(crate) fn called(&mut self, site: Site) {
        *self.calls.entry(site).or_default() += 1;
    }

    pub(crate) fn struck(&mut self, site: Site, fault: Fault) {
        *self.hits.entry((site, fault)).or_default() += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: Coverage) {
        other.calls.into_iter().for_each(|(site, times)| *self.calls.entry(site).or_default() += times);
        other.hits.into_iter().for_each(|(hit, times)| *self.hits.entry(hit).or_default() += times);
    }

    /// Pairs of site and fault that were never hit, and sites that are not in the list.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (stage, call) in sites() {
            let site = Site { stage, call: call.to_owned() };
            let never = |fault: &Fault| {
                can_strike(*fault, stage, call) && !self.hits.contains_key(&(site.clone(), *fault))
            };
            let never: Vec<&str> = Fault::ALL.into_iter().filter(never).map(Fault::as_str).collect();
            if !never.is_empty() {
                missing.push(format!("{stage} {call}: never {}", never.join(", ")));
            }
        }
        let unknown = self.calls.keys().filter(|it| !sites().any(|site| site == (it.stage, &it.call)));
        missing.extend(unknown.map(|it| format!("{} {}: not in the list of sites", it.stage, it.call)));
        missing
    }
}

fn sites() -> impl Iterator<Item = (&'static str, &'static str)> {
    SITES.iter().flat_map(|(stage, calls)| calls.iter().map(move |call| (*stage, *call)))
}

impl fmt::Display for Coverage {
    /// A table: a line for each site, a column for each fault; `-` where it cannot strike.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{:<36} {:>9}", "stage and call", "calls")?;
        Fault::ALL.iter().try_for_each(|fault| write!(to, " {fault:>12}"))?;
        for (stage, call) in sites() {
            let site = Site { stage, call: call.to_owned() };
            let name = if call.is_empty() { format!("{stage}, invoked") } else { format!("{stage} {call}") };
            write!(to, "\n{name:<36} {:>9}", self.calls.get(&site).unwrap_or(&0))?;
            for fault in Fault::ALL {
                match self.hits.get(&(site.clone(), fault)) {
                    Some(times) => write!(to, " {times:>12}")?,
                    None if can_strike(fault, stage, call) => write!(to, " {:>12}", 0)?,
                    None => write!(to, " {:>12}", "-")?,
                }
            }
        }
        Ok(())
    }
}
