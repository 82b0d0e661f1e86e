//! Circles in a graph of numbered nodes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Nodes that all reach one another, and the shortest circle through the first of them.
pub struct Knot {
    pub members: BTreeSet<usize>,
    pub shortest: Vec<(usize, usize)>,
}

/// Every knot of the nodes from 0.
pub fn knots(nodes: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Knot> {
    let mut knots: Vec<Knot> = Vec::new();
    for node in 0..nodes {
        if knots.iter().any(|knot| knot.members.contains(&node)) {
            continue;
        }
        let Some(shortest) = way(edges, node, node) else { continue };
        let mutual = (0..nodes).filter(|&other| {
            other == node || (way(edges, node, other).is_some() && way(edges, other, node).is_some())
        });
        knots.push(Knot { members: mutual.collect(), shortest });
    }
    knots
}

/// The shortest way of at least one edge.
fn way(edges: &BTreeSet<(usize, usize)>, from: usize, to: usize) -> Option<Vec<(usize, usize)>> {
    let mut before: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for &(start, end) in edges.range((at, 0)..=(at, usize::MAX)) {
            if let Entry::Vacant(entry) = before.entry(end) {
                entry.insert((start, end));
                queue.push_back(end);
            }
        }
    }
    let mut way = vec![*before.get(&to)?];
    while way[0].0 != from {
        way.insert(0, before[&way[0].0]);
    }
    Some(way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_knot_is_found_with_its_shortest_circle() {
        let edges = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 3), (3, 4), (5, 5)].into();
        let found: Vec<_> = knots(6, &edges)
            .into_iter()
            .map(|knot| (knot.members.into_iter().collect(), knot.shortest))
            .collect();
        let expected: Vec<(Vec<usize>, _)> =
            vec![(vec![0, 1, 2], vec![(0, 1), (1, 0)]), (vec![5], vec![(5, 5)])];
        assert_eq!(found, expected);
        assert!(knots(5, &[(0, 1), (1, 2), (0, 2), (3, 4)].into()).is_empty());
    }
}
