//! The tree of what emitted what. A record names its cause, and keeps the names of what it emitted; the ids derive from
//! those, so that what one record says of another is checked.

use futures_util::{StreamExt, TryStreamExt, stream};
use handover::record::{Emitted, Record};
use handover::{Fault, Ledger};

/// Most notifications of a tree that are read.
const NODES_MAX: usize = 1_000;
/// Most causes that are gone back.
const DEPTH_MAX: usize = 1_000;
/// Most records that are read concurrently.
const CONCURRENCY_MAX: usize = 16;

/// The notifications that go back to one, each after the one that emitted it.
#[derive(Debug, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// The id of the cause of the first one, where that is not on record any more.
    pub missing_cause: Option<String>,
    /// Whether some were not read.
    pub is_cut: bool,
}

/// A notification of a tree.
#[derive(Debug)]
pub struct Node {
    pub id: String,
    /// How many emits lie between the first one and it.
    pub depth: usize,
    /// The destination that emitted it, if it is not an outcome; and its name there.
    pub emitted: Option<(Option<String>, String)>,
    /// Its record, unless that has expired.
    pub record: Option<Record>,
}

impl Tree {
    /// The tree that a notification belongs to.
    pub async fn of(ledger: &Ledger, record: Record) -> Result<Tree, Fault> {
        let (first, missing_cause) = first(ledger, record).await?;
        let root = Node { id: first.id.clone(), depth: 0, emitted: None, record: Some(first) };
        let mut tree = Tree { missing_cause, ..Tree::default() };
        // Level by level, so that a cut leaves out the last.
        let mut level = vec![root];
        while !level.is_empty() {
            let room = NODES_MAX.saturating_sub(tree.nodes.len());
            tree.is_cut |= level.len() > room;
            level.truncate(room);
            let next = children(ledger, &level).await?;
            tree.nodes.append(&mut level);
            level = next;
        }
        tree.nodes = in_order(tree.nodes);
        Ok(tree)
    }
}

/// Goes back from cause to cause, to the first that is on record; with the id of its own cause, which is not.
async fn first(ledger: &Ledger, mut record: Record) -> Result<(Record, Option<String>), Fault> {
    for _ in 0..DEPTH_MAX {
        let Some(cause) = record.causationid.clone() else { return Ok((record, None)) };
        match parent(ledger.find(&cause).await?, &record) {
            Some(parent) => record = parent,
            None => return Ok((record, Some(cause))),
        }
    }
    let cause = record.causationid.clone();
    Ok((record, cause))
}

/// Of the records with the id of its cause, which several sources may have used, the one that emitted it.
fn parent(found: Vec<Record>, child: &Record) -> Option<Record> {
    found.into_iter().find(|record| {
        record.emits().any(|emitted| emitted.id == child.id)
            // Its name may be among those that were not kept.
            || record.destinations.values().any(|delivery| delivery.emits_left_out > 0)
    })
}

/// What the notifications of a level emitted.
async fn children(ledger: &Ledger, level: &[Node]) -> Result<Vec<Node>, Fault> {
    let emitted = level.iter().filter_map(|node| Some((node.depth, node.record.as_ref()?)));
    let emitted = emitted.flat_map(|(depth, record)| record.emits().map(move |emitted| (depth, emitted)));
    let read = emitted.map(async |(depth, Emitted { destination, name, id, .. })| {
        // No sender chooses such an id, so that one source alone has it.
        let record = ledger.find(&id).await?.into_iter().next();
        let emitted = Some((destination.map(str::to_owned), name.to_owned()));
        Ok(Node { id, depth: depth + 1, emitted, record })
    });
    stream::iter(read.collect::<Vec<_>>()).buffered(CONCURRENCY_MAX).try_collect().await
}

/// Each after the one that emitted it, in the order of the emits.
fn in_order(nodes: Vec<Node>) -> Vec<Node> {
    let mut left: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(left.len());
    let mut next = vec![0];
    while let Some(at) = next.pop() {
        let Some(node) = left.get_mut(at).and_then(Option::take) else { continue };
        let ids: Vec<String> = node.record.iter().flat_map(Record::emits).map(|emitted| emitted.id).collect();
        let places = ids
            .iter()
            .rev()
            .filter_map(|id| left.iter().position(|node| node.as_ref().is_some_and(|node| node.id == *id)));
        next.extend(places);
        ordered.push(node);
    }
    ordered
}
