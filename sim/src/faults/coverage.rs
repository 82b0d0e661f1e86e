//! Which faults were injected into which calls. A pair that was never hit was never tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::faults::fault::Fault;
use crate::faults::site::Site;

/// How often each site was called, and had each fault.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Calls of each site.
    pub calls: BTreeMap<Site, u64>,
    /// Sites that were called while faults could be injected.
    pub exposed: BTreeSet<Site>,
    /// Injected faults of each site and kind.
    pub hits: BTreeMap<(Site, Fault), u64>,
}

/// Every place where the library calls AWS, and the one where a destination's handler may. A new call
/// gets an entry here, and a workload that makes it.
const SITES: &[(&str, &[&str])] = &[
    ("accept", &["", "PutItem", "SendMessageBatch", "ChangeMessageVisibilityBatch"]),
    ("relay", &["", "PutRecords", "SendMessageBatch"]),
    ("relay-queue", &["", "PutRecords", "ChangeMessageVisibilityBatch"]),
    (
        "stream",
        &[
            "",
            "BatchExecuteStatement",
            "TransactWriteItems",
            "UpdateItem",
            "SendMessage to retry",
            "GetQueueUrl",
            "SendMessage to dead letters",
            "GetItem of the handler",
            "GetItem of the control",
            "GetItem of the position",
            "Query of the position",
            "TransactWriteItems of the position",
            "GetItem",
            "SendMessage of the handler",
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
            "GetQueueUrl",
            "SendMessage to dead letters",
            "ChangeMessageVisibilityBatch",
            "GetItem of the handler",
            "GetItem of the control",
            "GetItem of the position",
            "Query of the position",
            "TransactWriteItems of the position",
            "SendMessage of the handler",
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
            "GetItem of the control",
            "Query",
            "BatchGetItem",
            "GetItem",
            "UpdateItem",
            "TransactWriteItems",
            "GetQueueUrl",
            "SendMessage to dead letters",
        ],
    ),
    ("api", &["", "PutItem", "GetItem", "UpdateItem of the place"]),
    // Programs elsewhere.
    ("outbox", &["", "TransactWriteItems"]),
    (
        "operator",
        &[
            "",
            "GetItem",
            "UpdateItem",
            "GetItem of the control",
            "UpdateItem of the control",
            "GetItem of the position",
            "UpdateItem of the position",
            "Query of the position",
            "TransactWriteItems",
        ],
    ),
];

/// Whether this fault can be injected at that site.
fn can_be_injected(fault: Fault, stage: &'static str, call: &str) -> bool {
    let site = Site { stage, call: call.to_owned() };
    match (fault, stage) {
        (Fault::Death | Fault::Freeze, _) => !call.is_empty(),
        (Fault::Stop | Fault::Forget | Fault::Late | Fault::Unread, "relay" | "stream") => call.is_empty(),
        (Fault::Overtaken, "accept" | "relay-queue" | "retry") => call.is_empty(),
        (Fault::Purged, "retry") | (Fault::Again, "reconcile") => call.is_empty(),
        (Fault::Again | Fault::AtOnce, "accept" | "relay" | "relay-queue" | "stream" | "retry") => {
            call.is_empty()
        }
        (Fault::Skew | Fault::FarSkew, _) => call.is_empty(),
        (Fault::NotInvoked, stage) => call.is_empty() && !matches!(stage, "api" | "outbox" | "operator"),
        (Fault::Overlap, "reconcile") => call.is_empty(),
        // Reads of a handler, of the index and of the API need not be consistent.
        _ if (stage, call) == ("api", "GetItem") => fault.applies_to(&site, false),
        _ => {
            let consistent = matches!(
                call,
                "GetItem"
                    | "GetItem of the control"
                    | "GetItem of the cursor"
                    | "GetItem of the position"
                    | "Query of the position"
            );
            fault.applies_to(&site, consistent)
        }
    }
}

impl Coverage {
    pub(crate) fn called(&mut self, site: Site, is_exposed: bool) {
        if is_exposed {
            self.exposed.insert(site.clone());
        }
        *self.calls.entry(site).or_default() += 1;
    }

    pub(crate) fn hit(&mut self, site: Site, fault: Fault) {
        *self.hits.entry((site, fault)).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: Coverage) {
        other.calls.into_iter().for_each(|(site, times)| *self.calls.entry(site).or_default() += times);
        self.exposed.extend(other.exposed);
        other.hits.into_iter().for_each(|(hit, times)| *self.hits.entry(hit).or_default() += times);
    }

    /// Pairs of site and fault that were never hit, and sites that are not in the list.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (stage, call) in sites() {
            let site = Site { stage, call: call.to_owned() };
            let never = |fault: &Fault| {
                can_be_injected(*fault, stage, call) && !self.hits.contains_key(&(site.clone(), *fault))
            };
            let never: Vec<&str> = Fault::ALL.into_iter().filter(never).map(Fault::as_str).collect();
            if !never.is_empty() {
                missing.push(format!("{stage} {call}: never {}", never.join(", ")));
            }
        }
        let unknown =
            self.calls.keys().filter(|site| !sites().any(|known| known == (site.stage, &site.call)));
        missing.extend(unknown.map(|site| format!("{} {}: not in the list of sites", site.stage, site.call)));
        missing
    }
}

fn sites() -> impl Iterator<Item = (&'static str, &'static str)> {
    SITES.iter().flat_map(|(stage, calls)| calls.iter().map(move |call| (*stage, *call)))
}

impl fmt::Display for Coverage {
    /// A table: a line for each site, a column for each fault; `-` where it cannot be injected.
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
                    None if can_be_injected(fault, stage, call) => write!(to, " {:>12}", 0)?,
                    None => write!(to, " {:>12}", "-")?,
                }
            }
        }
        Ok(())
    }
}
