//! The tree of what emitted what. A record names its cause, and keeps the names of what it emitted; the ids derive from
//! those, so that what one record says of another is checked.

use futures_util::{StreamExt, TryStreamExt, stream};
use handover::record::{Emitted, Record};
use handover::{Fault, Ledger};

/// Most notifications of a tree that are read.
const NODES_MAX: usize = 1_000;
/// Most causes that are gone back.
const CAUSES_MAX: usize = 1_000;
/// Most records that are read concurrently.
const CONCURRENCY_MAX: usize = 16;

/// The notifications that go back to one, each after the one that emitted it.
#[derive(Debug)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// Why it begins where it does, if the first one has a cause.
    pub unread_cause: Option<UnreadCause>,
    /// Whether some were not read.
    pub is_cut: bool,
}

/// The cause of the first notification of a tree.
#[derive(Debug)]
pub struct UnreadCause {
    pub id: String,
    /// Whether there is a record with that id, which does not name it.
    pub has_record: bool,
}

/// A notification of a tree.
#[derive(Debug)]
pub struct Node {
    pub id: String,
    /// How many emits lie between the first one and it.
    pub depth: usize,
    /// The destination that emitted it, if that is known; and its name there.
    pub emitted: Option<(Option<String>, String)>,
    /// Its record, unless that has expired.
    pub record: Option<Record>,
    /// The place of the one that emitted it.
    parent: usize,
}

impl Tree {
    /// The records that were read.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.nodes.iter().filter_map(|node| node.record.as_ref())
    }

    /// What a notification goes back to, and what that led to.
    pub async fn of(ledger: &Ledger, record: Record) -> Result<Tree, Fault> {
        let (chain, unread_cause) = causes(ledger, record).await?;
        Tree::down(ledger, chain, unread_cause).await
    }

    /// What a notification led to.
    pub async fn from(ledger: &Ledger, record: Record) -> Result<Tree, Fault> {
        Tree::down(ledger, vec![record], None).await
    }

    /// Reads what the first of a chain led to, level by level, so that a cut leaves out the last.
    async fn down(
        ledger: &Ledger,
        chain: Vec<Record>,
        unread_cause: Option<UnreadCause>,
    ) -> Result<Tree, Fault> {
        let root = chain.first().map(|first| node(first.clone(), 0, None, 0));
        let (mut nodes, mut begin, mut is_cut) = (Vec::from_iter(root), 0, false);
        while begin < nodes.len() {
            let room = NODES_MAX.saturating_sub(nodes.len());
            let mut level = children(ledger, &nodes[begin..], begin, room + 1).await?;
            is_cut |= level.len() > room;
            level.truncate(room);
            // It is part of the tree, whether or not its name is kept.
            let depth = nodes[begin].depth + 1;
            if let Some(next) = chain.get(depth).filter(|next| level.iter().all(|node| node.id != next.id)) {
                let parent = nodes[begin..].iter().position(|node| node.id == chain[depth - 1].id);
                let emitted = Some((None, unnamed(next).to_owned()));
                level.push(node(next.clone(), depth, emitted, begin + parent.unwrap_or_default()));
            }
            begin = nodes.len();
            nodes.append(&mut level);
        }
        Ok(Tree { nodes: in_order(nodes), unread_cause, is_cut })
    }
}

fn node(record: Record, depth: usize, emitted: Option<(Option<String>, String)>, parent: usize) -> Node {
    Node { id: record.id.clone(), depth, emitted, record: Some(record), parent }
}

/// What it is called whose name its parent does not keep.
fn unnamed(record: &Record) -> &'static str {
    match record.source.as_str() {
        handover::notification::OUTCOME_SOURCE => "earlier outcome",
        _ => "unnamed emit",
    }
}

/// Goes back from cause to cause: the first that is on record, down to the notification itself.
async fn causes(ledger: &Ledger, record: Record) -> Result<(Vec<Record>, Option<UnreadCause>), Fault> {
    let mut chain = vec![record];
    let unread_cause = loop {
        let record = &chain[chain.len() - 1];
        let Some(id) = record.causationid.clone() else { break None };
        let found = ledger.find(&id).await?;
        let has_record = !found.is_empty();
        match parent(found, record).filter(|_| chain.len() < CAUSES_MAX) {
            Some(parent) => chain.push(parent),
            None => break Some(UnreadCause { id, has_record }),
        }
    };
    chain.reverse();
    Ok((chain, unread_cause))
}

/// Of the records with the id of its cause, which several sources may have used, the one that led to it.
fn parent(mut found: Vec<Record>, child: &Record) -> Option<Record> {
    if let Some(at) = found.iter().position(|record| record.has_led_to(child)) {
        return Some(found.swap_remove(at));
    }
    // Its name may be among those that were not kept.
    let may_have = |record: &Record| {
        record.destinations.values().any(|delivery| delivery.emits_left_out > 0)
            && child.correlationid.as_ref() == Some(record.correlationid.as_ref().unwrap_or(&record.id))
    };
    found.pop().filter(|record| found.is_empty() && may_have(record))
}

/// What the notifications of a level emitted, `most` of them at most. The level begins at the place `begin` of the tree.
async fn children(ledger: &Ledger, level: &[Node], begin: usize, most: usize) -> Result<Vec<Node>, Fault> {
    let with_record =
        level.iter().enumerate().filter_map(|(at, node)| Some((at, node, node.record.as_ref()?)));
    let emitted = with_record.flat_map(|(at, node, record)| {
        record.emits().map(move |emitted| (begin + at, node.depth + 1, emitted))
    });
    let read = emitted.take(most).map(async |(parent, depth, Emitted { destination, name, id, .. })| {
        // No sender chooses such an id, so that one source alone has it.
        let record = ledger.find(&id).await?.into_iter().next();
        let emitted = Some((destination.map(str::to_owned), name.to_owned()));
        Ok(Node { id, depth, emitted, record, parent })
    });
    stream::iter(read.collect::<Vec<_>>()).buffered(CONCURRENCY_MAX).try_collect().await
}

/// Each after the one that emitted it, in the order of the emits.
fn in_order(nodes: Vec<Node>) -> Vec<Node> {
    let mut children: Vec<Vec<usize>> = nodes.iter().map(|_| vec![]).collect();
    for (at, node) in nodes.iter().enumerate().skip(1).rev() {
        children[node.parent].push(at);
    }
    let mut left: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let (mut ordered, mut next) = (Vec::with_capacity(left.len()), vec![0]);
    while let Some(at) = next.pop() {
        ordered.extend(left.get_mut(at).and_then(Option::take));
        next.extend(children.get(at).into_iter().flatten());
    }
    ordered
}
